"""The control that tells phantom nodules apart without a network."""

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.nodule_rules import Part, brightness, by_block, directions, explained, parts_of, roughness, rules

SIDE = 28


def blocks(count: int, *, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Blocks of 100 with noise of that standard deviation."""
    drawn = np.random.default_rng(seed).standard_normal((count, SIDE, SIDE, SIDE))
    return (100 + noise * drawn).astype(np.float32)


def test_brightness_and_roughness_are_of_the_middle_alone() -> None:
    plain = blocks(2)
    plain[1, 8:20, 8:20, 8:20] = 140
    assert brightness(plain).tolist() == [100, 140]
    edged = blocks(1)
    edged[:, :2] = np.where(np.arange(SIDE) % 2, 200, 0)
    assert roughness(edged) == pytest.approx([0], abs=1e-4)


def test_a_slope_is_smooth_and_noise_is_rough_by_its_standard_deviation() -> None:
    slope = np.broadcast_to(np.arange(SIDE, dtype=np.float32), (1, SIDE, SIDE, SIDE)).copy()
    assert roughness(slope) == pytest.approx([0], abs=1e-3)
    assert roughness(blocks(1, noise=10)) == pytest.approx([10], rel=0.1)


def test_cubes_of_four_voxels_keep_their_own_voxels() -> None:
    numbered = np.arange(SIDE**3, dtype=np.float32).reshape(1, SIDE, SIDE, SIDE)
    cubes = by_block(numbered)
    assert cubes.shape == (1, 343, 64)
    assert sorted(cubes[0, 8].tolist()) == sorted(
        numbered[0, :4, 4:8, 4:8].ravel().tolist()
    )  # cube (0, 1, 1) of 7 a side


def test_features_on_a_line_fill_one_direction_and_even_ones_all() -> None:
    along = np.linspace(-1, 1, 50)[:, None]
    assert directions(along * np.array([[1.0, 2.0, 3.0]])) == pytest.approx(1, abs=1e-6)
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    assert directions(corners) == pytest.approx(3)


def test_a_linear_feature_is_explained_on_test_rows_and_noise_is_not() -> None:
    random = np.random.default_rng(0)
    shown, asked = random.standard_normal((200, 5)), random.standard_normal((100, 5))
    assert explained(shown, shown @ np.arange(5.0), asked, asked @ np.arange(5.0)) > 0.99
    assert explained(shown, random.standard_normal(200), asked, random.standard_normal(100)) < 0.1


def test_rules_find_rough_blocks_and_are_told_each_ratio_of_the_labels(tmp_path: Path) -> None:
    board = np.where(np.indices((SIDE, SIDE, SIDE)).sum(0) % 2, 1, -1)
    images = np.stack([100 + (6 if k % 2 else 2) * board + k % 3 for k in range(40)])  # as bright, whatever the class
    labels = np.tile([0, 1], 20)[:, None]
    file = tmp_path / "nodules.npz"
    np.savez(file, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    train, test = parts_of(file)
    assert isinstance(train, Part) and train.classes.tolist()[:4] == [0, 1, 0, 1]
    found = rules(train, test, (0.5, 1.0))
    auc = {row["rule"]: row["auc"] for row in found if "ratio" not in row}
    assert auc["roughness of the middle"] == 1
    assert auc["brightness of the block"] == pytest.approx(0.5, abs=0.05)
    fitted = [(row["ratio"], row["auc"]) for row in found if "ratio" in row]
    assert [ratio for ratio, _ in fitted] == [0.5, 1.0, 0.5, 1.0]
    assert [auc for _, auc in fitted[2:]] == [1, 1]  # standard deviations, of which the first half tells all
