"""A paper's table and our cells -> one table of both: what is printed, what we measured, how they compare, what is missing.

Rows, columns and their order are the paper's. Every caution is a footnote with a letter: on a head what its task does
otherwise, on a row what the paper marks, on an entry what the run does otherwise or what its corpus has seen.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

from bench.contracts.errors import SpecError, nearest
from bench.contracts.record import Cell
from bench.published.layout import PaperRow, PaperTable, paper_table
from bench.published.printed import Printed
from bench.published.verdict import BASES, Comparison
from bench.tables.entries import Entry, best_two
from bench.tables.paper_cells import Pool, RowsOf
from bench.tables.paper_commands import command, commands, lacking
from bench.tables.paper_measured import Measured, beside, measure
from bench.tables.paper_notes import measured_notes, our_notes, printed_notes, row_notes, task_notes

View = Literal["published", "measured", "both"]
VIEWS: tuple[str, ...] = get_args(View)
Letters = tuple[str, ...]
_UNITS = {"percent": "percent", "fraction": "a fraction", "mm": "mm", "GFLOPs": "GFLOPs", "hours": "hours", "GB": "GB"}


@dataclass(frozen=True)
class Place:
    """Where a row and a column meet; None where there is nothing, or the view does not ask for it.

    `measured` is in the column's unit. A rank is 1 for the best, 2 for the second, else 0. Letters are those of footnotes.
    `command` would fill the place; it is empty where a run stands or none can be made (`lacks` says why).
    """

    printed: Printed | None = None
    printed_rank: int = 0
    printed_letters: Letters = ()
    measured: Entry | None = None
    measured_rank: int = 0
    measured_letters: Letters = ()
    comparison: Comparison | None = None
    comparison_letters: Letters = ()
    command: str = ""


@dataclass(frozen=True)
class Line:
    """One printed row: its group, the words at its left with their footnotes, a place per column."""

    group: str
    stub: tuple[str, ...]
    letters: Letters
    places: tuple[Place, ...]

    @property
    def measured(self) -> bool:
        """True where a run of ours stands anywhere in the row."""
        return any(place.measured for place in self.places)


@dataclass(frozen=True)
class Head:
    """The two heads of a column with their footnotes, the digits its numbers show, and their unit."""

    group: str
    group_letters: Letters
    head: str
    letters: Letters
    decimals: int
    unit: str


@dataclass(frozen=True)
class PaperTableModel:
    """A paper's table, ready for any form. `footnotes` are (letter, text); `notes` hold of the whole table.

    `commands` would fill what is blank; `lacking` says what this version cannot run.
    """

    name: str
    title: str
    view: str
    caption: str
    stub: tuple[str, ...]
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    footnotes: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]
    lacking: tuple[str, ...]


class _Footnotes:
    """Texts -> letters a, b, ..., z, aa, ab, ... in the order in which they are first used."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def __call__(self, texts: Iterable[str]) -> Letters:
        found = []
        for text in texts:
            count = len(self._letters)
            before = string.ascii_lowercase[count // 26 - 1] if count >= 26 else ""
            found.append(self._letters.setdefault(text, before + string.ascii_lowercase[count % 26]))
        return tuple(sorted(found, key=lambda letter: (len(letter), letter)))

    def told(self) -> tuple[tuple[str, str], ...]:
        return tuple((letter, text) for text, letter in self._letters.items())


def paper_model(name: str, cells: Sequence[Cell], rows_of: RowsOf, view: str = "both") -> PaperTableModel:
    """The table called `mim:III` beside what `cells` hold of it. The same cells in any order give the same model.

    `rows_of` gives the per-case rows of a cell by name; it is asked only where one run alone is to be compared. Raises
    SpecError for an unknown table or view.
    """
    if view not in VIEWS:
        raise SpecError(
            f"No view '{view}'. {nearest(view, VIEWS)}Possible: {', '.join(VIEWS)}.",
            case=view,
            remedy="Name one of them with --view.",
        )
    table = paper_table(name)
    rows = table.rows()
    pool = Pool(cells, rows_of)
    ours = measure(table, rows, pool) if view != "published" else Measured({}, {}, {})
    footnotes = _Footnotes()
    heads = _heads(table, rows, footnotes)
    best = _printed_ranks(table, rows) if view != "measured" else {}
    lines = []
    for at, row in enumerate(rows):
        letters = footnotes(row_notes(row)) if view != "measured" else ()
        places = [_place(table, row, (at, j), view, ours, best, pool, footnotes) for j in range(len(table.columns))]
        lines.append(Line(row.group, _stub(table, row), letters, tuple(places)))
    return PaperTableModel(
        name=table.name,
        title=f"{table.paper.short} Table {table.number}: {table.title}",
        view=view,
        caption=_caption(table, rows, view),
        stub=tuple(head for head, _ in table.stub),
        heads=heads,
        lines=tuple(lines),
        footnotes=footnotes.told(),
        notes=(f"{table.paper.title}.", *table.paper.notes, *table.notes, *our_notes(ours)),
        commands=commands(ours.missing.values()),
        lacking=lacking(ours.missing.values()),
    )


def _place(
    table: PaperTable,
    row: PaperRow,
    at: tuple[int, int],
    view: str,
    ours: Measured,
    best: Mapping[tuple[int, int], int],
    pool: Pool,
    footnotes: _Footnotes,
) -> Place:
    column, cell, found = table.columns[at[1]], row.cells[at[1]], ours.found.get(at)
    asked = ours.missing.get(at)
    comparison = beside(found, cell, column, table.runs, pool) if view == "both" and found and cell else None
    shown = cell if view != "measured" else None
    return Place(
        printed=shown,
        printed_rank=best.get(at, 0),
        printed_letters=footnotes(printed_notes(table, shown)) if shown else (),
        measured=found.entry if found else None,
        measured_rank=ours.ranks.get(at, 0),
        measured_letters=footnotes(measured_notes(found)) if found else (),
        comparison=comparison,
        comparison_letters=footnotes([f"tolerance: {BASES[comparison.basis]}"])
        if comparison and comparison.verdict
        else (),
        command=command(asked) if asked else "",
    )


def _heads(table: PaperTable, rows: Sequence[PaperRow], footnotes: _Footnotes) -> tuple[Head, ...]:
    """Notes of a task stand on the group that holds nothing else, else on each of its columns."""
    notes = [task_notes(table, [row.cells[j] for row in rows]) for j in range(len(table.columns))]
    heads = []
    for group, places in groupby(range(len(table.columns)), key=lambda j: table.columns[j].group):
        within = list(places)
        shared = group != "" and len({_tasks(rows, j) for j in within}) == 1
        of_group = footnotes(dict.fromkeys(text for j in within for text in notes[j])) if shared else ()
        for j in within:
            column = table.columns[j]
            own = () if shared else footnotes(notes[j])
            heads.append(Head(group, of_group, column.head, own, column.decimals, column.unit))
    return tuple(heads)


def _tasks(rows: Sequence[PaperRow], column: int) -> frozenset[str]:
    return frozenset(cell.task_slug for row in rows if (cell := row.cells[column]))


def _printed_ranks(table: PaperTable, rows: Sequence[PaperRow]) -> dict[tuple[int, int], int]:
    if not table.ranked:
        return {}
    found: dict[tuple[int, int], int] = {}
    for j, column in enumerate(table.columns):
        values = {at: float(cell.number) for at, row in enumerate(rows) if (cell := row.cells[j])}
        if not column.gain:
            found |= {(at, j): rank for at, rank in best_two(values, higher=column.higher_is_better).items()}
    return found


def _stub(table: PaperTable, row: PaperRow) -> tuple[str, ...]:
    return tuple(_stub_word(name, word) for (_, name), word in zip(table.stub, row.stub, strict=True))


def _stub_word(name: str, word: str) -> str:
    if name == "label_ratio":
        return f"{100 * float(word):g}%"
    return "" if (name, word) == ("pretrain_data", "none") else word


def _caption(table: PaperTable, rows: Sequence[PaperRow], view: str) -> str:
    units = " or ".join(dict.fromkeys(_UNITS[column.unit] for column in table.columns))
    told = [f"Values in {units}."]
    if view != "measured":
        spread = any(cell.std for row in rows for cell in row.cells if cell)
        told += ["Published: as printed, ± the printed standard deviation." if spread else "Published: as printed."]
    if view != "published":
        told += [
            "Measured: mean, sample standard deviation and number of our runs, which differ in seed and fold only; of "
            "several that fit, those closest to the paper in protocol, preset and corpus."
        ]
    if view == "both":
        told += [
            "Difference: measured minus published, then the tolerance at 95 % with half a printed digit, and whether the "
            "measured value lies within, below or above it; of true repetitions one in twenty falls outside. Within is no proof "
            "that both are equal (bench compare tests that). No verdict where a run departs from the paper or no spread "
            "is known."
        ]
    if table.ranked:
        told += ["Best in bold and second underlined, within a column."]
    return " ".join(told)
