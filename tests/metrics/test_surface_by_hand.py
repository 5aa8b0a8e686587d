"""Surfaces one can count: single voxels, cubes and slabs; the empty rule; what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.contracts.errors import DataUnsound, SpecError
from bench.metrics.surface import assd, hd, hd95, label_map_scores, nsd

MM1 = (1.0, 1.0, 1.0)


def mask_of(*places: tuple[int, int, int], shape: tuple[int, int, int] = (9, 9, 9)) -> Any:
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def cube(low: tuple[int, int, int], size: int = 2) -> Any:
    mask = mask_of()
    mask[tuple(slice(start, start + size) for start in low)] = True
    return mask


def test_two_voxels_three_apart_along_two_millimetres_have_hd_six() -> None:
    assert hd(mask_of((1, 4, 4)), mask_of((4, 4, 4)), spacing_mm=(2.0, 1.0, 1.0)) == 6.0


@pytest.mark.parametrize(
    ("spacing_mm", "far", "mean"), [(MM1, 3.0, 1.44), ((3.0, 0.75, 0.75), 9.0, 1.98)], ids=["voxels", "mm"]
)
def test_a_ball_moved_by_three_slices_is_three_voxels_or_nine_millimetres_off(
    spacing_mm: tuple[float, float, float], far: float, mean: float
) -> None:
    """SPAD's check 15: radius 6 voxels, surfaces by six neighbours."""
    z, y, x = np.indices((23, 17, 17)) - 8
    here, there = (((z - moved) ** 2 + y**2 + x**2) <= 36 for moved in (0, 3))
    assert hd(there, here, spacing_mm=spacing_mm) == far
    assert assd(there, here, spacing_mm=spacing_mm) == pytest.approx(mean, abs=5e-3)


def test_a_diagonal_step_is_measured_with_each_axis_own_spacing() -> None:
    found = hd(mask_of((1, 1, 1)), mask_of((2, 3, 4)), spacing_mm=(3.0, 2.0, 4.0))
    assert found == pytest.approx(math.sqrt(3**2 + 4**2 + 12**2)) == pytest.approx(13.0)


def test_one_stray_voxel_gives_the_hd95_and_assd_of_the_docstrings() -> None:
    truth, pred = mask_of((4, 4, 4)), mask_of((4, 4, 4), (4, 4, 6))
    assert hd(pred, truth, spacing_mm=MM1) == 2.0
    assert hd95(pred, truth, spacing_mm=MM1) == pytest.approx(1.9)
    assert assd(pred, truth, spacing_mm=MM1) == pytest.approx(2 / 3)


def test_pooled_hd95_takes_both_lists_together() -> None:
    truth, pred = mask_of((4, 4, 4)), mask_of((4, 4, 4), (4, 4, 6))
    scored = label_map_scores(pred, truth, classes={1: "a"}, spacing_mm=MM1, metrics=["hd95-pooled"])
    assert scored.rows[0].value == pytest.approx(1.8)  # 95 % of the way through 0, 0, 2


def test_a_cube_of_three_has_a_hollow_surface() -> None:
    hollow = cube((3, 3, 3), 3)
    hollow[4, 4, 4] = False
    assert hd(cube((3, 3, 3), 3), cube((3, 3, 3), 3), spacing_mm=MM1) == 0
    centre_only = mask_of((4, 4, 4))
    assert hd(cube((3, 3, 3), 3), centre_only, spacing_mm=MM1) == pytest.approx(math.sqrt(3))
    # from the 26 surface voxels to the centre: 6 faces 1, 12 edges sqrt 2, 8 corners sqrt 3; from the centre 1 (to a face)
    total = 6 + 12 * math.sqrt(2) + 8 * math.sqrt(3) + 1
    assert assd(cube((3, 3, 3), 3), centre_only, spacing_mm=MM1) == pytest.approx(total / 27)


