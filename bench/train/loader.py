"""Batches by step number: what step s shows to the network depends on (key, s), not on who loads it, or when.

A worker makes whole steps. It stacks samples straight into memory shared with the training process and sends a message
of a few bytes; the memory is filled anew as soon as nobody holds its tensors, because the pages of fresh memory cost
half as much time again as reading what goes into them. Workers are processes, not threads: views may draw from the
global generators of their process. Arrays keep the dtype they are stored in; conversion is `prepare`'s, on the device.

Longer than 250 lines because both ends of a worker's messages must agree on them.
"""

from __future__ import annotations

import math
import mmap
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts.errors import BenchError, PluginBroken, SpecError, TrainingStopped
from bench.contracts.method import Arrays, Batch, Corpus, Phase, Sample
from bench.train import seeds

_Source = Generator[tuple[Batch, list[str]], None, None]

AHEAD = 2  # steps asked of a worker at a time
LENT = 3  # blocks of a worker whose tensors may be in use at a time; of further ones the training process gets copies
ALIGNMENT_BYTES = 64  # as torch aligns its own memory


class Drawn(NamedTuple):
    """One step's share of one rank: CPU tensors (n, ...), the ids of their cases, and the seconds waited for them."""

    step: int
    batch: Batch
    cases: list[str]
    wait_s: float


def batches(
    phase: Phase,
    corpus: Corpus,
    *,
    key: str,
    start: int,
    stop: int,
    workers: int,
    rank: int = 0,
    world: int = 1,
    pin: bool = False,
) -> Iterator[Drawn]:
    """The steps `start` to `stop` - 1, in order. Any number of workers gives the same bits.

    `phase.draw` is called with the step and with one seed for the whole phase, so that it can permute epochs. Sample i
    of a step is cut with a generator of its own, from (key, step, i); rank r of `world` takes samples r, r + world, ...
    Tensors may be kept and changed. `pin` copies them into page-locked memory, for CUDA only. At most 2 steps a worker
    are made ahead. Errors of a worker arrive as they were raised; one that dies raises TrainingStopped. Closing or
    dropping the iterator ends the workers at once. Raises SpecError for workers where processes cannot share files.
    """
    steps = _Steps(phase, corpus, key, rank, world)
    if start >= stop:
        return
    with ExitStack() as held:
        # workers end before the thread is waited for, so that it never waits for them; they are forked before it starts
        hand = held.enter_context(ThreadPoolExecutor(1)) if pin and workers else None
        team = held.enter_context(_team(steps, min(workers, stop - start)))
        source = _by_workers(team, start, stop) if workers else _alone(steps, start, stop)
        take = partial(_pinned, source, torch.cuda.current_device()) if pin else partial(next, source)
        coming = deque([hand.submit(take)] if hand else [])
        for step in range(start, stop):
            asked_s = time.perf_counter()
            batch, cases = coming.popleft().result() if hand else take()  # popped: an error must not hold itself by it
            if hand and step + 1 < stop:
                coming.append(hand.submit(take))
            yield Drawn(step, batch, cases, time.perf_counter() - asked_s)


def _pinned(source: _Source, device: int) -> tuple[Batch, list[str]]:
    """The next step in page-locked memory; the copy is also what makes it safe to fill a worker's block anew.

    With workers a thread makes it while the device computes, for a step may be hundreds of MB.
    """
    batch, cases = next(source)
    with torch.cuda.device(device):  # a thread's own would be the first
        return {name: tensor.pin_memory() for name, tensor in batch.items()}, cases


def _alone(steps: _Steps, start: int, stop: int) -> _Source:
    for step in range(start, stop):
        rows, samples = steps.made(step)
        batch = {column.name: column.empty() for column in _columns(rows, samples)}
        _fill({name: tensor.numpy() for name, tensor in batch.items()}, rows, samples)
        yield batch, _cases(samples)


@contextmanager
def _team(steps: _Steps, count: int) -> Iterator[list[_Worker]]:
    """So many workers, ended whatever happens."""
    if count and not hasattr(socket, "send_fds"):
        raise SpecError("loader workers share memory in a way this system does not have.", remedy="`--set workers=0`")
    team: list[_Worker] = []
    try:
        team.extend(_Worker(steps) for _ in range(count))
        yield team
    finally:
        for worker in team:
            worker.end()


