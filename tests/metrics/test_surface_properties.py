"""The surface metrics against MONAI and against a plain restatement, and what must hold whatever the masks."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.surface import assd, hd, hd95, label_map_scores, nsd
from tests.metrics.masks import examples, mask_pairs, spacings
from tests.metrics.plain_surface import monai_scores, plain_scores

ALL = ("dice", "hd", "hd95", "assd", "hd95-pooled", "nsd@1.5mm", "nsd-voxel@1.5mm")
TOLERANCES_MM = st.sampled_from((0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 20.0))


def ours(pred: Any, truth: Any, spacing_mm: tuple[float, float, float], metrics: Any = ALL) -> dict[str, float]:
    rows = label_map_scores(pred, truth, classes={1: "organ"}, spacing_mm=spacing_mm, metrics=tuple(metrics)).rows
    return {row.metric: row.value for row in rows}


@given(mask_pairs(), spacings(), TOLERANCES_MM)
@examples(220)
def test_all_metrics_equal_monai(masks: Any, spacing_mm: Any, tolerance_mm: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = monai_scores(*masks, spacing_mm, tolerance_mm)
    assert ours(*masks, spacing_mm, expected) == pytest.approx(expected, abs=1e-4)


@given(mask_pairs(largest=6), spacings(), TOLERANCES_MM)
@examples(220)
def test_all_metrics_equal_their_plain_restatement(masks: Any, spacing_mm: Any, tolerance_mm: float) -> None:
    expected = plain_scores(*masks, spacing_mm, tolerance_mm)
    assert ours(*masks, spacing_mm, expected) == pytest.approx(expected, abs=1e-6)


@given(mask_pairs(may_be_empty=True), spacings())
@examples(80)
def test_swapping_prediction_and_truth_changes_nothing_unless_one_is_empty(masks: Any, spacing_mm: Any) -> None:
    pred, truth = masks
    if pred.any() == truth.any():
        assert ours(pred, truth, spacing_mm) == pytest.approx(ours(truth, pred, spacing_mm), abs=1e-9, nan_ok=True)
    else:
        full, empty = (pred, truth) if pred.any() else (truth, pred)
        assert all(math.isnan(value) for value in ours(full, empty, spacing_mm).values())
        missed = ours(empty, full, spacing_mm)
        assert {name for name, value in missed.items() if value == 0} == {"dice", "nsd@1.5mm", "nsd-voxel@1.5mm"}
        assert all(math.isnan(missed[name]) for name in ("hd", "hd95", "hd95-pooled", "assd"))


@given(mask_pairs(), spacings(), st.permutations((0, 1, 2)), st.booleans())
@examples(80)
def test_turning_axes_with_their_spacing_changes_nothing(masks: Any, spacing_mm: Any, order: Any, copied: bool) -> None:
    turned = [mask.transpose(order) for mask in masks]
    turned = [np.ascontiguousarray(mask) for mask in turned] if copied else turned
    turned_mm = tuple(spacing_mm[axis] for axis in order)
    assert ours(*turned, turned_mm) == pytest.approx(ours(*masks, spacing_mm), abs=1e-9)


@given(mask_pairs(), spacings(), st.sampled_from((0.5, 2.0, 4.0)))
@examples(60)
def test_distances_grow_with_the_spacing_and_shares_with_spacing_and_tolerance_do_not(
    masks: Any, spacing_mm: Any, factor: float
) -> None:
    grown_mm = tuple(step * factor for step in spacing_mm)
    grown = ours(*masks, grown_mm, [*ALL[:5], f"nsd@{1.5 * factor:g}mm", f"nsd-voxel@{1.5 * factor:g}mm"])
    plain = ours(*masks, spacing_mm)
    scaled = {name: value * (factor if name.startswith(("hd", "assd")) else 1) for name, value in plain.items()}
    assert list(grown.values()) == pytest.approx(list(scaled.values()), abs=1e-9)


@given(mask_pairs(largest=6), spacings(), st.tuples(*[st.integers(1, 9)] * 6))
@examples(60)
def test_empty_margins_of_any_width_change_nothing(masks: Any, spacing_mm: Any, margins: Any) -> None:
    widths = [margins[:2], margins[2:4], margins[4:]]
    placed = [np.pad(mask, widths) for mask in masks]
    assert ours(*placed, spacing_mm) == pytest.approx(ours(*masks, spacing_mm), abs=1e-12)


@given(mask_pairs(), spacings())
@examples(60)
def test_a_mask_against_itself_is_perfect_and_order_among_metrics_holds(masks: Any, spacing_mm: Any) -> None:
    pred, truth = masks
    assert list(ours(truth, truth, spacing_mm).values()) == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    scores = ours(pred, truth, spacing_mm)
    assert 0 <= scores["assd"] <= scores["hd"] + 1e-12
    assert scores["hd95-pooled"] <= scores["hd"] + 1e-12 and scores["hd95"] <= scores["hd"] + 1e-12
    wider = ours(pred, truth, spacing_mm, ["nsd@2.5mm", "nsd-voxel@2.5mm", "nsd@1000mm"])
    assert scores["nsd@1.5mm"] <= wider["nsd@2.5mm"] + 1e-12 and wider["nsd@1000mm"] == pytest.approx(1.0)
    assert scores["nsd-voxel@1.5mm"] <= wider["nsd-voxel@2.5mm"]


@given(mask_pairs(largest=12), spacings(), st.sampled_from((np.uint8, np.int16, np.int32, np.uint16, np.int64)))
@examples(80)
def test_many_classes_at_once_score_as_each_alone_in_every_integer_type(
    masks: Any, spacing_mm: Any, dtype: Any
) -> None:
    rng = np.random.default_rng(masks[0].size)
    classes = {3: "liver", 7: "spleen", 200: "aorta"}
    pred, truth = (np.where(mask, rng.choice([3, 7, 200], mask.shape), 0).astype(dtype) for mask in masks)
    pred = np.where(rng.random(pred.shape) < 0.7, truth, pred)
    together = label_map_scores(pred, truth, classes=classes, spacing_mm=spacing_mm, metrics=ALL)
    assert [(row.class_, row.metric) for row in together.rows] == [(c, m) for c in classes.values() for m in ALL]
    for label, name in classes.items():
        alone = ours(pred == label, truth == label, spacing_mm)
        values = {row.metric: row.value for row in together.rows if row.class_ == name}
        assert values == pytest.approx(alone, abs=1e-12, nan_ok=True)


@given(mask_pairs(), spacings())
@examples(40)
def test_functions_of_two_masks_give_the_rows_of_a_label_map(masks: Any, spacing_mm: Any) -> None:
    expected = ours(*masks, spacing_mm)
    assert hd(*masks, spacing_mm=spacing_mm) == expected["hd"]
    assert hd95(*masks, spacing_mm=spacing_mm) == expected["hd95"]
    assert assd(*masks, spacing_mm=spacing_mm) == expected["assd"]
    assert nsd(*masks, spacing_mm=spacing_mm, tolerance_mm=1.5) == expected["nsd@1.5mm"]


def test_a_large_map_crossing_many_slabs_equals_monai() -> None:
    rng = np.random.default_rng(5)
    x, y, z = np.ogrid[:150, :110, :90]
    truth = ((x - 70) / 55) ** 2 + ((y - 50) / 40) ** 2 + ((z - 45) / 35) ** 2 < 1
    pred = np.roll(truth, (3, -1, 2), (0, 1, 2))
    for _ in range(12):
        low = [int(rng.integers(0, size - 4)) for size in truth.shape]
        pred[tuple(slice(start, start + 3) for start in low)] = True
    spacing_mm = (0.7, 0.9, 2.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = monai_scores(pred, truth, spacing_mm, 2.0)
    assert ours(pred, truth, spacing_mm, expected) == pytest.approx(expected, abs=1e-4)
    fortran = [np.asfortranarray(mask.astype(np.uint8)) for mask in (pred, truth)]
    assert ours(*fortran, spacing_mm, expected) == pytest.approx(expected, abs=1e-4)
