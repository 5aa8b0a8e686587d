"""Paired comparisons against every change of sign written out, against statsmodels, and on pairs whose answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.stats.letters import tie_letters
from bench.stats.paired import holm, paired

NAN = math.nan
EXAMPLES = settings(max_examples=80, deadline=None, derandomize=True)


def every_sign(differences: list[float]) -> float:
    """The share of changes of sign whose mean is at least as far from 0 as the observed one."""
    observed = abs(sum(differences))
    signs = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(change, differences, strict=True))) for change in signs]
    return sum(total >= observed - 1e-12 for total in sums) / len(sums)


@pytest.mark.parametrize("seed", range(4))
def test_few_pairs_are_tested_through_every_change_of_sign(seed: int) -> None:
    draw = np.random.default_rng(seed)
    first, second = draw.normal(1, 1, 9), draw.normal(0.3, 1, 9)
    assert paired(first, second).p == pytest.approx(every_sign(list(first - second)))


def test_many_pairs_are_tested_through_random_changes_of_sign_and_the_seed_decides() -> None:
    draw = np.random.default_rng(1)
    first = draw.normal(0.15, 1, 60)
    zero = np.zeros(60)
    one = paired(first, zero, seed=5)
    assert one == paired(first, zero, seed=5)
    other = paired(first, zero, seed=6)
    assert one.p == pytest.approx(other.p, abs=0.03)
    assert one.p != other.p and one.difference.low != other.difference.low  # the seed decides both
    assert one.p > 0  # the observed sign counts among the random ones


def test_a_difference_of_one_two_three_is_described_by_hand() -> None:
    found = paired([3, 5, 8], [2, 3, 5])
    assert (found.n, found.difference.mean, found.higher, found.lower, found.undefined) == (3, 2.0, 3, 0, 0)
    assert found.p == 0.25 and found.wilcoxon_p == 0.25
    assert found.first == pytest.approx(16 / 3) and found.second == pytest.approx(10 / 3)


def test_pairs_with_an_undefined_value_are_left_out_and_counted() -> None:
    whole, holes = paired([3, 5, 8], [2, 3, 5]), paired([3, NAN, 5, 8, 1], [2, 1, 3, 5, NAN])
    assert holes.undefined == 2 and holes.n == 3
    assert (holes.difference, holes.wilcoxon_p) == (whole.difference, whole.wilcoxon_p)
    assert (holes.first, holes.second) == (whole.first, whole.second)  # means over the same pairs as their difference


def test_equal_methods_are_not_told_apart_and_one_pair_says_nothing() -> None:
    same = paired([1, 2, 3], [1, 2, 3])
    assert (same.wilcoxon_p, same.p, same.difference.mean) == (1.0, 1.0, 0.0)
    assert (same.higher, same.lower, same.n) == (0, 0, 3)
    assert math.isnan(paired([1], [0]).wilcoxon_p) and math.isnan(paired([1], [0]).p)
    assert math.isnan(paired([], []).difference.mean)


def test_two_pairs_are_enough_for_a_test() -> None:
    """Of four changes of sign of 1 and 2 two reach a sum of -+3; so few signed ranks have no smaller p than 1/2 either."""
    found = paired([3, 4], [2, 2])
    assert (found.p, found.wilcoxon_p, found.n) == (0.5, 0.5, 2)


def test_exchanging_the_methods_changes_signs_and_no_p_value() -> None:
    draw = np.random.default_rng(2)
    first, second = draw.random(12), draw.random(12)
    one, other = paired(first, second), paired(second, first)
    assert one.difference.mean == -other.difference.mean and (one.higher, one.lower) == (other.lower, other.higher)
    assert one.wilcoxon_p == other.wilcoxon_p and one.p == other.p


def test_failed_cases_move_the_mean_and_not_the_ranks() -> None:
    """Fifteen cases a little better and one lost: signed ranks see the many, the mean sees the one."""
    found = paired([0.80 + i / 1000 for i in range(15)] + [0.0], [0.79] * 15 + [0.9])
    assert found.difference.mean < 0 and found.wilcoxon_p < 0.05 < found.p


def test_lists_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="found 2 and 1"):
        paired([1, 2], [1])


@pytest.mark.slow
def test_under_no_difference_five_percent_of_tests_alarm() -> None:
    draw = np.random.default_rng(7)
    p = [paired(draw.beta(8, 2, 20), draw.beta(8, 2, 20), resamples=999, seed=k) for k in range(1000)]
    for alarms in (sum(x.wilcoxon_p <= 0.05 for x in p), sum(x.p <= 0.05 for x in p)):
        assert 25 <= alarms <= 75  # 50 expected, three and a half standard errors of 6.9


# Families


def test_holm_equals_what_a_hand_works_out() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == []
    corrected = holm([0.01, NAN, 0.02])
    assert math.isnan(corrected[1]) and [corrected[0], corrected[2]] == pytest.approx([0.02, 0.02])


@pytest.mark.filterwarnings("ignore")  # statsmodels' own imports
def test_holm_equals_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    draw = np.random.default_rng(3)
    for size in (1, 2, 5, 30):
        p = draw.random(size) ** 3
        assert holm(list(p)) == pytest.approx(list(multipletests(p, method="holm")[1]))


# Letters


def test_a_chain_of_ties_has_overlapping_letters() -> None:
    assert tie_letters("xyz", [frozenset("xz")]) == {"x": "a", "y": "ab", "z": "b"}
    assert tie_letters("xyz", []) == {"x": "a", "y": "a", "z": "a"}
    assert tie_letters("xy", [frozenset("xy")]) == {"x": "a", "y": "b"}
    assert tie_letters("", []) == {}


@EXAMPLES
@given(data=st.data(), size=st.integers(1, 8))
def test_two_methods_share_a_letter_exactly_where_no_test_tells_them_apart(data: st.DataObject, size: int) -> None:
    names = list(range(size))
    pairs = [frozenset(pair) for pair in itertools.combinations(names, 2)]
    differ = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    letters = tie_letters(names, differ)
    for pair in pairs:
        one, other = pair
        assert bool(set(letters[one]) & set(letters[other])) == (pair not in differ)


@EXAMPLES
@given(data=st.data(), size=st.integers(2, 7))
def test_no_letter_can_be_spared(data: st.DataObject, size: int) -> None:
    """Every letter is the only one of some tie, or stands for a method that has no tie; nothing is said twice."""
    names = list(range(size))
    pairs = [frozenset(pair) for pair in itertools.combinations(names, 2)]
    letters = tie_letters(names, data.draw(st.lists(st.sampled_from(pairs), unique=True)))
    groups = [frozenset(n for n in names if letter in letters[n]) for letter in set("".join(letters.values()))]
    assert not any(one < other for one in groups for other in groups)
    assert len(set(groups)) == len(groups) and min(letters[0]) == "a"


def test_more_than_twenty_six_groups_have_letters_of_two_signs() -> None:
    names = list(range(28))
    letters = tie_letters(names, [frozenset(pair) for pair in itertools.combinations(names, 2)])
    assert letters[25] == "z" and letters[26] == "(aa)" and letters[27] == "(ab)"
