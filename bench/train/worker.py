"""A loader worker, seen from both ends: the training process orders steps of it, and it makes them until it is ended.

A worker stacks samples straight into memory shared with the training process and sends a message of a few bytes; the
memory is filled anew as soon as nobody holds its tensors. Both ends stand in one file, for they must agree on the messages.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
import weakref
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.contracts.errors import BenchError, TrainingStopped
from bench.contracts.method import Batch
from bench.train.lent_memory import LentMemory, cut, received_block, send_file
from bench.train.steps import Column, Steps, cases_of, columns_of, fill

# a training process that shares its cores with many workers must get one at once: its device waits for orders
NICE = 10
LENT = 3  # blocks of a worker whose tensors may be in use at a time; of further ones the training process gets copies


class Made(NamedTuple):
    """A worker's message: the step lies in `block`; where `fresh_bytes` is not 0, its new file comes right behind."""

    block: int
    fresh_bytes: int
    columns: list[Column]
    cases: list[str]


class Worker:
    """The training process's end of one worker."""

    def __init__(self, steps: Steps) -> None:
        context = start_context()
        self._steps, self._owner = steps, os.getpid()
        self._blocks: dict[int, mmap.mmap] = {}
        self._returned: deque[int] = deque()  # filled by whichever thread drops the last tensor
        self._lent = 0
        self._waiting, self._ended, self._code = threading.Lock(), False, 0
        self._channel, its_end = context.Pipe()
        with its_end, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*use of fork")  # that a process with threads forks is known
            self._process = context.Process(target=_serve, args=(its_end, steps), daemon=True)
            self._process.start()

    def ask(self, step: int) -> None:
        """Order a step, and give back the memory that nobody uses any more."""
        returned = [self._returned.popleft() for _ in range(len(self._returned))]
        self._lent -= len(returned)
        with suppress(OSError):  # a worker that has died is told of when its step is missing
            self._channel.send((step, returned))

    def receive(self, step: int) -> tuple[Batch, list[str]]:
        """The step ordered first of those not yet received. Raises what its making raised."""
        try:
            found = self._channel.recv()
            if isinstance(found, Made) and found.fresh_bytes:
                self._blocks[found.block] = received_block(self._channel, found.fresh_bytes)
        except (EOFError, OSError):
            raise self._died(step) from None
        if not isinstance(found, Made):
            try:
                raise found
            finally:
                del found  # from here its traceback would lead back to it, and keep all that it passes
        whole = np.frombuffer(self._blocks[found.block], np.uint8)
        batch = {name: torch.from_numpy(array) for name, array in cut(whole, found.columns).items()}
        self._lent += 1
        weakref.finalize(whole, self._returned.append, found.block).atexit = False
        if self._lent > LENT:
            batch = {name: tensor.clone() for name, tensor in batch.items()}
        return batch, found.cases

    def end(self) -> None:
        """End the process, whatever it is doing: there is nothing in it to be saved."""
        if os.getpid() != self._owner:  # the copy of a fork
            return
        self._process.kill()  # first: a thread that still reads from the channel is then told that it has ended
        self._exit_code()
        self._channel.close()
        self._blocks.clear()
        self._process.close()

    def _exit_code(self) -> int:
        """That of the process, once it has ended. Of two threads that wait for one process one is told that there is none, and a
        process that is closed tells nothing."""
        with self._waiting:
            if not self._ended:
                self._process.join()
                self._code, self._ended = self._process.exitcode or 0, True
            return self._code

    def _died(self, step: int) -> TrainingStopped:
        code = self._exit_code()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        cases = list(dict.fromkeys(cases_of([sample for _, sample in self._steps.samples(step)])))
        told = ", ".join(cases[:8]) + (f" and {len(cases) - 8} more" if len(cases) > 8 else "")
        return TrainingStopped(
            f"a loader worker {how} while it made step {step} from the cases {told}.",
            remedy="If memory is short, use fewer workers or smaller batches; `--set workers=0` shows what goes wrong.",
        )


def start_context() -> Any:
    """How workers start. Only a fork can hand over bound methods and closures, which phases hold; workers touch no CUDA."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else None)


def _serve(channel: Connection, steps: Steps) -> None:
    """A worker's life: make the steps that are asked for until the training process ends it, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the training process then ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    os.nice(NICE)
    trainer = multiprocessing.parent_process()
    assert trainer is not None
    memory = LentMemory()
    with suppress(EOFError, OSError):  # of the channel; errors of a step are sent
        # forked workers hold copies of the channel's other end, so that only the sentinel tells of a trainer's death
        while trainer.sentinel not in wait([channel, trainer.sentinel]):
            step, returned = channel.recv()
            memory.free += returned
            try:
                made, fresh_file = _make(steps, step, memory)
            except Exception as error:
                channel.send(_sendable(error))
                continue
            channel.send(made)
            if fresh_file is not None:
                send_file(channel, fresh_file)


def _make(steps: Steps, step: int, memory: LentMemory) -> tuple[Made, int | None]:
    """A step's arrays, in shared memory; and the file of the memory if the training process does not have it yet."""
    rows, samples = steps.made(step)
    columns = columns_of(rows, samples)
    block, fresh_file = memory.taken(max(1, sum(column.room_bytes for column in columns)))
    fill(cut(np.frombuffer(memory.blocks[block], np.uint8), columns), rows, samples)
    fresh_bytes = 0 if fresh_file is None else len(memory.blocks[block])
    return Made(block, fresh_bytes, columns, cases_of(samples)), fresh_file


def _sendable(error: Exception) -> Exception:
    """The error in a form that survives the way to another process; where it was raised stands in a note."""
    if not isinstance(error, BenchError):
        error.add_note("In a loader worker:\n" + "".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever it holds, what it says must arrive
        other = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", []):
            other.add_note(note)
        return other
    return error
