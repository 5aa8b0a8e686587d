"""Voxels of one size to voxels of another, and probabilities back to where the owners drew their masks.

The centre of the new grid lies on the centre of the old one and the new spacing is exactly what was asked: new voxel i
stands at old coordinate (i - (m - 1) / 2) * step + (n - 1) / 2, with n old voxels, m new ones and step = new / old
spacing. Beyond the outermost voxel centres the outermost value holds. No anti-alias filter is applied (MONAI's
`Spacing` has none either). All arrays are in canonical order; work proceeds in slabs along D, so that memory beyond
input and output stays below about 64 MiB however large the volume is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Shape3, Spacing
from bench.data.axes import Affine

SAME_SPACING = 1e-5  # relative; header floats of one scanner differ by this much, a 512-voxel axis by 0.005 voxel
SLAB_VOXELS = 4 << 20  # float32 values in one slab
Positioned = tuple[float, float, float]
Positions = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Placement:
    """How a prepared grid lies in the native one; shapes and starts are (D, H, W) in canonical order.

    The native volume was resampled to `resampled_shape`, of which the box at `crop_start` of `crop_shape` was kept.
    """

    native_shape: Shape3
    native_spacing_mm: Spacing
    resampled_shape: Shape3
    spacing_mm: Spacing
    crop_start: Shape3
    crop_shape: Shape3


def resampled_shape(shape: Shape3, spacing_mm: Spacing, wanted_mm: Spacing) -> Shape3:
    """Voxels per axis after resampling, round(n * old / new), at least 1. Example: 100 of 0.7 mm to 1.5 mm -> 47."""
    d, h, w = (
        n if _same(old, new) else max(1, round(n * old / new))
        for n, old, new in zip(shape, spacing_mm, wanted_mm, strict=True)
    )
    return d, h, w


def linear_slabs(
    image: NDArray[Any], spacing_mm: Spacing, wanted_mm: Spacing
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """An image (C, D, H, W) resampled linearly, as pairs of (rows of the new D, float32 (C, rows, H, W)).

    Where old and new spacing agree on all axes the values pass through untouched.
    """
    yield from _slabs(image, _positions(_three(image.shape), spacing_mm, wanted_mm))


def resample_image(image: NDArray[Any], spacing_mm: Spacing, wanted_mm: Spacing) -> NDArray[Any]:
    """An image (C, D, H, W) resampled linearly to float32; the very same array where no axis changes."""
    shape = _three(image.shape)
    if all(_same(old, new) for old, new in zip(spacing_mm, wanted_mm, strict=True)):
        return image
    out = np.empty((len(image), *resampled_shape(shape, spacing_mm, wanted_mm)), np.float32)
    for rows, block in linear_slabs(image, spacing_mm, wanted_mm):
        out[:, rows] = block
    return out


def resized(image: NDArray[Any], shape: Shape3) -> NDArray[np.float32]:
    """An image (C, D, H, W) stretched linearly to `shape`, each voxel standing for its share of the volume.

    New voxel i of m stands at old coordinate (i + 1/2) n / m - 1/2, as in torch's trilinear interpolation with
    align_corners=False. Example: 0, 2 to four voxels -> 0, 0.5, 1.5, 2.
    """
    d, h, w = (_centred(m, n, n / m) for m, n in zip(shape, _three(image.shape), strict=True))
    out = np.empty((len(image), *shape), np.float32)
    for rows, block in _slabs(image, (d, h, w)):
        out[:, rows] = block
    return out


def resample_label(label: NDArray[np.uint8], spacing_mm: Spacing, wanted_mm: Spacing) -> NDArray[np.uint8]:
    """A mask (D, H, W) resampled to the nearest voxel; midway, the later one. The same array where no axis changes."""
    if all(_same(old, new) for old, new in zip(spacing_mm, wanted_mm, strict=True)):
        return label
    places = _positions(_three(label.shape), spacing_mm, wanted_mm)
    nearest = (
        np.clip(np.floor(place + 0.5).astype(np.intp), 0, n - 1) for place, n in zip(places, label.shape, strict=True)
    )
    picked: NDArray[np.uint8] = label[np.ix_(*nearest)]
    return picked


def native_probabilities(
    probabilities: NDArray[Any], placement: Placement
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Class probabilities (K, D, H, W) on a prepared grid, put back linearly on the native grid of the volume.

    Yields (rows of the native D, float32 (K, rows, H, W)) in canonical order. Class 0, the background, has probability 1
    where the preparation cropped the volume away.
    """
    if probabilities.shape[1:] != placement.crop_shape:
        raise ValueError(f"{probabilities.shape} is not on the prepared grid {placement.crop_shape}")
    places, inside = _inverse(placement)
    for rows, block in _slabs(probabilities, places):
        outside = ~(inside[0][rows, None, None] & inside[1][:, None] & inside[2])
        block[:, outside] = 0.0
        block[0, outside] = 1.0
        yield rows, block


