"""The surface metrics once more, as slow and plain as their definitions: every voxel visited, every pair of points measured."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

Spacing = tuple[float, float, float]

with warnings.catch_warnings():  # what MONAI says on import is not ours to mend
    warnings.simplefilter("ignore")
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )
    from monai.metrics.utils import create_table_neighbour_code_to_surface_area


def plain_scores(pred: Any, truth: Any, spacing_mm: Spacing, tolerance_mm: float) -> dict[str, float]:
    """All metrics of two non-empty masks."""
    to_truth = _distances(_surface(pred), _surface(truth), spacing_mm)
    to_pred = _distances(_surface(truth), _surface(pred), spacing_mm)
    (pred_cells, pred_areas), (truth_cells, truth_areas) = (_elements(mask, spacing_mm) for mask in (pred, truth))
    within = [
        area
        for own, areas, others in ((pred_cells, pred_areas, truth_cells), (truth_cells, truth_areas, pred_cells))
        for distance, area in zip(_distances(own, others, spacing_mm), areas, strict=True)
        if distance <= tolerance_mm + 1e-9
    ]
    pooled = [*to_truth, *to_pred]
    return {
        "dice": 2 * sum(1 for p, t in zip(pred.flat, truth.flat, strict=True) if p and t) / (pred.sum() + truth.sum()),
        "hd": max(pooled),
        "hd95": max(np.percentile(to_truth, 95), np.percentile(to_pred, 95)),
        "hd95-pooled": float(np.percentile(pooled, 95)),
        "assd": sum(pooled) / len(pooled),
        f"nsd@{tolerance_mm:g}mm": sum(within) / (sum(pred_areas) + sum(truth_areas)),
        f"nsd-voxel@{tolerance_mm:g}mm": sum(1 for d in pooled if d <= tolerance_mm + 1e-9) / len(pooled),
    }


def monai_scores(pred: Any, truth: Any, spacing_mm: Spacing, tolerance_mm: float) -> dict[str, float]:
    """All metrics of two non-empty masks by MONAI."""
    import torch

    p, t = torch.from_numpy(pred)[None, None], torch.from_numpy(truth)[None, None]
    area_nsd = compute_surface_dice(p, t, [tolerance_mm], True, spacing=spacing_mm, use_subvoxels=True)
    return {
        "dice": float(compute_dice(p, t, include_background=True)),
        "hd": float(compute_hausdorff_distance(p, t, True, spacing=spacing_mm)),
        "hd95": float(compute_hausdorff_distance(p, t, True, percentile=95, spacing=spacing_mm)),
        "assd": float(compute_average_surface_distance(p, t, True, symmetric=True, spacing=spacing_mm)),
        f"nsd@{tolerance_mm:g}mm": float(area_nsd),
        f"nsd-voxel@{tolerance_mm:g}mm": float(compute_surface_dice(p, t, [tolerance_mm], True, spacing=spacing_mm)),
    }


def monai_areas(spacing_mm: Spacing) -> Any:
    """MONAI's 256 element areas; its codes count corners as ours do."""
    return create_table_neighbour_code_to_surface_area(spacing_mm)[0].numpy()


def _surface(mask: Any) -> list[tuple[int, ...]]:
    padded = np.pad(mask, 1)
    found = []
    for place in itertools.product(*map(range, mask.shape)):
        x, y, z = (index + 1 for index in place)
        faces = [
            padded[x - 1, y, z],
            padded[x + 1, y, z],
            padded[x, y - 1, z],
            padded[x, y + 1, z],
            padded[x, y, z - 1],
            padded[x, y, z + 1],
        ]
        if mask[place] and not all(faces):
            found.append(place)
    return found


def _elements(mask: Any, spacing_mm: Spacing) -> tuple[list[tuple[int, ...]], list[float]]:
    areas_mm2 = monai_areas(spacing_mm)
    padded = np.pad(mask, 1)
    cells, areas = [], []
    for place in itertools.product(*(range(size + 1) for size in mask.shape)):
        corners = [padded[tuple(np.add(place, corner))] for corner in itertools.product((0, 1), repeat=3)]
        code = sum(128 >> number for number, inside in enumerate(corners) if inside)
        if code not in (0, 255):
            cells.append(place)
            areas.append(float(areas_mm2[code]))
    return cells, areas


def _distances(own: Sequence[tuple[int, ...]], others: Sequence[tuple[int, ...]], spacing_mm: Spacing) -> list[float]:
    points = np.asarray(others) * spacing_mm
    return [math.sqrt(float(((points - np.asarray(place) * spacing_mm) ** 2).sum(axis=1).min())) for place in own]
