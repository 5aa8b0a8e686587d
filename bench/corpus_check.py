"""Check a pre-training pool on disk: how many volumes of each set are there, by the paper and by its lists, and are they sound?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.case_content import content_hash
from bench.contracts.cards import CorpusMember
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.record import Record
from bench.corpora import corpus_id, member_records, pool_content
from bench.data.check_report import PART_WILL_DO, Unsound
from bench.data.intensity_check import intensity_problem
from bench.data.official import cut_short
from bench.data.splits import read_list
from bench.data.twins import fingerprints
from bench.data.volumes import check_geometry, read_header, read_image
from bench.trust import Settled, Trust, hold, lost, settle, twin_notes

VOXELS_OF = 20  # volumes of each set whose voxels are read; headers are read of all
TOGETHER = 2_000  # volumes that are held against the lock, and recorded in it, at a time


@dataclass(frozen=True)
class MemberReport:
    """One set of a pool: volumes on disk, by the paper's count, listed by name (0 where there is no list) and not there.

    `cut_short` says of which of its owners' tables only a part is there, `notes` what bench.lock got to know, `drifted` which files
    it knows otherwise. `content` is the hash of the set's files.
    """

    key: str
    found: int
    printed: int
    listed: int
    missing: tuple[str, ...]
    unsound: tuple[Unsound, ...]
    cut_short: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    content: str = ""
    drifted: tuple[str, ...] = ()


@dataclass(frozen=True)
class CorpusReport:
    """A whole pool. `id` names exactly the volumes at hand, as the record of a run that pre-trains on them will. `partial`
    accepts missing volumes and sets."""

    id: str
    title: str
    printed: int
    partial: bool
    members: tuple[MemberReport, ...]
    notes: tuple[str, ...]

    @property
    def exit_ok(self) -> bool:
        """True when something is there, nothing is unsound, and nothing lacks that is asked for."""
        unsound = any(member.unsound for member in self.members)
        return any(member.found for member in self.members) and not unsound and (self.partial or not self._lacking)

    @property
    def _lacking(self) -> bool:
        return any(member.missing or member.cut_short or not member.found for member in self.members)

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, `exit_ok` with them."""
        return {**asdict(self), "exit_ok": self.exit_ok}

    def quarantine(self) -> str:
        """The unsound volumes, one `case<tab>check<tab>problem` a line."""
        return "".join(f"{u.case}\t{u.check}\t{u.problem}\n" for u in self._cases())

    def _cases(self) -> list[Unsound]:
        return [u for member in self.members for u in member.unsound if u.case]

    def lines(self) -> list[str]:
        """The report for a person: each set's counts, unsound volumes with their remedy, the first missing ids."""
        found = sum(member.found for member in self.members)
        told = [f"{self.title}: {found:,} of the {self.printed:,} volumes that the paper counts"]
        told += [f"  a run on these volumes is recorded as {self.id}, {found:,}/{self.printed:,}"] if found else []
        for member in self.members:
            lists = f", {member.listed:,} listed by name" if member.listed else ""
            told.append(f"  {member.key}: {member.found:,} on disk, {member.printed:,} in the paper{lists}")
            told += [f"    {u.case or 'the set'}: {u.problem} {u.remedy}".rstrip() for u in member.unsound]
            told += [f"    holds {what}. Fetch them again." for what in member.cut_short]
            if member.missing:
                more = f" and {len(member.missing) - 5} more" if len(member.missing) > 5 else ""
                told.append(f"    missing, {len(member.missing)}: {', '.join(member.missing[:5])}{more}")
            told += [f"    {note}" for note in member.notes]
        told += [f"  {note}" for note in self.notes]
        return [*told, PART_WILL_DO] if found and self._lacking and not self.partial else told


