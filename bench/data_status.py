"""Which datasets are on this machine, how much of each, and which tables of the papers can be run with them.

Names of files tell, as far as a layout goes by names: no voxel is read, and a folder of over a hundred folders is taken for one of
cases, in which no dataset is sought. `bench data check` looks into one dataset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.contracts.cards import CorpusMember, TaskCard
from bench.contracts.errors import BenchError
from bench.contracts.record import Record
from bench.corpora import member_records
from bench.data.find import folders_listed_once
from bench.datasets_file import find_folder, told_folders
from bench.published.layout import PaperTable, paper_tables
from bench.tables.paper_cells import asked_for


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a task's dataset, or a set of a corpus, lies ('' where it is not found) and what is there.

    `counts` maps the card's parts (labelled, unlabelled, patients) or the volumes of a set to (found, in the whole set).
    `problem` is why it could not be looked at. Phantoms are marked.
    """

    key: str
    title: str
    folder: str = ""
    phantom: bool = False
    counts: Mapping[str, tuple[int, int]]
    problem: str = ""
    licence: str = ""
    page: str = ""

    @property
    def found(self) -> bool:
        """True when at least one case is there."""
        return any(found for found, _ in self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pre-training corpus: its sets, and its paper's count of volumes."""

    key: str
    title: str
    printed: int
    sets: tuple[Place, ...]
    licence: str
    page: str

    @property
    def volumes(self) -> int:
        """Volumes on this machine."""
        return sum(found for place in self.sets for found, _ in place.counts.values())

    @property
    def here(self) -> tuple[Place, ...]:
        """The sets of which something is there."""
        return tuple(place for place in self.sets if place.found)


@dataclass(frozen=True, kw_only=True)
class Runnable:
    """A table of a paper and which of its tasks' data are there."""

    name: str
    title: str
    here: tuple[str, ...]
    lacking: tuple[str, ...]

    @property
    def state(self) -> Literal["yes", "partly", "no"]:
        """`yes` where no task lacks data, `no` where all do."""
        return "yes" if not self.lacking else "partly" if self.here else "no"


@dataclass(frozen=True, kw_only=True)
class Status:
    """All of it."""

    tasks: tuple[Place, ...]
    corpora: tuple[Pool, ...]
    tables: tuple[Runnable, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, with what follows from them."""
        return {
            "tasks": [_plain(place) for place in self.tasks],
            "corpora": [
                {**asdict(pool), "sets": [_plain(place) for place in pool.sets], "volumes": pool.volumes}
                for pool in self.corpora
            ],
            "tables": [{**asdict(table), "runnable": table.state} for table in self.tables],
        }


def data_status(root: Path | None, environ: Mapping[str, str]) -> Status:
    """Look for every task and every set of every corpus, in the places that runs look in.

    Raises SpecError for an unsound datasets.toml; what is wrong with one dataset stands beside its name.
    """
    if root is None:
        told_folders()
    with folders_listed_once():
        tasks = tuple(_task(key, root, environ) for key in registry.names(registry.TASKS))
        corpora = tuple(_pool(key, root, environ) for key in registry.names(registry.CORPORA))
    here = {place.key for place in tasks if place.found and not place.phantom}
    return Status(tasks=tasks, corpora=corpora, tables=tuple(_tables(here)))


def _task(key: str, root: Path | None, environ: Mapping[str, str]) -> Place:
    card = registry.task(key)
    told: dict[str, Any] = {"key": key, "title": card.title, "licence": card.licence, "page": card.page}
    nothing = {part: (0, whole) for part, whole in card.counts.items() if whole}
    try:
        folder = find_folder(card.files, key, card.folders, root, environ)
        if folder is None:
            return Place(**told, counts=nothing)
        counts, phantom = _counted(card, folder)
    except BenchError as error:
        return Place(**told, counts=nothing, problem=f"{error.message} {error.remedy}".strip())
    return Place(**told, folder=str(folder), phantom=phantom, counts={p: (counts[p], nothing[p][1]) for p in nothing})


def _counted(card: TaskCard, folder: Path) -> tuple[Counter[str], bool]:
    """Cases by part, and whether they are phantoms; of a layout whose cases lie inside scans, the scans.

    A layout whose cases are all labelled and lie in one file by the hundred thousand has `tally(folder)`: their number.
    """
    groups, tally = getattr(card.files, "groups", None), getattr(card.files, "tally", None)
    if len(card.counts) == 1 and (groups or tally):
        (part,) = card.counts
        found = len(set(groups(folder))) if groups else tally(folder) if tally else 0
        return Counter({part: found}), (folder / "PHANTOM.json").is_file()
    records = card.files.records(folder)
    return Counter("unlabelled" if r.label.kind == "none" else "labelled" for r in records), _made_up(records)


def _pool(key: str, root: Path | None, environ: Mapping[str, str]) -> Pool:
    card = registry.corpus(key)
    sets = tuple(_set(member, root, environ) for member in card.members)
    return Pool(key=key, title=card.title, printed=card.printed, sets=sets, licence=card.licence, page=card.page)


def _set(member: CorpusMember, root: Path | None, environ: Mapping[str, str]) -> Place:
    told: dict[str, Any] = {"key": member.key, "title": member.key}
    try:
        folder, records = member_records(member, root, environ, None)
    except BenchError as error:
        problem = f"{error.message} {error.remedy}".strip()
        return Place(**told, counts={"volumes": (0, member.printed)}, problem=problem)
    where = str(folder) if folder else ""
    return Place(
        **told, folder=where, phantom=_made_up(records), counts={"volumes": (len(records), member.printed)}
    )  # fmt: skip


def _tables(here: set[str]) -> Iterable[Runnable]:
    """The tables that hold scores of runs, in the order of the papers."""
    for table in paper_tables():
        tasks = _tasks_of(table)
        if tasks:
            yield Runnable(
                name=table.name,
                title=table.title,
                here=tuple(task for task in tasks if task in here),
                lacking=tuple(task for task in tasks if task not in here),
            )


def _tasks_of(table: PaperTable) -> list[str]:
    """Our tasks whose runs a table holds, in its order."""
    asked = (
        asked_for(table.paper, column, cell)
        for row in table.rows()
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell is not None
    )
    return list(dict.fromkeys(found.task for found in asked if found is not None))


def _made_up(records: Iterable[Record]) -> bool:
    return any(record.source == "phantom" for record in records)


def _plain(place: Place) -> dict[str, Any]:
    return {**asdict(place), "found": place.found}
