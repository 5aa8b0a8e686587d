"""Controls destroy what they should and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.train.controls import ShuffledVoxels, others_label


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


def test_permuted_labels_are_a_permutation_that_the_seed_decides() -> None:
    cases = [f"case{k}" for k in range(50)]
    found = others_label(cases, 0)
    assert list(found) == cases and sorted(found.values()) == sorted(cases)
    assert found == others_label(cases, 0) != others_label(cases, 1)
    assert sum(case == other for case, other in found.items()) < 6
