"""Negative controls: trainings from which nothing may be learnt, so that a gain found with them points to a leak.

Source   the project's plan for phantoms, D.3: pre-training on spatially shuffled voxels or on white noise and training on
         permuted labels must not help
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.contracts.configs import MethodConfig
from bench.contracts.errors import SpecError
from bench.contracts.method import Arrays, Corpus, Phase, Sample, Views

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


@dataclass(frozen=True)
class WhiteNoise:
    """Views whose volumes (C, D, H, W) are Gaussian noise, independent in every voxel, with each channel's mean and standard
    deviation: only how bright and how varied a view is stays of it. Other arrays stay as they are.
    """

    views: Views

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        return {name: _noise(array, rng) for name, array in self.views(corpus, sample, rng).items()}


def _noise(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if array.ndim <= SPATIAL_AXES:
        return array
    spatial = tuple(range(-SPATIAL_AXES, 0))
    mean, spread = (told(array, axis=spatial, keepdims=True, dtype=np.float64) for told in (np.mean, np.std))
    drawn = mean + spread * rng.standard_normal(array.shape)
    if np.issubdtype(array.dtype, np.integer):
        limits = np.iinfo(array.dtype)
        drawn = np.clip(np.rint(drawn), limits.min, limits.max)
    return drawn.astype(array.dtype)


def controlled(phase: Phase, config: MethodConfig) -> Phase:
    """A phase whose views are destroyed as its config asks; SpecError where it asks for two ways at once."""
    if config.shuffled_voxels and config.white_noise:
        raise SpecError(
            "shuffled_voxels and white_noise are two controls, and a run can be one of them.", remedy="Leave one out."
        )
    if config.shuffled_voxels:
        return replace(phase, views=ShuffledVoxels(phase.views))
    return replace(phase, views=WhiteNoise(phase.views)) if config.white_noise else phase


def others_label(cases: Sequence[str], seed: int) -> dict[str, str]:
    """Case -> the case whose label it is given: a random permutation, the same for the same seed and order of cases."""
    order = np.random.default_rng(seed).permutation(len(cases))
    return {case: cases[k] for case, k in zip(cases, order, strict=True)}
