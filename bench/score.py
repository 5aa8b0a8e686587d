"""Score: predictions and truth become one row per case, class and metric, and their means."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.case_rows import CaseRow
from bench.contracts.errors import DataMissing
from bench.contracts.kind import Kind, Setup
from bench.contracts.record import Record
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
    for record in records:
        path = predictions / f"{record.case_id}{kind.suffix}"
        if not path.exists():
            raise DataMissing(
                f"No prediction {path.name} in {predictions}.",
                case=record.case_id,
                remedy="Repeat the run: it predicts what lacks.",
            )
        scored = kind.score_case(setup, folder, record, cases, path)
        rows += [CaseRow(record.case_id, name, metric, value) for name, metric, value in scored.rows]
        counts.update(scored.counts)
        shown.advance(1)
    shown.finish()
    means, class_means = summarise(rows, setup.protocol.average)
    return Scores(tuple(rows), means, class_means, dict(counts))


def summarise(rows: Sequence[CaseRow], average: str) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Means per metric and per class and metric, over defined values only (undefined ones are counted elsewhere).

    `class_then_case`: over cases per class, then over classes. `case_then_class`: over classes per case, then over cases.
    The two differ when a class is undefined in some case. Nothing defined gives NaN.

    Example: class a scores 1 and 0 in two cases, class b scores 1 in the first only. Class first gives (0.5 + 1) / 2 = 0.75,
    case first gives (1 + 0) / 2 = 0.5.
    """
    metrics = list(dict.fromkeys(row.metric for row in rows))
    classes = list(dict.fromkeys(row.class_ for row in rows))
    class_means = {
        name: {m: mean([r.value for r in rows if r.class_ == name and r.metric == m]) for m in metrics}
        for name in classes
    }
    if average == "class_then_case":
        return {m: mean([class_means[name][m] for name in classes]) for m in metrics}, class_means
    by_case: dict[str, dict[str, list[float]]] = {m: {} for m in metrics}
    for row in rows:
        by_case[row.metric].setdefault(row.case, []).append(row.value)
    return {m: mean([mean(values) for values in by_case[m].values()]) for m in metrics}, class_means


def mean(values: Sequence[float]) -> float:
    """The mean of the defined values; NaN when there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
