"""How much the owners ship, and how much of it is on disk, where no list of cases can tell.

A table that was cut short names fewer cases, and marks of readers that got lost leave no case behind: a split that is made from
them looks whole. So a layout whose owners keep such files has a method `shipped(folder)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.contracts.cards import TaskCard
from bench.contracts.protocols import Layout
from bench.contracts.record import Record, Source

NAMED = 3  # that one line shows of what lacks something


@dataclass(frozen=True)
class Shipped:
    """`found` on disk of the `shipped` things that the owners call `what` (`rows of candidates.csv`); `without` names some
    places that have none."""

    what: str
    found: int
    shipped: int
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        rest = f" and {len(self.without) - NAMED} more" if len(self.without) > NAMED else ""
        none = f" (none in {', '.join(self.without[:NAMED])}{rest})" if self.without else ""
        return f"{self.found:,} of {self.shipped:,} {self.what}{none}"


def cut_short(files: Layout, folder: Path, source: Source) -> tuple[str, ...]:
    """Of what a dataset's folder holds less than its owners ship, as `1,000 of 754,975 rows of candidates_V2.csv`.

    Empty for phantoms, which are small, and for layouts whose cases a list of ours names one by one.
    """
    if source == "phantom" or not hasattr(files, "shipped"):
        return ()
    return tuple(str(one) for one in files.shipped(folder) if one.found < one.shipped)


def _of_case(record: Record) -> str:
    return record.case_id


def _of_scan(record: Record) -> str:
    return record.scan_id or record.case_id


def _of_patient(record: Record) -> str:
    return record.patient_id


COUNTED: Mapping[str, tuple[str, Callable[[Record], str]]] = {
    "labelled": ("labelled cases", _of_case),
    "scans": ("scans with a labelled case", _of_scan),
    "patients": ("patients with a labelled case", _of_patient),
}
"""What a count on a card is of: how it is called, and what of a record is counted."""


def beyond(card: TaskCard, records: Iterable[Record]) -> list[str]:
    """What is on disk beyond the card's counts, each count held against the same thing on disk."""
    labelled = [record for record in records if record.label.kind != "none"]
    told = []
    for name, (words, thing) in COUNTED.items():
        official, found = card.counts.get(name, 0), len({thing(record) for record in labelled})
        if official and found > official:
            told.append(f"{found:,} {words} on disk, the owners ship {official:,}.")
    return told
