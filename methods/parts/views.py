"""What a method is shown of a volume: boxes cut in loader workers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contracts.cards import Shape3
from bench.contracts.method import Arrays, Corpus, Sample


@dataclass(frozen=True)
class OneCrop:
    """One uniformly random box per sample: `{"volume": (C, D, H, W)}` as stored, int16 or float16.

    An axis on which the volume is smaller than `shape` is centred and padded by the corpus with the least value (one
    voxel more at the end where the rest is odd).
    """

    shape: Shape3

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        d, h, w = (_start(have, want, rng) for have, want in zip(corpus.shape(case), self.shape, strict=True))
        return {"volume": corpus.read(case, (d, h, w), self.shape)}


def _start(have: int, want: int, rng: np.random.Generator) -> int:
    return int(rng.integers(0, have - want + 1)) if have >= want else -((want - have) // 2)
