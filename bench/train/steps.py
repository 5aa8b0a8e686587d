"""Step number -> what a rank trains on in it: samples drawn, cut by the phase's views, stacked over the first axis.

What comes out depends on (key, step, sample) alone, not on who asks or when. Arrays keep the dtype they are stored in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts.counts import how_many
from bench.contracts.errors import BenchError, PluginBroken
from bench.contracts.method import Arrays, Corpus, Phase, Sample
from bench.train import seeds

ALIGNMENT_BYTES = 64  # as torch aligns its own memory


@dataclass(frozen=True)
class Steps:
    """Step number -> the rank's samples and the arrays cut from them."""

    phase: Phase
    corpus: Corpus
    key: str
    rank: int
    world: int

    def made(self, step: int) -> tuple[list[Arrays], list[Sample]]:
        """The arrays of each of the rank's samples, and the samples."""
        drawn = self.samples(step)
        return [self._arrays(step, slot, sample) for slot, sample in drawn], [sample for _, sample in drawn]

    def samples(self, step: int) -> list[tuple[int, Sample]]:
        """The rank's samples with their places in the global batch."""
        size = self.phase.config.batch_size
        drawn = self.phase.draw(self.corpus, size, step, seeds.derive(self.key, "draw"))
        if len(drawn) != size:
            raise PluginBroken(
                f"phase '{self.phase.name}' drew {how_many(len(drawn), 'sample')} for step {step}, asked for {size}.",
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


class Column(NamedTuple):
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
        """A tensor of it on the CPU, not filled."""
        return torch.empty(self.shape, dtype=torch.from_numpy(np.empty(0, self.dtype)).dtype)


def columns_of(rows: list[Arrays], samples: list[Sample]) -> list[Column]:
    """What a batch of such samples holds. Raises PluginBroken for what is no array of numbers."""
    first = " ".join(samples[0])
    if not isinstance(rows[0], dict):
        raise PluginBroken(
            f"the views of a sample are a {type(rows[0]).__name__}, asked for a dict of named arrays.",
            case=first,
            remedy='For example: return {"volume": corpus.read(case, start, shape)}.',
        )
    return [Column(name, _dtype(name, array, first), (len(rows), *np.shape(array))) for name, array in rows[0].items()]


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


def fill(batch: Arrays, rows: list[Arrays], samples: list[Sample]) -> None:
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


def cases_of(samples: list[Sample]) -> list[str]:
    """The ids of all cases of the samples, in order."""
    return [case for sample in samples for case in sample]
