"""Is what lies on disk the dataset it claims to be? Names the cases that are not, and says what to do about each.

Source   ours. Sound cases are counted, never listed

Longer than 250 lines because each finding is a function, and their order is that in which a report tells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.contracts.cards import TaskCard
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.record import Record, Source
from bench.data.check_report import CheckReport, Unsound
from bench.data.checksums import archive_problem, archives_beside
from bench.data.intensity_check import intensity_problem
from bench.data.labels import classes_of
from bench.data.official import beyond, cut_short
from bench.data.parts import units
from bench.data.report_notes import report_notes
from bench.data.splits import Parts, check_hygiene
from bench.data.twins import fingerprints
from bench.data.volumes import (
    check_geometry,
    coarse_fingerprint,
    read_header,
    read_image,
)

FORM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Seen:
    """What one sound case showed: labels present, voxels as a digest of a coarse sample, remarks, the same digest by image."""

    labels: frozenset[int]
    digest: str
    remarks: tuple[str, ...]
    images: Mapping[str, str] = field(default_factory=dict)


def check(
    card: TaskCard,
    folder: Path,
    parts: Parts,
    *,
    other_folds: Sequence[Parts] = (),
    partial: bool = False,
    full: bool = True,
    stored_values: bool = False,
) -> CheckReport:
    """Check the listed cases of a dataset's folder: presence, headers and, if `full`, every voxel of image and mask.

    `other_folds` share the cases of `parts`; of them only that no group straddles is left to check. `stored_values` are those of
    the protocol: pixels are then in no unit and slices on no grid, and both are left unasked.

    Damaged files do not stop it: each becomes an entry of `unsound`. Raises DataUnsound only where the folder cannot be
    listed at all (a damaged `dataset.json`).
    """
    records = card.files.records(folder)
    source: Source = "phantom" if any(record.source == "phantom" for record in records) else "real"
    by_case = {record.case_id: record for record in records}
    found = {case for case, record in by_case.items() if record.label.kind != "none"}
    named = {"train": parts.train, "val": () if parts.selects_on_test else parts.val, "test": parts.test}
    hygiene = dict.fromkeys(u for fold in (parts, *other_folds) for u in _hygiene(fold, by_case))
    unsound = [*hygiene, *_doubled(records), *_unlabelled(named, by_case)]
    seen: dict[str, _Seen] = {}
    scans: set[str] = set()
    for case in (case for case in parts.everything() if case in found):
        record = by_case[case]
        again = bool(record.scan_id) and record.scan_id in scans  # a scan of many cases is read once
        scans.add(record.scan_id)
        result = _label_alone(card, folder, record) if again else _look(card, folder, record, full, stored_values)
        if isinstance(result, Unsound):
            unsound.append(result)
        else:
            seen[case] = result
    missing = {name: tuple(case for case in part if case not in found) for name, part in named.items()}
    twins = _twins(seen, named)
    unsound += [] if card.twins_told else twins
    archives = archives_beside(card, folder)
    unsound += [wrong for path, md5 in archives.items() if (wrong := archive_problem(path, md5))]
    unsound += _absent_classes(card, seen) if full and len(seen) == len(parts.everything()) else []
    extra = tuple(sorted(found - set(parts.everything())))
    short = cut_short(card.files, folder, source)
    lacking = "cases missing" if any(missing.values()) else "cut short" if short else ""
    return CheckReport(
        title=card.title,
        source=source,
        partial=partial,
        full=full,
        counts=_counts(parts, named, found, by_case),
        missing={name: ids for name, ids in missing.items() if ids},
        extra=extra,
        ignored=_apple_double(folder),
        unsound=tuple(unsound),
        notes=(
            *_notes(records, seen),
            *(beyond(card, records) if source == "real" else ()),
            *report_notes(by_case, named),
            *(_twins_told(twins) if card.twins_told else ()),
        ),
        checks=_summary(unsound, "" if partial or source == "phantom" else lacking, full, archives=bool(archives)),
        cut_short=short,
        images={image: mark for what in seen.values() for image, mark in what.images.items()},
        unit=_unit(card) if parts.grouped else "",
        cases={name: len(part) - len(missing[name]) for name, part in named.items() if part} if parts.grouped else {},
    )


def _counts(
    parts: Parts, named: Mapping[str, Sequence[str]], found: Set[str], by_case: Mapping[str, Record]
) -> dict[str, tuple[int, int]]:
    """Of every part that names something (listed, on disk): cases, or the groups that its list names."""
    group_of = {case: record.group for case, record in by_case.items()} if parts.grouped else {}
    here = {name: [case for case in part if case in found] for name, part in named.items()}
    return {
        name: (len(units(part, group_of)), len(units(here[name], group_of))) for name, part in named.items() if part
    }


def _unit(card: TaskCard) -> str:
    """What the groups of a split are called, as the card counts them."""
    return next((name for name in card.counts if name in ("scans", "patients")), "groups")


def _look(card: TaskCard, folder: Path, record: Record, full: bool, stored_values: bool) -> _Seen | Unsound:
    """Read one case: what it showed, or what is wrong with it."""
    stage = "files"
    try:
        header = read_header(folder, record, stored_values=stored_values)
        stage = "geometry"
        if not stored_values:
            check_geometry(folder, record)
        remarks = (
            ["qform and sform differ (the sform counts)"] if (header.form_difference or 0.0) > FORM_TOLERANCE else []
        )
        if not full:
            return _Seen(frozenset(), "", tuple(remarks))
        stage = "files"
        image = read_image(folder, record, stored_values=stored_values)
        stage = "intensity"
        problem = _image_problem(card, record, image.array, in_unit=not stored_values)
        if problem:
            return Unsound(
                record.case_id, stage, f"its image {problem}", "Fetch it again, or mend its unit (HU for CT)."
            )
        stage = "labels"
        present = classes_of(card, folder, record)
    except (DataUnsound, DataMissing) as error:
        return Unsound(record.case_id, stage, error.message, error.remedy)
    remarks += ["empty mask"] if record.label.kind == "mask" and not present else []
    # fingerprints of other sets are of voxels in their unit
    images = {} if stored_values else fingerprints(record, image.array)
    return _Seen(present, coarse_fingerprint(image.array), tuple(remarks), images)


def _label_alone(card: TaskCard, folder: Path, record: Record) -> _Seen | Unsound:
    """Read the label of a case whose scan was read before."""
    try:
        return _Seen(classes_of(card, folder, record), "", ())
    except (DataUnsound, DataMissing) as error:
        return Unsound(record.case_id, "labels", error.message, error.remedy)


def _image_problem(card: TaskCard, record: Record, image: NDArray[Any], *, in_unit: bool) -> str:
    if len(image) != card.channels:
        return f"has {how_many(len(image), 'channel')}, expected are {card.channels}."
    if image.min() == image.max():
        return f"is {image.min():g} everywhere."
    told = in_unit and record.intensity == "hu"
    return intensity_problem(image, card.hu, cut_to_organ=card.cut_to_organ) if told else ""


def _hygiene(parts: Parts, by_case: Mapping[str, Record]) -> list[Unsound]:
    try:
        check_hygiene(parts, {case: record.group for case, record in by_case.items()})
    except DataUnsound as error:
        return [Unsound(error.case, "hygiene", error.message, error.remedy)]
    return []


def _doubled(records: Sequence[Record]) -> list[Unsound]:
    first: dict[str, Record] = {}
    doubled = []
    for record in records:
        other = first.setdefault(record.case_id, record)
        if other is not record:
            told = f"two images on disk bear this id: '{other.images[0].path}' and '{record.images[0].path}'."
            doubled.append(Unsound(record.case_id, "counts", told, "Keep one of them."))
    return doubled


def _unlabelled(named: Mapping[str, Sequence[str]], by_case: Mapping[str, Record]) -> list[Unsound]:
    everything = dict.fromkeys(case for part in named.values() for case in part)
    bare = [case for case in everything if case in by_case and by_case[case].label.kind == "none"]
    return [Unsound(case, "counts", "its image is there, its label is not.", "Complete the download.") for case in bare]


def _twins(seen: Mapping[str, _Seen], named: Mapping[str, Sequence[str]]) -> list[Unsound]:
    """Cases whose images are the same: one person counted twice, and a leak where they stand in two parts."""
    part_of = {case: name for name, part in named.items() for case in part}
    first: dict[str, str] = {}
    twins = []
    for case, what in seen.items():
        other = first.setdefault(what.digest, case) if what.digest else case
        if other != case:
            told = f"its image ({part_of[case]}) is that of {other} ({part_of[other]})."
            twins.append(
                Unsound(case, "hygiene", told, "Fetch both again; if they stay equal, report it to the owners.")
            )
    return twins


def _twins_told(twins: Sequence[Unsound]) -> list[str]:
    """What is said of twins in a split that is the owners' own: how many, and the first."""
    if not twins:
        return []
    return [
        f"The owners' split holds images twice: {how_many(len(twins), 'case')}; first {twins[0].case}: {twins[0].problem}"
    ]


