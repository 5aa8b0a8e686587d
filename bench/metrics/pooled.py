"""Metrics of a whole test set out of the rows that its cases left: AUC needs every score at once, not a mean over cases.

A case leaves evidence in rows of (case, class, metric, value): a `score` for each class, and `truth`. A case of one class has
one `truth`, 1 at that class; a case of a multi-label task has one for each class, 1, 0 or NaN (not told). `score@scan` and
`truth@scan` are the same of a scan, left by one of its reconstructions. A query of a gallery leaves the `rank` of what it asks
for under the way of counting (class `index`, `scan`, `unique`), and `rank-fused` where the network paired it with every item.
Of candidates in scans each that belongs to an annotated finding leaves its number (`finding`), and one of each scan how many
findings that has (`findings`), under the scan's id as their class. A generated report leaves its n-grams (`match-1` and so on)
and its ROUGE-L under the reference that it was compared with; class `reference` is the one that the protocol scores on.

Evidence is kept with the scores, so that a stranger can count a metric again; it is never averaged, ROUGE-L apart.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.metrics import parse_metric
from bench.metrics.froc import NONE, sensitivities
from bench.metrics.ranking import acc, ap, auc
from bench.metrics.text import LENGTH, ORDERS, REFERENCE_LENGTH, bleu_of

TRUTH, SCORE = "truth", "score"
TRUTH_OF_SCAN, SCORE_OF_SCAN = "truth@scan", "score@scan"
RANK, RANK_FUSED, INDEX, SCAN, CHANCE = "rank", "rank-fused", "index", "scan", "chance"
RANKS = {"recall": RANK, "recall-fused": RANK_FUSED}  # the rows that each metric of a gallery counts
FINDING, FINDINGS = "finding", "findings"
REFERENCE, ROUGE = "reference", "rouge-l"


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
    return _pool_of(metric_id) is not None


def pooled(metric_id: str, rows: Sequence[Row]) -> Pooled:
    """The metric over all cases in `rows`. A class without both answers among the cases has no AUC: NaN, and counted.

    Example: truths 1, 1, 0 and scores of the second of two classes 0.9, 0.4, 0.6 give an AUC of 1/2 and an ACC of 1/3.
    """
    count = _pool_of(metric_id)
    assert count is not None, metric_id
    return count(rows)


def _pool_of(metric_id: str) -> Callable[[Sequence[Row]], Pooled] | None:
    name, _, at = metric_id.partition("@")
    if name in RANKS and at:
        k = parse_metric(metric_id).k
        assert k is not None
        return lambda rows: _recall(rows, k, RANKS[name])
    return _POOLS.get(metric_id)


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


def evidence_of(rows: Sequence[Row], score: str = SCORE, truth: str = TRUTH) -> Evidence:
    """The evidence among the rows, cases and classes in the order in which they come."""
    told = [row for row in rows if row.metric in (score, truth)]
    classes = tuple(dict.fromkeys(row.class_ for row in told if row.metric == score))
    place = {case: i for i, case in enumerate(dict.fromkeys(row.case for row in told))}
    column = {name: k for k, name in enumerate(classes)}
    tables = {name: np.full((len(place), len(classes)), np.nan) for name in (score, truth)}
    for row in told:
        tables[row.metric][place[row.case], column[row.class_]] = row.value
    one_each = len(classes) > 1 and sum(row.metric == truth for row in told) == len(place)
    truths = np.nan_to_num(tables[truth], nan=0.0) if one_each else tables[truth]
    return Evidence(tuple(place), tables[score], truths, classes, one_each)


def _auc(rows: Sequence[Row], score: str = SCORE, truth: str = TRUTH, untold: float = math.nan) -> Pooled:
    """The mean of a curve per class; an answer that is not told counts as `untold`, NaN leaving the case out of its class."""
    found = evidence_of(rows, score, truth)
    answers = np.nan_to_num(found.truths, nan=untold)
    by_class = {name: _one_curve(found.scores[:, k], answers[:, k]) for k, name in enumerate(found.classes)}
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


def _ap(rows: Sequence[Row]) -> Pooled:
    """Average precision: of two classes that of the last, of more the mean over classes."""
    found = evidence_of(rows)
    by_class = {name: _one_precision(found.scores[:, k], found.truths[:, k]) for k, name in enumerate(found.classes)}
    asked = dict([*by_class.items()][-1:]) if found.one_each and len(by_class) == 2 else by_class
    undefined = sum(map(math.isnan, asked.values()))
    return Pooled(math.nan if found.one_each and undefined else _mean(asked), by_class, undefined)


def _froc(rows: Sequence[Row]) -> Pooled:
    """The FROC score of candidates of two classes, and the sensitivity at each rate of false positives (class `fp-0.125`).

    Over the scans that hold a candidate. NaN, and counted, where no case tells how many findings its scan has, where none has
    any, and where a candidate of the last class does not say to which finding it belongs.
    """
    told = {row.class_: row.value for row in rows if row.metric == FINDINGS}
    belongs = {row.case: (row.class_, row.value) for row in rows if row.metric == FINDING}
    found = evidence_of(rows)
    if not told or any(bool(k) != (case in belongs) for case, k in zip(found.cases, found.true_class, strict=True)):
        return Pooled(math.nan, {}, 1)
    numbers = {finding: k for k, finding in enumerate(dict.fromkeys(belongs.values()))}
    findings = np.array([numbers[belongs[case]] if case in belongs else NONE for case in found.cases])
    at = sensitivities(found.scores[:, -1], findings, n_findings=round(sum(told.values())), n_scans=len(told))
    by_rate = {f"fp-{rate:g}": share for rate, share in at.items()}
    value = math.fsum(at.values()) / len(at)
    return Pooled(value, by_rate, int(math.isnan(value)))


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


def _one_precision(scores: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    """Average precision of one class against the rest over the cases whose answer is known; NaN where no case is of it."""
    known = ~np.isnan(answers)
    return ap(scores[known], answers[known].astype(int)) if (answers[known] == 1).any() else math.nan


def _one_accuracy(scores: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    known = ~np.isnan(answers)
    return acc(scores[known], answers[known].astype(int)) if known.any() else math.nan


def _recall(rows: Sequence[Row], k: int, rank: str) -> Pooled:
    """The share of queries whose rank is at most k, by way of counting, and what drawing at random would give.

    Each query adds one item to its gallery, so that the gallery is as large as there are ranks; one of fewer than k items
    makes no question: NaN, and counted.
    """
    ranks: dict[str, list[float]] = {}
    for row in rows:
        if row.metric == rank:
            ranks.setdefault(row.class_, []).append(row.value)
    found: dict[str, float] = {}
    for name, told in ranks.items():
        possible = k <= len(told)
        found[name] = sum(rank <= k for rank in told) / len(told) if possible else math.nan
        if name != SCAN:  # a query with several right items is hit more often than k in n, how often no rank tells
            found[CHANCE if name == INDEX else f"{CHANCE}-{name}"] = k / len(told) if possible else math.nan
    return Pooled(found.get(INDEX, math.nan), found, sum(math.isnan(found[name]) for name in ranks))


def _bleu(rows: Sequence[Row], order: int) -> Pooled:
    """BLEU of the whole set against each reference that was compared with."""
    summed: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.metric in _NGRAMS:
            summed.setdefault(row.class_, defaultdict(float))[row.metric] += row.value
    found = {name: bleu_of(evidence, order=order) for name, evidence in summed.items()}
    return Pooled(found.get(REFERENCE, math.nan), found)


def _rouge(rows: Sequence[Row]) -> Pooled:
    """The mean ROUGE-L over the cases, by reference that was compared with."""
    told: dict[str, list[float]] = {}
    for row in rows:
        if row.metric == ROUGE:
            told.setdefault(row.class_, []).append(row.value)
    found = {name: math.fsum(values) / len(values) for name, values in told.items()}
    return Pooled(found.get(REFERENCE, math.nan), found)


def _mean(values: Mapping[str, float]) -> float:
    """The mean of the defined values; NaN when there is none."""
    defined = [value for value in values.values() if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


_NGRAMS = frozenset((LENGTH, REFERENCE_LENGTH, *(f"{word}-{n}" for word in ("match", "ngrams") for n in ORDERS)))
_POOLS: Mapping[str, Callable[[Sequence[Row]], Pooled]] = {
    "auc": _auc,
    "auc@scan": partial(_auc, score=SCORE_OF_SCAN, truth=TRUTH_OF_SCAN),
    "auc@all": partial(_auc, untold=0.0),
    "auc@micro": _auc_micro,
    "acc": _acc,
    "ap": _ap,
    "froc": _froc,
    **{f"bleu-{n}": partial(_bleu, order=n) for n in ORDERS},
    ROUGE: _rouge,
}
