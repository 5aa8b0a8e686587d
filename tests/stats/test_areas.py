"""Differences of areas against DeLong's equations in slow lines, against the jackknife, and in simulated alarms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from bench.stats.areas import area_interval, class_area, difference_of_areas, mean_area, one_area, question_area


def scored(
    seed: int, n: int = 40, shift: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Answers and two methods' scores of them, with ties."""
    draw = np.random.default_rng(seed)
    answers = (draw.random(n) < 0.4).astype(float)
    common = draw.normal(size=n)
    first, second = (answers * shift + common + draw.normal(size=n) for _ in range(2))
    return answers, np.round(first, 1), np.round(second, 1)


def slow_delong(
    answers: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[float, float]:
    """Difference and p as the paper's equations say, with every pair of cases counted."""

    def kernel(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    right, wrong = [i for i, a in enumerate(answers) if a == 1], [i for i, a in enumerate(answers) if a == 0]
    tens, ones, areas = [], [], []
    for scores in (first, second):
        tens.append([sum(kernel(scores[i], scores[j]) for j in wrong) / len(wrong) for i in right])
        ones.append([sum(kernel(scores[i], scores[j]) for i in right) / len(right) for j in wrong])
        areas.append(sum(tens[-1]) / len(right))
    covariance = np.cov(tens) / len(right) + np.cov(ones) / len(wrong)
    apart = areas[0] - areas[1]
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return apart, 2 * float(stats.norm.sf(abs(apart) / error))


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_and_p_are_delongs(seed: int) -> None:
    answers, first, second = scored(seed)
    found, p = difference_of_areas(one_area(first, answers), one_area(second, answers))
    apart, slow_p = slow_delong(answers, first, second)
    assert found.mean == pytest.approx(apart) and p == pytest.approx(slow_p)
    z = stats.norm.isf(slow_p / 2)
    assert found.high - found.mean == pytest.approx(1.959964 * abs(apart) / z) and found.method == "DeLong"


def test_the_area_and_shares_of_four_cases_are_counted_by_hand() -> None:
    found = one_area(np.array([0.9, 0.4, 0.6, 0.1]), np.array([1.0, 1, 0, 0]))
    assert found.value == 0.75
    assert list(found.shares) == pytest.approx([0.125, -0.125, -0.125, 0.125])


def test_areas_over_classes_and_questions_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(1)
    truth, scores = draw.integers(0, 4, 60), draw.random((60, 4))
    assert class_area(scores, truth).value == pytest.approx(roc_auc_score(np.eye(4)[truth], scores, average="macro"))
    assert class_area(scores[:, :2], truth % 2).value == pytest.approx(roc_auc_score(truth % 2, scores[:, 1]))
    answers = (draw.random((60, 4)) < 0.5).astype(float)
    assert question_area(scores, answers).value == pytest.approx(roc_auc_score(answers, scores, average="macro"))


def test_shares_sum_to_nothing_and_follow_the_jackknife() -> None:
    """Leaving a case out moves the area by about its share."""
    draw = np.random.default_rng(2)
    truth = draw.integers(0, 3, 120)
    scores = np.eye(3)[truth] + draw.normal(size=(120, 3))
    found = class_area(scores, truth)
    assert found.shares.sum() == pytest.approx(0, abs=1e-12)
    left_out = [found.value - class_area(np.delete(scores, i, 0), np.delete(truth, i)).value for i in range(120)]
    assert np.corrcoef(left_out, found.shares)[0, 1] > 0.999
    assert np.std(left_out) == pytest.approx(np.std(found.shares), rel=0.05)


def test_a_class_whose_cases_are_all_alike_adds_no_spread_for_the_numbers_of_cases_count_as_fixed() -> None:
    """Of three classes the third is ranked above all cases of the first and below all of the second: areas 1, 1 and 1/2."""
    truth = np.array([0, 0, 1, 1, 2, 2])
    scores = np.array([[9.0, 0, 1], [9, 0, 1], [0, 9, 8], [0, 9, 8], [0, 0, 4], [0, 0, 4]])
    found = area_interval(class_area(scores, truth))
    assert found.low == found.mean == found.high == pytest.approx(2.5 / 3)


def test_the_spread_over_questions_counts_all_cases_as_one_group() -> None:
    """The first question is answered perfectly, the second as in the docstring; half of its shares are -+1/16, whose squares
    sum to 1/64, so that the squared error is 4 / 3 times that."""
    scores = np.array([[0.9, 0.9], [0.8, 0.6], [0.2, 0.4], [0.1, 0.1]])
    found = area_interval(question_area(scores, np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]])))
    assert found.mean == 0.875 and found.high - found.mean == pytest.approx(1.959964 * math.sqrt(1 / 48), abs=1e-6)


def test_one_question_alone_has_the_groups_of_its_answers() -> None:
    """The docstring's four cases: within each answer the squared shares vary by 1/32, twice two of them make 1/8."""
    found = area_interval(question_area(np.array([[0.9], [0.4], [0.6], [0.1]]), np.array([[1.0], [1], [0], [0]])))
    assert found.mean == 0.75 and found.high - found.mean == pytest.approx(1.959964 * math.sqrt(1 / 8), abs=1e-6)


def test_answers_that_are_not_told_say_nothing_and_questions_without_both_answers_are_left_out() -> None:
    answers, first, second = scored(3)
    told = one_area(np.append(first, 9.0), np.append(answers, math.nan))
    assert told.value == one_area(first, answers).value and told.shares[-1] == 0
    two = question_area(np.stack([first, second], 1), np.stack([answers, np.ones_like(answers)], 1))
    assert two.value == one_area(first, answers).value
    none = one_area(first, np.ones_like(answers))
    assert math.isnan(none.value) and math.isnan(difference_of_areas(none, two)[1])


def test_equal_scores_are_not_told_apart_and_runs_are_averaged() -> None:
    answers, first, second = scored(4)
    area = one_area(first, answers)
    assert difference_of_areas(area, one_area(3 * first + 1, answers))[1] == 1.0
    both = mean_area([area, one_area(second, answers)])
    assert both.value == pytest.approx((area.value + one_area(second, answers).value) / 2)


def test_under_no_difference_five_percent_of_tests_alarm() -> None:
    p = []
    for seed in range(1000):
        answers, first, second = scored(seed, n=120)
        p.append(difference_of_areas(one_area(first, answers), one_area(second, answers))[1])
    assert 25 <= sum(value <= 0.05 for value in p) <= 75  # 50 expected, three and a half standard errors of 6.9


def test_the_spread_of_a_mean_over_classes_is_that_of_repeated_draws() -> None:
    draw = np.random.default_rng(5)
    found, errors = [], []
    for _ in range(400):
        truth = np.repeat([0, 1, 2], 30)
        scores = [np.eye(3)[truth] + draw.normal(size=(90, 3)) for _ in range(2)]
        difference, _ = difference_of_areas(class_area(scores[0], truth), class_area(scores[1], truth))
        found.append(difference.mean)
        errors.append((difference.high - difference.mean) / 1.959964)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.12)


def test_areas_that_have_no_spread_and_differ_are_not_called_alike() -> None:
    answers = np.repeat([1.0, 0.0], 50)
    perfect, constant = one_area(answers, answers), one_area(np.full(100, 0.5), answers)
    found, p = difference_of_areas(perfect, constant)
    assert found.mean == 0.5 and math.isnan(p) and math.isnan(found.low)
