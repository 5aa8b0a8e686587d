"""Two one-sided tests against statsmodels and a table of t."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.stats.equivalence import Sample, equivalence


def sample(values: np.ndarray) -> Sample:
    return Sample(float(values.mean()), float(values.std(ddof=1)), len(values))


@pytest.mark.filterwarnings("ignore")  # statsmodels' own imports
@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_statsmodels_for_one_and_for_two_spreads(seed: int) -> None:
    from statsmodels.stats.weightstats import DescrStatsW, ttost_ind

    draw = np.random.default_rng(seed)
    ours, theirs = draw.normal(80, 1, 8), draw.normal(80.4, 2, 5)
    two = equivalence(sample(ours), sample(theirs), 2.0)
    assert two.basis == "welch" and two.p == pytest.approx(ttost_ind(ours, theirs, -2.0, 2.0, usevar="unequal")[0])
    one = equivalence(sample(ours), Sample(80.3), 1.0)
    assert one.basis == "one" and one.p == pytest.approx(DescrStatsW(ours).ttost_mean(79.3, 81.3)[0])


def test_four_noisy_runs_do_not_show_equivalence_and_twelve_do() -> None:
    few, more = equivalence(Sample(80, 1, 4), Sample(80), 1.0), equivalence(Sample(80, 1, 12), Sample(80), 1.0)
    assert few.p == pytest.approx(0.0697, abs=1e-4) and not few.equivalent and more.equivalent


def test_a_p_value_is_one_sided_so_that_five_percent_lie_beyond_t_of_2_132_on_four_degrees() -> None:
    """Five runs of sd 1 beside a tolerance of 1 have t = sqrt(5) = 2.236; the table's 2.776 would be the two-sided 5 %."""
    found = equivalence(Sample(80, 1, 5), Sample(80), 1.0)
    assert 0.025 < found.p < 0.05 and found.equivalent


def test_a_difference_as_large_as_the_tolerance_is_not_excluded() -> None:
    assert not equivalence(Sample(80.5), Sample(80), 0.5).equivalent
    assert not equivalence(Sample(79.5, 0.0, 3), Sample(80), 0.5).equivalent


def test_without_any_spread_only_the_stated_tolerance_decides() -> None:
    near, far = equivalence(Sample(80.4), Sample(80), 0.5), equivalence(Sample(80.6), Sample(80), 0.5)
    assert near.basis == "tolerance" and math.isnan(near.p)
    assert near.equivalent and not far.equivalent and far.difference == pytest.approx(0.6)


def test_a_spread_that_cannot_be_known_counts_as_none() -> None:
    assert equivalence(Sample(80, 1.0, 1), Sample(80, math.nan, 3), 1.0).basis == "tolerance"


def test_runs_without_any_spread_are_equivalent_inside_the_tolerance_only() -> None:
    assert equivalence(Sample(80, 0.0, 3), Sample(80.5), 1.0).p == 0.0
    assert equivalence(Sample(80, 0.0, 3), Sample(81.0), 1.0).p == 1.0


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan])
def test_a_tolerance_must_be_above_zero(tolerance: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        equivalence(Sample(80), Sample(80), tolerance)
