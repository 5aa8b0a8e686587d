"""Is a label one that the task's card knows: a mask's values, a class, an answer per finding, a report with words in it?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bench.contracts.cards import TaskCard
from bench.contracts.counts import how_many
from bench.contracts.errors import DataUnsound
from bench.contracts.record import Record
from bench.data.volumes import label_map, read_label

FORMS = {"segmentation": "mask", "prompts": "multilabel", "report": "report", "retrieval": "report"}
"""Kind of task -> what is known of each of its cases; of a classification its card says."""


def check_told(card: TaskCard, records: Iterable[Record]) -> None:
    """Raise DataUnsound for the first case of another number of channels than the card's, or whose class, answer or report the
    card does not know; masks are judged as they are read."""
    for record in records:
        if len(record.images) != card.channels:
            raise DataUnsound(
                f"its record names {how_many(len(record.images), 'image')}, the card says channels={card.channels}.",
                case=record.case_id,
                remedy="Each channel is an image of the record; mend the layout, or `channels` on the card.",
            )
        _demand_form(card, record)
        if record.label.kind != "mask":
            classes_of(card, Path(), record)


def classes_of(card: TaskCard, folder: Path, record: Record) -> frozenset[int]:
    """The classes that a case shows, as 1, 2, ... in the card's order; DataUnsound for a label that the card does not know."""
    label = record.label
    _demand_form(card, record)
    if label.kind == "mask":
        array = read_label(folder, record, label_map(len(card.classes), card.label_values)).array
        return frozenset(int(value) for value in np.flatnonzero(np.bincount(array.ravel())) if value)
    if label.kind == "class":
        if label.value is None or not 0 <= label.value < len(card.classes):
            raise DataUnsound(
                f"its class is {label.value}, expected 0 to {len(card.classes) - 1} ({', '.join(card.classes)}).",
                case=record.case_id,
                remedy="Mend the table of labels.",
            )
        return frozenset({label.value + 1})
    if label.kind == "multilabel":
        if len(label.values) != len(card.classes) or not set(label.values) <= {-1, 0, 1}:
            raise DataUnsound(
                f"it has {len(label.values)} answers {sorted(set(label.values))}, expected {len(card.classes)} of 0, 1 or -1.",
                case=record.case_id,
                remedy="Mend the table of labels.",
            )
        return frozenset(k for k, value in enumerate(label.values, start=1) if value == 1)
    if label.kind == "report" and not record.text.strip():
        raise DataUnsound("its report is empty.", case=record.case_id, remedy="Mend the table of reports.")
    return frozenset()


def _demand_form(card: TaskCard, record: Record) -> None:
    """DataUnsound for a label of another form than the card's kind of task reads."""
    several = bool(getattr(card, "multilabel", False))
    wanted = FORMS.get(card.kind, "multilabel" if several else "class")
    if record.label.kind != wanted:
        how = f" with multilabel={several}" if card.kind == "classification" else ""
        raise DataUnsound(
            f"its label is of kind '{record.label.kind}'; a task of {card.kind}{how} reads '{wanted}'.",
            case=record.case_id,
            remedy="Mend what the layout's records say, or the card.",
        )
