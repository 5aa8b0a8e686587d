"""Batches by step number: what step s shows to the network depends on (key, s), not on who loads it, or when.

One item of the loader is one whole step: a worker reads its samples, stacks them straight into shared memory and sends
one message. Arrays keep the dtype they are stored in (int16, float16); conversion is `prepare`'s, on the device.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from bench.contracts.errors import BenchError, PluginBroken
from bench.contracts.method import Arrays, Batch, Corpus, Phase, Sample
from bench.train import seeds


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
    `pin` puts tensors into page-locked memory, for CUDA only. Errors of a worker arrive as they were raised.
    """
    dataset = _Steps(phase, corpus, key, rank, world)
    if start >= stop:
        return
    with warnings.catch_warnings():
        # more workers than cores is the user's choice; and that a fork of a process with threads can be risky is known
        warnings.filterwarnings("ignore", message=".*(suggested max number of worker|use of fork)")
        source = iter(
            DataLoader(
                dataset,
                batch_size=None,
                sampler=range(start, stop),
                num_workers=workers,
                collate_fn=_unchanged,
                pin_memory=pin,
                # Phases hold bound methods and closures, which only a fork can hand over. Workers touch no CUDA; a
                # corpus opens its files where it first reads them, in the worker.
                multiprocessing_context=_fork() if workers else None,
                generator=torch.Generator(),  # else the loader would draw from the default one
            )
        )
    try:
        for step in range(start, stop):
            asked_s = time.perf_counter()
            found = next(source)
            if isinstance(found, BenchError):
                raise found
            batch, cases = found
            yield Drawn(step, batch, cases, time.perf_counter() - asked_s)
    finally:
        del source  # ends the workers now: a traceback would keep it, and a later fork would try to end them again


@dataclass(frozen=True)
class _Steps(Dataset[tuple[Batch, list[str]] | BenchError]):
    """Step number -> the rank's stacked samples and their cases; a user's error is handed over as a value."""

    phase: Phase
    corpus: Corpus
    key: str
    rank: int
    world: int

    def __getitem__(self, step: int) -> tuple[Batch, list[str]] | BenchError:
        try:
            samples = self._samples(step)
            batch = _stacked([self._arrays(step, slot, sample) for slot, sample in samples], [s for _, s in samples])
        except BenchError as error:  # raised inside a worker it would come back as a traceback in a text
            return error
        return batch, [case for _, sample in samples for case in sample]

    def _samples(self, step: int) -> list[tuple[int, Sample]]:
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
        return self.phase.views(self.corpus, sample, seeds.generator(self.key, step, slot))


def _stacked(rows: list[Arrays], samples: list[Sample]) -> Batch:
    """Samples stacked over a new first axis, each array copied once."""
    batch: Batch = {}
    for name, first in rows[0].items():
        column = torch.empty((len(rows), *np.shape(first)), dtype=_torch_dtype(name, first))
        if get_worker_info() is not None:
            cast(Any, column).share_memory_()  # before it is filled: the message then carries a handle, not a copy
        for row, sample, target in zip(rows, samples, column.numpy(), strict=True):
            array = row.get(name)
            if array is None or array.shape != first.shape or array.dtype != first.dtype:
                found = "nothing" if array is None else f"{array.shape} {array.dtype}"
                raise PluginBroken(
                    f"view '{name}' is {first.shape} {first.dtype} for the first sample of the step and {found} here.",
                    case=" ".join(sample),
                    remedy="All samples of a phase must give the same names, shapes and dtypes.",
                )
            target[...] = array
        batch[name] = column
    return batch


def _torch_dtype(name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> torch.dtype:
    try:
        return torch.from_numpy(np.empty(0, dtype=array.dtype)).dtype
    except (TypeError, AttributeError) as error:
        raise PluginBroken(
            f"view '{name}' is no array of numbers: {getattr(array, 'dtype', type(array).__name__)}.",
            remedy="Views must return NumPy arrays of numbers or booleans.",
        ) from error


def _fork() -> multiprocessing.context.BaseContext | None:
    return multiprocessing.get_context("fork") if sys.platform == "linux" else None


def _unchanged(item: Any) -> Any:
    return item
