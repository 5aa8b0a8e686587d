"""Averages against their columns and differences against their rows, as far as the printed digits reach.

A printed 95.60 may be anything from 95.595 to 95.605. An average is wrong only where no choice of such values has it; so the
way in which halves were rounded never matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from bench.published.findings import Finding, decimal_text, difference
from bench.published.known import Known
from bench.published.printed import Printed
from bench.published.rounding import Span, cut_off, mean_span, span_of
from bench.published.sheets import DIFFERENCE, Column, Row, Sheet

LOWER_IS_BETTER = ("assd", "hd")  # hd95 and the like begin with these words


@dataclass(frozen=True)
class _Averaged:
    """The cells that an average is over, and what was assumed to know them."""

    cells: Sequence[Printed]
    assumed: str = ""
    weighted: str = ""


def audit_averages(sheet: Sheet, known: Known) -> Iterator[Finding]:
    """Printed averages that their row excludes."""
    for row, cells in sheet.cells.items():
        for column, cell in cells.items():
            averaged = _averaged(column, cell, cells, known) if cell.average else None
            if averaged is not None and not mean_span([span_of(c.value) for c in averaged.cells]).meets(
                span_of(cell.value)
            ):
                yield _wrong_average(sheet, row, column, cell, averaged)


def audit_differences(sheet: Sheet) -> Iterator[Finding]:
    """Printed differences (rows `a@minus_b`) that the rows of `a` and `b` exclude, as gains where less is better."""
    for row, cells in sheet.cells.items():
        first, is_difference, second = row.method.partition(DIFFERENCE)
        for column, cell in cells.items() if is_difference else ():
            pairs = [(a, b) for a in _cells(sheet, first, column) for b in _cells(sheet, second, column)]
            spans = [_gain(a, b, column) for a, b in pairs]
            if spans and not any(span.meets(span_of(cell.value)) for span in spans):
                middle = (spans[0].low + spans[0].high) / 2
                yield Finding(
                    sheet.paper, sheet.table, sheet.name(row), str(column), "delta", cell.value,
                    decimal_text(middle, cell.decimals), difference(Fraction(cell.value), middle),
                    "possible" if _damaged([cell, *pairs[0]]) else "certain",
                    f"{first} {pairs[0][0].value}, {second} {pairs[0][1].value}; rounding moves it by at most "
                    f"{float((spans[0].high - spans[0].low) / 2 + _half(cell)):g}.",
                )  # fmt: skip


def _averaged(column: Column, cell: Printed, cells: Mapping[Column, Printed], known: Known) -> _Averaged | None:
    """What an average is over; None where its columns are not all there."""
    alike = {c: other for c, other in cells.items() if not other.average and c.metric == column.metric}
    alike = {c: other for c, other in alike.items() if other.unit == cell.unit}
    tasks = known.averages.get(column.task)
    if tasks is not None:
        found = [o for c, o in alike.items() if c.task in tasks and column.ratio in ("", c.ratio)]
        complete = {o.task_slug for o in found} == set(tasks)
        return _Averaged(found) if complete else None
    regions = [o for c, o in alike.items() if (c.task, c.ratio) == (column.task, column.ratio) and c.region]
    if len(regions) > 1:
        weighted = "averaging over cases first can differ from the mean over regions where a case lacks one"
        return _Averaged(regions, weighted=weighted)
    others = [o for c, o in alike.items() if column.ratio in ("", c.ratio)]
    return _Averaged(others, assumed="taken as the mean of all columns of this metric") if len(others) > 1 else None


def _wrong_average(sheet: Sheet, row: Row, column: Column, cell: Printed, averaged: _Averaged) -> Finding:
    values = [Fraction(c.value) for c in averaged.cells]
    mean = sum(values, Fraction(0)) / len(values)
    reach = mean_span([span_of(c.value) for c in averaged.cells])
    printed = span_of(cell.value)
    outside = printed.high < min(values) or printed.low > max(values)
    notes = [
        f"mean of {len(values)} columns; rounding reaches from {float(reach.low):.4f} to {float(reach.high):.4f}",
        f"the columns would have to sum to {float((Fraction(cell.value) - mean) * len(values)):+.2f}",
    ]
    if averaged.assumed:
        notes.append(averaged.assumed)
    if averaged.weighted:
        notes.append("no weights of the columns give it" if outside else averaged.weighted)
    if cut_off(reach.low, cell.value):
        notes.append("cutting digits off instead of rounding gives it")
    damaged = _damaged([cell, *averaged.cells])
    if damaged:
        notes.append(damaged)
    doubt = "possible" if averaged.assumed or damaged else "likely" if averaged.weighted and not outside else "certain"
    return Finding(
        sheet.paper, sheet.table, sheet.name(row), str(column), "average", cell.value,
        decimal_text(mean, cell.decimals), difference(Fraction(cell.value), mean), doubt, "; ".join(notes) + ".",
    )  # fmt: skip


def _cells(sheet: Sheet, method: str, column: Column) -> list[Printed]:
    return [cells[column] for row, cells in sheet.cells.items() if row.method == method and column in cells]


def _gain(first: Printed, second: Printed, column: Column) -> Span:
    spans = span_of(first.value), span_of(second.value)
    return spans[1] - spans[0] if column.metric.startswith(LOWER_IS_BETTER) else spans[0] - spans[1]


def _half(cell: Printed) -> Fraction:
    return Fraction(cell.half_step)


def _damaged(cells: Sequence[Printed]) -> str:
    """A word on cells whose source text is damaged, empty where all are clear."""
    count = sum("ocr-uncertain" in cell.tags for cell in cells)
    return f"{count} of the digits' sources are damaged (ocr-uncertain)" if count else ""
