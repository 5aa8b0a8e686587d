"""What a check of a dataset found, as values, as lines for a person and as a list to set aside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.contracts.counts import how_many
from bench.contracts.record import Source

MOST_IDS = 100  # that a line for a person names: a half downloaded LA lacks 80
PART_WILL_DO = "Next: complete the download, or add --partial, here and to runs, to take what is there."


@dataclass(frozen=True)
class Unsound:
    """One case that cannot be trusted (or '' for the dataset as a whole): the check it failed, why, and the remedy."""

    case: str
    check: str
    problem: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What was found. `counts` maps a part to (listed, on disk); `missing` lists ids that a part names and the disk lacks.

    Where the split lists groups of cases, `counts` counts groups, which `unit` names (scans, patients), and `cases` says how many
    cases those on disk hold; nobody knows how many the others would.

    `extra` are labelled cases on disk that no part names, `ignored` AppleDouble files. `checks` maps each check to `ok`,
    `n/a` or what failed, and belongs in a manifest. `partial` True means that missing cases are accepted, and what is
    `cut_short`: tables and the like of which the owners ship more (`1,000 of 754,975 rows of candidates_V2.csv`). `images` maps
    every image that was read to the fingerprint of its voxels; a reader of the report is not shown them.
    """

    title: str
    source: Source
    partial: bool
    full: bool
    counts: Mapping[str, tuple[int, int]]
    missing: Mapping[str, tuple[str, ...]]
    extra: tuple[str, ...]
    ignored: tuple[str, ...]
    unsound: tuple[Unsound, ...]
    notes: tuple[str, ...]
    checks: Mapping[str, str]
    cut_short: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict, repr=False)
    unit: str = ""
    cases: Mapping[str, int] = field(default_factory=dict)

    @property
    def exit_ok(self) -> bool:
        """True when everything that is asked for is there and sound; a phantom and `partial` may lack cases, not all."""
        return not self._lacking and not self.unsound and any(found for _, found in self.counts.values())

    @property
    def _lacking(self) -> bool:
        """True when something lacks that was asked for."""
        asked = not (self.partial or self.source == "phantom")
        return asked and bool(any(self.missing.values()) or self.cut_short)

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, `exit_ok` with them."""
        told = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "images"}
        return {**told, "unsound": [dataclasses.asdict(one) for one in self.unsound], "exit_ok": self.exit_ok}

    def quarantine(self) -> str:
        """The unsound cases, one `case<tab>check<tab>problem` a line, for a script that sets them aside."""
        return "".join(f"{u.case}\t{u.check}\t{u.problem}\n" for u in self.unsound if u.case)

    def lines(self) -> list[str]:
        """The report for a person: counts, every unsound case with its remedy, ids that are missing or unlisted, notes."""
        parts = ", ".join(self._counted(name, *counts) for name, counts in self.counts.items())
        told = [f"{self.title} ({self.source}): {parts}"]
        told += [f"  {u.case or 'the dataset'}: {u.problem} {u.remedy}".rstrip() for u in self.unsound]
        told += [f"  the dataset holds {what}. Fetch them again." for what in self.cut_short]
        told += [f"  missing in {name}, {len(ids)}: {_some(ids)}" for name, ids in self.missing.items() if ids]
        told += [f"  not listed anywhere, {len(self.extra)}: {_some(self.extra)}"] if self.extra else []
        told += [f"  {note}" for note in self.notes]
        return [*told, PART_WILL_DO] if self._lacking else told

    def _counted(self, part: str, listed: int, found: int) -> str:
        """Examples: `train 20 of 26`; `train 5 of 534 scans (20 cases)`."""
        return f"{part} {found} of {listed}" + (
            f" {self.unit} ({how_many(self.cases[part], 'case')})" if self.unit else ""
        )


def _some(ids: Sequence[str]) -> str:
    """The ids, as many as a terminal can bear; the whole list stands in --json."""
    rest = len(ids) - MOST_IDS
    return ", ".join(ids) if rest <= 0 else f"{', '.join(ids[:MOST_IDS])} and {rest:,} more (all in --json)"
