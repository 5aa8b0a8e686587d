"""AUC and accuracy by hand, by the definition over pairs, and where they are undefined."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.contracts.errors import DataUnsound
from bench.metrics.ranking import acc, ap, auc


def share_in_order(scores: np.ndarray, positive: np.ndarray) -> float:
    pairs = list(itertools.product(scores[positive], scores[~positive]))
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def test_three_of_four_pairs_in_order_have_auc_three_quarters() -> None:
    scores, truth = np.array([0.9, 0.4, 0.6, 0.1]), np.array([1, 1, 0, 0])
    assert auc(scores, truth) == 0.75
    assert auc(np.stack([1 - scores, scores], axis=1), truth) == 0.75


def test_multi_class_auc_is_the_mean_of_one_against_the_rest() -> None:
    rng = np.random.default_rng(3)
    scores, truth = rng.integers(0, 6, (40, 4)) / 5, np.arange(40) % 4
    expected = [share_in_order(scores[:, c], truth == c) for c in range(4)]
    assert auc(scores, truth) == pytest.approx(np.mean(expected))


def test_micro_auc_ranks_all_pairs_of_case_and_class() -> None:
    rng = np.random.default_rng(4)
    scores, truth = rng.random((30, 3)), np.arange(30) % 3
    one_hot = truth[:, None] == np.arange(3)
    assert auc(scores, truth, average="micro") == pytest.approx(share_in_order(scores.ravel(), one_hot.ravel()))


def test_micro_auc_needs_no_case_of_every_class() -> None:
    """No case is of class 1. Right answers 0.6 and 0.4 beside wrong ones 0.3, 0.1, 0.5, 0.1: seven of eight pairs in order."""
    scores = np.array([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4]])
    assert auc(scores, np.array([0, 2]), average="micro") == 0.875


def test_auc_of_a_single_class_test_set_is_refused() -> None:
    with pytest.raises(DataUnsound, match="no case of class 0 among 3"):
        auc(np.array([0.1, 0.2, 0.3]), np.array([1, 1, 1]))
    with pytest.raises(DataUnsound, match="no case of class 1 among 2"):
        auc(np.eye(3)[:2], np.array([0, 2]))
    with pytest.raises(DataUnsound, match="no case of class 1, 2"):
        auc(np.eye(3)[:2], np.array([0, 0]), average="micro")
    with pytest.raises(DataUnsound, match="one score per class"):
        auc(np.array([0.1, 0.9]), np.array([0, 1]), average="micro")


def test_accuracy_is_decided_at_one_half_or_by_the_highest_score() -> None:
    assert acc(np.array([0.9, 0.4, 0.6]), np.array([1, 1, 0])) == pytest.approx(1 / 3)
    assert acc(np.array([0.5]), np.array([0])) == 1.0
    assert acc(np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]), np.array([1, 2])) == 0.5


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataUnsound, match="1 of 2 scores are not finite"):
        acc(np.array([0.1, np.nan]), np.array([0, 1]))
    with pytest.raises(DataUnsound, match=r"n = 2, found \(3,\)"):
        auc(np.array([0.1, 0.2, 0.3]), np.array([0, 1]))
    with pytest.raises(DataUnsound, match=r"0\.\.1, found 0\.\.2"):
        acc(np.array([0.1, 0.2, 0.3]), np.array([0, 1, 2]))
    with pytest.raises(DataUnsound, match=r"0\.\.2, found -1\.\.2"):
        auc(np.eye(3), np.array([-1, 1, 2]), average="micro")
    with pytest.raises(DataUnsound, match="list of integers"):
        acc(np.array([0.1]), np.array([0.0]))
    with pytest.raises(DataUnsound, match=r"found \(2, 1\)"):
        acc(np.array([[0.1], [0.2]]), np.array([0, 1]))


def test_average_precision_by_hand() -> None:
    assert ap(np.array([0.9, 0.4, 0.6]), np.array([1, 1, 0])) == pytest.approx(5 / 6)
    scores = np.array([[0.1, 0.9], [0.6, 0.4], [0.4, 0.6]])
    assert ap(scores, np.array([1, 1, 0])) == pytest.approx(5 / 6)
    assert ap(np.array([0.9, 0.1]), np.array([1, 0])) == 1.0


def test_average_precision_of_many_classes_is_the_mean_of_one_against_the_rest() -> None:
    rng = np.random.default_rng(5)
    scores, truth = rng.random((30, 3)), np.arange(30) % 3
    each = [ap(scores[:, k], (truth == k).astype(int)) for k in range(3)]
    assert ap(scores, truth) == pytest.approx(np.mean(each)) and len(set(each)) == 3
    with pytest.raises(DataUnsound, match="AP is undefined: no case of class 2 among 20"):
        ap(scores[:20], np.arange(20) % 2)


def test_average_precision_knows_the_order_of_scores_alone_and_needs_a_positive() -> None:
    rng = np.random.default_rng(6)
    scores, truth = rng.integers(0, 9, 40) / 9, rng.integers(0, 2, 40)
    assert ap(np.exp(scores), truth) == ap(scores, truth)
    with pytest.raises(DataUnsound, match="no case of class 1 among 2"):
        ap(np.array([0.1, 0.2]), np.array([0, 0]))
