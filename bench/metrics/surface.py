"""Distances between surfaces, per class of a label map: HD, HD95, ASSD and NSD, Dice and RAVD beside them, from one computation.

Definitions (all in mm, all on the grid of the maps)
surface voxels    the mask minus its face-connected erosion; what lies beyond the image counts as outside
directed list     for each surface voxel of one mask the distance to the nearest surface voxel of the other
surface elements  cells of 2x2x2 voxels with corners inside and outside, weighted by the area of the marching-cubes
                  surface in them; distances run between the cells' lowest corners (Nikolov et al., arXiv 1809.04430)
empty masks       `bench.metrics.value_if_empty`
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import SpecError
from bench.metrics import METRICS, MetricId, parse_metric, value_if_empty
from bench.metrics.boundaries import Boundaries, Grid, Places, boundaries
from bench.metrics.element_areas import element_areas_mm2
from bench.metrics.label_maps import Bytes, LabelMap, Labels, Spacing, as_binary, checked_spacing, paired, unique_names
from bench.metrics.nearest_places import ROUNDING, Distances, NearestPlaces, reach_of, shells
from bench.metrics.overlap import LabelCounts, dice_from_counts, label_counts, ravd_from_counts


@dataclass(frozen=True)
class Score:
    """One row: a class, a metric id, its value (NaN where undefined)."""

    class_: str
    metric: str
    value: float


@dataclass(frozen=True)
class ClassCounts:
    """What stands beside the values of one class. `empty_truth`: the truth lacks the class. `failed`: the truth has it and
    the prediction lacks it. `false_positive_mm3`: volume of the prediction where the truth is empty, else 0."""

    voxels_pred: int
    voxels_truth: int
    empty_truth: bool
    failed: bool
    false_positive_mm3: float


@dataclass(frozen=True)
class CaseScores:
    """Scores of one case: rows ordered by class, then metric, as asked; what was undefined, by class name."""

    rows: tuple[Score, ...]
    by_class: Mapping[str, ClassCounts]

    def counts(self) -> dict[str, int]:
        """Totals over classes: `n_empty_truth` and `n_failed` pairs of case and class, `false_positive_mm3` rounded to 1 mm3."""
        found = self.by_class.values()
        return {
            "n_empty_truth": sum(count.empty_truth for count in found),
            "n_failed": sum(count.failed for count in found),
            "false_positive_mm3": round(sum(count.false_positive_mm3 for count in found)),
        }


def label_map_scores(
    pred: Labels, truth: Labels, *, classes: Mapping[int, str], spacing_mm: Spacing, metrics: Sequence[str]
) -> CaseScores:
    """Score every class of a predicted label map by every metric asked, from one computation of boundaries and distances.

    `pred`, `truth`: integer label maps of one shape with three axes, 0 is background; `spacing_mm` follows their axes.
    `classes`: label -> name, all labels that may occur. `metrics`: ids of overlap and surface metrics.
    Needs one byte of scratch per voxel of the foreground's box and a few bytes per surface voxel.

    Raises DataUnsound for unsound maps or spacing, SpecError for metrics or classes that cannot be.

    Example: cubes of 2x2x2 voxels at 1 mm, one shifted by one voxel along the first axis, score dice 0.5 and hd 1.0.
    """
    asked = [_of_masks(metric) for metric in metrics]
    unique_names(classes)
    spacing_mm = checked_spacing(spacing_mm)
    pred_map, truth_map, order = paired(pred, truth, classes)
    counts = label_counts(pred_map, truth_map)
    ordered_mm = (spacing_mm[order[0]], spacing_mm[order[1]], spacing_mm[order[2]])
    both = [code for code in map(truth_map.code, classes) if counts.pred[code] and counts.truth[code]]
    surfaces = dict(_surfaces(pred_map, truth_map, both, counts, ordered_mm, asked))
    rows: list[Score] = []
    by_class: dict[str, ClassCounts] = {}
    for class_id, name in classes.items():
        code = truth_map.code(class_id)
        n_pred, n_truth, n_shared = (int(part[code]) for part in (counts.pred, counts.truth, counts.shared))
        for metric in asked:
            value = value_if_empty(metric, n_pred=n_pred, n_truth=n_truth)
            if value is None and METRICS[metric.name].kind == "overlap":
                value = (ravd_from_counts if metric.name == "ravd" else dice_from_counts)(n_pred, n_truth, n_shared)
            rows.append(Score(name, str(metric), surfaces[code][metric] if value is None else value))
        stray_mm3 = n_pred * math.prod(spacing_mm) if n_truth == 0 else 0.0
        by_class[name] = ClassCounts(n_pred, n_truth, n_truth == 0, n_truth > 0 and n_pred == 0, stray_mm3)
    return CaseScores(tuple(rows), by_class)


def hd(pred: Labels, truth: Labels, *, spacing_mm: Spacing) -> float:
    """Hausdorff distance in mm of two masks: the farthest that either surface strays from the other.

    The maximum of both directed lists. NaN if a mask is empty.
    Raises DataUnsound for unsound masks or spacing.

    Example: two single voxels three voxels apart along an axis of 2 mm: 6.0.
    """
    return _of_pair(pred, truth, spacing_mm, "hd")


def hd95(pred: Labels, truth: Labels, *, spacing_mm: Spacing) -> float:
    """Hausdorff distance in mm with the worst 5 % of each surface left out, as MONAI defines it.

    The larger of the 95th percentiles of the two directed lists, linear interpolation. NaN if a mask is empty.
    Raises DataUnsound for unsound masks or spacing.

    Example: truth one voxel, prediction the same voxel and one 2 mm away; lists {0, 2} and {0};
    the 95th percentile of {0, 2} is 1.9.
    """
    return _of_pair(pred, truth, spacing_mm, "hd95")


def assd(pred: Labels, truth: Labels, *, spacing_mm: Spacing) -> float:
    """Average symmetric surface distance in mm: how far the surfaces lie apart on average.

    The mean over both directed lists taken together. NaN if a mask is empty.
    Raises DataUnsound for unsound masks or spacing.

    Example: truth one voxel, prediction the same voxel and one 2 mm away; the lists {0, 2} and {0} have the mean 2/3.
    """
    return _of_pair(pred, truth, spacing_mm, "assd")


def nsd(pred: Labels, truth: Labels, *, spacing_mm: Spacing, tolerance_mm: float) -> float:
    """Normalised surface Dice: the share of both surfaces' area that lies within the tolerance of the other surface.

    Elements and areas as the head of this file says; a distance equal to the tolerance counts as within.
    Truth empty: NaN; prediction alone empty: 0. Raises DataUnsound for unsound masks or spacing, SpecError for a
    negative tolerance.

    Example: one voxel has eight elements of one corner each. Two voxels two apart share no element; their elements
    lie 1 mm apart or, for the outer four of each, 2 mm; within 1 mm lie four of eight: 0.5.
    """
    return _of_pair(pred, truth, spacing_mm, f"nsd@{tolerance_mm:.12g}mm")


def _of_pair(pred: Labels, truth: Labels, spacing_mm: Spacing, metric: str) -> float:
    masks = as_binary(pred, "prediction"), as_binary(truth, "truth")
    return label_map_scores(*masks, classes={1: "mask"}, spacing_mm=spacing_mm, metrics=[metric]).rows[0].value


def _of_masks(metric: str) -> MetricId:
    parsed = parse_metric(metric)
    if METRICS[parsed.name].kind not in ("overlap", "surface"):
        raise SpecError(
            f"Metric '{metric}' does not score masks.", remedy="Ask for dice, ravd, hd, hd95, assd or nsd@2mm."
        )
    return parsed


def _surfaces(
    pred: LabelMap,
    truth: LabelMap,
    codes: list[int],
    counts: LabelCounts,
    spacing_mm: Spacing,
    asked: Sequence[MetricId],
) -> Iterator[tuple[int, dict[MetricId, float]]]:
    """The surface metrics of every class that both maps hold."""
    of_cells = [metric for metric in asked if metric.name == "nsd"]
    of_voxels = [metric for metric in asked if METRICS[metric.name].kind == "surface" and metric.name != "nsd"]
    if not codes or not (of_cells or of_voxels):
        return
    ball = shells(spacing_mm)
    grid = Grid(counts.box, reach_of(ball), spacing_mm)
    found = [boundaries(part, grid, voxels=bool(of_voxels), cells=bool(of_cells)) for part in (pred, truth)]
    search = NearestPlaces(grid, ball)
    areas_mm2 = element_areas_mm2(spacing_mm)
    voxels = [_by_code(part) for part in found]
    for code in codes:
        values = _voxel_scores(voxels[0][code], voxels[1][code], search, of_voxels) if of_voxels else {}
        if of_cells:
            of_pred, of_truth = (_elements(part, code, areas_mm2) for part in found)
            values |= _element_scores(of_pred, of_truth, search, of_cells)
        yield code, values


def _by_code(found: Boundaries) -> dict[int, Places]:
    """Places of the surface voxels of each class."""
    order = np.argsort(found.voxel_codes, kind="stable")
    ends = np.cumsum(np.bincount(found.voxel_codes, minlength=256))
    places = np.split(found.voxel_places[order], ends[:-1])
    return dict(enumerate(places))


def _voxel_scores(
    pred: Places, truth: Places, search: NearestPlaces, asked: Sequence[MetricId]
) -> dict[MetricId, float]:
    to_truth, to_pred = search.distances(pred, truth), search.distances(truth, pred)
    return {metric: _of_lists(metric, to_truth, to_pred) for metric in asked}


def _of_lists(metric: MetricId, to_truth: Distances, to_pred: Distances) -> float:
    """A metric from the two directed lists, neither of which is empty."""
    match metric.name:
        case "hd" | "hd@mm":
            return float(max(to_truth.max(), to_pred.max()))
        case "hd95":
            return float(max(np.percentile(to_truth, 95), np.percentile(to_pred, 95)))
        case "hd95-pooled":
            return float(np.percentile(np.concatenate([to_truth, to_pred]), 95))
        case "assd" | "assd@mm":
            return float((to_truth.sum() + to_pred.sum()) / (len(to_truth) + len(to_pred)))
        case "nsd-voxel":
            within = sum(int(np.count_nonzero(_within(part, metric))) for part in (to_truth, to_pred))
            return within / (len(to_truth) + len(to_pred))
    raise AssertionError(metric)


def _within(distances: Distances, metric: MetricId) -> NDArray[np.bool_]:
    assert metric.tolerance_mm is not None
    return distances <= metric.tolerance_mm * (1 + ROUNDING)


def _elements(found: Boundaries, code: int, areas_mm2: NDArray[np.float64]) -> tuple[Places, NDArray[np.float64]]:
    """Places and areas in mm2 of one class's surface elements."""
    patterns: Bytes = np.packbits(found.cell_corners.reshape(-1) == code)
    has = np.flatnonzero(patterns)
    return found.cell_places[has], areas_mm2[patterns[has]]


def _element_scores(
    pred: tuple[Places, NDArray[np.float64]],
    truth: tuple[Places, NDArray[np.float64]],
    search: NearestPlaces,
    asked: Sequence[MetricId],
) -> dict[MetricId, float]:
    farthest_mm = max(metric.tolerance_mm or 0.0 for metric in asked)
    areas_mm2 = np.concatenate([pred[1], truth[1]])
    distances = np.concatenate(
        [
            search.distances(pred[0], truth[0], within_mm=farthest_mm),
            search.distances(truth[0], pred[0], within_mm=farthest_mm),
        ]
    )
    return {metric: float(areas_mm2[_within(distances, metric)].sum() / areas_mm2.sum()) for metric in asked}
