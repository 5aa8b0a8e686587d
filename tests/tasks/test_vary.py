"""On the device: rotation, zoom and bent space move image, label and inside together, about one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts.configs import FineTuneConfig, Shape3
from tasks.kinds.crops import turn_matrix
from tasks.kinds.vary import turn
from tests.tasks.test_labelled_crops import labels

QUARTERS = {  # output offset -> input offset
    (0, 1): ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    (1, 2): ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    (0, 2): ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
}


def turned(array: np.ndarray, matrix: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    label = torch.from_numpy(array)[None]
    moved = torch.from_numpy(np.array(matrix, np.float32))[None]
    return turn(label[:, None].float(), label, torch.ones_like(label), moved)


@pytest.mark.parametrize("shape", [(7, 7, 7), (8, 6, 5), (1, 6, 9), (33, 48, 64)])
def test_a_turn_by_nothing_returns_label_and_inside_exactly_and_the_image_to_rounding(shape: Shape3) -> None:
    array = labels(shape)
    volume, label, inside = turned(array, np.eye(3))
    assert torch.equal(label[0], torch.from_numpy(array)) and label.dtype == torch.uint8
    assert bool((inside == 1).all())
    assert torch.allclose(volume[0, 0], torch.from_numpy(array).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("axes", list(QUARTERS))
@pytest.mark.parametrize("side", [7, 8])
def test_a_quarter_turn_equals_numpys(axes: tuple[int, int], side: int) -> None:
    array = labels((side, side, side))
    volume, label, inside = turned(array, QUARTERS[axes])
    expected = torch.from_numpy(np.ascontiguousarray(np.rot90(array, 1, axes)))
    assert torch.equal(label[0], expected) and bool((inside == 1).all())
    assert torch.allclose(volume[0, 0], expected.float(), rtol=0, atol=1e-4)


def test_zooming_by_three_shows_the_middle_third_three_times_as_large() -> None:
    array = np.zeros((33, 33, 33), np.uint8)
    array[14:19, 14:19, 14:19] = 1
    _, large, _ = turned(array, np.eye(3) / 3)
    _, small, inside = turned(array, np.eye(3) * 2)
    assert int(large.sum()) == 15**3  # offset k / 3 lies in a voxel of the cube for k in -7..7
    assert (
        int(small.sum()) == 3**3 and int(inside.sum()) == 17**3
    )  # 2 k lies in the cube for -1..1, in the volume for -8..8


@pytest.mark.parametrize("zoom", [1 / 1.4, 1 / 1.1, 1.0, 1 / 0.7])
def test_a_zoom_above_one_enlarges_a_ball_and_one_below_shrinks_it(zoom: float) -> None:
    recipe = FineTuneConfig(zoom=(zoom, zoom))
    z, y, x = np.ogrid[-24:25, -24:25, -24:25]
    ball = (z**2 + y**2 + x**2 <= 15**2).astype(np.uint8)
    _, shown_ball, _ = turned(ball, turn_matrix(recipe, np.random.default_rng(0)))
    assert int(shown_ball.sum()) / int(ball.sum()) == pytest.approx(zoom**3, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_image_label_and_inside_turn_about_the_same_place_by_the_same_angle(seed: int) -> None:
    recipe = FineTuneConfig(rotate_degrees=(40.0, 40.0, 40.0), zoom=(0.8, 1.2))
    matrix = turn_matrix(recipe, np.random.default_rng(seed))
    array = np.zeros((41, 37, 33), np.uint8)
    array[14:22, 15:21, 10:19] = 1
    volume, label, inside = turned(array, matrix)
    places = [np.argwhere(label[0].numpy() == 1).mean(0), np.argwhere(volume[0, 0].numpy() > 0.5).mean(0)]
    middle = (np.array(array.shape) - 1) / 2
    expected = middle + np.linalg.solve(matrix.astype(float), np.argwhere(array).mean(0) - middle)
    assert np.abs(np.array(places) - expected).max() < 0.15
    assert not bool(label[inside == 0].any())


def test_space_is_bent_before_it_is_turned() -> None:
    """One voxel along the first axis of what comes out is, a quarter turn earlier, one backwards along the second."""
    array = labels((7, 7, 7))
    moved = np.zeros_like(array)
    moved[:, 1:] = array[:, :-1]
    bent = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1, 1).expand(1, 3, 2, 2, 2)
    label = torch.from_numpy(array)[None]
    matrix = torch.tensor([QUARTERS[0, 1]], dtype=torch.float32)
    _, found, _ = turn(label[:, None].float(), label, torch.ones_like(label), matrix, bent)
    assert torch.equal(found[0], torch.from_numpy(np.ascontiguousarray(np.rot90(moved, 1, (0, 1)))))


def test_a_bend_is_told_at_the_middles_of_blocks_of_voxels() -> None:
    """Voxel v of 16 stands at (v + 1/2) / 4 - 1/2 of four nodes, ends held."""
    ramp = torch.arange(16.0).view(1, 1, 16, 1, 1).expand(1, 1, 16, 16, 16)
    bent = torch.zeros(1, 3, 4, 4, 4)
    bent[0, 0] = torch.tensor([0.0, -0.5, -1.0, -1.5]).view(4, 1, 1)
    mask = torch.ones(1, 16, 16, 16, dtype=torch.uint8)
    found = turn(ramp, mask, mask, torch.eye(3)[None], bent)[0][0, 0, :, 8, 8]
    voxels = torch.arange(16.0)
    expected = voxels - 0.5 * ((voxels + 0.5) / 4 - 0.5).clamp(0, 3)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_what_comes_from_outside_is_nothing_in_the_image_too() -> None:
    volume, _, inside = turned(np.full((9, 9, 9), 5, np.uint8), np.eye(3) * 2)
    assert not volume[0, 0][inside[0] == 0].any() and bool((volume[0, 0][inside[0] == 1] == 5).all())


def test_each_sample_of_a_batch_has_its_own_turn() -> None:
    array = torch.from_numpy(labels((6, 6, 6)))[None].repeat(2, 1, 1, 1)
    matrices = torch.tensor(np.array([np.eye(3), QUARTERS[0, 1]]), dtype=torch.float32)
    _, label, _ = turn(array[:, None].float(), array, torch.ones_like(array), matrices)
    assert torch.equal(label[0], array[0]) and not torch.equal(label[1], array[1])
