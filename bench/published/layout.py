"""`tables.toml` -> the tables of the four papers as they stand on paper, filled with the printed cells.

A table is a head of two levels, words at the left of each row, and one printed cell where row and column meet.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bench.contracts.errors import DataUnsound, SpecError, nearest
from bench.published.printed import COLUMNS, Printed, printed

TABLES = Path(__file__).parent / "tables.toml"
_WORDS_OF_A_COLUMN = {"head", "unit", "decimals", "better", "measured", "gain", "over"}


@dataclass(frozen=True)
class PaperTask:
    """What our runs of a printed task are called. `metric` maps printed metrics to our ids where they differ.

    `target_without_text` is the target of methods whose encoder reads no text, where `target` asks for one that does.
    `notes` hold of the task, `metric_notes` where a table prints that metric of it. `apart` says why no run of ours repeats a
    printed score of the task: it departs from the paper, whatever else it does.
    """

    task: str
    protocol: str
    target: str = ""
    target_without_text: str = ""
    metric: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    metric_notes: Mapping[str, str] = field(default_factory=dict)
    apart: str = ""

    def metric_id(self, printed_metric: str) -> str:
        """Our id of a printed metric. Example: `nsd` is `nsd@2mm` where the paper leaves the tolerance open."""
        return self.metric.get(printed_metric, printed_metric)


@dataclass(frozen=True)
class PaperRun:
    """A printed method on a network for which its card has a variant -> our method@variant."""

    method: str
    network: str
    run: str

    def holds(self, cell: Printed) -> bool:
        """True when the printed cell is of this method and network."""
        return (cell.method_slug, cell.network) == (self.method, self.network)


@dataclass(frozen=True)
class Paper:
    """One of the four papers. `corpora` maps printed corpora to ours where the words differ."""

    key: str
    short: str
    title: str
    notes: tuple[str, ...]
    tasks: Mapping[str, PaperTask]
    corpora: Mapping[str, str]
    runs: tuple[PaperRun, ...]


@dataclass(frozen=True)
class PaperColumn:
    """One column: the heads over it, what it selects in the CSV, and how its numbers are read.

    `gain` of two method keys: the column holds what the first improves on the second. `over` names the printed tasks
    whose columns it averages. `measured` False: no score of a run of ours can stand here.
    """

    group: str
    head: str
    selects: tuple[tuple[str, str], ...]
    unit: str
    decimals: int
    higher_is_better: bool
    measured: bool
    gain: tuple[str, ...]
    over: tuple[str, ...]

    def holds(self, cell: Printed) -> bool:
        """True when the printed cell belongs under this column."""
        return all(getattr(cell, name) == word for name, word in self.selects)


@dataclass(frozen=True)
class PaperRow:
    """One printed row: its group, the words at its left, and a cell per column, None where the paper leaves it blank."""

    group: str
    stub: tuple[str, ...]
    cells: tuple[Printed | None, ...]


@dataclass(frozen=True)
class PaperTable:
    """One table of one paper. `stub` are (head, CSV column); `runs` is how many iterations lie behind a printed spread."""

    paper: Paper
    number: str
    title: str
    row_groups: tuple[str, ...]
    stub: tuple[tuple[str, str], ...]
    columns: tuple[PaperColumn, ...]
    ranked: bool
    runs: int
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the command line calls it, as in `mim:III`."""
        return f"{self.paper.key}:{self.number}"

    def rows(self) -> tuple[PaperRow, ...]:
        """The printed rows, group by group. Raises DataUnsound where two cells meet in one place or one has none."""
        placed: dict[tuple[str, ...], dict[PaperColumn, Printed]] = {}
        for cell in printed(self.paper.key):
            if cell.table != self.number:
                continue
            key = (cell.row_group, *(_stub_word(cell, name) for _, name in self.stub))
            columns = [column for column in self.columns if column.holds(cell)]
            if len(columns) != 1 or columns[0] in placed.get(key, {}) or cell.row_group not in self.row_groups:
                raise DataUnsound(f"{' / '.join(cell.key)} has no place of its own.", case=self.name)
            placed.setdefault(key, {})[columns[0]] = cell
        order = sorted(placed, key=lambda key: self.row_groups.index(key[0]))  # stable: printed order within a group
        return tuple(PaperRow(key[0], key[1:], tuple(placed[key].get(c) for c in self.columns)) for key in order)


