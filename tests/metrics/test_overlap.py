"""Dice and RAVD by hand, what must hold whatever the masks, and the counts of all classes against counting each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts.errors import DataUnsound
from bench.metrics.label_maps import paired
from bench.metrics.overlap import dice, label_counts, ravd
from bench.metrics.surface import label_map_scores
from tests.metrics.masks import examples, mask_pairs, spacings


def test_two_cubes_half_overlapping_have_dice_one_half() -> None:
    pred, truth = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    truth[0:2, 0:2, 0:2] = pred[1:3, 0:2, 0:2] = True
    assert dice(pred, truth) == 0.5


def test_dice_of_empty_masks_follows_the_rule() -> None:
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert dice(empty, full) == 0.0
    assert math.isnan(dice(full, empty)) and math.isnan(dice(empty, empty))
    assert dice(full, full.astype(np.uint8)) == 1.0


def test_dice_refuses_label_maps_floats_and_unequal_shapes() -> None:
    mask = np.ones((2, 3), bool)
    with pytest.raises(DataUnsound, match="found values from 3 to 3"):
        dice(mask * np.int16(3), mask)
    with pytest.raises(DataUnsound, match="float64"):
        dice(mask * 0.5, mask)
    with pytest.raises(DataUnsound, match=r"\(3, 2\) and \(2, 3\)"):
        dice(mask.T, mask)


def test_six_voxels_for_eight_miss_a_quarter_of_the_volume_wherever_they_lie() -> None:
    pred, truth = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    truth[0:2, 0:2, 0:2] = pred[2:4, 0:3, 3] = True
    assert ravd(pred, truth) == 0.25
    assert ravd(truth, pred) == pytest.approx(1 / 3)  # the truth's volume counts, so the two do not swap


def test_ravd_of_empty_masks_follows_the_rule() -> None:
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert ravd(empty, full) == 1.0 and ravd(full, full) == 0.0
    assert math.isnan(ravd(full, empty)) and math.isnan(ravd(empty, empty))
    with pytest.raises(DataUnsound, match="one shape"):
        ravd(full[1:], full)


@given(mask_pairs(may_be_empty=True), spacings(), st.permutations((0, 1, 2)), st.integers(0, 2**32 - 1))
@examples(120)
def test_ravd_is_the_volumes_difference_over_the_true_one_whatever_spacing_axes_and_places(
    masks: Any, spacing_mm: Any, order: Any, seed: int
) -> None:
    pred, truth = masks
    voxel_mm3 = math.prod(spacing_mm)
    volumes_mm3 = pred.sum() * voxel_mm3, truth.sum() * voxel_mm3
    expected = abs(volumes_mm3[0] - volumes_mm3[1]) / volumes_mm3[1] if truth.any() else math.nan
    moved = np.random.default_rng(seed).permutation(pred.ravel()).reshape(pred.shape)
    found = ravd(moved.transpose(order), truth.transpose(order))
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert (found == 0.0) == (bool(truth.any()) and pred.sum() == truth.sum())
    scored = label_map_scores(pred, truth, classes={1: "organ"}, spacing_mm=spacing_mm, metrics=("dice", "ravd"))
    assert [row.value for row in scored.rows] == pytest.approx([dice(pred, truth), found], nan_ok=True)
    assert scored.by_class["organ"].failed == (bool(truth.any()) and not pred.any())


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30)),
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.0, 0.0005, 0.02, 0.6)),
    st.sampled_from((np.uint8, np.int16, np.int32)),
    st.permutations((0, 1, 2)),
)
@examples(120)
def test_one_pass_counts_what_counting_each_class_counts(
    shape: Any, seed: int, density: float, dtype: Any, order: Any
) -> None:
    rng = np.random.default_rng(seed)
    pred, truth = (
        np.where(rng.random(shape) < density, rng.integers(1, 5, shape), 0).astype(dtype).transpose(order)
        for _ in range(2)
    )
    pred_map, truth_map, axes = paired(pred, truth, range(1, 5))
    counts = label_counts(pred_map, truth_map)
    for label in range(1, 5):
        assert counts.pred[label] == (pred == label).sum()
        assert counts.truth[label] == (truth == label).sum()
        assert counts.shared[label] == ((pred == label) & (truth == label)).sum()
    outside = ((pred != 0) | (truth != 0)).transpose(axes).copy()
    outside[counts.box] = False
    assert not outside.any()


def test_the_box_of_compact_organs_is_tight_but_for_a_word() -> None:
    truth = np.zeros((64, 50, 80), np.uint8)
    truth[20:30, 10:17, 33:41] = 1
    pred_map, truth_map, _ = paired(truth, truth, [1])
    box = label_counts(pred_map, truth_map).box
    assert box[0] == slice(20, 30) and box[1] == slice(10, 17)
    assert 25 < box[2].start <= 33 and 41 <= box[2].stop < 49


def test_a_word_of_voxels_that_ends_in_the_next_plane_leaves_none_outside_the_box() -> None:
    """Lines of two voxels: the second word of eight holds the last line of plane 0 and three lines of plane 1."""
    truth = np.zeros((2, 5, 2), np.uint8)
    truth[1, 0, 0] = 1
    pred_map, truth_map, _ = paired(truth, truth, [1])
    box = label_counts(pred_map, truth_map).box
    assert truth[box].sum() == 1
    scored = label_map_scores(truth, truth, classes={1: "a"}, spacing_mm=(1.0, 1.0, 1.0), metrics=("hd", "nsd@1mm"))
    assert [row.value for row in scored.rows] == [0.0, 1.0]
