"""Hold a dataset on disk against `bench.lock`: what is new is recorded, what drifted is named, images told twice are noted.

What a check found unsound is not recorded, so that a file that came damaged is never what later ones are measured by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.contracts.counts import how_many
from bench.contracts.errors import StoreError
from bench.contracts.record import Record
from bench.data import twins
from bench.data.check_report import CheckReport, Unsound
from bench.data.drift import Drift, Print, drifted, gone
from bench.lock_file import FILE, Locked, read_lock, write_lock


@dataclass(frozen=True)
class Trust:
    """That a check uses the lock; `accept` True takes what changed as it is now. `asked` is what the person asked to check."""

    asked: str
    accept: bool = False


@dataclass(frozen=True)
class Held:
    """Some cases of a dataset beside what the lock says of them. `case_of` tells of which case a file is."""

    key: str
    folder: Path
    before: Locked
    now: Mapping[str, Print]
    drifts: tuple[Drift, ...]
    case_of: Mapping[str, str]

    def known(self, record: Record) -> bool:
        """True where the voxels of a case were found sound by an earlier check, and its files have not changed since."""
        changed = {drift.path for drift in self.drifts}
        files = all(path in self.before.files and path not in changed for path in _paths(record))
        return files and all(twins.image_name(image) in self.before.images for image in record.images)


@dataclass(frozen=True)
class Settled:
    """What came of it: files that drifted and were not accepted (told, and by path), how many were new to the lock, how many
    changes were accepted, and why nothing could be written ('' where all was)."""

    unsound: tuple[Unsound, ...] = ()
    drifted: frozenset[str] = frozenset()
    new: int = 0
    accepted: int = 0
    note: str = ""

    def __add__(self, other: Settled) -> Settled:
        return Settled(
            (*self.unsound, *other.unsound),
            self.drifted | other.drifted,
            self.new + other.new,
            self.accepted + other.accepted,
            self.note or other.note,
        )

    def notes(self) -> list[str]:
        """In words; nothing where all was known and as before."""
        new, accepted = how_many(self.new, "file is", "files are"), how_many(self.accepted, "change is", "changes are")
        told = [f"{new} new to {FILE} and recorded there."] if self.new and not self.note else []
        told += [f"{accepted} accepted in {FILE}."] if self.accepted else []
        return [*told, *([self.note] if self.note else [])]


def hold(key: str, folder: Path, records: Iterable[Record], *, whole: bool) -> Held:
    """Take the prints of the cases' files that are there: of all bytes if `whole`, else of their ends. Raises as `read_lock`."""
    case_of: dict[str, str] = {}
    for record in records:
        for path in _paths(record):
            case_of.setdefault(path, record.case_id)
    before = read_lock().get(key, Locked())
    here = [path for path in case_of if (folder / path).exists()]
    now, changed = drifted(folder, before.files, here, whole=whole)
    return Held(key, folder, before, now, tuple(changed), case_of)


def settle(
    held: Held, trust: Trust, records: Sequence[Record], unsound: Collection[str], images: Mapping[str, str]
) -> Settled:
    """Record what is new and not unsound, and what changed where that is accepted.

    `unsound` are the cases that failed the check, `images` the fingerprints of the voxels that were read.
    """
    changed = {drift.path for drift in held.drifts}
    sound = {path for record in records if record.case_id not in unsound for path in _paths(record)}
    taken = {path: one for path, one in held.now.items() if path in sound and (trust.accept or path not in changed)}
    marks = {image: mark for image, mark in images.items() if image.partition("#")[0] in taken}
    before = _without(held.before, changed & set(taken))
    note = _put(held.key, held.before, Locked({**before.files, **taken}, {**before.images, **marks}))
    return Settled(
        tuple(_told(drift, held.case_of[drift.path], trust) for drift in held.drifts if drift.path not in taken),
        frozenset(changed - set(taken)),
        new=sum(path not in held.before.files for path in taken),
        accepted=len(changed & set(taken)),
        note=note,
    )


def lost(key: str, folder: Path, trust: Trust) -> Settled:
    """Files that the lock knows and the dataset's folder no longer holds; accepted, the lock forgets them."""
    before = read_lock().get(key, Locked())
    missing = gone(folder, before.files)
    if not (missing and trust.accept):
        return Settled(tuple(_told(drift, "", trust) for drift in missing), frozenset(one.path for one in missing))
    note = _put(key, before, _without(before, {drift.path for drift in missing}))
    return Settled(accepted=len(missing), note=note)


