"""Recall at k by hand and by sorting; ties, chance, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contracts.errors import DataUnsound, SpecError
from bench.metrics.retrieval import recall_at


def test_one_of_two_queries_found_is_one_half_at_a_chance_of_one_half() -> None:
    found = recall_at(np.array([[0.9, 0.1], [0.8, 0.2]]), 1)
    assert (found.value, found.chance, found.gallery, found.queries, found.k) == (0.5, 0.5, 2, 2, 1)


def test_recall_equals_looking_through_the_sorted_gallery() -> None:
    rng = np.random.default_rng(0)
    similarities, own = rng.normal(size=(30, 50)), rng.integers(0, 50, 30)
    for k in (1, 5, 10, 50):
        hits = [own[i] in np.argsort(-similarities[i])[:k] for i in range(30)]
        assert recall_at(similarities, k, own=own).value == pytest.approx(np.mean(hits))
    assert recall_at(similarities, 50, own=own).value == 1.0


def test_a_model_that_finds_all_alike_finds_nothing() -> None:
    assert recall_at(np.zeros((8, 8)), 7).value == 0.0
    assert recall_at(np.zeros((8, 8)), 8).value == 1.0


def test_tables_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(SpecError, match=r"recall@3 of a gallery of 2: k must lie in 1\.\.2"):
        recall_at(np.eye(2), 3)
    with pytest.raises(DataUnsound, match="2 queries and a gallery of 3"):
        recall_at(np.ones((2, 3)), 1)
    with pytest.raises(DataUnsound, match="1 of 4 similarities"):
        recall_at(np.array([[1.0, np.nan], [0.0, 1.0]]), 1)
    with pytest.raises(DataUnsound, match="index below 3"):
        recall_at(np.ones((2, 3)), 1, own=np.array([0, 3]))
    with pytest.raises(DataUnsound, match=r"found \(4,\)"):
        recall_at(np.ones(4), 1)
