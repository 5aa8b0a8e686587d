"""The verdict on a measured mean beside a printed value, recounted by hand and checked by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.published.verdict import BASES, Comparison, Spread, compare

NONE = Spread(math.nan, 1)


def beside(measured: float, published: float, **known: object) -> Comparison:
    words = {"half_step": 0.005, "runs": NONE, "printed": NONE, "one": 100.0} | known
    return compare(measured, published, **words)  # type: ignore[arg-type]


def test_the_example_of_the_docstring_holds() -> None:
    made = beside(80.0, 82.0, runs=Spread(1.0, 4))
    assert made.half_width == pytest.approx(3.182446 * math.sqrt(1.25) + 0.005, abs=1e-5)
    assert (made.difference, made.basis, made.verdict) == (-2.0, "runs", "within")


@pytest.mark.parametrize(("measured", "verdict"), [(78.0, "below"), (82.0, "within"), (86.0, "above")])
def test_below_within_and_above_are_said_of_the_measured_value(measured: float, verdict: str) -> None:
    assert beside(measured, 82.0, runs=Spread(1.0, 4)).verdict == verdict


def test_the_edge_belongs_to_within() -> None:
    made = beside(80.0, 82.0, runs=Spread(0.0, 3), half_step=2.0)
    assert (made.half_width, made.verdict) == (2.0, "within")


def test_two_spreads_are_joined_by_welch() -> None:
    ours, theirs = Spread(1.2, 5), Spread(0.7, 3)
    made = beside(80.0, 81.0, runs=ours, printed=theirs)
    oracle = stats.ttest_ind_from_stats(80.0, ours.sd, ours.n, 81.0, theirs.sd, theirs.n, equal_var=False)
    assert made.basis == "both"
    # the p value is 0.05 exactly where the difference equals the half-width
    edge = stats.ttest_ind_from_stats(made.half_width - 0.005, 1.2, 5, 0.0, 0.7, 3, equal_var=False)
    assert edge.pvalue == pytest.approx(0.05)
    assert (oracle.pvalue > 0.05) == (made.verdict == "within")


def test_two_spreads_of_zero_leave_rounding_alone() -> None:
    assert beside(80.0, 80.0, runs=Spread(0.0, 3), printed=Spread(0.0, 3)).half_width == 0.005


def test_one_run_is_measured_by_the_printed_spread() -> None:
    made = beside(80.0, 81.0, printed=Spread(0.7, 3))
    assert made.basis == "published"
    assert made.half_width == pytest.approx(4.302653 * 0.7 * math.sqrt(1 + 1 / 3) + 0.005, abs=1e-5)


def test_one_run_without_printed_spread_is_measured_by_its_cases() -> None:
    made = beside(80.0, 81.0, cases=Spread(6.0, 6))
    assert made.basis == "cases"
    assert made.half_width == pytest.approx(2.570582 * 6.0 * math.sqrt(2 / 6) + 0.005, abs=1e-5)


def test_a_mean_of_scores_between_zero_and_one_has_a_bound_and_its_cases_stay_below_it() -> None:
    values = np.random.default_rng(0).beta(8, 2, size=40) * 100
    sd = float(values.std(ddof=1))
    mean = float(values.mean())
    bound = beside(mean, 81.0, n_cases=40)
    assert bound.basis == "bound" and beside(100.5, 81.0, n_cases=40).basis == "none"  # beyond 1 nothing is bounded
    assert beside(mean, 81.0, cases=Spread(sd, 40)).half_width < bound.half_width
    right_or_wrong = (np.arange(40) < 30) * 100.0  # the widest scores there are reach the bound
    widest = beside(75.0, 81.0, cases=Spread(float(right_or_wrong.std()), 40))
    assert widest.half_width == pytest.approx(beside(75.0, 81.0, n_cases=40).half_width)


def test_without_any_spread_there_is_a_difference_and_no_verdict() -> None:
    made = beside(80.0, 81.0)
    assert (made.difference, made.basis, made.verdict) == (-1.0, "none", "")
    assert math.isnan(made.half_width)


def test_an_undefined_mean_has_no_verdict() -> None:
    assert beside(math.nan, 81.0, runs=Spread(1.0, 4)).verdict == ""


def test_coarser_print_tolerates_more() -> None:
    fine = beside(80.0, 81.0, runs=Spread(1.0, 4), half_step=0.005)
    coarse = beside(80.0, 81.0, runs=Spread(1.0, 4), half_step=0.5)
    assert coarse.half_width - fine.half_width == pytest.approx(0.495)


def test_every_basis_is_explained() -> None:
    assert set(BASES) == {"both", "published", "runs", "cases", "bound", "none"}


@pytest.mark.parametrize("basis", ["both", "published", "runs"])
def test_of_runs_of_one_thing_nineteen_in_twenty_are_within(basis: str) -> None:
    generator = np.random.default_rng(7)
    held = 0
    trials = 2_000
    for _ in range(trials):
        ours = generator.normal(80, 1, 1 if basis == "published" else 4)
        theirs = generator.normal(80, 1, 1 if basis == "runs" else 3)
        spreads = [Spread(float(d.std(ddof=1)) if len(d) > 1 else math.nan, len(d)) for d in (ours, theirs)]
        made = beside(float(ours.mean()), float(theirs.mean()), half_step=0.0, runs=spreads[0], printed=spreads[1])
        assert made.basis == basis
        held += made.verdict == "within"
    assert held / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))