def _absent_classes(card: TaskCard, seen: Mapping[str, _Seen]) -> list[Unsound]:
    shown = frozenset[int]().union(*(what.labels for what in seen.values()))
    absent = [name for number, name in enumerate(card.classes, start=1) if number not in shown]
    return [
        Unsound("", "labels", f"no case holds the class '{name}'.", "Check which release this is.") for name in absent
    ]


def _apple_double(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("._*")))


def _notes(records: Sequence[Record], seen: Mapping[str, _Seen]) -> list[str]:
    remarks: dict[str, list[str]] = {}
    for case, what in seen.items():
        for remark in what.remarks:
            remarks.setdefault(remark, []).append(case)
    notes = [
        f"{remark}: {len(cases)} of {how_many(len(seen), 'case')} ({', '.join(cases)})"
        for remark, cases in remarks.items()
    ]
    withheld = sum(record.label.kind == "none" for record in records)
    return [*notes, *([f"Without a label, and not used: {how_many(withheld, 'case')}."] if withheld else [])]


def _summary(unsound: Iterable[Unsound], lacking: str, full: bool, *, archives: bool) -> dict[str, str]:
    failed: dict[str, int] = {}
    for one in unsound:
        failed[one.check] = failed.get(one.check, 0) + 1
    ran = {
        "counts": True,
        "checksums": archives,
        "files": True,
        "geometry": True,
        "labels": full,
        "intensity": full,
        "hygiene": True,
    }
    told = {name: ("ok" if runs else "n/a") for name, runs in ran.items()}
    told |= {name: f"{number} unsound" for name, number in failed.items()}
    if told["counts"] == "ok" and lacking:
        told["counts"] = lacking
    return told
