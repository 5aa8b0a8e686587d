"""Cells -> a table of means that a reviewer can trust: what is not comparable never shares a section, a row or a rank.

A table entry is the mean over the cells that differ in seed and fold only. Sections part data source, protocol, preset,
distance unit and order of averaging; rows part method, variant, corpus, partial test sets and any setting that differs.
What still needs a caution carries a mark. `bench.tables.forms` renders a model as text, Markdown, LaTeX, HTML or CSV.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.cell_settings import RowKey, grouped, with_settings
from bench.contracts.cards import PRESETS
from bench.contracts.errors import SpecError, nearest
from bench.contracts.record import Cell
from bench.spec import at
from bench.tables.entries import MARKS, Entry, entries_of, is_error, undefined, unit_of
from bench.tables.words import LONGEST_SETTING, clean

__all__ = ["MARKS", "Column", "Entry", "Row", "Section", "TableModel", "select", "table"]


@dataclass(frozen=True, order=True)
class Column:
    """A task (with its target after `@`) at a share of its training labels, 0..1."""

    task: str
    ratio: float


@dataclass(frozen=True)
class Row:
    """A method pre-trained on a corpus. `setting` says what else parts it from rows of the same words."""

    method: str
    corpus: str
    setting: str
    entries: tuple[Entry | None, ...]


@dataclass(frozen=True)
class Section:
    """Rows that may be compared. `notes` count what is undefined, `corpora` say exactly which volumes were pre-trained on."""

    source: str
    protocol: str
    preset: str
    unit: str
    average: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """What stands below the rows, in words."""
        return (*(f"undefined: {note}" for note in self.notes), *(f"corpus: {one}" for one in self.corpora))

    @property
    def title(self) -> str:
        """The section's words, phantoms called by their name first."""
        data = "real data" if self.source == "real" else "PHANTOM DATA, no medical result"
        return f"{data}, protocol {self.protocol}, preset {self.preset}, averaged {self.average.replace('_', ' ')}"

    @property
    def marks(self) -> frozenset[str]:
        """The marks that occur."""
        return frozenset(mark for row in self.rows for made in row.entries if made for mark in made.marks)


@dataclass(frozen=True)
class TableModel:
    """A table without a form. `footnotes` are (name in `MARKS`, explanation) of the marks that occur."""

    name: str
    metric: str
    higher_is_better: bool
    sections: tuple[Section, ...]
    footnotes: tuple[tuple[str, str], ...]

    @property
    def caption(self) -> str:
        """What the numbers are."""
        units = " or ".join(sorted({section.unit for section in self.sections}))
        better = "higher" if self.higher_is_better else "lower"
        return (
            f"{self.metric} in {units} ({better} is better): mean, sample standard deviation and number of runs, which "
            "differ in seed and fold only. Best in bold and second underlined, within a column of one section."
        )


def table(cells: Iterable[Cell], name: str = "all", metric: str = "dice") -> TableModel:
    """The table `name` of one metric: `all`, or the key of a task or a method, with or without its `@` part.

    Fractions are given in percent, distances in the cells' unit. The same cells in any order give the same model.
    Raises SpecError when no cell matches or none holds the metric.
    """
    chosen = select(cells, name)
    held = [cell for cell in chosen if metric in cell.scores]
    if not held:
        possible = sorted({known for cell in chosen for known in cell.scores})
        raise SpecError(
            f"No cell of '{name}' holds the metric '{metric}'. {nearest(metric, possible)}Found: {', '.join(possible)}.",
            case=metric,
            remedy="Name one of them with --metric.",
        )
    groups = grouped(sorted(held, key=lambda cell: cell.name), lambda cell: _section_key(cell, metric))
    sections = tuple(_section(groups[key], metric) for key in sorted(groups, key=_section_order))
    footnotes = tuple((m, text) for m, (_, text) in MARKS.items() if any(m in section.marks for section in sections))
    return TableModel(clean(name), clean(metric), not is_error(metric), sections, footnotes)


def select(cells: Iterable[Cell], name: str) -> list[Cell]:
    """The cells that a table's name means. Raises SpecError with the nearest name when there are none."""
    every = list(cells)
    if not every:
        raise SpecError("There are no results yet.", case=name, remedy="Make one: bench run --method M --task T")
    chosen = [cell for cell in every if name in ("all", *_names(cell))]
    if not chosen:
        possible = sorted({"all"} | {known for cell in every for known in _names(cell)})
        shown = ", ".join(clean(word) for word in possible)
        raise SpecError(
            f"No table '{name}'. {nearest(name, possible)}There are results for: {shown}.",
            case=name,
            remedy="All of them: bench table all",
        )
    return chosen


def _names(cell: Cell) -> tuple[str, ...]:
    return (cell.task, cell.method, at(cell.task, cell.target), at(cell.method, cell.variant))


def _column(cell: Cell) -> Column:
    return Column(at(cell.task, cell.target), cell.ratio)


def _section_key(cell: Cell, metric: str) -> tuple[str, ...]:
    unit = unit_of(metric, cell.distance_unit)
    return (cell.source, cell.protocol, cell.preset, unit, cell.average)


def _section_order(key: tuple[str, ...]) -> tuple[object, ...]:
    source, protocol, preset, *rest = key
    place = PRESETS.index(preset) if preset in PRESETS else len(PRESETS)
    return (source != "real", protocol != "bench", protocol, place, preset, *rest)


def _section(cells: Sequence[Cell], metric: str) -> Section:
    placed = grouped(with_settings(cells), lambda pair: pair[0])
    held = {key: grouped((cell for _, cell in placed[key]), _column) for key in sorted(placed)}
    columns = sorted({_column(cell) for cell in cells})
    made = {c: entries_of({key: row[c] for key, row in held.items() if c in row}, metric) for c in columns}

    def row(key: RowKey) -> Row:
        method, corpus, setting = key
        entries = tuple(made[column].get(key) for column in columns)
        return Row(clean(method), clean(corpus), clean(setting, LONGEST_SETTING), entries)

    source, protocol, preset, unit, average = (clean(word) for word in _section_key(cells[0], metric))
    return Section(
        source=source,
        protocol=protocol,
        preset=preset,
        unit=unit,
        average=average,
        columns=tuple(Column(clean(column.task), column.ratio) for column in columns),
        rows=tuple(row(key) for key in held),
        notes=tuple(note for key in held for c in columns for note in _notes(key, c, held[key].get(c, []), metric)),
        corpora=tuple(dict.fromkeys(sorted(told for cell in cells if (told := _volumes(cell))))),
    )


def _volumes(cell: Cell) -> str:
    """Example: `mim-10k#a1b2c3d4, 7,214/10,502 volumes`; '' where a record does not tell, or of a task's own."""
    if not cell.corpus_id or cell.corpus_volumes is None or cell.corpus == "own":
        return ""
    found, printed = cell.corpus_volumes
    return f"{clean(cell.corpus_id)}, {found:,}/{printed:,} volumes"


def _notes(key: RowKey, column: Column, cells: Sequence[Cell], metric: str) -> list[str]:
    """What of a metric is undefined in the runs of one entry, as a line; none where all is there."""
    counts: Counter[str] = Counter()
    for cell in cells:
        counts.update(undefined(cell, metric))
    told = ", ".join(f"{clean(word)} {count}" for word, count in sorted(counts.items()))
    words = " ".join(clean(word, LONGEST_SETTING) for word in (*key, column.task, f"r{column.ratio:g}") if word)
    return [f"{words}: {told}"] if told else []
