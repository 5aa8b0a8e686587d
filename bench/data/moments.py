"""Mean and spread of a volume's channels, over the voxels that an intensity rule counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.data.volumes import Volume


def moments(
    array: NDArray[Any], over: Literal["all", "nonzero", "positive"] = "all"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population sd per channel of (C, D, H, W), summed in float64, over the voxels counted.

    A channel without any such voxel has mean 0 and sd 0. Example: over the nonzero voxels of 0, 2, 4 they are 3 and 1.
    """
    counted = [channel if over == "all" else channel[_chosen(channel, over)] for channel in array]
    means = tuple(float(part.mean(dtype=np.float64)) if part.size else 0.0 for part in counted)
    return means, tuple(float(part.std(dtype=np.float64)) if part.size else 0.0 for part in counted)


def percentile_scaled(volume: Volume, percentiles: tuple[float, float]) -> Volume:
    """Each channel clipped to two percentiles of its voxels (linear interpolation) and scaled to [0, 1], float32.

    A channel that is the same everywhere becomes 0. Source: SPAD's released preparation of MR (0.5 and 99.5).
    """
    scaled = np.empty(volume.array.shape, np.float32)
    for channel, out in zip(volume.array, scaled, strict=True):
        low, high = np.percentile(channel, percentiles)
        out[...] = np.clip((channel - low) / max(high - low, 1e-6), 0.0, 1.0)
    return replace(volume, array=scaled)


def _chosen(channel: NDArray[Any], over: str) -> NDArray[np.bool_]:
    return np.asarray(channel != 0 if over == "nonzero" else channel > 0)
