"""Controls destroy what they should and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.contracts.configs import MethodConfig
from bench.contracts.errors import SpecError
from bench.contracts.method import one_phase
from bench.keys import key_of
from bench.train.controls import EvenedViews, ShuffledVoxels, WhiteNoise, controlled, levels_of, others_label


def views(corpus: Any, sample: tuple[str, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    volume = np.arange(2 * 4 * 5 * 6, dtype=np.int16).reshape(2, 4, 5, 6)
    return {"volume": volume, "tokens": np.arange(7)}


def test_shuffling_keeps_every_value_and_leaves_none_of_the_places() -> None:
    plain = views(None, (), np.random.default_rng(0))
    found = ShuffledVoxels(views)(None, (), np.random.default_rng(0))  # type: ignore[arg-type]
    assert found["volume"].shape == plain["volume"].shape and found["volume"].dtype == np.int16
    assert np.array_equal(np.sort(found["volume"], axis=None), plain["volume"].reshape(-1))
    assert (found["volume"] == plain["volume"]).mean() < 0.1
    assert np.array_equal(found["tokens"], plain["tokens"])


def test_channels_of_a_voxel_stay_together_and_each_sample_has_its_own_order() -> None:
    shuffle = ShuffledVoxels(views)
    one = shuffle(None, (), np.random.default_rng(1))["volume"]  # type: ignore[arg-type]
    other = shuffle(None, (), np.random.default_rng(2))["volume"]  # type: ignore[arg-type]
    again = shuffle(None, (), np.random.default_rng(1))["volume"]  # type: ignore[arg-type]
    assert np.array_equal(one[1], one[0] + 120)  # the second channel is the first plus 4 * 5 * 6
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_noise_keeps_shape_mean_and_spread_of_each_channel_and_no_voxel_tells_of_its_neighbour() -> None:
    def smooth(corpus: Any, sample: tuple[str, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
        ramp = np.linspace(0, 1, 16 * 16 * 16, dtype=np.float32).reshape(16, 16, 16)
        return {
            "volume": np.stack([ramp, 100 - 30 * ramp]),
            "grey": (255 * ramp[None]).astype(np.uint8),
            "tokens": np.arange(7),
        }

    plain = smooth(None, (), np.random.default_rng(0))
    found = WhiteNoise(smooth)(None, (), np.random.default_rng(0))  # type: ignore[arg-type]
    assert np.array_equal(found["tokens"], plain["tokens"])
    assert found["grey"].dtype == np.uint8 and len(np.unique(found["grey"])) > 100
    for ours, theirs in zip(found["volume"], plain["volume"], strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert abs(ours.mean() - theirs.mean()) < 0.1 * theirs.std() and abs(ours.std() / theirs.std() - 1) < 0.1
        assert (
            abs(np.corrcoef(ours[:, :, 1:].ravel(), ours[:, :, :-1].ravel())[0, 1]) < 0.06
        )  # 3,840 pairs: 3 SE are 0.05
    again = WhiteNoise(smooth)(None, (), np.random.default_rng(0))  # type: ignore[arg-type]
    assert np.array_equal(found["volume"], again["volume"])


def test_noise_beyond_what_a_byte_holds_ends_at_its_limits_and_does_not_come_round() -> None:
    def bright(corpus: Any, sample: tuple[str, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"volume": np.where(np.arange(4096) % 2, 255, 245).astype(np.uint8).reshape(1, 16, 16, 16)}

    found = WhiteNoise(bright)(None, (), np.random.default_rng(0))["volume"]  # type: ignore[arg-type]
    assert found.max() == 255 and found.min() > 220  # mean 250, deviation 5


def test_even_views_have_the_levels_asked_for_in_each_channel_and_a_flat_channel_has_the_mean() -> None:
    def uneven(corpus: Any, sample: tuple[str, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
        drawn = rng.standard_normal((3, 8, 8, 8)) * np.array([1, 20, 0]).reshape(3, 1, 1, 1) + 300
        return {"volume": drawn.astype(np.float32), "grey": np.full((1, 2, 2, 2), 9, np.uint8), "tokens": np.arange(7)}

    plain = uneven(None, (), np.random.default_rng(0))
    found = EvenedViews(uneven, {"volume": (5.0, 2.0)})(None, (), np.random.default_rng(0))  # type: ignore[arg-type]
    assert found["volume"].dtype == np.float32
    assert found["volume"].mean((1, 2, 3)) == pytest.approx([5, 5, 5], abs=1e-4)
    assert found["volume"].std((1, 2, 3)) == pytest.approx([2, 2, 0], abs=1e-4)
    assert np.corrcoef(found["volume"][1].ravel(), plain["volume"][1].ravel())[0, 1] == pytest.approx(1)
    assert np.array_equal(found["grey"], plain["grey"]) and np.array_equal(found["tokens"], plain["tokens"])


def test_levels_are_the_mean_brightness_and_the_mean_spread_of_the_first_views() -> None:
    def plain(corpus: Any, sample: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        board = np.where(np.indices((4, 4, 4)).sum(0) % 2, 1, -1)
        return {"volume": (100 * sample + (sample + 1) * board)[None].astype(np.int16), "tokens": np.arange(3)}

    config = MethodConfig(batch_size=3, seed=4)
    drawn = []

    def draw(corpus: Any, batch_size: int, step: int, seed: int) -> list[int]:
        drawn.append((batch_size, step, seed))
        return [0, 1, 5]

    phase = one_phase(config, draw=draw, views=plain, loss=None)[0]  # type: ignore[arg-type]
    assert levels_of(phase, None, config.seed) == {"volume": (200.0, 3.0)}  # type: ignore[arg-type]
    assert drawn == [(3, 0, 4)]
    even = controlled(phase, replace(config, shuffled_voxels=True, even_views=True), None)  # type: ignore[arg-type]
    assert drawn == 2 * [(3, 0, 4)]  # by the run's own seed
    found = even.views(None, 9, np.random.default_rng(0))["volume"]  # type: ignore[arg-type]
    assert sorted(set(found.ravel().tolist())) == [197, 203]
    assert not np.array_equal(found, even.views(None, 9, np.random.default_rng(1))["volume"])  # type: ignore[arg-type]


def test_levels_are_told_by_the_first_eight_views_each_with_numbers_of_its_own_by_the_runs_seed() -> None:
    def drawing(corpus: Any, sample: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"volume": np.full((1, 2, 2, 2), rng.random())}

    config = MethodConfig(batch_size=20)
    phase = one_phase(config, draw=lambda _, size, *__: [*range(size)], views=drawing, loss=None)[0]  # type: ignore[arg-type, misc, return-value]
    expected = np.mean([np.random.default_rng((3, number)).random() for number in range(8)])
    assert levels_of(phase, None, 3) == {"volume": (pytest.approx(expected), 0.0)}  # type: ignore[arg-type]


def test_a_phase_is_destroyed_in_the_one_way_its_config_asks_for() -> None:
    config = MethodConfig()
    phase = one_phase(config, draw=None, views=views, loss=None)[0]  # type: ignore[arg-type]
    assert controlled(phase, config, None) == phase
    assert isinstance(controlled(phase, replace(config, shuffled_voxels=True), None).views, ShuffledVoxels)
    assert isinstance(controlled(phase, replace(config, white_noise=True), None).views, WhiteNoise)
    with pytest.raises(SpecError, match="two controls"):
        controlled(phase, replace(config, shuffled_voxels=True, white_noise=True), None)


def test_a_control_is_a_pretraining_of_its_own() -> None:
    small = registry.method("mae3d").small
    shuffled = replace(small, shuffled_voxels=True)
    configs = (small, replace(small, white_noise=True), shuffled, replace(shuffled, even_views=True))
    assert len({key_of(config=config) for config in configs}) == 4


def test_permuted_labels_are_a_permutation_that_the_seed_decides() -> None:
    cases = [f"case{k}" for k in range(50)]
    found = others_label(cases, 0)
    assert list(found) == cases and sorted(found.values()) == sorted(cases)
    assert found == others_label(cases, 0) != others_label(cases, 1)
    assert sum(case == other for case, other in found.items()) < 6
