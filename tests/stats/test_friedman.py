"""Mean ranks, Friedman's test and Nemenyi's critical difference, beside a reference and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from bench.stats.friedman import ranking


def test_methods_in_one_order_everywhere_have_whole_ranks() -> None:
    scores = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5], [0.9, 0.8, 0.7, 0.6]])
    found = ranking(["c", "b", "a"], scores)
    assert (found.names, found.ranks, found.n) == (("a", "b", "c"), (1.0, 2.0, 3.0), 4)
    assert found.p == pytest.approx(friedmanchisquare(*scores).pvalue)
    assert found.critical_difference == pytest.approx(2.343 * (3 * 4 / 24) ** 0.5, abs=1e-3)  # Demšar, Table 5
    assert found.cliques == (("a", "b"), ("b", "c"))


def test_equal_scores_share_a_rank_and_tell_nothing_apart() -> None:
    found = ranking(["a", "b", "c"], np.ones((3, 5)))
    assert found.ranks == (2.0, 2.0, 2.0) and found.p == 1.0 and found.cliques == (("a", "b", "c"),)


def test_a_critical_difference_is_that_of_autorank() -> None:
    import pandas as pd
    from autorank import autorank

    scores = np.random.default_rng(0).normal(size=(6, 20))
    told = autorank(pd.DataFrame(scores.T, columns=[*"abcdef"]), alpha=0.05, verbose=False, force_mode="nonparametric")
    found = ranking([*"abcdef"], scores)
    assert found.critical_difference == pytest.approx(told.cd, rel=1e-3) and found.p == pytest.approx(told.pvalue)
    assert dict(zip(found.names, found.ranks, strict=True)) == pytest.approx(told.rankdf["meanrank"].to_dict())


def test_clear_differences_leave_no_clique() -> None:
    scores = np.arange(3)[:, None] + np.zeros((3, 60))
    assert ranking([*"abc"], scores).cliques == ()


@pytest.mark.parametrize("scores", [np.ones((2, 5)), np.ones((3, 1)), np.full((3, 4), np.nan)])
def test_too_few_or_undefined_is_refused(scores: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match="needs 3 methods"):
        ranking([*"abc"[: len(scores)]], scores)
