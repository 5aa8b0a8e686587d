"""The algebra of axis orders: any file's axes to canonical RAS (x right, y anterior, z superior) and exactly back.

Affines map voxel indices to mm in RAS, as in NIfTI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Shape3, Spacing

Affine = tuple[tuple[float, ...], ...]
_SLAB = 4
FLAT_MM = 1e8  # what stands for the thickness of a 2-D image's one slice, ours
SAME_SPACING = 0.01  # ours: an in-plane pair must agree within 1 %


@dataclass(frozen=True)
class AxisOrder:
    """How a file lies in the patient: canonical axis i is the file's axis `taken[i]`, mirrored where `mirrored[i]`."""

    taken: tuple[int, int, int]
    mirrored: tuple[bool, bool, bool]

    def to_canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """The last three axes from the file's order to RAS (a view); leading axes stay."""
        lead = array.ndim - 3
        moved = array.transpose(*range(lead), *(lead + axis for axis in self.taken))
        x, y, z = self._turns()
        return moved[..., x, y, z]

    def to_native(self, array: NDArray[Any]) -> NDArray[Any]:
        """The last three axes from RAS to the file's order (a view); the exact inverse of `to_canonical`."""
        lead = array.ndim - 3
        x, y, z = self._turns()
        return array[..., x, y, z].transpose(*range(lead), *(lead + self.taken.index(axis) for axis in range(3)))

    def _turns(self) -> tuple[slice, slice, slice]:
        x, y, z = (slice(None, None, -1 if flip else 1) for flip in self.mirrored)
        return x, y, z

    def shape(self, native: Shape3) -> Shape3:
        """A native shape in canonical order."""
        return native[self.taken[0]], native[self.taken[1]], native[self.taken[2]]

    def affine(self, native: Affine, shape: Shape3) -> Affine:
        """The affine of the canonical array, given the file's affine and native shape."""
        turn = np.zeros((4, 4))
        turn[3, 3] = 1.0
        for canonical, (axis, flip) in enumerate(zip(self.taken, self.mirrored, strict=True)):
            turn[axis, canonical] = -1.0 if flip else 1.0
            turn[axis, 3] = shape[axis] - 1 if flip else 0
        return as_affine(np.asarray(native) @ turn)


def settle(view: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy a view of (D, H, W) in any memory order into a C-ordered array.

    It goes through slabs small enough for the processor's cache, kept in the view's own memory order: a direct copy of a
    512 x 512 x 150 NIfTI touches a new cache line per voxel and takes seven times as long.
    """
    fastest = int(np.argmin([abs(stride) for stride in view.strides]))
    if fastest == 2:
        out[...] = view
        return
    across = 1 - fastest
    for first in range(0, view.shape[across], _SLAB):
        rows = (slice(first, first + _SLAB), slice(None)) if across == 0 else (slice(None), slice(first, first + _SLAB))
        out[rows] = view[rows].copy(order="K")


@lru_cache(maxsize=4096)  # the images of an archive share one affine, and each is asked for it five times
def axis_order(affine: Affine) -> AxisOrder:
    """The axis order whose canonical axes lie closest to RAS. Raises ValueError where an axis has no direction."""
    from nibabel.orientations import io_orientation

    towards = io_orientation(np.asarray(affine))  # row a: canonical axis nearest to the file's axis a, and its sign
    if np.isnan(towards).any():
        raise ValueError("one axis has no direction")
    taken = tuple(int(np.flatnonzero(towards[:, 0] == axis)[0]) for axis in range(3))
    mirrored = tuple(bool(towards[axis, 1] < 0) for axis in taken)
    return AxisOrder((taken[0], taken[1], taken[2]), (mirrored[0], mirrored[1], mirrored[2]))


def orientation_name(affine: Affine) -> str:
    """The file's axes as three letters, for example `LAS` where the first index grows to the left."""
    order = axis_order(affine)
    letters = ["", "", ""]
    for canonical, (axis, flip) in enumerate(zip(order.taken, order.mirrored, strict=True)):
        letters[axis] = ("RL", "AP", "SI")[canonical][flip]
    return "".join(letters)


def spacing_of(affine: Affine) -> Spacing:
    """Voxel size per axis in mm: the lengths of the affine's columns."""
    x, y, z = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(axis=0)).tolist()
    return x, y, z


def plain_affine(spacing_mm: Spacing) -> Affine:
    """The RAS affine of a file that knows at most its voxel size; the origin is voxel (0, 0, 0)."""
    return as_affine(np.diag([*spacing_mm, 1.0]))


def with_spacing(affine: Affine, spacing_mm: Spacing) -> Affine:
    """The same directions and origin with other voxel sizes, told in the file's axis order."""
    matrix = np.asarray(affine, dtype=float)
    matrix[:3, :3] *= np.asarray(spacing_mm) / np.linalg.norm(matrix[:3, :3], axis=0)
    return as_affine(matrix)


def as_affine(matrix: NDArray[Any]) -> Affine:
    """A 4 x 4 matrix as nested tuples of floats."""
    return tuple(tuple(float(x) for x in row) for row in matrix)


def depth_axis_of(spacing_mm: Spacing) -> int:
    """The axis of largest spacing; axis 2 by convention where the largest is not alone (within 1 %).

    Source: ours. Example: (0.7, 0.7, 3.0) -> 2, (3.0, 0.7, 0.7) -> 0, (1, 1, 1) -> 2.
    """
    largest = max(spacing_mm)
    near = [axis for axis, size in enumerate(spacing_mm) if size >= largest * (1 - SAME_SPACING)]
    return near[0] if len(near) == 1 else 2


def anisotropy_of(spacing_mm: Spacing, depth_axis: int) -> int | None:
    """Degree of anisotropy max(0, floor(log2(s_slice / s_plane))); None where in-plane sizes differ by over 1 %.

    Source: SPAD, Sec. 3.1. Example: (0.68, 0.68, 3.0) -> floor(log2(4.41)) = 2.
    """
    first, second = (size for axis, size in enumerate(spacing_mm) if axis != depth_axis)
    if abs(first - second) > SAME_SPACING * max(first, second):
        return None
    return max(0, math.floor(math.log2(spacing_mm[depth_axis] / ((first + second) / 2))))
