"""Negative controls: trainings from which nothing may be learnt, so that a gain found with them points to a leak.

Source   the project's plan for phantoms, D.3: pre-training on spatially shuffled voxels or on white noise and training on
         permuted labels must not help
Changes  both keep how bright and how varied a view is, and a method whose targets are not normalised patch by patch learns to see
         that (SPAD does); `even_views` takes it away too
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from bench.contracts.configs import MethodConfig
from bench.contracts.errors import SpecError
from bench.contracts.method import Arrays, Corpus, Phase, Sample, Views

SPATIAL_AXES = 3
LOOKED_AT = 8  # views whose mean and spread all others take


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
    return _fitting(mean + spread * rng.standard_normal(array.shape), array.dtype)


def _fitting(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values as `dtype` holds them: whole ones are rounded and end at its limits."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)


@dataclass(frozen=True)
class EvenedViews:
    """Views whose volumes (C, D, H, W) all have the mean and standard deviation that `levels` tells for their name, in each
    channel. A channel without spread takes the mean. Other arrays stay as they are."""

    views: Views
    levels: Mapping[str, tuple[float, float]]

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        found = self.views(corpus, sample, rng)
        return {name: _evened(a, *self.levels[name]) if name in self.levels else a for name, a in found.items()}


def _evened(array: np.ndarray, mean: float, spread: float) -> np.ndarray:
    spatial = tuple(range(-SPATIAL_AXES, 0))
    own, own_spread = (told(array, axis=spatial, keepdims=True, dtype=np.float64) for told in (np.mean, np.std))
    return _fitting(mean + spread * (array - own) / np.where(own_spread > 0, own_spread, 1.0), array.dtype)


def levels_of(phase: Phase, corpus: Corpus, seed: int) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each volume, both averaged over the first views that a phase draws."""
    some = phase.draw(corpus, phase.config.batch_size, 0, seed)[:LOOKED_AT]
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, sample in enumerate(some):
        for name, array in phase.views(corpus, sample, np.random.default_rng((seed, number))).items():
            if array.ndim > SPATIAL_AXES:
                found[name].append((float(array.mean(dtype=np.float64)), float(array.std(dtype=np.float64))))
    return {name: (fmean(m for m, _ in told), fmean(s for _, s in told)) for name, told in found.items()}


def controlled(phase: Phase, config: MethodConfig, corpus: Corpus) -> Phase:
    """A phase whose views are destroyed as its config asks; SpecError where it asks for two ways at once."""
    destroyed = replace(phase, views=_destroyed(phase.views, config))
    if not config.even_views:
        return destroyed
    return replace(destroyed, views=EvenedViews(destroyed.views, levels_of(phase, corpus, config.seed)))


def _destroyed(views: Views, config: MethodConfig) -> Views:
    if config.shuffled_voxels and config.white_noise:
        raise SpecError(
            "shuffled_voxels and white_noise are two controls, and a run can be one of them.", remedy="Leave one out."
        )
    if config.shuffled_voxels:
        return ShuffledVoxels(views)
    return WhiteNoise(views) if config.white_noise else views


def others_label(cases: Sequence[str], seed: int) -> dict[str, str]:
    """Case -> the case whose label it is given: a random permutation, the same for the same seed and order of cases."""
    order = np.random.default_rng(seed).permutation(len(cases))
    return {case: cases[k] for case, k in zip(cases, order, strict=True)}
