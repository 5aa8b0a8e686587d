"""Batches by step number: what step s shows to the network depends on (key, s), not on who loads it, or when.

A worker makes whole steps. Workers are processes, not threads: views may draw from the global generators of their
process. Arrays keep the dtype they are stored in; conversion is `prepare`'s, on the device.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import torch

from bench.contracts.errors import SpecError
from bench.contracts.method import Batch, Corpus, Phase
from bench.train.steps import Steps, cases_of, columns_of, fill
from bench.train.worker import Worker

_Source = Generator[tuple[Batch, list[str]], None, None]

AHEAD = 2  # steps asked of a worker at a time


class Drawn(NamedTuple):
    """One step's share of one rank: tensors (n, ...), the ids of their cases, and the seconds waited for them."""

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
    device: torch.device | None = None,
) -> Iterator[Drawn]:
    """The steps `start` to `stop` - 1, in order. Any number of workers gives the same bits.

    `phase.draw` is called with the step and with one seed for the whole phase, so that it can permute epochs. Sample i
    of a step is cut with a generator of its own, from (key, step, i); rank r of `world` takes samples r, r + world, ...
    Tensors may be kept and changed. They lie on the CPU, or on `device`, a CUDA device, to which the next step is copied
    while this one is computed; where it has no room left they lie in page-locked memory. At most 2 steps a worker are
    made ahead. Errors of a worker arrive as they were raised; one that dies raises TrainingStopped. Closing or
    dropping the iterator ends the workers at once. Raises SpecError for workers where processes cannot share files.
    """
    steps = Steps(phase, corpus, key, rank, world)
    if start >= stop:
        return
    with ExitStack() as held:
        # workers end before the thread is waited for, so that it never waits for them; they are forked before it starts
        hand = held.enter_context(ThreadPoolExecutor(1)) if device and workers else None
        team = held.enter_context(_team(steps, min(workers, stop - start)))
        source = _by_workers(team, start, stop) if workers else _alone(steps, start, stop)
        beside = torch.cuda.Stream(device) if device else None  # type: ignore[no-untyped-call]
        take = partial(_brought, source, beside) if beside else partial(_made, source)
        coming = deque([hand.submit(take)] if hand else [])
        for step in range(start, stop):
            asked_s = time.perf_counter()
            # popped: an error must not hold itself by it
            batch, cases, copied = coming.popleft().result() if hand else take()
            if hand and step + 1 < stop:
                coming.append(hand.submit(take))
            if copied:
                _awaited(batch, copied)
            yield Drawn(step, batch, cases, time.perf_counter() - asked_s)


def _made(source: _Source) -> tuple[Batch, list[str], None]:
    return *next(source), None


def _brought(source: _Source, beside: torch.cuda.Stream) -> tuple[Batch, list[str], torch.cuda.Event | None]:
    """The next step on the stream's device, and when it will have arrived; page-locked where the device has no room for it.

    With workers a thread brings it while the device computes, for a step may be hundreds of MB. The copy into page-locked
    memory is also what makes it safe to fill a worker's block anew.
    """
    batch, cases = next(source)
    with torch.cuda.stream(beside):  # a thread's own device would be the first
        pinned = {name: tensor.pin_memory() for name, tensor in batch.items()}
        try:
            return (
                {name: tensor.to(beside.device, non_blocking=True) for name, tensor in pinned.items()},
                cases,
                beside.record_event(),
            )
        except torch.OutOfMemoryError:
            return pinned, cases, None


def _awaited(batch: Batch, copied: torch.cuda.Event) -> None:
    """Let the device, not the host, wait for the copy, and keep the memory until what is queued here has used it."""
    here = torch.cuda.current_stream(next(iter(batch.values())).device)
    here.wait_event(copied)
    for tensor in batch.values():
        tensor.record_stream(here)


def _alone(steps: Steps, start: int, stop: int) -> _Source:
    for step in range(start, stop):
        rows, samples = steps.made(step)
        batch = {column.name: column.empty() for column in columns_of(rows, samples)}
        fill({name: tensor.numpy() for name, tensor in batch.items()}, rows, samples)
        yield batch, cases_of(samples)


@contextmanager
def _team(steps: Steps, count: int) -> Iterator[list[Worker]]:
    """So many workers, ended whatever happens."""
    if count and not hasattr(socket, "send_fds"):
        raise SpecError("loader workers share memory in a way this system does not have.", remedy="`--set workers=0`")
    team: list[Worker] = []
    try:
        team.extend(Worker(steps) for _ in range(count))
        yield team
    finally:
        for worker in team:
            worker.end()


def _by_workers(team: list[Worker], start: int, stop: int) -> _Source:
    """Step s is made by worker (s - start) modulo their number, so the order needs no sorting."""
    for step in range(start, min(start + AHEAD * len(team), stop)):
        team[(step - start) % len(team)].ask(step)
    for step in range(start, stop):
        worker = team[(step - start) % len(team)]
        found = worker.receive(step)
        if (later := step + AHEAD * len(team)) < stop:
            worker.ask(later)
        yield found
