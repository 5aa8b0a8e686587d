"""Cells -> a table of means that a reviewer can trust: what is not comparable never shares a section, a row or a rank.

A table entry is the mean over the cells that differ in seed and fold only. Sections part data source, protocol, preset,
distance unit and order of averaging; rows part method, variant, corpus, partial test sets and any setting that differs.
What still needs a caution carries a mark. `bench.tables.forms` renders a model as text, Markdown, LaTeX, HTML or CSV.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.contracts.cards import PRESETS
from bench.contracts.configs import FineTuneConfig, Inference, MethodConfig
from bench.contracts.errors import SpecError, nearest
from bench.contracts.record import Cell
from bench.tables.entries import MARKS, Entry, entry, is_error, ranks, undefined, unit_of
from bench.tables.words import clean

__all__ = ["MARKS", "Column", "Entry", "Row", "Section", "TableModel", "select", "table"]

_WITHOUT_EFFECT = {"seed", "fold", "pretrain_seed"} | {
    field.name
    for config in (MethodConfig, FineTuneConfig, Inference)
    for field in dataclasses.fields(config)
    if not field.metadata.get("decides", True)
}
_BEFORE = {  # what a record from before a field was means by its absence
    field.name: json.dumps(field.default)
    for config in (MethodConfig, FineTuneConfig)
    for field in dataclasses.fields(config)
    if "since" in field.metadata
}
Item = TypeVar("Item")
Group = TypeVar("Group", bound=Hashable)
RowKey = tuple[str, str, str]


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
    groups = _grouped(sorted(held, key=lambda cell: cell.name), lambda cell: _section_key(cell, metric))
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
    return (cell.task, cell.method, _at(cell.task, cell.target), _at(cell.method, cell.variant))


def _at(word: str, part: str) -> str:
    return f"{word}@{part}" if part else word


def _column(cell: Cell) -> Column:
    return Column(_at(cell.task, cell.target), cell.ratio)


def _section_key(cell: Cell, metric: str) -> tuple[str, ...]:
    unit = unit_of(metric, cell.distance_unit)
    return (cell.source, cell.protocol, cell.preset, unit, cell.average)


def _section_order(key: tuple[str, ...]) -> tuple[object, ...]:
    source, protocol, preset, *rest = key
    place = PRESETS.index(preset) if preset in PRESETS else len(PRESETS)
    return (source != "real", protocol != "bench", protocol, place, preset, *rest)


def _section(cells: Sequence[Cell], metric: str) -> Section:
    placed = _grouped(with_settings(cells), lambda pair: pair[0])
    held = {key: _grouped((cell for _, cell in placed[key]), _column) for key in sorted(placed)}
    columns = sorted({_column(cell) for cell in cells})
    ranked = {c: ranks({key: row[c] for key, row in held.items() if c in row}, metric) for c in columns}

    def made(key: RowKey, column: Column) -> Entry | None:
        runs = held[key].get(column)
        return dataclasses.replace(entry(runs, metric), rank=ranked[column].get(key, 0)) if runs else None

    def row(key: RowKey) -> Row:
        method, corpus, setting = (clean(word) for word in key)
        return Row(method, corpus, setting, tuple(made(key, column) for column in columns))

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
    words = " ".join(clean(word) for word in (*key, column.task, f"r{column.ratio:g}") if word)
    return [f"{words}: {told}"] if told else []


def with_settings(cells: Sequence[Cell]) -> list[tuple[RowKey, Cell]]:
    """Each cell with its row: method, corpus, and what parts it from cells of the same words.

    That is what the command line set, and any deciding value that still differs among the runs of one column, the volumes of a
    corpus among them (not of a task's own, which go by the fold).
    """
    placed: list[tuple[RowKey, Cell]] = []
    groups = _grouped(cells, lambda c: (c.method, c.variant, c.corpus, c.partial, _asked(c), _column(c)))
    for (method, variant, corpus, partial, asked, _), group in groups.items():
        configs = [_flat(cell.config) for cell in group]
        names = sorted({name for config in configs for name in config})
        differing = [name for name in names if len({_value(config, name) for config in configs}) > 1]
        pools = len({cell.corpus_id for cell in group if cell.corpus_id}) > 1 and corpus != "own"
        for cell, config in zip(group, configs, strict=True):
            unasked = [f"{name}={_value(config, name)}" for name in differing]
            unasked += [cell.corpus_id or f"{corpus}, volumes not recorded"] if pools else []
            setting = ", ".join([*([f"partial: {partial}"] if partial else []), *asked, *unasked])
            placed.append(((_at(method, variant), corpus, setting), cell))
    return placed


def _value(config: Mapping[str, str], name: str) -> str:
    """A value of `_flat`; a record from before a field was has that field's default."""
    return config[name] if name in config else _BEFORE.get(name.rpartition(".")[2], "absent")


def _asked(cell: Cell) -> tuple[str, ...]:
    """The deciding `--set` words of a cell's command."""
    words = re.findall(r"--set[ =](\S+)", cell.command)
    return tuple(word for word in words if word.partition("=")[0].rpartition(".")[2] not in _WITHOUT_EFFECT)


def _flat(config: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What decides a result, as `phase.field` -> JSON text; seeds, folds and fields that are only recorded left out."""
    return {
        f"{phase}.{field}": json.dumps(value, sort_keys=True)
        for phase, values in config.items()
        for field, value in values.items()
        if field not in _WITHOUT_EFFECT
    }


def _grouped(items: Iterable[Item], key: Callable[[Item], Group]) -> dict[Group, list[Item]]:
    groups: dict[Group, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
