"""Metrics of a whole test set out of the rows that its cases left: AUC needs every score at once, not a mean over cases.

A case leaves evidence in rows of (case, class, metric, value): a `score` for each class, and `truth`. A case of one class has
one `truth`, 1 at that class; a case of a multi-label task has one for each class, 1, 0 or NaN (not told). Evidence is kept
with the scores, so that a stranger can count a metric again; it is never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.metrics.ranking import acc, auc

TRUTH, SCORE = "truth", "score"


class Row(Protocol):
    """One row of evidence (`bench.case_rows.CaseRow` is one)."""

    @property
    def case(self) -> str: ...
    @property
    def class_(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def value(self) -> float: ...


@dataclass(frozen=True)
class Pooled:
    """A metric of the whole set and per class; NaN where it is undefined, `undefined` counting how often."""

    value: float
    by_class: Mapping[str, float]
    undefined: int = 0


def is_pooled(metric_id: str) -> bool:
    """Whether a metric belongs to a set of cases as a whole, so that no mean over cases gives it."""
    return metric_id in _POOLS


def pooled(metric_id: str, rows: Sequence[Row]) -> Pooled:
    """The metric over all cases in `rows`. A class without both answers among the cases has no AUC: NaN, and counted.

    Example: truths 1, 1, 0 and scores of the second of two classes 0.9, 0.4, 0.6 give an AUC of 1/2 and an ACC of 1/3.
    """
    return _POOLS[metric_id](rows)


@dataclass(frozen=True)
class Evidence:
    """Scores and truths (n, C) of cases; truths hold 1, 0 or NaN. `one_each`: every case is of exactly one class."""

    cases: tuple[str, ...]
    scores: NDArray[np.float64]
    truths: NDArray[np.float64]
    classes: tuple[str, ...]
    one_each: bool

    @property
    def true_class(self) -> NDArray[np.intp]:
        """The class of each case (n,), where each has one."""
        return self.truths.argmax(axis=1)


def evidence_of(rows: Sequence[Row]) -> Evidence:
    """The evidence among the rows, cases and classes in the order in which they come."""
    told = [row for row in rows if row.metric in (SCORE, TRUTH)]
    classes = tuple(dict.fromkeys(row.class_ for row in told if row.metric == SCORE))
    place = {case: i for i, case in enumerate(dict.fromkeys(row.case for row in told))}
    column = {name: k for k, name in enumerate(classes)}
    tables = {name: np.full((len(place), len(classes)), np.nan) for name in (SCORE, TRUTH)}
    for row in told:
        tables[row.metric][place[row.case], column[row.class_]] = row.value
    one_each = len(classes) > 1 and sum(row.metric == TRUTH for row in told) == len(place)
    truths = np.nan_to_num(tables[TRUTH], nan=0.0) if one_each else tables[TRUTH]
    return Evidence(tuple(place), tables[SCORE], truths, classes, one_each)


def _auc(rows: Sequence[Row]) -> Pooled:
    found = evidence_of(rows)
    by_class = {name: _one_curve(found.scores[:, k], found.truths[:, k]) for k, name in enumerate(found.classes)}
    undefined = sum(map(math.isnan, by_class.values()))
    if not found.one_each:
        return Pooled(_mean(by_class), by_class, undefined)
    return Pooled(math.nan if undefined else auc(found.scores, found.true_class), by_class, undefined)


def _auc_micro(rows: Sequence[Row]) -> Pooled:
    found = evidence_of(rows)
    try:
        return Pooled(auc(found.scores, found.true_class, average="micro"), {})
    except DataUnsound:
        return Pooled(math.nan, {}, 1)


def _acc(rows: Sequence[Row]) -> Pooled:
    """The share of cases called right; of a multi-label task the mean over classes, each called at 0.5."""
    found = evidence_of(rows)
    if found.one_each:
        return Pooled(acc(found.scores, found.true_class), {})
    by_class = {name: _one_accuracy(found.scores[:, k], found.truths[:, k]) for k, name in enumerate(found.classes)}
    return Pooled(_mean(by_class), by_class, sum(map(math.isnan, by_class.values())))


def _one_curve(scores: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    """AUC of one class against the rest over the cases whose answer is known; NaN where all answers are alike."""
    known = ~np.isnan(answers)
    if len(np.unique(answers[known])) < 2:
        return math.nan
    return auc(scores[known], answers[known].astype(int))


def _one_accuracy(scores: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    known = ~np.isnan(answers)
    return acc(scores[known], answers[known].astype(int)) if known.any() else math.nan


def _mean(values: Mapping[str, float]) -> float:
    """The mean of the defined values; NaN when there is none."""
    defined = [value for value in values.values() if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


_POOLS: Mapping[str, Callable[[Sequence[Row]], Pooled]] = {"auc": _auc, "auc@micro": _auc_micro, "acc": _acc}
