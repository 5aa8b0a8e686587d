"""A results folder -> the same questions that the audit asks of a paper: do its numbers add up?

Means are taken again from the rows of every case; the scores of a run are audited as a printed table would be, one row per run;
and no two methods may have been scored from one set of predictions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench.contracts.record import Cell
from bench.metrics.pooled import is_pooled
from bench.published.audit_averages import audit_averages
from bench.published.audit_possible import audit_orders, audit_ranges
from bench.published.findings import Finding
from bench.published.known import Known
from bench.published.printed import Printed
from bench.published.sheets import sheets_of
from bench.score import summarise
from bench.store import Store
from bench.tables.entries import is_distance, unit_of

PAPER = "bench"
TOLERANCE = 1e-9  # of `bench verify`: the order of a sum moves a mean by less
DECIMALS = 6


def audit_cells(store: Store) -> list[Finding]:
    """Everything in a results folder that does not add up. Raises StoreError where the rows of a cell cannot be read."""
    cells = store.cells()
    found = [finding for cell in cells for finding in _means(cell, store)]
    for sheet in sheets_of(printed_cells(cells)):
        found += [*audit_averages(sheet, Known()), *audit_ranges(sheet), *audit_orders(sheet)]
    return found + list(_same_predictions(cells))


def printed_cells(cells: Sequence[Cell]) -> tuple[Printed, ...]:
    """Runs as rows of the columns of published numbers: one table per task, protocol and source, one row per run.

    Fractions and distances to six decimals; a score that is undefined, or no number (which a hand has written), has no row.
    The score over all classes counts as their average only where it is one: over classes last, and no metric of the whole set.
    """
    return tuple(row for cell in cells for row in _rows(cell))


def _rows(cell: Cell) -> Iterator[Printed]:
    for metric in cell.metrics:
        by_class = {name: found.get(metric) for name, found in cell.class_scores.items()}
        defined = {name: value for name, value in by_class.items() if value is not None and math.isfinite(value)}
        averages = cell.average == "class_then_case" and len(defined) > 1 and not is_pooled(metric)
        for name, value in defined.items():
            yield _row(cell, metric, name, value, average=False)
        whole = cell.scores.get(metric)
        if whole is not None and math.isfinite(whole):
            yield _row(cell, metric, "average" if defined else "", whole, average=averages)


def _row(cell: Cell, metric: str, region: str, value: float, *, average: bool) -> Printed:
    task = f"{cell.task}@{cell.target}" if cell.target else cell.task
    unit = unit_of(metric, cell.distance_unit) if is_distance(metric) else "fraction"
    return Printed(
        paper=PAPER, table=f"{task} {cell.protocol} {cell.source}", row_group=cell.preset, method=cell.method,
        method_slug=cell.name, pretrain_data=cell.corpus, network="", task=task, task_slug=task,
        label_ratio=f"{cell.ratio:g}", region=region, metric=metric, unit=unit, value=f"{value:.{DECIMALS}f}", std="",
        is_average="1" if average else "0", note="",
    )  # fmt: skip


def _means(cell: Cell, store: Store) -> Iterator[Finding]:
    """Stored scores that are not the mean of their stored rows in the protocol's order."""
    means, class_means = summarise(store.rows(cell.name), cell.average, cell.metrics)
    told = {("", metric): score for metric, score in cell.scores.items()}
    told |= {(name, metric): score for name, found in cell.class_scores.items() for metric, score in found.items()}
    again = {("", metric): mean for metric, mean in means.items()}
    again |= {(name, metric): mean for name, found in class_means.items() for metric, mean in found.items()}
    for place in told | again:
        stored, found = _number(told.get(place)), _number(again.get(place))
        if not _equal(stored, found):
            yield _finding(
                cell, " ".join(word for word in place if word), "mean", f"{stored:.{DECIMALS}f}", f"{found:.{DECIMALS}f}",
                None if math.isnan(stored - found) else stored - found, "certain",
                f"Rows averaged {cell.average.replace('_', ' ')}; bench verify {cell.name} tells more.",
            )  # fmt: skip


def _same_predictions(cells: Sequence[Cell]) -> Iterator[Finding]:
    """Cells whose predictions are those of another method's cell, byte for byte."""
    first: dict[str, Cell] = {}
    for cell in cells:
        predictions = cell.hashes.get("predictions", "")
        other = first.setdefault(predictions, cell) if predictions else cell
        if (other.method, other.variant, other.corpus) != (cell.method, cell.variant, cell.corpus):
            note = f"The predictions have the sha256 of those of {other.name}; a method that only renames another is innocent."
            yield _finding(
                cell,
                "predictions",
                "same-predictions",
                predictions[:16],
                other.hashes["predictions"][:16],
                None,
                "certain",
                note,
            )


def _finding(
    cell: Cell, column: str, kind: str, printed: str, recomputed: str, apart: float | None, confidence: str, note: str
) -> Finding:
    task = f"{cell.task}@{cell.target}" if cell.target else cell.task
    table = f"{task} {cell.protocol} {cell.source}"
    return Finding(PAPER, table, cell.name, column, kind, printed, recomputed, apart, confidence, note)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _equal(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or abs(one - other) <= TOLERANCE
