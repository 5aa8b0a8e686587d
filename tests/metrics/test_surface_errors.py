"""Surface errors: the distances behind HD, HD95 and ASSD, each at the voxel to which it belongs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from bench.metrics.surface import assd, hd, hd95
from bench.metrics.surface_errors import surface_errors
from tests.metrics.masks import examples, mask_pairs, spacings


def test_a_stray_voxel_is_as_far_off_as_the_spacing_says() -> None:
    truth, pred = np.zeros((3, 4, 5), bool), np.zeros((3, 4, 5), bool)
    truth[1, 2, 1] = pred[1, 2, 1] = pred[1, 2, 3] = True
    to_truth, to_pred = surface_errors(pred, truth, spacing_mm=(1.0, 1.0, 2.0))
    found = dict(zip(map(tuple, to_truth.voxels.tolist()), to_truth.distances_mm.tolist(), strict=True))
    assert found == {(1, 2, 1): 0.0, (1, 2, 3): 4.0}
    assert to_pred.voxels.tolist() == [[1, 2, 1]] and to_pred.distances_mm.tolist() == [0.0]


@given(mask_pairs(), spacings())
@examples(40)
def test_the_metrics_follow_from_the_two_lists(pair: Any, spacing_mm: tuple[float, float, float]) -> None:
    pred, truth = pair
    lists = [errors.distances_mm for errors in surface_errors(pred, truth, spacing_mm=spacing_mm)]
    assert max(part.max() for part in lists) == hd(pred, truth, spacing_mm=spacing_mm)
    assert max(np.percentile(part, 95) for part in lists) == hd95(pred, truth, spacing_mm=spacing_mm)
    assert np.concatenate(lists).mean() == pytest.approx(assd(pred, truth, spacing_mm=spacing_mm))


@given(mask_pairs(), spacings())
@examples(20)
def test_each_voxel_lies_on_its_surface_whatever_the_order_in_memory(pair: Any, spacing_mm: tuple[float, ...]) -> None:
    pred, truth = pair
    plain = surface_errors(pred, truth, spacing_mm=spacing_mm)  # type: ignore[arg-type]
    turned = surface_errors(np.asfortranarray(pred), np.asfortranarray(truth), spacing_mm=spacing_mm)  # type: ignore[arg-type]
    for mask, one, other in zip((pred, truth), plain, turned, strict=True):
        assert mask[tuple(one.voxels.T)].all()
        told = [dict(zip(map(tuple, e.voxels.tolist()), e.distances_mm.tolist(), strict=True)) for e in (one, other)]
        assert told[0] == told[1] and len(told[0]) == len(one.voxels)


def test_an_empty_mask_leaves_the_other_without_distances() -> None:
    mask, empty = np.ones((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    to_truth, to_pred = surface_errors(mask, empty, spacing_mm=(1.0, 1.0, 1.0))
    assert len(to_truth.voxels) == 8 and np.isnan(to_truth.distances_mm).all() and len(to_pred.voxels) == 0
    assert [len(part.voxels) for part in surface_errors(empty, empty, spacing_mm=(1.0, 1.0, 1.0))] == [0, 0]
