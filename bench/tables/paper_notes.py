"""The cautions of a paper's table in words: what a task, a printed row, a printed value or a run of ours needs told."""

from __future__ import annotations

from collections.abc import Iterable

from bench.published.layout import PaperRow, PaperTable, exposure
from bench.published.printed import Printed
from bench.tables.entries import MARKS
from bench.tables.paper_measured import Found, Measured
from bench.tables.words import clean

LONGEST_NOTE = 200
_TAGS = {
    "reimplemented-by-mim-authors": "run anew by the authors of MiM",
    "pretrain-data-inferred": "the row does not name its corpus, the text does",
    "data-scale-ocr-decoded": "the scan reads 14K, taken for 1.4K",
}
_UNCERTAIN_SPREAD = "the scan is damaged: the standard deviation is a best reading and counts as unknown"
_UNCERTAIN_VALUE = "the scan is damaged: the value is a best reading and gets no verdict"


def task_notes(table: PaperTable, cells: Iterable[Printed | None]) -> list[str]:
    """What the tasks of a column do otherwise than one would think: splits, targets, definitions."""
    told: dict[str, None] = {}
    for cell in cells:
        task = table.paper.tasks.get(cell.task_slug) if cell else None
        if task and cell:
            told |= dict.fromkeys((*task.notes, *(n for m, n in task.metric_notes.items() if m == cell.metric)))
    return list(told)


def row_notes(row: PaperRow) -> list[str]:
    """What the paper marks on a whole row."""
    cells = [cell for cell in row.cells if cell and not cell.average]
    return [_TAGS[tag] for tag in _TAGS if cells and all(tag in cell.tags for cell in cells)]


def printed_notes(table: PaperTable, cell: Printed) -> list[str]:
    """Whether a printed value is hard to read, and whether its pre-training has seen the test set."""
    uncertain = [_UNCERTAIN_SPREAD if cell.std else _UNCERTAIN_VALUE] if "ocr-uncertain" in cell.tags else []
    task = table.paper.tasks.get(cell.task_slug)
    return [*uncertain, *(_seen(cell.pretrain_data, task.task) if task else [])]


def measured_notes(found: Found) -> list[str]:
    """What a run of ours does otherwise than the paper, what is wrong with it, and whether its corpus has seen the test set."""
    marks = [MARKS[mark][1] for mark in found.entry.marks if mark != "single"]  # the number of runs is shown
    seen: list[str] = []
    if found.chosen and found.asked:
        run = found.chosen.cells[0]
        recorded = (
            [f"exposed test set, by the record of the run: {clean(run.exposure, LONGEST_NOTE)}"] if run.exposed else []
        )
        seen = recorded or _seen(clean(run.corpus), found.asked.task)
    return [*(f"ours: {text}" for text in (*found.departures, *marks)), *seen]


def _seen(corpus: str, task: str) -> list[str]:
    entry = exposure(corpus, task)
    if entry is None:
        return []
    return [
        f"exposed test set ({corpus}, {task}): {entry.seen}{'' if entry.sure else '; inferred, not checked by image'}"
    ]


def our_notes(ours: Measured) -> list[str]:
    """What the records of the runs shown say that they do otherwise than the paper."""
    runs = [run for found in ours.found.values() if found.chosen for run in found.chosen.cells]
    told = sorted({clean(text, LONGEST_NOTE) for run in runs for text in run.differs})
    return [f"Told by runs of ours: {text}" for text in told]
