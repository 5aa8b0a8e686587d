"""Distances from one surface to another: near neighbours are looked up in order of distance, the rest asks a k-d tree."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from bench.metrics.boundaries import Grid, Places
from bench.metrics.label_maps import Spacing

Distances = NDArray[np.float64]
Shell = tuple[float, list[tuple[int, int, int]]]

ROUNDING = 1e-6  # relative slack of every comparison with a tolerance, so that 3 * 0.1 mm lies within 0.3 mm
_NEIGHBOURS = 160  # so many look-ups cost about as much as one query of the tree
_FARTHEST = 7  # voxels along an axis; the grid's margins are that wide


def shells(spacing_mm: Spacing) -> list[Shell]:
    """The offsets of all voxels in a ball around a voxel, grouped by length in mm, shortest first; (0, 0, 0) is first.

    The ball is complete, so the first shell with a hit gives the exact distance. It holds about 160 voxels.
    """
    radius_mm = (_NEIGHBOURS * math.prod(spacing_mm) * 3 / (4 * math.pi)) ** (1 / 3)
    radius_mm = min(radius_mm, _FARTHEST * min(spacing_mm))
    reach = [math.floor(radius_mm / spacing) for spacing in spacing_mm]
    by_length: dict[float, list[tuple[int, int, int]]] = {}
    for x, y, z in itertools.product(*(range(-far, far + 1) for far in reach)):
        length_mm = math.hypot(x * spacing_mm[0], y * spacing_mm[1], z * spacing_mm[2])
        if length_mm <= radius_mm:
            by_length.setdefault(length_mm, []).append((x, y, z))
    return sorted(by_length.items())


def reach_of(ball: list[Shell]) -> tuple[int, int, int]:
    """How far the ball reaches along each axis, in voxels."""
    first, second, third = (max(offset[axis] for _, offsets in ball for offset in offsets) for axis in range(3))
    return first, second, third


class NearestPlaces:
    """Finds, for places of a grid, the distance to the nearest of other places. One byte of memory per place of the grid."""

    def __init__(self, grid: Grid, ball: list[Shell]) -> None:
        self.grid = grid
        self.ball = [(length, [grid.step(offset) for offset in offsets]) for length, offsets in ball]
        self.marked = np.zeros(grid.places, dtype=bool)

    def distances(self, query: Places, target: Places, *, within_mm: float = math.inf) -> Distances:
        """Distance in mm from each query place to the nearest target place; inf where it is more than `within_mm`."""
        result = np.full(len(query), math.inf)
        if not len(query) or not len(target):
            return result
        within_mm *= 1 + ROUNDING
        left, places = np.arange(len(query)), query
        self.marked[target] = True
        for length_mm, steps in self.ball:
            if length_mm > within_mm or not len(left):
                break
            hit = self.marked[places + steps[0]]
            for step in steps[1:]:
                hit |= self.marked[places + step]
            result[left[hit]] = length_mm
            missed = ~hit
            left, places = left[missed], places[missed]
        self.marked[target] = False
        if len(left) and within_mm > self.ball[-1][0]:
            result[left] = self._by_tree(places, target, within_mm)
        return result

    def _by_tree(self, query: Places, target: Places, within_mm: float) -> Distances:
        from scipy.spatial import KDTree

        tree = KDTree(self.grid.points_mm(target), leafsize=32, balanced_tree=False, compact_nodes=False)
        found = tree.query(self.grid.points_mm(query), distance_upper_bound=within_mm)[0]
        return np.asarray(found, dtype=np.float64)