def check_corpus(
    key: str,
    root: Path | None,
    environ: Mapping[str, str],
    *,
    partial: bool,
    full: bool = False,
    trust: Trust | None = None,
) -> CorpusReport:
    """Look for every member of a pool; read all headers, and the voxels of the first 20 volumes of each set, of all if `full`.

    With `trust` each set is held against bench.lock; volumes whose voxels were read before and have not changed are not read
    again, and what was found is recorded every 2,000 volumes, so that a check that was stopped goes on.
    """
    card = registry.corpus(key)
    hounsfield = card.intensity.kind == "hu"
    look = _Look(hounsfield=hounsfield, voxels_of=None if full else VOXELS_OF, partial=partial, trust=trust)
    members = tuple(_member(member, root, environ, look) for member in card.members)
    name = corpus_id(key, pool_content(card, (member.content for member in members if member.content)))
    return CorpusReport(name, card.title, card.printed, partial, members, (*card.notes, *_twins(members, trust)))


@dataclass(frozen=True)
class _Look:
    """How a pool is looked at. `voxels_of` volumes of each set have their voxels read, None: all."""

    hounsfield: bool
    voxels_of: int | None
    partial: bool
    trust: Trust | None


def _member(member: CorpusMember, root: Path | None, environ: Mapping[str, str], look: _Look) -> MemberReport:
    folder, records = member_records(member, root, environ, None)
    wanted = read_list(registry.splits_folder(), *member.cases) if member.cases else ()
    here = {record.case_id for record in records}
    phantom = any(record.source == "phantom" for record in records)
    missing = () if phantom else tuple(case for case in wanted if case not in here)
    if folder is None or not records:
        return MemberReport(member.key, 0, member.printed, len(wanted), missing, ())
    trust = None if phantom else look.trust
    unsound: list[Unsound] = []
    settled = Settled()
    for start in range(0, len(records), TOGETHER):
        some = records[start : start + TOGETHER]
        deep = len(some) if look.voxels_of is None else max(0, look.voxels_of - start)
        wrong, found = _volumes(member.key, folder, some, deep, look.hounsfield, trust)
        unsound, settled = [*unsound, *wrong], settled + found
    if trust is not None and not look.partial:
        settled += lost(member.key, folder, trust)
    return MemberReport(
        member.key,
        len(records),
        member.printed,
        len(wanted),
        missing,
        (*unsound, *settled.unsound),
        cut_short(member.files, folder, records[0].source),
        tuple(settled.notes()),
        _content(folder, records),
        tuple(sorted(settled.drifted)),
    )


def _content(folder: Path, records: Sequence[Record]) -> str:
    """The hash of the files of a set; '' where one has gone."""
    try:
        return content_hash(folder, records)
    except DataMissing:
        return ""


def _volumes(
    key: str, folder: Path, records: Sequence[Record], deep: int, hounsfield: bool, trust: Trust | None
) -> tuple[list[Unsound], Settled]:
    """What is unsound among some volumes, the first `deep` of them with their voxels, and what the lock says of them."""
    held = None if trust is None else hold(key, folder, records, whole=False)
    unsound: list[Unsound] = []
    images: dict[str, str] = {}
    for number, record in enumerate(records):
        again = number >= deep or (held is not None and held.known(record))
        told = _volume(folder, record, hounsfield, images, voxels=not again)
        unsound += [told] if told else []
    if held is None or trust is None:
        return unsound, Settled()
    return unsound, settle(held, trust, records, {one.case for one in unsound}, images)


def _volume(folder: Path, record: Record, hounsfield: bool, images: dict[str, str], *, voxels: bool) -> Unsound | None:
    """What is wrong with a volume, None for nothing; the fingerprints of the voxels that are read go into `images`."""
    try:
        read_header(folder, record)
        check_geometry(folder, record)
        image = read_image(folder, record).array if voxels else None
    except (DataUnsound, DataMissing) as error:
        return Unsound(record.case_id, "files", error.message, error.remedy)
    if image is None:
        return None
    if image.min() == image.max():
        return Unsound(record.case_id, "intensity", f"is {image.min():g} everywhere.", "Fetch it again.")
    if hounsfield and record.modality == "CT" and (told := intensity_problem(image, None)):
        return Unsound(record.case_id, "intensity", f"its image {told}", "Mend its unit (HU for CT).")
    images |= fingerprints(record, image)
    return None


def _twins(members: Sequence[MemberReport], trust: Trust | None) -> list[str]:
    if trust is None:
        return []
    return [note for member in members if member.found for note in twin_notes(member.key, member.drifted, within=True)]
