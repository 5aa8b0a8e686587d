"""Negative controls: trainings from which nothing may be learnt, so that a gain found with them points to a leak.

Source   the project's plan for phantoms, D.3: pre-training on spatially shuffled voxels and training on permuted labels must
         not help
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.contracts.method import Arrays, Corpus, Sample, Views

SPATIAL_AXES = 3


@dataclass(frozen=True)
class ShuffledVoxels:
    """Views whose volumes (C, D, H, W) have their voxels in random order: intensities stay, anatomy is gone.

    All channels of an array take one order, drawn anew for every sample. Arrays without three spatial axes (token ids,
    labels) stay as they are.
    """

    views: Views

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        return {name: _shuffled(array, rng) for name, array in self.views(corpus, sample, rng).items()}


def _shuffled(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if array.ndim <= SPATIAL_AXES:
        return array
    flat = array.reshape(*array.shape[:-SPATIAL_AXES], -1)
    return np.ascontiguousarray(flat[..., rng.permutation(flat.shape[-1])]).reshape(array.shape)


def others_label(cases: Sequence[str], seed: int) -> dict[str, str]:
    """Case -> the case whose label it is given: a random permutation, the same for the same seed and order of cases."""
    order = np.random.default_rng(seed).permutation(len(cases))
    return {case: cases[k] for case, k in zip(cases, order, strict=True)}
