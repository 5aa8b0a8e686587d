"""Paint solids into a voxel grid: ellipsoids, tubes and free implicit functions, each only inside its bounding box.

The grid holds tissue numbers. What is painted covers only the tissues it is told to (`over`), so that the first organ
to claim a place keeps it and labels are exact by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.phantoms.body import Person, Point

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Inside = Callable[[Field, Field, Field], Mask]

_COARSE = 4  # voxels between the samples that bound a box


class Canvas:
    """A grid of tissue numbers with the body coordinate (mm, RAS) of every voxel centre, after pose and warp.

    `low_mm` and `high_mm` are the corners of the field of view, `shape` its voxels along x, y, z. `warp_ratio` scales
    the warp in space and amplitude, for views much smaller than a torso.
    """

    def __init__(
        self,
        person: Person,
        low_mm: Point,
        high_mm: Point,
        shape: tuple[int, int, int],
        *,
        warp_ratio: float,
        mirrored: bool,
    ) -> None:
        axes = [
            (low + (high - low) * (np.arange(count) + 0.5) / count)
            for low, high, count in zip(low_mm, high_mm, shape, strict=True)
        ]
        if mirrored:
            axes[0] = -axes[0]
        middle = [(low + high) / 2 for low, high in zip(low_mm, high_mm, strict=True)]
        self.frame_mm = tuple(axes)
        self.x, self.y, self.z = _placed(person, axes, middle, warp_ratio)
        self.tissue = np.zeros(shape, dtype=np.uint8)
        picks = [np.unique(np.append(np.arange(0, count, _COARSE), count - 1)) for count in shape]
        self._picks = picks
        self._coarse = [np.ascontiguousarray(axis[np.ix_(*picks)]) for axis in (self.x, self.y, self.z)]
        self._bounds = [(float(axis.min()), float(axis.max())) for axis in self._coarse]
        step = [(high - low) / count for low, high, count in zip(low_mm, high_mm, shape, strict=True)]
        self._slack = _COARSE * max(step) * 0.5 * 1.3

    def box(self, low: Sequence[float], high: Sequence[float]) -> tuple[slice, slice, slice] | None:
        """Give the smallest block of voxels, up to a little slack, whose body coordinates may lie between two
        corners."""
        if any(
            h < b[0] - self._slack or lo > b[1] + self._slack for lo, h, b in zip(low, high, self._bounds, strict=True)
        ):
            return None
        hit = np.ones(self._coarse[0].shape, dtype=bool)
        for axis, lo, hi in zip(self._coarse, low, high, strict=True):
            hit &= (axis >= lo - self._slack) & (axis <= hi + self._slack)
        slices = []
        for number, picks in enumerate(self._picks):
            where = np.flatnonzero(hit.any(axis=tuple(k for k in range(3) if k != number)))
            if len(where) == 0:
                return None
            first, last = max(where[0] - 1, 0), min(where[-1] + 1, len(picks) - 1)
            slices.append(slice(int(picks[first]), int(picks[last]) + 1))
        return slices[0], slices[1], slices[2]

    def paint(
        self, tissue: IntEnum, low: Sequence[float], high: Sequence[float], inside: Inside, *, over: Mask
    ) -> None:
        """Give `tissue` to the voxels between the corners where `inside(x, y, z)` is true and `over` allows it."""
        block = self.box(low, high)
        if block is None:
            return
        region = self.tissue[block]
        hit = inside(self.x[block], self.y[block], self.z[block])
        hit &= over[region]
        np.copyto(region, np.uint8(tissue), where=hit)

    def ellipsoid(
        self,
        tissue: IntEnum,
        centre: Point,
        radii: Point,
        *,
        over: Mask,
        turn: float = 0.0,
        unless: Inside | None = None,
    ) -> None:
        """Paint an ellipsoid; `turn` is the tangent of its lean: x moves by `turn` mm for every mm of z."""
        reach = (radii[0] + abs(turn) * radii[2], radii[1], radii[2])
        low, high = _corners([centre], reach)

        def inside(x: Field, y: Field, z: Field) -> Mask:
            hit = ellipsoid_level(x - np.float32(turn) * (z - np.float32(centre[2])), y, z, centre, radii) <= 1
            if unless is not None:
                hit &= ~unless(x, y, z)
            return hit

        self.paint(tissue, low, high, inside, over=over)

    def tube(
        self,
        tissue: IntEnum,
        points: Sequence[Point],
        radii: Sequence[float],
        *,
        over: Mask,
        detail: int = 3,
        flat: float = 1.0,
    ) -> None:
        """Paint a smooth tube through points with a radius at each; `flat` below 1 presses it together along z."""
        knots = smooth_path([(*point, radius) for point, radius in zip(points, radii, strict=True)], detail)
        for start, end in pairwise(knots):
            reach = max(start[3], end[3])
            low, high = _corners([start[:3], end[:3]], (reach, reach, reach))

            def inside(x: Field, y: Field, z: Field, a: Sequence[float] = start, b: Sequence[float] = end) -> Mask:
                return in_capsule(x, y, z, a, b, flat)

            self.paint(tissue, low, high, inside, over=over)


def tissues(*names: IntEnum) -> Mask:
    """Give the look-up table, indexed by tissue number, that is true for the tissues named."""
    allowed = np.zeros(256, dtype=bool)
    allowed[list(names)] = True
    return allowed


def ellipsoid_level(x: Field, y: Field, z: Field, centre: Sequence[float], radii: Sequence[float]) -> Field:
    """Give the squared radius in units of the ellipsoid: below 1 inside, 1 on its surface."""
    total: Field | None = None
    for axis, middle, radius in zip((x, y, z), centre, radii, strict=True):
        part = (axis - np.float32(middle)) * np.float32(1 / radius)
        part *= part
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def in_capsule(x: Field, y: Field, z: Field, a: Sequence[float], b: Sequence[float], flat: float = 1.0) -> Mask:
    """Say where the distance to the segment from a to b is at most the radius, which is the fourth number of each
    end."""
    along = [float(q) - float(p) for p, q in zip(a[:3], b[:3], strict=True)]
    length = max(sum(step * step for step in along), 1e-6)
    dx, dy, dz = (axis - np.float32(p) for axis, p in zip((x, y, z), a[:3], strict=True))
    share = dx * np.float32(along[0] / length) + dy * np.float32(along[1] / length) + dz * np.float32(along[2] / length)
    np.clip(share, 0, 1, out=share)
    dx -= share * np.float32(along[0])
    dy -= share * np.float32(along[1])
    dz -= share * np.float32(along[2])
    dz *= np.float32(1 / flat)
    radius = np.float32(a[3]) + share * np.float32(b[3] - a[3])
    return np.asarray(dx * dx + dy * dy + dz * dz <= radius * radius)


def smooth_path(knots: Sequence[Sequence[float]], detail: int) -> list[tuple[float, ...]]:
    """Lay a Catmull-Rom curve through knots of any dimension, `detail` pieces between two of them."""
    ends = [knots[0], *knots, knots[-1]]
    path = [tuple(knots[0])]
    for p, q, r, s in zip(ends[:-3], ends[1:-2], ends[2:-1], ends[3:], strict=True):
        for step in range(1, detail + 1):
            t = step / detail
            path.append(
                tuple(
                    0.5
                    * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t)
                    for a, b, c, d in zip(p, q, r, s, strict=True)
                )
            )
    return path


def _corners(points: Iterable[Sequence[float]], reach: Sequence[float]) -> tuple[list[float], list[float]]:
    columns = list(zip(*points, strict=True))
    low = [min(column) - margin for column, margin in zip(columns, reach, strict=True)]
    high = [max(column) + margin for column, margin in zip(columns, reach, strict=True)]
    return low, high


def _placed(
    person: Person, axes: Sequence[NDArray[np.float64]], middle: Sequence[float], warp_ratio: float
) -> tuple[Field, Field, Field]:
    """Map voxel centres to body coordinates: turn about the middle of the view, then shift by the sine products.

    Every array operation is a single rounded add or multiply, so the result is the same on every IEEE processor.
    """
    local = [np.asarray(axis - centre) for axis, centre in zip(axes, middle, strict=True)]
    placed = []
    for number in range(3):
        row = person.rotation[number]
        along_x, along_y, along_z = ((row[k] * local[k]).astype(np.float32) for k in range(3))
        plane = np.float32(middle[number]) + (along_y[:, None] + along_z[None, :])
        total = along_x[:, None, None] + plane[None]
        for term in person.warp:
            if term.axis != number:
                continue
            sx, sy, sz = (
                np.round(np.sin(term.frequency[k] / warp_ratio * axes[k] + term.phase[k]), 6).astype(np.float32)
                for k in range(3)
            )
            plane = (np.float32(term.amplitude_mm * warp_ratio) * sy)[:, None] * sz[None, :]
            total += sx[:, None, None] * plane[None]
        placed.append(total)
    return placed[0], placed[1], placed[2]