def test_the_image_border_counts_as_outside() -> None:
    full, centre = np.ones((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    centre[1, 1, 1] = True
    assert hd(centre, full, spacing_mm=MM1) == pytest.approx(math.sqrt(3))


def test_two_voxels_two_apart_share_half_their_area_within_one_millimetre() -> None:
    pred, truth = mask_of((2, 4, 4)), mask_of((4, 4, 4))
    assert nsd(pred, truth, spacing_mm=MM1, tolerance_mm=1.0) == pytest.approx(0.5)
    assert nsd(pred, truth, spacing_mm=MM1, tolerance_mm=0.5) == 0.0
    assert nsd(pred, truth, spacing_mm=MM1, tolerance_mm=2.0) == 1.0


def test_a_thick_box_moved_by_one_slice_scores_more_by_area_than_by_voxels() -> None:
    truth = np.zeros((40, 40, 16), bool)
    truth[5:35, 5:35, 4:11] = True
    pred = np.roll(truth, 1, axis=2)
    metrics = ["nsd@2mm", "nsd-voxel@2mm"]
    rows = label_map_scores(pred, truth, classes={1: "box"}, spacing_mm=(0.76, 0.76, 3.0), metrics=metrics).rows
    # each box has 2 plates of 900 voxels and 5 rings of 116; the plate that overhangs the other box lies 3 mm off; the other
    # plate faces a ring, from which 2 mm reach two voxels (1.52 mm) inwards: 30 * 30 - 24 * 24 = 324 of its voxels
    within = 2 * (5 * 116 + 324)
    assert rows[1].value == pytest.approx(within / (2 * (2 * 900 + 5 * 116)))
    assert rows[0].value > rows[1].value


def test_a_distance_equal_to_the_tolerance_is_within_it_despite_rounding() -> None:
    pred, truth = mask_of((1, 4, 4)), mask_of((4, 4, 4))
    rows = label_map_scores(
        pred, truth, classes={1: "a"}, spacing_mm=(0.1, 1.0, 1.0), metrics=["nsd-voxel@0.3mm", "nsd-voxel@0.29mm"]
    ).rows
    assert [row.value for row in rows] == [1.0, 0.0]


@pytest.mark.parametrize(("axis", "far"), [(0, 200), (1, 150), (2, 90)])
def test_islands_far_beyond_the_looked_up_neighbours_are_measured_exactly(axis: int, far: int) -> None:
    shape = (210, 160, 100)
    near, away = [2, 2, 2], [2, 2, 2]
    away[axis] += far
    truth, pred = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    truth[tuple(near)] = pred[tuple(near)] = pred[tuple(away)] = 1
    assert hd(pred, truth, spacing_mm=(0.5, 0.7, 3.0)) == pytest.approx(far * (0.5, 0.7, 3.0)[axis])


def test_foreground_at_opposite_ends_of_neighbouring_lines_is_not_taken_for_close() -> None:
    truth, pred = np.zeros((6, 6, 12), np.uint8), np.zeros((6, 6, 12), np.uint8)
    truth[2, 2, 11] = pred[2, 3, 0] = 1
    assert hd(pred, truth, spacing_mm=MM1) == pytest.approx(math.hypot(1, 11))
    assert nsd(pred, truth, spacing_mm=MM1, tolerance_mm=3.0) == 0.0  # elements begin one place before the line
    truth[:], pred[:] = 0, 0
    truth[2, 5, 11] = pred[3, 0, 0] = 1
    assert hd(pred, truth, spacing_mm=MM1) == pytest.approx(math.sqrt(1 + 25 + 121))


def test_truth_empty_is_undefined_and_reports_the_false_positive_volume() -> None:
    scored = label_map_scores(
        cube((1, 1, 1)), mask_of(), classes={1: "liver"}, spacing_mm=(0.5, 2.0, 3.0), metrics=["dice", "hd", "nsd@2mm"]
    )
    assert all(math.isnan(row.value) for row in scored.rows)
    assert scored.by_class["liver"].empty_truth and not scored.by_class["liver"].failed
    assert scored.by_class["liver"].false_positive_mm3 == 8 * 3.0
    assert scored.counts() == {"n_empty_truth": 1, "n_failed": 0, "false_positive_mm3": 24}


def test_prediction_empty_scores_nothing_found_and_counts_as_failed() -> None:
    metrics = ["dice", "hd", "hd95", "assd", "nsd@2mm", "nsd-voxel@2mm"]
    scored = label_map_scores(mask_of(), cube((1, 1, 1)), classes={1: "liver"}, spacing_mm=MM1, metrics=metrics)
    values = {row.metric: row.value for row in scored.rows}
    assert values["dice"] == values["nsd@2mm"] == values["nsd-voxel@2mm"] == 0.0
    assert all(math.isnan(values[name]) for name in ("hd", "hd95", "assd"))
    assert scored.counts() == {"n_empty_truth": 0, "n_failed": 1, "false_positive_mm3": 0}


def test_both_empty_is_undefined_and_counts_as_empty_truth() -> None:
    scored = label_map_scores(mask_of(), mask_of(), classes={1: "a", 2: "b"}, spacing_mm=MM1, metrics=["dice", "assd"])
    assert all(math.isnan(row.value) for row in scored.rows)
    assert scored.counts() == {"n_empty_truth": 2, "n_failed": 0, "false_positive_mm3": 0}


def test_class_labels_beyond_eight_bits_are_scored() -> None:
    truth = cube((1, 1, 1)).astype(np.int32) * 820 + cube((5, 5, 5)).astype(np.int32) * 205
    pred = np.roll(truth, 1, axis=0)
    scored = label_map_scores(
        pred, truth, classes={820: "aorta", 205: "myocardium"}, spacing_mm=MM1, metrics=["dice", "hd"]
    )
    assert [row.value for row in scored.rows] == [0.5, 1.0, 0.5, 1.0]
    with pytest.raises(DataUnsound, match="prediction holds label 7,"):
        label_map_scores(pred + 7 * (pred == 0), truth, classes={820: "a", 205: "m"}, spacing_mm=MM1, metrics=["dice"])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_a_label_that_is_no_class_is_named(dtype: Any) -> None:
    truth = cube((1, 1, 1)).astype(dtype)
    with pytest.raises(DataUnsound, match="truth holds label 14, which is no class"):
        label_map_scores(truth, truth * dtype(14), classes={1: "a"}, spacing_mm=MM1, metrics=["dice"])


def test_a_negative_label_is_named() -> None:
    truth = cube((1, 1, 1)).astype(np.int16)
    with pytest.raises(DataUnsound, match="prediction holds label -1"):
        label_map_scores(-truth, truth, classes={1: "a"}, spacing_mm=MM1, metrics=["dice"])


@pytest.mark.parametrize("spacing", [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, math.nan, 1.0), (1.0, 1.0)])
def test_spacing_must_be_three_positive_numbers(spacing: Any) -> None:
    with pytest.raises(DataUnsound, match="three positive numbers"):
        hd(cube((1, 1, 1)), cube((1, 1, 1)), spacing_mm=spacing)


def test_unequal_shapes_planes_and_floats_are_refused_by_what_was_found() -> None:
    mask = cube((1, 1, 1))
    with pytest.raises(DataUnsound, match=r"\(9, 9, 8\) and \(9, 9, 9\)"):
        hd(mask[..., :8], mask, spacing_mm=MM1)
    with pytest.raises(DataUnsound, match=r"three axes, found shape \(9, 9\)"):
        hd(mask[0], mask[0], spacing_mm=MM1)
    with pytest.raises(DataUnsound, match="float32"):
        label_map_scores(mask.astype(np.float32), mask, classes={1: "a"}, spacing_mm=MM1, metrics=["dice"])
    with pytest.raises(DataUnsound, match="0 and 1, found values from 0 to 13"):
        hd(mask * np.uint8(13), mask, spacing_mm=MM1)
    with pytest.raises(DataUnsound, match="no voxels"):
        hd(mask[:0], mask[:0], spacing_mm=MM1)


def test_classes_and_metrics_that_cannot_be_are_refused() -> None:
    mask = cube((1, 1, 1))
    with pytest.raises(SpecError, match="0 is background"):
        label_map_scores(mask, mask, classes={0: "air", 1: "a"}, spacing_mm=MM1, metrics=["dice"])
    with pytest.raises(SpecError, match="must differ"):
        label_map_scores(mask, mask, classes={1: "a", 2: "a"}, spacing_mm=MM1, metrics=["dice"])
    with pytest.raises(SpecError, match="does not score masks"):
        label_map_scores(mask, mask, classes={1: "a"}, spacing_mm=MM1, metrics=["auc"])
    with pytest.raises(SpecError, match="No metric 'nsd@-1mm'"):
        nsd(mask, mask, spacing_mm=MM1, tolerance_mm=-1)
