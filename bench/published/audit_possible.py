"""Values that cannot be: out of range, between the counts of the test set, spread wider than the scale, in an impossible order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from bench.published.findings import Finding, decimal_text, difference
from bench.published.known import Known, Size
from bench.published.printed import Printed
from bench.published.rounding import cut_off, rounded_twice, span_of
from bench.published.sheets import DIFFERENCE, Column, Row, Sheet

SHARES = (
    "dice",
    "nsd",
    "acc",
    "auc",
    "ap",
    "froc",
    "recall@",
    "bleu-",
    "rouge-l",
)  # from 0 to 1, or 0 to 100 in percent
COUNTED = ("acc", "recall@")  # right answers over all cases
ORDERS = (("assd", "hd"), ("hd95", "hd"))  # a mean or a percentile of distances never exceeds their maximum


@dataclass(frozen=True)
class Grid:
    """The values that a metric can take on a test set: multiples of `step`, in words `told`."""

    step: Fraction
    told: str


def audit_ranges(sheet: Sheet) -> Iterator[Finding]:
    """Values outside of what the metric can be, and standard deviations below zero."""
    for row, column, cell in _measured(sheet):
        scale = _scale(cell)
        top = Fraction(scale) if _is_share(column.metric) else None
        span = span_of(cell.value)
        limit = Fraction(0) if span.high < 0 else top if top is not None and span.low > top else None
        if limit is not None:
            told = f"{column.metric} lies between 0 and {scale}" if top else f"{column.metric} is never below 0"
            yield _finding(sheet, row, str(column), "range", cell.value, limit, "certain", f"{told}.")
        if cell.std and span_of(cell.std).high < 0:
            note = "A standard deviation is never below 0."
            yield _finding(sheet, row, f"{column} std", "range", cell.std, Fraction(0), "certain", note)


def audit_grids(sheet: Sheet, known: Known) -> Iterator[Finding]:
    """Shares of a test set that no count of cases gives.

    A value counts as impossible only where no multiple of 1/n (of 1/(2 positives negatives) for a binary AUC, half for ties)
    lies within its printed digits.
    """
    for column in sheet.columns:
        size = known.size_of(sheet.paper, column.task)
        grid = grid_of(column, size) if size else None
        if size is None or grid is None:
            continue
        cells = {
            row: found[column] for row, found in sheet.cells.items() if column in found and not found[column].average
        }
        missing = {row: c for row, c in cells.items() if span_of(c.value).multiple(grid.step * _scale(c)) is None}
        if size.assumed and missing:
            yield _unsupported(sheet, column, size, grid, cells, missing)
            continue
        for row, cell in missing.items():
            yield _off_grid(sheet, row, column, cell, size, grid)


def audit_spreads(sheet: Sheet, known: Known) -> Iterator[Finding]:
    """Standard deviations that no values within the scale have around that mean.

    Of k values between 0 and 1 with mean m the sample standard deviation is at most sqrt(m (1 - m) k / (k - 1)); where k
    is not told, 2 gives the most room.
    """
    runs = known.spread_runs.get(sheet.paper, 2)
    for row, column, cell in _measured(sheet):
        if not cell.std or not _is_share(column.metric):
            continue
        mean, top = span_of(cell.value), _scale(cell)
        nearest_half = min(max(Fraction(top, 2), mean.low), mean.high)
        largest = math.sqrt(max(nearest_half * (top - nearest_half), Fraction(0)) * runs / max(runs - 1, 1))
        if float(span_of(cell.std).low) > largest:
            note = f"Mean {cell.value} over {runs} values between 0 and {top} allows at most {largest:.4g}."
            yield _finding(sheet, row, f"{column} std", "spread", cell.std, Fraction(largest), "certain", note)


def audit_orders(sheet: Sheet) -> Iterator[Finding]:
    """Rows whose mean surface distance or 95th percentile exceeds their maximum distance."""
    for row, cells in sheet.cells.items():
        for column, cell in cells.items():
            for smaller, larger in ORDERS:
                other = cells.get(Column(column.task, column.ratio, column.region, larger))
                if column.metric != smaller or other is None or other.unit != cell.unit or DIFFERENCE in row.method:
                    continue
                if span_of(cell.value).low > span_of(other.value).high:
                    note = f"{smaller} {cell.value} exceeds {larger} {other.value}; only cases left out of one of them allow that."
                    yield _finding(sheet, row, str(column), "order", cell.value, Fraction(other.value), "likely", note)


def grid_of(column: Column, size: Size) -> Grid | None:
    """The values that a column can take on a test set of this size; None where the metric is no share of counts."""
    if column.metric.startswith(COUNTED):
        mean = f" and the mean of {size.runs} runs" if size.runs > 1 else ""
        return Grid(Fraction(1, size.test * size.runs), f"multiples of 1/{size.test}{mean} ({size.source})")
    pairs = size.positives * size.negatives
    if column.metric == "auc" and pairs:
        told = f"multiples of 1/{2 * pairs}, of {size.positives} x {size.negatives} pairs with ties as halves ({size.source})"
        return Grid(Fraction(1, 2 * pairs * size.runs), told)
    return None


def _off_grid(sheet: Sheet, row: Row, column: Column, cell: Printed, size: Size, grid: Grid) -> Finding:
    step = grid.step * _scale(cell)
    nearest = span_of(cell.value).nearest_multiple(step)
    beside = (nearest - step, nearest, nearest + step)
    notes = [f"not among the {grid.told}", f"the nearest is {float(nearest):.4f}"]
    doubt = "likely"
    if row.method in size.means_of_runs:
        doubt = "possible"
        notes.append("the row is quoted as a mean over runs, which lies between")
    if any(rounded_twice(value, cell.value) for value in beside):
        doubt = "possible"
        notes.append("rounding twice gives it")
    if any(cut_off(value, cell.value) for value in beside):
        doubt = "possible"
        notes.append("cutting digits off instead of rounding gives it")
    if "ocr-uncertain" in cell.tags:
        doubt = "possible"
        notes.append("the source of the digits is damaged (ocr-uncertain)")
    return _finding(sheet, row, str(column), "grid", cell.value, nearest, doubt, "; ".join(notes) + ".")


def _unsupported(
    sheet: Sheet, column: Column, size: Size, grid: Grid, cells: Mapping[Row, Printed], missing: Mapping[Row, Printed]
) -> Finding:
    """One finding for a column whose test set the paper only implies: single cells prove nothing then."""
    chance = sum(min(1.0, float(2 * Fraction(c.half_step) / (grid.step * _scale(c)))) for c in cells.values())
    fitting = len(cells) - len(missing)
    note = (
        f"Values would be {grid.told}; chance alone would let {chance:.1f} of {len(cells)} fit; another size, or runs of "
        "unequal size, would be innocent."
    )
    return Finding(
        sheet.paper, sheet.table, f"{len(cells)} rows", str(column), "size", f"{fitting} fit", f"{len(cells)} fit",
        float(fitting - len(cells)), "possible", note,
    )  # fmt: skip


def _measured(sheet: Sheet) -> Iterator[tuple[Row, Column, Printed]]:
    """Every cell that is a measurement and no printed difference."""
    for row, cells in sheet.cells.items():
        if DIFFERENCE not in row.method:
            yield from ((row, column, cell) for column, cell in cells.items())


def _is_share(metric: str) -> bool:
    return metric.startswith(SHARES)


def _scale(cell: Printed) -> int:
    return 100 if cell.unit == "percent" else 1


def _finding(
    sheet: Sheet, row: Row, column: str, kind: str, printed: str, recomputed: Fraction, confidence: str, note: str
) -> Finding:
    decimals = len(printed.partition(".")[2])
    return Finding(
        sheet.paper, sheet.table, sheet.name(row), column, kind, printed, decimal_text(recomputed, decimals),
        difference(Fraction(printed), recomputed), confidence, note,
    )  # fmt: skip
