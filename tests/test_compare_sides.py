"""What a case is worth in a comparison where it answers several questions, and what several runs say beside a printed value."""

from __future__ import annotations

import math

import pytest

from bench.case_rows import CaseRow
from bench.compare import beside_published, compare
from bench.compare_sides import Side, classes_of
from bench.stats.equivalence import Sample, equivalence
from tests.cells import make_cell


def answered(table: dict[str, list[tuple[float, float]]]) -> Side:
    """A result of questions q0, q1, ...: case -> (score, truth) of each."""
    rows = [
        CaseRow(case, f"q{k}", metric, value)
        for case, told in table.items()
        for k, (score, truth) in enumerate(told)
        for metric, value in (("score", score), ("truth", truth))
    ]
    return Side("side", (make_cell(metrics=("auc", "acc"), scores={"auc": 0.5, "acc": 0.5}),), (tuple(rows),))


def test_of_several_questions_a_case_is_worth_the_share_that_is_told_and_answered_right() -> None:
    """A half is no yes, and a question that nobody answered is neither right nor wrong."""
    side = answered(
        {"a": [(0.9, 1), (0.9, math.nan), (0.5, 0)], "b": [(0.9, 0), (0.7, 1), (0.2, math.nan)]},
    )
    assert side.values("acc") == {"a": 1.0, "b": 0.5}


def test_the_area_over_several_questions_is_their_mean_and_shares_follow_the_order_of_the_cases_asked_for() -> None:
    """The first question is answered perfectly, of the second three of four pairs are in order."""
    side = answered(
        {"d": [(0.9, 1), (0.9, 1)], "c": [(0.8, 1), (0.6, 0)], "b": [(0.2, 0), (0.4, 1)], "a": [(0.1, 0), (0.1, 0)]}
    )
    one, other = side.area(["d", "c", "b", "a"]), side.area(["a", "b", "c", "d"])
    assert one.value == other.value == 0.875
    assert one.shares.tolist() == pytest.approx([1 / 16, -1 / 16, -1 / 16, 1 / 16])
    assert side.area(["c", "d", "b", "a"]).shares.tolist() == pytest.approx([-1 / 16, 1 / 16, -1 / 16, 1 / 16])


def test_two_runs_have_the_sample_deviation_of_their_scores() -> None:
    """0.80 and 0.82 have the mean 0.81 and the deviation sqrt(2) / 100."""
    side = Side("two", tuple(make_cell(seed=seed, dice=dice) for seed, dice in ((0, 0.80), (1, 0.82))), ((), ()))
    found = beside_published(side, "dice", Sample(0.80), 0.05)
    assert found.p == pytest.approx(equivalence(Sample(0.81, math.sqrt(2) / 100, 2), Sample(0.80), 0.05).p)
    assert found.difference == pytest.approx(0.01) and found.basis == "one"


def test_one_run_has_the_sample_deviation_of_its_cases() -> None:
    """0.7, 0.8 and 0.9 have the deviation 0.1, an undefined case has no part in it."""
    told = {"a": 0.7, "b": 0.8, "c": 0.9, "d": math.nan}
    side = Side(
        "one", (make_cell(dice=0.8),), (tuple(CaseRow(c, "liver", "dice", value) for c, value in told.items()),)
    )
    found = beside_published(side, "dice", Sample(0.75), 0.2)
    assert found.p == pytest.approx(equivalence(Sample(0.8, 0.1, 3), Sample(0.75), 0.2).p)


def test_a_class_that_one_side_does_not_tell_of_a_case_makes_no_pair_and_is_counted() -> None:
    liver = [CaseRow(case, "liver", "dice", value) for case, value in (("a", 0.7), ("b", 0.8), ("c", 0.9))]
    spleen = [CaseRow(case, "spleen", "dice", value) for case, value in (("a", 0.5), ("b", 0.6), ("c", 0.7))]
    held = {"mim": (*liver, *spleen), "ar": (*liver, *spleen[:2])}
    sides = [Side(name, (make_cell(method=name, metrics=("dice",)),), (rows,)) for name, rows in held.items()]
    (found,) = [line.paired for line in compare(sides, "dice", by_class=True) if line.class_ == "spleen"]
    assert (found.n, found.undefined, found.difference.mean) == (2, 1, 0.0) and found.first == pytest.approx(0.55)


def test_a_class_is_asked_for_alone_and_one_class_is_no_question_beside_all() -> None:
    rows = tuple(CaseRow("a", name, "dice", value) for name, value in (("liver", 0.9), ("spleen", 0.5)))
    both, one = (Side("side", (make_cell(),), (told,)) for told in (rows, rows[:1]))
    assert both.values("dice") == {"a": pytest.approx(0.7)} and both.values("dice", "liver") == {"a": 0.9}
    assert classes_of([both], "dice") == ["liver", "spleen"] and classes_of([one], "dice") == []


def test_an_area_is_of_the_cases_that_every_run_has() -> None:
    first, second = answered({"a": [(0.9, 1)], "b": [(0.2, 0)]}), answered({"b": [(0.3, 0)], "c": [(0.8, 1)]})
    both = Side("both", (*first.cells, *second.cells), (*first.rows, *second.rows))
    assert both.cases("auc") == ["b"]
