"""A pool's image as SPAD prepares it offline: cropped to what is not empty, not too wide, intensities by percentiles.

Source   SPAD, Sec. 4.1 and released code
Changes  a wide image is shrunk by area alone, where the code smooths it first, by (factor - 1) / 2 voxels: 0.002 of the range at
         a factor of 1.3. "Above the least value" excludes padding from percentiles, as the code does
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Spacing

WIDEST = 512  # in-plane voxels of the shorter side
PERCENTILES = (0.5, 99.5)


def percentile_image(
    image: NDArray[Any], spacing_mm: Spacing, depth_axis: int, *, eight_bits: bool
) -> tuple[NDArray[np.float16], Spacing]:
    """(C, D, H, W) of any numbers to [0, 1] float16, and the voxel size after it.

    Kept is the box of voxels above 0 (`eight_bits`) or above the lower percentile; in-plane sides are shrunk by area until
    the shorter is 512; 8-bit values are divided by 255, others clipped to the percentiles of what was kept and shrunk, and
    scaled. An image of one value becomes 0.
    """
    threshold = 0.0 if eight_bits else _percentiles(image)[0]
    image = _boxed(image, threshold)
    plane = [axis for axis in range(3) if axis != depth_axis]
    shorter = min(image.shape[1 + axis] for axis in plane)
    values = image.astype(np.float32)
    sizes = list(spacing_mm)
    if shorter > WIDEST:
        for axis in plane:
            have = values.shape[1 + axis]
            want = round(have * WIDEST / shorter)
            values = _by_area(values, 1 + axis, want)
            sizes[axis] *= have / want
    kept = values if shorter > WIDEST else image  # float32 would round the percentiles of whole numbers
    low, high = (0.0, 255.0) if eight_bits else _percentiles(kept)
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0) if high > low else np.zeros_like(values)
    return scaled.astype(np.float16), (sizes[0], sizes[1], sizes[2])


def _percentiles(image: NDArray[Any]) -> tuple[float, float]:
    """The percentiles over voxels above the least value; that value twice where there are none."""
    least = image.min()
    above = image[image > least]
    if above.size == 0:
        return float(least), float(least)
    low, high = np.percentile(above, PERCENTILES)
    return float(low), float(high)


def _boxed(image: NDArray[Any], threshold: float) -> NDArray[Any]:
    """The least box that holds all voxels above the threshold; everything where there are none."""
    above: NDArray[np.bool_] = np.any(image > threshold, axis=0)
    if not above.any():
        return image
    box = []
    for axis in range(3):
        hit = np.flatnonzero(np.any(above, axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return image[(slice(None), *box)]


def _by_area(values: NDArray[np.float32], axis: int, want: int) -> NDArray[np.float32]:
    """One axis shrunk to `want`: each new voxel is the mean of the old ones that it touches, edges whole (code)."""
    have = values.shape[axis]
    places = np.arange(want)[:, None]
    first, last = places * have // want, -(-(places + 1) * have // want)
    touched = (np.arange(have) >= first) & (np.arange(have) < last)
    share = (touched / touched.sum(1, keepdims=True)).astype(np.float32)
    return np.moveaxis(np.tensordot(share, values, axes=(1, axis)), 0, axis)
