"""What only the data tell of the cases that a list names: their classes, and which cases a group holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.contracts.protocols import Layout
from bench.contracts.record import Record


@dataclass(frozen=True)
class Roster:
    """`class_of` maps a case to its class or stratum; `cases_of` a group to its cases, none for an empty one; `parts` holds
    the cases of train, val and test where the owners' own files, and no list of ours, name them."""

    class_of: Mapping[str, str] = field(default_factory=dict)
    cases_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def roster_of(files: Layout, folder: Path | None, records: Sequence[Record] = ()) -> Roster:
    """What a dataset tells of its cases; `folder` None asks for what phantoms of that layout would tell.

    A layout whose owners keep one table of all cases has a method `strata(folder)`: case -> class, on disk or not, so that a
    half download is divided as the whole is. One whose groups may hold no case has `groups(folder)`: those on disk. One whose
    owners' tables name the cases of each part has `own_parts(folder)`: part -> cases, on disk or not.
    """
    class_of = {r.case_id: f"{r.label.value:03d}" for r in records if r.label.value is not None}
    if hasattr(files, "strata"):
        class_of |= files.strata(folder)
    cases: dict[str, list[str]] = {}
    if folder is not None and hasattr(files, "groups"):
        cases = {group: [] for group in files.groups(folder)}
    for record in records:
        cases.setdefault(record.group, []).append(record.case_id)
    parts = files.own_parts(folder) if hasattr(files, "own_parts") else {}
    return Roster(class_of, {group: tuple(sorted(names)) for group, names in cases.items()}, parts)