def twin_notes(key: str, drifted: Collection[str], *, within: bool) -> list[str]:
    """Images of a dataset that are those of another dataset in the lock, and, if `within`, those that it holds twice.

    Files that `drifted` are left out: the lock tells what they were, not what they are.
    """
    datasets = read_lock()
    own = _without(datasets.pop(key, Locked()), drifted)
    notes = []
    if within and (pairs := _doubled(own)):
        there = how_many(len(pairs), f"image of {key} stands", f"images of {key} stand")
        notes.append(f"{there} there twice: {twins.told(pairs)}.")
    for other, locked in datasets.items():
        pairs = [pair for pair in twins.shared(own.images, locked.images) if not _one_file(*pair, own, locked)]
        if pairs:
            there = how_many(len(pairs), f"image of {key} is", f"images of {key} are")
            notes.append(f"{there} in {other} too: {twins.told(pairs)}.")
    return notes


def trusted(
    report: CheckReport, key: str, folder: Path, records: Sequence[Record], trust: Trust, *, partial: bool
) -> CheckReport:
    """A task's report with what the lock says of it. Phantoms are made anew at will, so the lock says nothing of them."""
    if report.source == "phantom":
        return report
    held = hold(key, folder, records, whole=True)
    settled = settle(held, trust, records, {one.case for one in report.unsound}, report.images)
    settled += Settled() if partial else lost(key, folder, trust)
    unsound = (*report.unsound, *settled.unsound)
    failed = sum(one.check == "checksums" for one in unsound)
    return replace(
        report,
        unsound=unsound,
        checks={**report.checks, "checksums": f"{failed} unsound" if failed else "ok"},
        notes=(*report.notes, *settled.notes(), *twin_notes(key, settled.drifted, within=False)),
    )


def _without(locked: Locked, paths: Collection[str]) -> Locked:
    """The same without some files and their images."""
    files = {path: one for path, one in locked.files.items() if path not in paths}
    return Locked(files, {image: mark for image, mark in locked.images.items() if image.partition("#")[0] not in paths})


def _paths(record: Record) -> list[str]:
    told = [image.path for image in record.images] + ([record.label.path] if record.label.path else [])
    return list(dict.fromkeys(told))


def _doubled(locked: Locked) -> list[tuple[str, str]]:
    """By voxels where they were read, by the files' bytes elsewhere."""
    pairs = twins.doubled(locked.images)
    told = {image.partition("#")[0] for image, _ in pairs}
    images = {image.partition("#")[0] for image in locked.images}
    files = {path: one.content for path, one in locked.files.items()}
    return pairs + [pair for pair in twins.doubled(files) if not {*pair} <= images and pair[0] not in told]


def _one_file(image: str, other: str, own: Locked, others: Locked) -> bool:
    """True where both keys name one and the same file on this machine, as two tasks on one dataset do."""
    path = image.partition("#")[0]
    mine, theirs = own.files.get(path), others.files.get(path)
    if image != other or mine is None or theirs is None:
        return False
    return (mine.size, mine.changed_ns) == (theirs.size, theirs.changed_ns)


def _told(drift: Drift, case: str, trust: Trust) -> Unsound:
    if drift.found is None:
        problem = f"its file '{drift.path}' is gone; {FILE} knows it ({drift.recorded})."
    else:
        problem = f"its file '{drift.path}' has changed: {FILE} has {drift.recorded}, found is {drift.found}."
    if trust.accept:
        return Unsound(case, "checksums", problem, "Fetch it again: of an unsound case no change is accepted.")
    accept = f"if it is meant to be so, accept it: bench data check {trust.asked} --accept-changes"
    return Unsound(case, "checksums", problem, f"Fetch it again, or, {accept}")


def _put(key: str, before: Locked, after: Locked) -> str:
    """Write what changed; why it could not be written ('' where it was), for that stops no check."""
    if before == after:
        return ""
    try:
        write_lock(key, before, after)
    except StoreError as error:
        return f"{FILE} was not written, so a later change will go unseen: {error.message}"
    return ""