def likeliest(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The class of highest probability (K, D, H, W) -> (D, H, W); of equals, the lowest class."""
    best: NDArray[Any] = probabilities.argmax(axis=0)
    return best


def native_labels(
    probabilities: NDArray[Any],
    placement: Placement,
    decide: Callable[[NDArray[Any]], NDArray[Any]] = likeliest,
) -> NDArray[np.uint8]:
    """What `decide` makes of the probabilities of each native voxel, (D, H, W) uint8 in canonical order.

    Resampling probabilities before the decision is our protocol's way (`bench`). At most 256 classes.
    """
    labels = np.empty(placement.native_shape, np.uint8)
    for rows, block in native_probabilities(probabilities, placement):
        labels[rows] = decide(block)
    return labels


def voxel_at(place_mm: Spacing, affine: Affine, placement: Placement) -> Positioned:
    """The voxel of a prepared volume (fractions allowed) at a point in RAS mm, given the affine of its native canonical grid."""
    matrix = np.linalg.inv(np.asarray(affine))
    native = matrix[:3, :3] @ np.asarray(place_mm) + matrix[:3, 3]
    found = []
    for axis, at in enumerate(native.tolist()):
        n, m = placement.native_shape[axis], placement.resampled_shape[axis]
        old, new = placement.native_spacing_mm[axis], placement.spacing_mm[axis]
        step = 1.0 if _same(old, new) else new / old
        found.append((at - (n - 1) / 2) / step + (m - 1) / 2 - placement.crop_start[axis])
    return found[0], found[1], found[2]


def _positions(shape: Shape3, spacing_mm: Spacing, wanted_mm: Spacing) -> Positions:
    """Old coordinates of all new voxels, per axis."""
    new = resampled_shape(shape, spacing_mm, wanted_mm)
    d, h, w = (
        _centred(m, n, 1.0 if _same(old, size) else size / old)
        for m, n, old, size in zip(new, shape, spacing_mm, wanted_mm, strict=True)
    )
    return d, h, w


def _inverse(placement: Placement) -> tuple[Positions, tuple[NDArray[np.bool_], ...]]:
    """Per axis: coordinates in the prepared box of all native voxels, and which of them the box covers."""
    places, inside = [], []
    for axis in range(3):
        n, m = placement.native_shape[axis], placement.resampled_shape[axis]
        old, new = placement.native_spacing_mm[axis], placement.spacing_mm[axis]
        place = np.clip(_centred(n, m, 1.0 if _same(old, new) else old / new), 0, m - 1)  # a rim belongs inside
        place = place - placement.crop_start[axis]
        places.append(place)
        inside.append((place >= -0.5) & (place <= placement.crop_shape[axis] - 0.5))
    return (places[0], places[1], places[2]), tuple(inside)


def _centred(new: int, old: int, step: float) -> NDArray[np.float64]:
    place: NDArray[np.float64] = (np.arange(new, dtype=np.float64) - (new - 1) / 2) * step + (old - 1) / 2
    return place


def _slabs(array: NDArray[Any], places: Positions) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Linear interpolation at the outer product of `places`, a slab of new rows at a time."""
    along_d, along_h, along_w = places
    row = len(array) * max(array.shape[2] * array.shape[3], len(along_h) * len(along_w))
    rows = max(1, SLAB_VOXELS // max(1, row))
    for first in range(0, len(along_d), rows):
        here = along_d[first : first + rows]
        low = int(np.clip(np.floor(here[0]), 0, array.shape[1] - 1))
        high = int(np.clip(np.floor(here[-1]) + 2, low + 1, array.shape[1]))
        block = array[:, low:high].astype(np.float32)
        for axis, place in ((1, here - low), (2, along_h), (3, along_w)):
            block = _interpolated(block, axis, place)
        yield slice(first, first + len(here)), block


def _interpolated(block: NDArray[np.float32], axis: int, place: NDArray[np.float64]) -> NDArray[np.float32]:
    n = block.shape[axis]
    if len(place) == n and np.array_equal(place, np.arange(n)):
        return block
    low = np.clip(np.floor(place).astype(np.intp), 0, n - 1)
    high = np.minimum(low + 1, n - 1)
    weight = np.clip(place - low, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(block.ndim)])
    lower: NDArray[np.float32] = block.take(low, axis)
    upper = block.take(high, axis)
    upper -= lower
    upper *= weight
    lower += upper
    return lower


def _same(old: float, new: float) -> bool:
    return abs(old - new) <= SAME_SPACING * new


def _three(shape: tuple[int, ...]) -> Shape3:
    return shape[-3], shape[-2], shape[-1]
