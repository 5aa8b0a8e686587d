"""Mean and spread over the voxels that count, and what of it reaches the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts.configs import Intensity
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe, entry_key
from bench.data.moments import moments, percentile_scaled
from bench.data.volumes import Volume, read_image
from bench.keys import plain
from tests import tiny_dataset as tiny

NONZERO = Intensity("zscore", over="nonzero")
POSITIVE = Intensity("zscore", over="positive", clip_percentiles=(0.5, 99.5))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One stripped volume: 0 outside a block, -40 to 140 inside."""
    image = np.zeros(tiny.SHAPE, np.float32)
    image[2:7, 3:8, 4:9] = np.linspace(-40, 140, 125, dtype=np.float32).reshape(5, 5, 5)
    tiny.write_image(tmp_path, tiny.CASES[0], image)
    tiny.write_label(tmp_path, tiny.CASES[0], tiny.label_of(tiny.CASES[0]))
    return tmp_path


def stored(folder: Path, intensity: Intensity, cache: Path, *, crop: bool = False) -> np.ndarray:
    recipe = CacheRecipe(intensity=intensity, crop_foreground=crop)
    cases = prepare(folder, tiny.LAYOUT.records(folder)[:1], recipe, cache)
    return cases.read(tiny.CASES[0], (0, 0, 0), cases.shape(tiny.CASES[0]))[0].astype(np.float64)


def test_moments_count_all_nonzero_or_positive_voxels_of_each_channel() -> None:
    array = np.array([[0, 2, 4, -2], [0, 0, 0, 0]], np.float32).reshape(2, 4, 1, 1)
    assert moments(array) == ((1.0, 0.0), (pytest.approx(np.sqrt(5)), 0.0))
    assert moments(array, "nonzero")[0][0] == pytest.approx(4 / 3) and moments(array, "nonzero")[1][1] == 0.0
    assert moments(array, "positive") == ((3.0, 0.0), (1.0, 0.0))


def test_percentiles_clip_each_channel_by_its_own_voxels() -> None:
    array = np.stack([np.arange(1000), 7 * np.ones(1000)]).reshape(2, 10, 10, 10).astype(np.float32)
    affine = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    found = percentile_scaled(Volume(array, (1.0, 1.0, 1.0), affine), (0.5, 99.5)).array
    low, high = np.percentile(array[0], [0.5, 99.5])
    np.testing.assert_allclose(found[0], np.clip((array[0] - low) / (high - low), 0, 1), atol=1e-6)
    assert not found[1].any()


def test_zero_stays_zero_and_what_is_inside_has_mean_0_and_sd_1(folder: Path, tmp_path: Path) -> None:
    raw = read_image(folder, tiny.LAYOUT.records(folder)[0]).array[0]
    found = stored(folder, NONZERO, tmp_path / "cache")
    assert not found[raw == 0].any()
    assert found[raw != 0].mean() == pytest.approx(0, abs=1e-3) and found[raw != 0].std() == pytest.approx(1, abs=1e-3)


def test_the_foreground_of_a_stripped_volume_is_what_is_not_zero(folder: Path, tmp_path: Path) -> None:
    assert stored(folder, NONZERO, tmp_path / "cache", crop=True).shape == (5, 5, 5)


def test_positive_voxels_give_the_moments_and_all_voxels_are_moved_by_them(folder: Path, tmp_path: Path) -> None:
    raw = read_image(folder, tiny.LAYOUT.records(folder)[0]).array[0].astype(np.float64)
    low, high = np.percentile(raw, [0.5, 99.5])
    scaled = np.clip((raw - low) / (high - low), 0, 1)
    inside = scaled[scaled > 0]
    np.testing.assert_allclose(
        stored(folder, POSITIVE, tmp_path / "cache"), (scaled - inside.mean()) / inside.std(), atol=5e-3
    )


def test_options_that_came_later_leave_earlier_keys_and_give_new_ones_where_they_are_used(folder: Path) -> None:
    record = tiny.LAYOUT.records(folder)[0]
    keys = {i: entry_key(folder, record, CacheRecipe(intensity=i)) for i in (Intensity("zscore"), NONZERO, POSITIVE)}
    assert len(set(keys.values())) == 3
    assert set(plain(Intensity("zscore"))) == {"kind", "window_hu", "scaled_to"}
    assert plain(NONZERO)["over"] == "nonzero" and "clip_percentiles" not in plain(NONZERO)
