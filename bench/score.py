"""Score: predictions and truth become one row per case, class and metric, and their means."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.case_rows import CaseRow
from bench.contracts.errors import DataMissing
from bench.contracts.kind import Kind, Scored, Setup
from bench.contracts.record import Record
from bench.metrics.pooled import is_pooled, pooled
from bench.train.progress import Progress, Silent


@dataclass(frozen=True)
class Scores:
    """Rows per case, class and metric; means as the protocol averages; counts of what was undefined."""

    rows: tuple[CaseRow, ...]
    means: Mapping[str, float]
    class_means: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]


def score(
    setup: Setup,
    kind: Kind,
    folder: Path,
    records: Sequence[Record],
    cases: Any,
    predictions: Path,
    progress: Progress | None = None,
) -> Scores:
    """Score every record's prediction. A prediction that is not there raises DataMissing naming the case."""
    shown = progress or Silent()
    rows: list[CaseRow] = []
    counts: Counter[str] = Counter()
    shown.start("score", len(records))
    for record, scored in _scored(setup, kind, folder, records, cases, predictions):
        rows += [CaseRow(record.case_id, name, metric, value) for name, metric, value in scored.rows]
        counts.update(scored.counts)
        shown.advance(1)
    shown.finish()
    means, class_means = summarise(rows, setup.protocol.average, setup.protocol.metrics)
    counts.update(undefined_of(rows, setup.protocol.metrics))
    return Scores(tuple(rows), means, class_means, dict(counts))


def _scored(
    setup: Setup, kind: Kind, folder: Path, records: Sequence[Record], cases: Any, predictions: Path
) -> Iterator[tuple[Record, Scored]]:
    """Each record with its scores: one by one, or all together where the kind ranks a case among the others."""
    files = [predictions / f"{record.case_id}{kind.suffix}" for record in records]
    for record, path in zip(records, files, strict=True):
        if not path.exists():
            raise DataMissing(
                f"No prediction {path.name} in {predictions}.",
                case=record.case_id,
                remedy="Repeat the run: it predicts what lacks.",
            )
    if together := getattr(kind, "score_cases", None):
        yield from zip(records, together(setup, folder, records, cases, files), strict=True)
        return
    for record, path in zip(records, files, strict=True):
        yield record, kind.score_case(setup, folder, record, cases, path)


def summarise(
    rows: Sequence[CaseRow], average: str, metrics: Sequence[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Means per metric and per class and metric, over defined values only (undefined ones are counted elsewhere).

    A metric of the whole set (AUC) is counted from the evidence among the rows instead; evidence itself is not averaged.

    `class_then_case`: over cases per class, then over classes. `case_then_class`: over classes per case, then over cases.
    The two differ when a class is undefined in some case. Nothing defined gives NaN.

    Example: class a scores 1 and 0 in two cases, class b scores 1 in the first only. Class first gives (0.5 + 1) / 2 = 0.75,
    case first gives (1 + 0) / 2 = 0.5.
    """
    means: dict[str, float] = {}
    class_means: dict[str, dict[str, float]] = {}
    for metric in metrics:
        if is_pooled(metric):
            whole = pooled(metric, rows)
            means[metric], by_class = whole.value, dict(whole.by_class)
        else:
            means[metric], by_class = _averaged([row for row in rows if row.metric == metric], average)
        for name, value in by_class.items():
            class_means.setdefault(name, {})[metric] = value
    return means, class_means


def undefined_of(rows: Sequence[CaseRow], metrics: Sequence[str]) -> dict[str, int]:
    """How often a metric of the whole set was undefined (a class that no test case has), by name; none where it never was."""
    found = {f"n_undefined_{name}": pooled(name, rows).undefined for name in metrics if is_pooled(name)}
    return {name: count for name, count in found.items() if count}


def _averaged(rows: Sequence[CaseRow], average: str) -> tuple[float, dict[str, float]]:
    """The mean of one metric's rows in the protocol's order, and the mean per class over cases."""
    classes: dict[str, list[float]] = {}
    cases: dict[str, list[float]] = {}
    for row in rows:
        classes.setdefault(row.class_, []).append(row.value)
        cases.setdefault(row.case, []).append(row.value)
    by_class = {name: mean(values) for name, values in classes.items()}
    if average == "class_then_case":
        return mean(list(by_class.values())), by_class
    return mean([mean(values) for values in cases.values()]), by_class


def mean(values: Sequence[float]) -> float:
    """The mean of the defined values; NaN when there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
