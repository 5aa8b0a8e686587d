"""Printed cells as the tables they come from: rows of one method and setting, columns of one task and metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from bench.contracts.errors import DataUnsound
from bench.published.printed import Printed

DIFFERENCE = "@minus_"


@dataclass(frozen=True, order=True)
class Column:
    """What a column measures. `ratio` and `region` are empty where they do not apply."""

    task: str
    ratio: str
    region: str
    metric: str

    def __str__(self) -> str:
        ratio = "" if self.ratio in ("", "1.0") else f"at {self.ratio}"
        return " ".join(word for word in (self.task, self.region, self.metric, ratio) if word)


@dataclass(frozen=True, order=True)
class Row:
    """What a row is of."""

    method: str
    network: str
    corpus: str

    def __str__(self) -> str:
        told = ", ".join(word for word in (self.network, self.corpus) if word)
        return f"{self.method} ({told})" if told else self.method

    @property
    def system(self) -> str:
        """The method without its variant."""
        return self.method.partition("@")[0]


@dataclass(frozen=True)
class Sheet:
    """One table of one paper."""

    paper: str
    table: str
    cells: Mapping[Row, Mapping[Column, Printed]]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Every column, in the order of print."""
        return tuple(dict.fromkeys(column for cells in self.cells.values() for column in cells))

    def name(self, row: Row) -> str:
        """The method's word, with network and corpus where the word alone names more than one row."""
        return str(row) if Counter(other.method for other in self.cells)[row.method] > 1 else row.method


def column_of(cell: Printed) -> Column:
    """The column that a cell stands in."""
    return Column(cell.task_slug, cell.label_ratio, cell.region, cell.metric)


def row_name(cell: Printed) -> str:
    """The row of a cell for a reader. Example: `mim (Swin-UNETR, mim-10k)`."""
    return str(Row(cell.method_slug, cell.network, cell.pretrain_data))


def place_of(cell: Printed) -> str:
    """A cell for a reader. Example: `mim:V mim (Swin-UNETR, mim-10k) msd06 dice`."""
    return f"{cell.paper}:{cell.table} {row_name(cell)} {column_of(cell)}"


def sheets_of(cells: Iterable[Printed]) -> tuple[Sheet, ...]:
    """Cells -> tables, in the order of their first cells."""
    by_table: dict[tuple[str, str], list[Printed]] = {}
    for cell in cells:
        by_table.setdefault((cell.paper, cell.table), []).append(cell)
    return tuple(_sheet(paper, table, found) for (paper, table), found in by_table.items())


def _sheet(paper: str, table: str, cells: list[Printed]) -> Sheet:
    """Rows keep their network only where one column has a row in two; AR names one network per task instead."""
    without_network = Counter((cell.method_slug, cell.pretrain_data, column_of(cell)) for cell in cells)
    by_network = any(times > 1 for times in without_network.values())
    rows: dict[Row, dict[Column, Printed]] = {}
    for cell in cells:
        row = Row(cell.method_slug, cell.network if by_network else "", cell.pretrain_data)
        found = rows.setdefault(row, {})
        if column_of(cell) in found:
            raise DataUnsound(
                f"{place_of(cell)} stands twice, as {found[column_of(cell)].value} and {cell.value}.",
                case=f"{paper}:{table}",
                remedy="Tell the two rows apart by method_slug, network, pretrain_data, label_ratio or region.",
            )
        found[column_of(cell)] = cell
    return Sheet(paper, table, rows)