@dataclass(frozen=True)
class Exposure:
    """Corpora that hold images of the tasks' test sets; `sure` False: inferred, not checked image by image."""

    corpora: tuple[str, ...]
    tasks: tuple[str, ...]
    seen: str
    sure: bool


@cache
def paper_tables() -> tuple[PaperTable, ...]:
    """Every results and ablation table, paper by paper in printed order."""
    told = _toml()
    papers = {key: _paper(key, words) for key, words in told["paper"].items()}
    return tuple(_table(papers[words["paper"]], words) for words in told["table"])


def paper_table(name: str) -> PaperTable:
    """The table called `mim:III`, in any case of letters. Raises SpecError with the nearest name."""
    tables = {table.name.lower(): table for table in paper_tables()}
    if name.lower() in tables:
        return tables[name.lower()]
    possible = [table.name for table in tables.values()]
    raise SpecError(
        f"No table '{name}' in the papers. {nearest(name, possible)}Possible: {', '.join(possible)}.",
        case=name,
        remedy="With titles: bench list tables",
    )


@cache
def exposures() -> tuple[Exposure, ...]:
    """What is known of test images inside pre-training corpora."""
    return tuple(
        Exposure(tuple(words["corpora"]), tuple(words["tasks"]), words["seen"], words["sure"])
        for words in _toml()["exposure"]
    )


def exposure(corpus: str, task: str) -> Exposure | None:
    """The entry that says a corpus has seen a task's test images, None where nothing is known."""
    return next((entry for entry in exposures() if corpus in entry.corpora and task in entry.tasks), None)


@cache
def networks() -> Mapping[str, str]:
    """Printed segmentation networks -> the decoder that a method's card names."""
    return dict(_toml()["networks"])


@cache
def _toml() -> dict[str, Any]:
    return tomllib.loads(TABLES.read_text(encoding="utf-8"))


def _paper(key: str, words: Mapping[str, Any]) -> Paper:
    tasks = {name: PaperTask(**{**told, "notes": tuple(told["notes"])}) for name, told in words["task"].items()}
    runs = tuple(PaperRun(**told) for told in words.get("run", ()))
    return Paper(key, words["short"], words["title"], tuple(words["notes"]), tasks, words.get("corpora", {}), runs)


def _table(paper: Paper, words: Mapping[str, Any]) -> PaperTable:
    return PaperTable(
        paper=paper,
        number=words["number"],
        title=words["title"],
        row_groups=tuple(words["row_groups"]),
        stub=tuple((head, name) for head, name in words["stub"]),
        columns=tuple(_columns(words)),
        ranked=words.get("ranked", True),
        runs=words.get("runs", 1),
        notes=tuple(words["notes"]),
    )


def _columns(words: Mapping[str, Any]) -> Iterator[PaperColumn]:
    for group in words["groups"]:
        for column in group.get("columns") or words["columns"]:
            told = {"unit": words["unit"], "decimals": words["decimals"], **group, **column}
            told.pop("columns", None)
            selects = {name: word for name, word in told.items() if name not in _WORDS_OF_A_COLUMN}
            if unknown := sorted(selects.keys() - set(COLUMNS)):
                raise DataUnsound(
                    f"A column selects by {', '.join(unknown)}, which the CSV has not.", case="tables.toml"
                )
            yield PaperColumn(
                group=group["head"],
                head=column["head"],
                selects=tuple(sorted(selects.items())),
                unit=told["unit"],
                decimals=told["decimals"],
                higher_is_better=told.get("better", "higher") == "higher",
                measured=told.get("measured", True),
                gain=tuple(told.get("gain", ())),
                over=tuple(told.get("over", ())),
            )


def _stub_word(cell: Printed, name: str) -> str:
    if name.startswith("config."):
        return cell.config.get(name.removeprefix("config."), "")
    return str(getattr(cell, name))