def _by_workers(team: list[_Worker], start: int, stop: int) -> _Source:
    """Step s is made by worker (s - start) modulo their number, so the order needs no sorting."""
    for step in range(start, min(start + AHEAD * len(team), stop)):
        team[(step - start) % len(team)].ask(step)
    for step in range(start, stop):
        worker = team[(step - start) % len(team)]
        found = worker.receive(step)
        if (later := step + AHEAD * len(team)) < stop:
            worker.ask(later)
        yield found


@dataclass(frozen=True)
class _Steps:
    """Step number -> the rank's samples and the arrays cut from them."""

    phase: Phase
    corpus: Corpus
    key: str
    rank: int
    world: int

    def made(self, step: int) -> tuple[list[Arrays], list[Sample]]:
        drawn = self.samples(step)
        return [self._arrays(step, slot, sample) for slot, sample in drawn], [sample for _, sample in drawn]

    def samples(self, step: int) -> list[tuple[int, Sample]]:
        """The rank's samples with their places in the global batch."""
        size = self.phase.config.batch_size
        drawn = self.phase.draw(self.corpus, size, step, seeds.derive(self.key, "draw"))
        if len(drawn) != size:
            raise PluginBroken(
                f"phase '{self.phase.name}' drew {len(drawn)} samples for step {step}, asked for {size}.",
                remedy="Its `draw` must return as many samples as the batch size says.",
            )
        return list(enumerate(drawn))[self.rank :: self.world]

    def _arrays(self, step: int, slot: int, sample: Sample) -> Arrays:
        seeds.reseed_all(self.key, step, slot, "views")  # for views that draw from global generators after all
        try:
            return self.phase.views(self.corpus, sample, seeds.generator(self.key, step, slot))
        except BenchError as error:
            error.case = error.case or " ".join(sample)
            raise
        except Exception as error:
            error.add_note(f"{' '.join(sample)}: raised by the views of phase '{self.phase.name}' in step {step}.")
            raise


class _Column(NamedTuple):
    """What an array of a batch looks like."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def room_bytes(self) -> int:
        """Its bytes up to where the next array may begin."""
        return -(-self.n_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES

    def empty(self) -> Tensor:
        return torch.empty(self.shape, dtype=torch.from_numpy(np.empty(0, self.dtype)).dtype)


def _columns(rows: list[Arrays], samples: list[Sample]) -> list[_Column]:
    """What a batch of such samples holds. Raises PluginBroken for what is no array of numbers."""
    first = " ".join(samples[0])
    return [_Column(name, _dtype(name, array, first), (len(rows), *np.shape(array))) for name, array in rows[0].items()]


def _dtype(name: str, array: NDArray[Any], case: str) -> np.dtype[Any]:
    try:
        torch.from_numpy(np.empty(0, array.dtype))
    except (TypeError, ValueError, AttributeError) as error:
        raise PluginBroken(
            f"view '{name}' is no array of numbers: {getattr(array, 'dtype', type(array).__name__)}.",
            case=case,
            remedy="Views must return NumPy arrays of numbers or booleans, in the machine's byte order.",
        ) from error
    return array.dtype


def _fill(batch: Arrays, rows: list[Arrays], samples: list[Sample]) -> None:
    """Samples stacked over the first axis, each array copied once."""
    for name, column in batch.items():
        for place, (row, sample) in enumerate(zip(rows, samples, strict=True)):
            array = row.get(name)
            if array is None or array.shape != column.shape[1:] or array.dtype != column.dtype:
                first = f"{column.shape[1:]} {column.dtype}"
                found = "nothing" if array is None else f"{array.shape} {array.dtype}"
                raise PluginBroken(
                    f"view '{name}' is {first} for the first sample of the step and {found} here.",
                    case=" ".join(sample),
                    remedy="All samples of a phase must give the same names, shapes and dtypes.",
                )
            column[place] = array


def _cases(samples: list[Sample]) -> list[str]:
    return [case for sample in samples for case in sample]


class _Made(NamedTuple):
    """A worker's message: the step lies in `block`; where `fresh_bytes` is not 0, its new file comes right behind."""

    block: int
    fresh_bytes: int
    columns: list[_Column]
    cases: list[str]


