"""Check a pre-training pool on disk: how many volumes of each set are there, by the paper and by its lists, and are they sound?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.contracts.cards import CorpusMember
from bench.contracts.errors import DataMissing, DataUnsound
from bench.corpora import member_records
from bench.data.checks import Unsound, intensity_problem
from bench.data.official import cut_short
from bench.data.splits import read_list
from bench.data.volumes import check_geometry, read_header, read_image

VOXELS_OF = 20  # volumes of each set whose voxels are read; headers are read of all


@dataclass(frozen=True)
class MemberReport:
    """One set of a pool: volumes on disk, by the paper's count, listed by name (0 where there is no list) and not there.

    `cut_short` says of which of its owners' tables only a part is there.
    """

    key: str
    found: int
    printed: int
    listed: int
    missing: tuple[str, ...]
    unsound: tuple[Unsound, ...]
    cut_short: tuple[str, ...] = ()


@dataclass(frozen=True)
class CorpusReport:
    """A whole pool. `partial` accepts missing volumes and sets."""

    title: str
    printed: int
    partial: bool
    members: tuple[MemberReport, ...]
    notes: tuple[str, ...]

    @property
    def exit_ok(self) -> bool:
        """True when something is there, nothing is unsound, and nothing lacks that is asked for."""
        unsound = any(member.unsound for member in self.members)
        lacking = any(member.missing or member.cut_short or not member.found for member in self.members)
        return any(member.found for member in self.members) and not unsound and (self.partial or not lacking)

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, `exit_ok` with them."""
        return {**asdict(self), "exit_ok": self.exit_ok}

    def quarantine(self) -> str:
        """The unsound volumes, one `case<tab>check<tab>problem` a line."""
        return "".join(f"{u.case}\t{u.check}\t{u.problem}\n" for member in self.members for u in member.unsound)

    def lines(self) -> list[str]:
        """The report for a person: each set's counts, unsound volumes with their remedy, the first missing ids."""
        found = sum(member.found for member in self.members)
        told = [f"{self.title}: {found:,} of the {self.printed:,} volumes that the paper counts"]
        for member in self.members:
            lists = f", {member.listed:,} listed by name" if member.listed else ""
            told.append(f"  {member.key}: {member.found:,} on disk, {member.printed:,} in the paper{lists}")
            told += [f"    {u.case}: {u.problem} {u.remedy}".rstrip() for u in member.unsound]
            told += [f"    holds {what}. Fetch them again." for what in member.cut_short]
            if member.missing:
                more = f" and {len(member.missing) - 5} more" if len(member.missing) > 5 else ""
                told.append(f"    missing, {len(member.missing)}: {', '.join(member.missing[:5])}{more}")
        return [*told, *(f"  {note}" for note in self.notes)]


def check_corpus(key: str, root: Path | None, environ: Mapping[str, str], *, partial: bool) -> CorpusReport:
    """Look for every member of a pool; read all headers, and the voxels of the first 20 volumes of each set."""
    card = registry.corpus(key)
    members = tuple(_member(member, root, environ, hounsfield=card.intensity.kind == "hu") for member in card.members)
    return CorpusReport(card.title, card.printed, partial, members, card.notes)


def _member(member: CorpusMember, root: Path | None, environ: Mapping[str, str], *, hounsfield: bool) -> MemberReport:
    folder, records = member_records(member, root, environ, None)
    wanted = read_list(registry.splits_folder(), *member.cases) if member.cases else ()
    here = {record.case_id for record in records}
    phantom = any(record.source == "phantom" for record in records)
    missing = () if phantom else tuple(case for case in wanted if case not in here)
    short = cut_short(member.files, folder, records[0].source) if folder and records else ()
    unsound = []
    for number, record in enumerate(records):
        assert folder is not None
        try:
            read_header(folder, record)
            check_geometry(folder, record)
            image = read_image(folder, record).array if number < VOXELS_OF else None
        except (DataUnsound, DataMissing) as error:
            unsound.append(Unsound(record.case_id, "files", error.message, error.remedy))
            continue
        if image is not None and image.min() == image.max():
            unsound.append(Unsound(record.case_id, "intensity", f"is {image.min():g} everywhere.", "Fetch it again."))
        elif image is not None and hounsfield and record.modality == "CT" and (told := intensity_problem(image, None)):
            unsound.append(Unsound(record.case_id, "intensity", f"its image {told}", "Mend its unit (HU for CT)."))
    return MemberReport(member.key, len(records), member.printed, len(wanted), missing, tuple(unsound), short)
