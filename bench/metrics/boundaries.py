"""Boundaries of all classes of a label map from one pass: surface voxels, and cells of 2x2x2 voxels that hold two labels.

Voxels and cells live on a `Grid`: the box of the foreground with a margin of zeros, flattened. A neighbour is then one
addition away and never wraps into another line, because the margin between lines is at least as wide as the reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.label_maps import Bytes, LabelMap, Spacing
from bench.metrics.overlap import Box

Places = NDArray[np.intp]
_SLAB_VOXELS = 1 << 18  # one slab's codes and five work arrays then fit into a core's own cache
_WORD = 8


@dataclass(frozen=True)
class Grid:
    """A box of voxels, flattened with margins after each line, after each plane and at both ends.

    `reach` is how far a neighbour may lie, in voxels per axis. A voxel or cell (x, y, z) of the box has the place
    lead + x * plane + y * line + z; a cell is named after its lowest corner, so its coordinates begin at -1.
    """

    box: Box
    reach: tuple[int, int, int]
    spacing_mm: Spacing

    @property
    def extent(self) -> tuple[int, int, int]:
        first, second, third = self.box
        return first.stop - first.start, second.stop - second.start, third.stop - third.start

    @property
    def line(self) -> int:
        return self.extent[2] + self.reach[2] + 1

    @property
    def plane(self) -> int:
        return (self.extent[1] + self.reach[1] + 1) * self.line

    @property
    def lead(self) -> int:
        return self.step(tuple(reach + 1 for reach in self.reach))

    @property
    def places(self) -> int:
        return 2 * self.lead + self.extent[0] * self.plane

    def step(self, offset: tuple[int, ...]) -> int:
        """How many places further a neighbour lies."""
        return offset[0] * self.plane + offset[1] * self.line + offset[2]

    def points_mm(self, places: Places) -> NDArray[np.float64]:
        """(n, 3) coordinates in mm; the origin is the cell before the first voxel."""
        first, rest = np.divmod(places - self.lead + self.step((1, 1, 1)), self.plane)
        second, third = np.divmod(rest, self.line)
        return np.stack([first, second, third], axis=1) * np.asarray(self.spacing_mm)


@dataclass(frozen=True)
class Boundaries:
    """Surface voxels of all classes (place, code) and mixed cells (place, codes of the 8 corners, (n, 8)), places ascending.

    Corner number 4i + 2j + k of a cell lies i, j, k voxels above its lowest corner.
    """

    voxel_places: Places
    voxel_codes: Bytes
    cell_places: Places
    cell_corners: Bytes


def boundaries(labels: LabelMap, grid: Grid, *, voxels: bool, cells: bool) -> Boundaries:
    """Find what `voxels` and `cells` ask for; the other stays empty.

    A surface voxel has a face neighbour of another label or lies on the image border. A mixed cell has two labels.
    """
    planes = grid.extent[0]
    step = max(1, _SLAB_VOXELS // grid.plane)
    slab = _Slab(grid, step)
    found_voxels: list[tuple[Places, Bytes]] = []
    found_cells: list[tuple[Places, Bytes]] = []
    for start in range(-1, planes, step):  # cells begin one plane below the first voxel
        if not slab.load(labels, start):
            continue
        slab.compare()
        if voxels:
            found_voxels.append(slab.surface_voxels(start))
        if cells:
            found_cells.append(slab.mixed_cells(start))
    none = np.zeros(0, dtype=np.intp)
    return Boundaries(
        np.concatenate([places for places, _ in found_voxels] or [none]),
        np.concatenate([codes for _, codes in found_voxels] or [none.astype(np.uint8)]),
        np.concatenate([places for places, _ in found_cells] or [none]),
        np.concatenate([corners for _, corners in found_cells] or [np.zeros((0, 8), dtype=np.uint8)]),
    )


class _Slab:
    """Work arrays for `planes` planes of the grid, with one plane below and one above, used again for every slab.

    `x`, `y`, `z` are True where a place and the next one along the axis differ.
    """

    def __init__(self, grid: Grid, planes: int) -> None:
        self.grid = grid
        self.planes = planes
        self.first = grid.plane
        self.count = planes * grid.plane
        size = (planes + 2) * grid.plane
        self.codes = np.zeros(size, dtype=np.uint8)
        self.x, self.y, self.z = (np.zeros(size, dtype=bool) for _ in range(3))
        self.square = np.zeros(size, dtype=bool)
        self.hit = np.zeros(self.count + -self.count % _WORD, dtype=bool)
        steps = [grid.step((i, j, k)) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        self.corner_steps = np.asarray(steps, dtype=np.intp)

    def load(self, labels: LabelMap, start: int) -> bool:
        """Copy planes start-1 .. start+planes of the box; False when all of them are background."""
        extent = self.grid.extent
        low, high = max(0, start - 1), min(extent[0], start + self.planes + 1)
        box = self.grid.box
        part = labels.planes(box[0].start + low, box[0].start + high)[:, box[1], box[2]] if high > low else None
        if part is None or not part.any():
            return False
        inner = self.codes.reshape(self.planes + 2, -1, self.grid.line)
        at = low - start + 1
        inner[:at] = 0
        inner[at : at + len(part), : extent[1], : extent[2]] = part
        inner[at + len(part) :] = 0
        return True

    def compare(self) -> None:
        for differs, step in ((self.x, self.grid.plane), (self.y, self.grid.line), (self.z, 1)):
            np.not_equal(self.codes[:-step], self.codes[step:], out=differs[:-step])

    def surface_voxels(self, start: int) -> tuple[Places, Bytes]:
        first, last = self.first, self.first + self.count
        hit = self.hit[: self.count]
        np.bitwise_or(self.x[first:last], self.x[first - self.grid.plane : last - self.grid.plane], out=hit)
        for differs, step in ((self.y, self.grid.line), (self.z, 1)):
            hit |= differs[first:last]
            hit |= differs[first - step : last - step]
        hit &= self.codes[first:last] != 0
        at = _where(self.hit) + first
        return self._places(at, start), self.codes[at]

    def mixed_cells(self, start: int) -> tuple[Places, Bytes]:
        line, plane = self.grid.line, self.grid.plane
        first = self.first - line - 1  # so that the lowest cell of the slab is (start, -1, -1)
        last = first + self.count
        square = self.square[first : last + plane]  # True: the four corners in one plane hold two labels
        np.bitwise_or(self.z[first : last + plane], self.z[first + line : last + plane + line], out=square)
        square |= self.y[first : last + plane]
        hit = self.hit[: self.count]
        np.bitwise_or(square[: self.count], square[plane:], out=hit)
        hit |= self.x[first:last]
        at = _where(self.hit) + first
        return self._places(at, start), self.codes[at[:, None] + self.corner_steps]

    def _places(self, at: Places, start: int) -> Places:
        return at + (self.grid.lead + (start - 1) * self.grid.plane)


def _where(hit: NDArray[np.bool_]) -> Places:
    """np.flatnonzero for an array that is mostly False and a whole number of words long."""
    words = np.flatnonzero(hit.view(np.uint64))
    within = np.flatnonzero(hit.reshape(-1, _WORD)[words])
    return words[within >> 3] * _WORD + (within & 7)
