"""Segmentation by intensity alone: per class one interval of HU, or k-means clusters, both fitted to labelled cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST_HU, STEP_HU, BINS = -300, 4, 200
CLUSTERS, SHOWN = 24, 40_000
BLUR_VOXELS = 1.0

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """A volume in HU and its labels, (D, H, W)."""

    image: Image
    label: Labels


def blurred(image: NDArray[Any]) -> Image:
    """The volume without its finest noise, which flatters a threshold."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(image.astype(np.float32), BLUR_VOXELS, mode="nearest"), np.float32)


def bins_of(image: Image) -> NDArray[np.intp]:
    """Number of the HU bin of each voxel, all beyond the ends in the first and last."""
    return np.clip((image - LOWEST_HU) // STEP_HU, 0, BINS - 1).astype(np.intp)


def best_interval(inside: NDArray[np.int64], everything: NDArray[np.int64]) -> tuple[int, int]:
    """First and last bin between which Dice is highest, from voxels per bin of a class and of all.

    Example: of bins with 0, 4, 4, 0 voxels of the class among 9, 4, 5, 9 the middle two give 2 * 8 / (9 + 8).
    """
    ours, all_ = (np.concatenate([[0], np.cumsum(counts)]) for counts in (inside, everything))
    first, last = np.triu_indices(len(inside))
    found = 2 * (ours[last + 1] - ours[first]) / np.maximum(all_[last + 1] - all_[first] + ours[-1], 1)
    best = int(np.argmax(found))
    return int(first[best]), int(last[best])


def interval_dice(train: Sequence[Case], test: Sequence[Case], classes: int) -> float:
    """Mean Dice over test cases and the classes they hold, each class cut out by its own best interval."""
    everything = np.sum([np.bincount(bins_of(c.image).ravel(), minlength=BINS) for c in train], axis=0)
    intervals = []
    for k in range(1, classes + 1):
        inside = np.sum([np.bincount(bins_of(c.image)[c.label == k], minlength=BINS) for c in train], axis=0)
        intervals.append(best_interval(inside, everything))
    return _mean_dice([[_between(bins_of(c.image), ends) for ends in intervals] for c in test], test)


def kmeans_dice(train: Sequence[Case], test: Sequence[Case], classes: int) -> float:
    """The same where a class is a union of k-means clusters of intensities: the best first, more while Dice grows."""
    from sklearn.cluster import KMeans

    random = np.random.default_rng(0)
    seen = np.concatenate([c.image.ravel() for c in train])
    seen = seen[(seen > LOWEST_HU) & (seen < LOWEST_HU + STEP_HU * BINS)]
    shown = random.choice(seen, min(SHOWN, len(seen)), replace=False)
    centres = np.sort(KMeans(CLUSTERS, n_init=2, random_state=0).fit(shown[:, None]).cluster_centers_.ravel())
    edges = (centres[1:] + centres[:-1]) / 2
    numbers = [np.searchsorted(edges, c.image) for c in train]
    everything = np.sum([np.bincount(n.ravel(), minlength=CLUSTERS) for n in numbers], axis=0)
    unions = []
    for k in range(1, classes + 1):
        pairs = zip(numbers, train, strict=True)
        inside = np.sum([np.bincount(n[c.label == k], minlength=CLUSTERS) for n, c in pairs], axis=0)
        unions.append(_best_union(inside, everything))
    return _mean_dice([[np.isin(np.searchsorted(edges, c.image), union) for union in unions] for c in test], test)


def _best_union(inside: NDArray[np.int64], everything: NDArray[np.int64]) -> list[int]:
    chosen: list[int] = []
    best = -1.0
    for k in np.argsort(-inside / np.maximum(everything, 1)).tolist():
        asked = [*chosen, k]
        found = 2 * inside[asked].sum() / (everything[asked].sum() + inside.sum())
        if found <= best:
            return chosen
        chosen, best = asked, float(found)
    return chosen


def _between(bins: NDArray[np.intp], ends: tuple[int, int]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (bins >= ends[0]) & (bins <= ends[1])
    return inside


def _mean_dice(found: Sequence[Sequence[NDArray[np.bool_]]], test: Sequence[Case]) -> float:
    values = [
        2 * float((mask & (case.label == k)).sum()) / float(mask.sum() + (case.label == k).sum())
        for masks, case in zip(found, test, strict=True)
        for k, mask in enumerate(masks, start=1)
        if (case.label == k).any()
    ]
    return float(np.mean(values))