class _Worker:
    """The training process's end of one worker."""

    def __init__(self, steps: _Steps) -> None:
        context = _context()
        self._steps, self._owner = steps, os.getpid()
        self._blocks: dict[int, mmap.mmap] = {}
        self._returned: deque[int] = deque()  # filled by whichever thread drops the last tensor
        self._lent = 0
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
            if isinstance(found, _Made) and found.fresh_bytes:
                self._blocks[found.block] = _received_block(self._channel, found.fresh_bytes)
        except (EOFError, OSError):
            raise self._died(step) from None
        if not isinstance(found, _Made):
            try:
                raise found
            finally:
                del found  # from here its traceback would lead back to it, and keep all that it passes
        whole = np.frombuffer(self._blocks[found.block], np.uint8)
        batch = {name: torch.from_numpy(array) for name, array in _cut(whole, found.columns).items()}
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
        self._process.join()
        self._channel.close()
        self._blocks.clear()
        self._process.close()

    def _died(self, step: int) -> TrainingStopped:
        self._process.join()
        code = self._process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        cases = list(dict.fromkeys(_cases([sample for _, sample in self._steps.samples(step)])))
        told = ", ".join(cases[:8]) + (f" and {len(cases) - 8} more" if len(cases) > 8 else "")
        return TrainingStopped(
            f"a loader worker {how} while it made step {step} from the cases {told}.",
            remedy="If memory is short, use fewer workers or smaller batches; `--set workers=0` shows what goes wrong.",
        )


def _context() -> Any:
    """How workers start. Only a fork can hand over bound methods and closures, which phases hold; workers touch no CUDA."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else None)


def _serve(channel: Connection, steps: _Steps) -> None:
    """A worker's life: make the steps that are asked for until the training process ends it, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the training process then ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    trainer = multiprocessing.parent_process()
    assert trainer is not None
    memory = _Memory()
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
                _send_file(channel, fresh_file)


def _make(steps: _Steps, step: int, memory: _Memory) -> tuple[_Made, int | None]:
    """A step's arrays, in shared memory; and the file of the memory if the training process does not have it yet."""
    rows, samples = steps.made(step)
    columns = _columns(rows, samples)
    block, fresh_file = memory.taken(max(1, sum(column.room_bytes for column in columns)))
    _fill(_cut(np.frombuffer(memory.blocks[block], np.uint8), columns), rows, samples)
    fresh_bytes = 0 if fresh_file is None else len(memory.blocks[block])
    return _Made(block, fresh_bytes, columns, _cases(samples)), fresh_file


class _Memory:
    """A worker's numbered blocks of memory; the training process holds no tensor of those in `free`.

    A block is a file without a name: killed processes leave nothing behind, and small `/dev/shm` of containers do.
    """

    def __init__(self) -> None:
        self.blocks: list[mmap.mmap] = []
        self.free: list[int] = []

    def taken(self, n_bytes: int) -> tuple[int, int | None]:
        """The number of a block that is large enough, and its file if it had to be made; close that once it is sent."""
        for number in self.free:
            if len(self.blocks[number]) >= n_bytes:
                self.free.remove(number)
                return number, None
        file = _nameless_file()
        os.ftruncate(file, n_bytes)
        block = mmap.mmap(file, n_bytes)
        if not self.free:
            self.blocks.append(block)
            return len(self.blocks) - 1, file
        number = self.free.pop()
        self.blocks[number] = block  # in place of one that was too small
        return number, file


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _cut(block: NDArray[np.uint8], columns: list[_Column]) -> Arrays:
    """The arrays that lie one after the other in a block."""
    ends = list(accumulate((column.room_bytes for column in columns), initial=0))
    return {
        column.name: block[begin : begin + column.n_bytes].view(column.dtype).reshape(column.shape)
        for begin, column in zip(ends[:-1], columns, strict=True)
    }


def _send_file(channel: Connection, file: int) -> None:
    """Hand an open file over to the other end and close it here."""
    with socket.socket(fileno=os.dup(channel.fileno())) as line:
        socket.send_fds(line, [b"f"], [file])
    os.close(file)


def _received_block(channel: Connection, n_bytes: int) -> mmap.mmap:
    """The memory in the file that the other end hands over."""
    with socket.socket(fileno=os.dup(channel.fileno())) as line:
        _, files, _, _ = socket.recv_fds(line, 1, 1)
    if not files:
        raise EOFError
    try:
        return mmap.mmap(files[0], n_bytes)
    finally:
        os.close(files[0])


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
