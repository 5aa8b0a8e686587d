"""Where two surfaces part and by how much: the two directed lists of `bench.metrics.surface` with their places, for pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.boundaries import Grid, Places, boundaries
from bench.metrics.label_maps import Labels, Spacing, as_binary, checked_spacing, paired
from bench.metrics.nearest_places import NearestPlaces, reach_of, shells
from bench.metrics.overlap import label_counts


@dataclass(frozen=True)
class SurfaceErrors:
    """The surface voxels of one mask, (n, 3) indices along its axes, and how far each lies from the other surface, (n,) mm.

    Distances are NaN where the other mask is empty.
    """

    voxels: NDArray[np.intp]
    distances_mm: NDArray[np.float64]


def surface_errors(pred: Labels, truth: Labels, *, spacing_mm: Spacing) -> tuple[SurfaceErrors, SurfaceErrors]:
    """Both directed lists of two masks of three axes: from the prediction to the truth, and from the truth to the prediction.

    HD is the maximum of both, ASSD the mean over both together, HD95 the larger of their 95th percentiles. Raises DataUnsound
    for unsound masks or spacing.

    Example: truth the voxel (0, 0, 0), prediction that voxel and (0, 0, 1) at 2 mm: distances 0, 2 and 0.
    """
    spacing_mm = checked_spacing(spacing_mm)
    pred_map, truth_map, order = paired(as_binary(pred, "prediction"), as_binary(truth, "truth"), (1,))
    ordered_mm = (spacing_mm[order[0]], spacing_mm[order[1]], spacing_mm[order[2]])
    counts, ball = label_counts(pred_map, truth_map), shells(ordered_mm)
    grid = Grid(counts.box, reach_of(ball), ordered_mm)
    of_pred, of_truth = (
        boundaries(part, grid, voxels=True, cells=False).voxel_places for part in (pred_map, truth_map)
    )
    search = NearestPlaces(grid, ball)
    return _errors(of_pred, of_truth, search, order), _errors(of_truth, of_pred, search, order)


def _errors(query: Places, target: Places, search: NearestPlaces, order: tuple[int, ...]) -> SurfaceErrors:
    grid = search.grid
    start = np.array([side.start for side in grid.box])
    found = np.rint(grid.points_mm(query) / np.asarray(grid.spacing_mm)).astype(np.intp) - 1 + start
    voxels = np.empty_like(found)
    voxels[:, list(order)] = found
    distances_mm = search.distances(query, target) if len(target) else np.full(len(query), np.nan)
    return SurfaceErrors(voxels, distances_mm)
