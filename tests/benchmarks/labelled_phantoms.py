"""Phantoms of every classification task, as many as asked for, with the labels that their records tell."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench import registry
from bench.contracts.cards import ClassificationTask
from bench.contracts.record import Record
from bench.data.roster import roster_of
from bench.data.splits import interleaved, lists
from tests.benchmarks.probes import HEADER, Sample, sample

IN_FOLDERS = ("ricord", "ccccii")
"""Tasks whose official folders are named by class, so that the order of files tells it: no phantom can mend that."""


def classification_tasks() -> tuple[str, ...]:
    """Every task of one label per case or of yes and no."""
    return tuple(n for n in registry.names(registry.TASKS) if isinstance(registry.task(n), ClassificationTask))


def questions(task: str) -> tuple[str, ...]:
    """What is asked of a task's cases: its class, or each of its findings."""
    card = registry.task(task)
    return card.classes if isinstance(card, ClassificationTask) and card.multilabel else ("class",)


def training_ids(task: str, count: int) -> list[str]:
    """The first official training ids, classes in turn where the lists or the layout tell them."""
    card = registry.task(task)
    told = hasattr(card.files, "strata") or hasattr(card.files, "own_parts")
    rule = next(iter(card.protocols.values())).split
    parts = lists(rule, registry.splits_folder(), 0, roster_of(card.files, None) if told else None)
    return list(interleaved(parts.train, parts.class_of) if parts.class_of else parts.train)[:count]


def drawn(task: str, count: int, side: int) -> Mapping[str, Sample]:
    """Question -> sample of `count` smoke phantoms (scans, where a case is a candidate) of a task's training part.

    A case whose answer is not told is left out of that question.
    """
    card = registry.task(task)
    ids = training_ids(task, count)
    wanted = set(ids)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / (card.folders[0] if card.folders else task)
        card.files.write_phantom(folder, ids, "smoke")
        records = [r for r in card.files.records(folder) if r.case_id in wanted or r.group in wanted]
        found = {}
        for number, question in enumerate(questions(task)):
            known = [r for r in records if _answer(r, number) >= 0]
            found[question] = sample(folder, known, [_answer(r, number) for r in known], side)
        return found


def _answer(record: Record, number: int) -> int:
    """The class of a case, or its answer to a question by number; -1 where it is not told."""
    if record.label.kind == "multilabel":
        return record.label.values[number]
    return -1 if record.label.value is None else record.label.value


def header_columns(task: str) -> list[int]:
    """The features of `HEADER` that a task's phantoms could keep silent."""
    return [k for k, name in enumerate(HEADER) if not (task in IN_FOLDERS and name.startswith("place"))]
