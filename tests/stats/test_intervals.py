"""Intervals hold what they say: against tables one can look up, against a slow bootstrap, and in simulated coverage."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.stats.intervals import FEW, MOST_FOR_BCA, bootstrap_interval, t_interval
from tests.benchmarks.coverage import SCORES, coverage

NAN = math.nan
COVERAGE = Path(__file__).parents[2] / "results" / "benchmarks" / "coverage.json"


def skewed(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).beta(8, 2, n)


def test_the_interval_of_one_two_three_is_that_of_a_table_of_t() -> None:
    found = t_interval([1, 2, 3])
    assert (found.mean, found.n, found.method) == (2.0, 3, "t")
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6) and found.low == pytest.approx(
        4 - found.high
    )


def test_undefined_values_are_left_out_and_not_counted() -> None:
    assert t_interval([1, NAN, 2, 3, NAN]) == t_interval([1, 2, 3])
    assert bootstrap_interval([1, NAN, 2, 3, NAN]) == bootstrap_interval([1, 2, 3])


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_fewer_than_two_values_have_no_bounds(interval: type[t_interval]) -> None:
    one, none = interval([0.8, NAN]), interval([])
    assert one.mean == 0.8 and math.isnan(one.low) and math.isnan(one.high) and (one.n, one.method) == (1, "none")
    assert math.isnan(none.mean) and none.n == 0


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = bootstrap_interval([0.8] * 10)
    assert (found.low, found.mean, found.high) == (0.8, 0.8, 0.8)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others() -> None:
    values = skewed(30)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3).low != bootstrap_interval(values, seed=4).low
    assert bootstrap_interval(values, seed=3, resamples=99).low != bootstrap_interval(values, seed=3).low


def test_the_bootstrap_is_bias_corrected_and_accelerated_as_efron_writes_it() -> None:
    """The equations of BCa in slow lines, over the same number of resamples of another stream."""
    values = skewed(25) ** 4
    draw = np.random.default_rng(99)
    means = np.array([draw.choice(values, len(values)).mean() for _ in range(40_000)])
    z0 = stats.norm.ppf((np.sum(means < values.mean()) + np.sum(means <= values.mean())) / (2 * len(means)))
    left_out = np.array([np.delete(values, i).mean() for i in range(len(values))])
    centred = left_out.mean() - left_out
    acceleration = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    expected = []
    for z in stats.norm.ppf([0.025, 0.975]):
        share = stats.norm.cdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
        expected.append(np.quantile(means, share))
    found = bootstrap_interval(values, resamples=40_000)
    assert [found.low, found.high] == pytest.approx(expected, rel=0.01)
    plain = np.quantile(means, [0.025, 0.975])
    assert abs(found.low - plain[0]) > 3 * abs(found.low - expected[0])


def test_many_cases_take_percentiles_which_agree_with_t() -> None:
    values = skewed(MOST_FOR_BCA + 1)
    found, t = bootstrap_interval(values, resamples=2_000), t_interval(values)
    assert found.method == "percentile" and bootstrap_interval(values[:100], resamples=200).method == "BCa"
    assert [found.low, found.high] == pytest.approx([t.low, t.high], abs=2e-4)


def test_fewer_than_fifty_cases_are_marked() -> None:
    assert t_interval(skewed(FEW - 1)).few and not t_interval(skewed(FEW)).few


def test_an_interval_of_a_higher_level_holds_that_of_a_lower_one() -> None:
    values = skewed(40)
    for interval in (t_interval, bootstrap_interval):
        wide, narrow = interval(values, 0.99), interval(values, 0.9)
        assert wide.low < narrow.low < narrow.high < wide.high


def test_the_kept_coverage_figures_are_of_all_sizes_and_scores_and_near_their_level() -> None:
    kept = json.loads(COVERAGE.read_text(encoding="utf-8"))
    found = {(row["scores"], row["n"]): row for row in kept["rows"]}
    assert set(found) == {(name, n) for name in SCORES for n in (20, 50, 200)}
    assert all(row["t"] > 0.93 for (name, _), row in found.items() if name == "normal")
    assert all(row["bca"] > 0.93 for (_, n), row in found.items() if n == 200)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50, 200])
def test_ninety_five_percent_intervals_of_normal_scores_cover_in_ninety_five_percent(n: int) -> None:
    """2,000 draws: the share's standard error is 0.5 %, so 1.5 % is three of them; BCa may lack 3 % more at n = 20."""
    found = coverage("normal", n, draws=2_000, resamples=999, seed=n)
    assert found["t"] == pytest.approx(0.95, abs=0.015)
    assert 0.95 - 0.015 - (0.03 if n == 20 else 0.015) < found["bca"] < 0.965
