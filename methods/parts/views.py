"""What a method is shown of a volume: boxes cut, and whole volumes resized, in loader workers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bench.contracts.configs import Shape3
from bench.contracts.method import Arrays, Corpus, Sample
from methods.parts.levels import resize


@dataclass(frozen=True)
class OneCrop:
    """One uniformly random box per sample: `{"volume": (C, D, H, W)}` as stored, int16 or float16.

    An axis on which the volume is smaller than `shape` is centred and padded by the corpus with the least value (one
    voxel more at the end where the rest is odd).
    """

    shape: Shape3

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        d, h, w = (uniform_start(have, want, rng) for have, want in zip(corpus.shape(case), self.shape, strict=True))
        return {"volume": corpus.read(case, (d, h, w), self.shape)}


@dataclass(frozen=True)
class WholeVolume:
    """The middle of a volume, a share of each axis, brought to `shape`: `{"volume": (C, D, H, W)}` as stored.

    Trilinear without smoothing before, as MG-3D's released code does on CT-RATE; on CTRG-Chest it resizes slices bicubically
    and takes the nearest slice along depth. The box holds at least one voxel per axis and lies one voxel nearer to the start
    where the rest is odd.
    """

    shape: Shape3
    share: tuple[float, float, float]

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        full = corpus.shape(case)
        d, h, w = (max(1, round(side * part)) for side, part in zip(full, self.share, strict=True))
        start = ((full[0] - d) // 2, (full[1] - h) // 2, (full[2] - w) // 2)
        stored = corpus.read(case, start, (d, h, w))
        resized = resize(torch.from_numpy(stored.astype(np.float32))[None], self.shape)[0].numpy()
        whole = np.issubdtype(stored.dtype, np.integer)
        return {"volume": (np.rint(resized) if whole else resized).astype(stored.dtype)}


def uniform_start(have: int, want: int, rng: np.random.Generator) -> int:
    """Where a box of `want` voxels begins on an axis of `have`: uniform, or centred where the axis is the shorter one."""
    return int(rng.integers(0, have - want + 1)) if have >= want else -((want - have) // 2)
