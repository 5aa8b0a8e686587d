"""Rows that repeat another row's digits, differ from it by one constant, or share its standard deviations.

Each check asks how likely its find is between unrelated rows, counts everything that could have been found in its place, and
tells what stays below `LEVEL`. Rows of one method (its variants, its corpora) are related by nature and are not compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

from bench.published.audit_possible import grid_of
from bench.published.coincidence import Agreement, agreements, chance_of_agreement, chance_of_shift, shortest_half
from bench.published.findings import LEVEL, Finding
from bench.published.known import Known
from bench.published.printed import Printed
from bench.published.rounding import last_digit
from bench.published.sheets import DIFFERENCE, Column, Row, Sheet

MOST_ROWS = 400  # rows of one table that are compared pair by pair
FEWEST_COLUMNS = 3
INNOCENT = "one system quoted under two names, or one run printed twice, would be innocent"
Cells = Mapping[Row, Mapping[Column, Printed]]


def audit_copied_cells(sheet: Sheet, known: Known) -> Iterator[Finding]:
    """Rows that share the printed digits of one or more columns more often than chance allows."""
    cells = _comparable(sheet)
    chances = {}
    for column in sheet.columns:
        size = known.size_of(sheet.paper, column.task)
        grid = grid_of(column, size) if size else None
        found = [row[column] for row in cells.values() if column in row]
        scale = 100 if found and found[0].unit == "percent" else 1
        coarse = float(grid.step) * scale if grid else 0.0
        chances[column] = _chance(found, _value, coarse)
    yield from _copies(sheet, cells, _value, chances, "copied-cells")


def audit_copied_spreads(sheet: Sheet) -> Iterator[Finding]:
    """Rows, and columns, that share printed standard deviations more often than chance allows."""
    cells = {row: {c: cell for c, cell in found.items() if cell.std} for row, found in _comparable(sheet).items()}
    cells = {row: found for row, found in cells.items() if found}
    columns = [c for c in sheet.columns if any(c in found for found in cells.values())]
    chances = {c: _chance([row[c] for row in cells.values() if c in row], _std, 0.0) for c in columns}
    yield from _copies(sheet, cells, _std, chances, "copied-spreads")
    yield from _column_pairs(sheet, cells, columns, chances)


def audit_shifted_rows(sheet: Sheet) -> Iterator[Finding]:
    """Pairs of rows that differ by nearly one amount in every column of one unit.

    Residuals are values less the median of their column and of their row; how far unrelated rows' differences spread is
    judged by the shortest half of each column's residuals.
    """
    for unit in dict.fromkeys(cell.unit for found in sheet.cells.values() for cell in found.values()):
        cells = {
            row: {c: cell for c, cell in found.items() if cell.unit == unit}
            for row, found in _comparable(sheet).items()
        }
        columns = [c for c in sheet.columns if all(c in found for found in cells.values())]
        if len(columns) >= FEWEST_COLUMNS and 5 <= len(cells) <= MOST_ROWS:
            yield from _shifted(sheet, {row: {c: found[c] for c in columns} for row, found in cells.items()}, columns)


def _comparable(sheet: Sheet) -> dict[Row, dict[Column, Printed]]:
    """Rows that are measured, without their averages, which only repeat what the columns say."""
    cells = {row: {c: cell for c, cell in found.items() if not cell.average} for row, found in sheet.cells.items()}
    return {row: found for row, found in cells.items() if found and DIFFERENCE not in row.method}


def _chance(cells: Sequence[Printed], digits: Callable[[Printed], str], coarse: float) -> float:
    if not cells:
        return 1.0
    step = max(coarse, *(float(last_digit(digits(cell))) for cell in cells))
    return chance_of_agreement([float(digits(cell)) for cell in cells], step)


def _copies(
    sheet: Sheet, cells: Cells, digits: Callable[[Printed], str], chances: Mapping[Column, float], kind: str
) -> Iterator[Finding]:
    if len(cells) > MOST_ROWS:
        return
    texts = {row: {c: digits(cell) for c, cell in found.items()} for row, found in cells.items()}
    told: set[frozenset[Row]] = set()
    for found in agreements(texts, chances):
        if found.chance > LEVEL:
            return
        for group in found.groups:
            pairs = {frozenset(pair) for pair in combinations(group, 2)}
            if len({row.system for row in group}) > 1 and not pairs <= told:
                told |= pairs
                yield _copied(sheet, cells, digits, found, group, kind)


def _copied(
    sheet: Sheet, cells: Cells, digits: Callable[[Printed], str], found: Agreement[Row, Column], group: Sequence[Row],
    kind: str,
) -> Finding:  # fmt: skip
    first = cells[group[0]]
    damaged = any("ocr-uncertain" in cells[row][c].tags for row in group for c in found.columns)
    others = len(found.groups) - 1
    notes = [f"{len(group)} rows share {len(found.columns)} of {len(first)} columns"]
    notes += [f"as do {others} other groups of rows in these columns"] if others else []
    notes += [f"chance below {found.chance:.1e} anywhere in this table", INNOCENT]
    notes += ["the source of some digits is damaged (ocr-uncertain)"] if damaged else []
    return Finding(
        sheet.paper, sheet.table, ", ".join(sheet.name(row) for row in group),
        ", ".join(str(c) for c in found.columns), kind, ", ".join(digits(first[c]) for c in found.columns),
        "", None, "possible" if damaged else "likely", "; ".join(notes) + ".",
    )  # fmt: skip


def _column_pairs(
    sheet: Sheet, cells: Cells, columns: Sequence[Column], chances: Mapping[Column, float]
) -> Iterator[Finding]:
    """Columns with the same standard deviation in many rows: a row agrees by chance as seldom as the wider column allows."""
    from scipy.special import bdtrc

    pairs = list(combinations(columns, 2))
    for first, second in pairs:
        both = [row for row, found in cells.items() if first in found and second in found]
        equal = [row for row in both if cells[row][first].std == cells[row][second].std]
        chance = min(chances[first], chances[second])
        if not equal or chance >= 1:
            continue
        found = float(bdtrc(len(equal) - 1, len(both), chance)) * len(pairs)
        if found <= LEVEL:
            note = f"{len(equal)} of {len(both)} rows; chance below {found:.1e} anywhere in this table."
            yield Finding(
                sheet.paper, sheet.table, ", ".join(sheet.name(row) for row in equal), f"{first}, {second} std",
                "copied-column", ", ".join(cells[row][first].std for row in equal), "", None, "likely", note,
            )  # fmt: skip


def _shifted(sheet: Sheet, cells: Cells, columns: Sequence[Column]) -> Iterator[Finding]:
    values = {row: {c: float(cell.value) for c, cell in found.items()} for row, found in cells.items()}
    steps = [float(last_digit(cell.value)) for found in cells.values() for cell in found.values()]
    widths = _residual_widths(values, columns)
    pairs = list(combinations(values, 2))
    for first, second in pairs:
        differences = [values[second][c] - values[first][c] for c in columns]
        reach = max(differences) - min(differences)
        chance = chance_of_shift(widths, reach + 2 * max(steps)) * len(pairs)
        if chance > LEVEL or first.system == second.system or not any(differences):
            continue
        notes = [f"{len(columns)} columns, chance below {chance:.1e} anywhere in this table", INNOCENT]
        notes += ["residuals of unrelated rows are taken as independent between columns"]
        yield Finding(
            sheet.paper, sheet.table, f"{sheet.name(second)} less {sheet.name(first)}",
            f"{columns[0]} to {columns[-1]}", "shifted-row", f"{min(differences):+.4g} to {max(differences):+.4g}",
            "", round(statistics.fmean(differences), 6), "likely", "; ".join(notes) + ".",
        )  # fmt: skip


def _residual_widths(values: Mapping[Row, Mapping[Column, float]], columns: Sequence[Column]) -> dict[Column, float]:
    centres = {c: statistics.median(found[c] for found in values.values()) for c in columns}
    levels = {row: statistics.median(found[c] - centres[c] for c in columns) for row, found in values.items()}
    return {c: shortest_half([found[c] - centres[c] - levels[row] for row, found in values.items()]) for c in columns}


def _value(cell: Printed) -> str:
    return cell.value


def _std(cell: Printed) -> str:
    return cell.std
