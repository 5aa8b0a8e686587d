"""How well scores rank and decide: area under the ROC curve, average precision and accuracy, from scikit-learn."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts.counts import how_many
from bench.contracts.errors import DataUnsound

Scores = NDArray[np.floating[Any]]
Classes = NDArray[np.integer[Any]]


def auc(scores: Scores, truth: Classes, *, average: Literal["macro", "micro"] = "macro") -> float:
    """Area under the ROC curve: how often a case of a class scores higher than one that is not of it, ties counting half.

    `scores` (n,): the score of class 1 of two; (n, 2): the last column is that score; (n, C): the mean over classes of one
    against the rest, as MedMNIST's evaluator takes it; columns need not sum to 1. `truth` (n,): class numbers 0..C-1.
    `average` micro (`auc@micro`): one curve over all n x C pairs, which needs (n, C) scores on one scale.

    Source: scikit-learn's roc_auc_score. Raises DataUnsound for shapes that do not fit, scores that are not finite, and
    a class without cases, where its curve is undefined.

    Example: scores 0.9, 0.4, 0.6, 0.1 for classes 1, 1, 0, 0: of four pairs three are in order, 0.75.
    """
    scores, truth, n_classes = _checked(scores, truth)
    missing = sorted(set(range(n_classes)) - set(np.unique(truth).tolist()))
    if missing and (average == "macro" or n_classes - len(missing) < 2):
        raise DataUnsound(
            f"AUC is undefined: no case of class {', '.join(map(str, missing))} among {how_many(len(truth), 'case')}.",
            remedy="Score a test set in which every class occurs.",
        )
    from sklearn.metrics import roc_auc_score

    if average == "micro":
        if scores.ndim == 1:
            raise DataUnsound(
                f"Micro AUC needs one score per class, found one score for each of {how_many(len(scores), 'case')}.",
                remedy="Give (n, C) scores, or ask for auc.",
            )
        return float(roc_auc_score(_one_hot(truth, n_classes).ravel(), scores.ravel()))
    if n_classes == 2:
        return float(roc_auc_score(truth, scores if scores.ndim == 1 else scores[:, -1]))
    return float(roc_auc_score(_one_hot(truth, n_classes), scores, average="macro"))


def ap(scores: Scores, truth: Classes) -> float:
    """Average precision: the mean precision over the recall that each step down the ranking wins.

    `scores` (n,): the score of class 1 of two; (n, 2): the last column is that score; (n, C): the mean over classes of one
    against the rest. `truth` (n,): class numbers 0..C-1. The sum over thresholds of (recall won) x (precision there), equal
    scores as one threshold, no interpolation. Chance is the class's share of cases, not 0.5.

    Source: scikit-learn's average_precision_score. Raises DataUnsound for shapes that do not fit, scores that are not finite,
    and a class without cases, which has no recall.

    Example: scores 0.9, 0.4, 0.6 for classes 1, 1, 0: half of recall at precision 1, half at 2/3, together 5/6.
    """
    scores, truth, n_classes = _checked(scores, truth)
    asked = range(n_classes) if n_classes > 2 else (1,)
    missing = sorted(set(asked) - set(np.unique(truth).tolist()))
    if missing:
        raise DataUnsound(
            f"AP is undefined: no case of class {', '.join(map(str, missing))} among {how_many(len(truth), 'case')}.",
            remedy="Score a test set in which every class occurs.",
        )
    from sklearn.metrics import average_precision_score

    columns = [scores if scores.ndim == 1 else scores[:, k] for k in asked]
    return float(
        np.mean([average_precision_score(truth == k, column) for k, column in zip(asked, columns, strict=True)])
    )


def acc(scores: Scores, truth: Classes) -> float:
    """Accuracy: the share of cases that are called right.

    `scores` (n,): class 1 is called where the score is above 0.5; (n, C): the class of the highest score, the first of
    equals. `truth` (n,): class numbers. Source: scikit-learn's accuracy_score.
    Raises DataUnsound for shapes that do not fit and scores that are not finite.

    Example: scores 0.9, 0.4, 0.6 for classes 1, 1, 0: one of three is right, 1/3.
    """
    scores, truth, _ = _checked(scores, truth)
    from sklearn.metrics import accuracy_score

    called = scores > 0.5 if scores.ndim == 1 else scores.argmax(axis=1)
    return float(accuracy_score(truth, called.astype(np.intp)))


def _checked(scores: Scores, truth: Classes) -> tuple[Scores, Classes, int]:
    scores, truth = np.asarray(scores), np.asarray(truth)
    if truth.ndim != 1 or not len(truth) or truth.dtype.kind not in "bui":
        raise DataUnsound(f"True classes must be a list of integers, found shape {truth.shape} of {truth.dtype}.")
    fits = scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] >= 2)
    if not fits or len(scores) != len(truth):
        raise DataUnsound(
            f"Scores must be (n,) or (n, C) with C of at least 2 and n = {len(truth)}, found {scores.shape}.",
            remedy="Give one row of scores per case.",
        )
    if not np.isfinite(scores).all():
        raise DataUnsound(f"{int((~np.isfinite(scores)).sum())} of {scores.size} scores are not finite numbers.")
    n_classes = 2 if scores.ndim == 1 else scores.shape[1]
    if truth.min() < 0 or truth.max() >= n_classes:
        raise DataUnsound(f"True classes must lie in 0..{n_classes - 1}, found {truth.min()}..{truth.max()}.")
    return scores, truth.astype(np.intp), n_classes


def _one_hot(truth: Classes, n_classes: int) -> NDArray[np.bool_]:
    table: NDArray[np.bool_] = truth[:, None] == np.arange(n_classes)
    return table
