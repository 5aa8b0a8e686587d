"""Prepared cases on disk, and boxes of them read fast enough that training never waits for its data.

Each case is one file named by what decides its content, so a changed recipe or file never meets an old entry. Any
number of processes may prepare the same case: each writes its own file and the last rename wins with the same content.

Longer than 250 lines because those who prepare and those who read must agree on names, trust and damage of entries.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Shape3, Sight, Spacing
from bench.contracts.errors import DataMissing, DataUnsound, SpecError
from bench.contracts.record import Record
from bench.data.cache_recipe import CacheRecipe, entry_key
from bench.data.entry import CaseMeta, Entry, damaged, open_entry, write_entry
from bench.data.exposure import SeenCase
from bench.data.pack import Packs, Row, opened, packable
from bench.data.patches import overlap
from bench.data.preparation import prepared
from bench.data.resample import voxel_at
from bench.data.volumes import coarse_fingerprint

OPEN_FILES = 128  # per process, well below the usual limit of 1024
SUFFIX = ".case"


class Progress(Protocol):
    """Who wants to know how far preparation is (the training room's progress fits)."""

    def start(self, name: str, total: int) -> None: ...
    def advance(self, n: int, **shown: Any) -> None: ...
    def finish(self) -> None: ...


@dataclass(frozen=True)
class _Known:
    """What stays in memory of a case between reads."""

    path: Path
    dataset: str
    case: str
    shape: Shape3
    spacing_mm: Spacing
    fields: Mapping[str, Any]
    index: int | None = None  # the place in a pack; None where the path is the case's own entry


@dataclass
class _Opened:
    entry: Entry
    image: Any
    label: Any
    foreground: dict[int, NDArray[np.int32]] | None = None


@dataclass(frozen=True)
class _Job:
    folder: Path
    record: Record
    recipe: CacheRecipe
    cache_folder: Path
    verify: bool


class CachedCases:
    """Prepared cases as a `Corpus` (see `contracts/method.py`), with masks. Made by `prepare`.

    Files are opened when first read, per process, at most 128 at a time; the object itself is small and may be pickled
    or inherited by a fork. One thread at a time may read through it. Unknown cases raise DataMissing.
    """

    def __init__(self, known: Mapping[str, _Known], sight: Sight) -> None:
        self.cases: tuple[str, ...] = tuple(known)
        self.sight = sight
        self._known = dict(known)
        self._opened: OrderedDict[Path, _Opened] = OrderedDict()
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self.cases)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": OrderedDict()}

    def shape(self, case: str) -> Shape3:
        """Voxels per axis (D, H, W) of the prepared case."""
        return self._of(case).shape

    def spacing(self, case: str) -> Spacing | None:
        """Voxel size in mm of the prepared case, (D, H, W) = (x, y, z)."""
        return self._of(case).spacing_mm

    def fields(self, case: str) -> Mapping[str, Any]:
        """What is told of a case besides its voxels: `modality`, `dataset`, the record's `meta`, and where there are any `label`
        (a class, or one answer per class), `report`, and `centre`, the voxel of the prepared volume about which it lies."""
        return self._of(case).fields

    def read(self, case: str, start: Shape3, size: Shape3) -> NDArray[Any]:
        """A box (C, D, H, W) as stored; outside the volume the window's low end (`hu`) or 0 (`zscore`, `asis`).

        Zero is a z-scored volume's mean. Raises StoreError for a damaged entry.
        """
        known = self._of(case)
        if known.index is not None:
            pack = opened(known.path)
            if pack is None or known.index >= len(pack):
                raise damaged(known.path, case, "missing, cut short or overwritten since it was prepared")
            return self._box(case, known.path, pack[known.index], start, size, self.fill)
        entry = self._open(case)
        return self._box(case, known.path, entry.image, start, size, self.fill)

    def read_label(self, case: str, start: Shape3, size: Shape3) -> NDArray[np.uint8]:
        """The box of the mask (D, H, W) uint8; 0 outside the volume. Raises DataMissing where the case has no mask."""
        entry = self._open(case)
        if entry.label is None:
            told = "was prepared without a mask."
            raise DataMissing(told, case=case, remedy="Use a labelled case, or give the recipe `label_values`.")
        return self._box(case, entry.entry.path, entry.label, start, size, 0)

    def foreground(self, case: str) -> Mapping[int, NDArray[np.int32]]:
        """Per class present up to 4096 of its voxels, (K, 3) int32 in (D, H, W); empty without a mask."""
        entry = self._open(case)
        if entry.foreground is None:
            entry.foreground = entry.entry.foreground()
        return entry.foreground

    def class_voxels(self, case: str) -> Mapping[int, int]:
        """Per class present, its number of voxels on the prepared grid."""
        return self._open(case).entry.meta.class_voxels

    def meta(self, case: str) -> CaseMeta:
        """Native header, placement, moments and notes of a case that has an entry of its own (none of an archive has)."""
        return self._open(case).entry.meta

    def fingerprint(self, case: str) -> str:
        """The coarse fingerprint of a case's native voxels: equal for the same image under another name or in another file."""
        known = self._of(case)
        if known.index is None:
            return self.meta(case).fingerprint
        return coarse_fingerprint(self.read(case, (0, 0, 0), known.shape))

    def relabelled(self, source: Mapping[str, str]) -> CachedCases:
        """The same volumes, each with the `label` field of the case that `source` names for it."""
        labels = {case: self.fields(other)["label"] for case, other in source.items()}
        known = {
            case: replace(self._of(case), fields={**self.fields(case), "label": labels[case]}) for case in self.cases
        }
        return CachedCases(known, self.sight)

    def seen(self) -> list[SeenCase]:
        """Every case with the set it comes from and the fingerprint of its native voxels (see `bench.data.exposure`)."""
        return [SeenCase(self._of(case).dataset, self._of(case).case, self.fingerprint(case)) for case in self.cases]

    def subset(self, cases: Sequence[str]) -> CachedCases:
        """The same cases, only those named, in that order."""
        return CachedCases({case: self._of(case) for case in cases}, self.sight)

    @staticmethod
    def joined(parts: Sequence[CachedCases]) -> CachedCases:
        """Several sets as one, in order. Ids that occur in more than one part become `<dataset>/<id>`.

        Raises SpecError where that does not tell them apart, or where parts differ in channels or intensity. Only a pool
        taken by percentiles may mix grey and coloured images; its `sight` then has the most channels.
        """
        mixed = all(part.sight.intensity.kind == "percentile" for part in parts)
        if not parts or len({(mixed or part.sight.channels, part.sight.intensity) for part in parts}) > 1:
            found = [(part.sight.channels, part.sight.intensity.kind) for part in parts]
            raise SpecError(f"cannot join sets of these channels and intensities: {found}; they must be equal.")
        times = Counter(case for part in parts for case in part.cases)
        known: dict[str, _Known] = {}
        for part in parts:
            for case, what in part._known.items():
                name = case if times[case] == 1 else f"{what.dataset}/{case}"
                if name in known:
                    raise SpecError("stands twice among the sets to join.", case=name, remedy="Name each case once.")
                known[name] = what
        d, h, w = (max(sizes) for sizes in zip(*(part.sight.shape for part in parts), strict=True))
        spacings = {part.sight.spacing_mm for part in parts}
        spacing = spacings.pop() if len(spacings) == 1 else None
        channels = max(part.sight.channels for part in parts)
        return CachedCases(known, replace(parts[0].sight, channels=channels, shape=(d, h, w), spacing_mm=spacing))

    def shown(self, shape: Shape3) -> CachedCases:
        """The same cases with `sight.shape` set to what a network will be shown."""
        return CachedCases(self._known, replace(self.sight, shape=shape))

    @property
    def fill(self) -> int:
        """What stands for the outside of a volume."""
        return int(np.floor(self.sight.intensity.window_hu[0])) if self.sight.intensity.kind == "hu" else 0

    def _of(self, case: str) -> _Known:
        try:
            return self._known[case]
        except KeyError:
            told = f"is not among the {len(self._known)} prepared cases."
            raise DataMissing(told, case=case, remedy="Prepare it first.") from None

    def _open(self, case: str) -> _Opened:
        if self._process != os.getpid():  # after a fork: memory maps and decoders stay the parent's
            self._opened, self._process = OrderedDict(), os.getpid()
        path = self._of(case).path
        if path in self._opened:
            self._opened.move_to_end(path)
            return self._opened[path]
        entry = open_entry(path)
        if entry is None:
            raise damaged(path, case, "missing, cut short or overwritten since it was prepared")
        found = _Opened(entry, entry.frame("image"), entry.frame("label") if entry.meta.labelled else None)
        self._opened[path] = found
        if len(self._opened) > OPEN_FILES:
            self._opened.popitem(last=False)
        return found

    def _box(self, case: str, path: Path, stored: Any, start: Shape3, size: Shape3, fill: int) -> NDArray[Any]:
        volume, box = overlap(self._of(case).shape, start, size)
        lead = stored.shape[:-3]
        part_shape = tuple(part.stop - part.start for part in volume)
        try:
            part = stored[(*(slice(None) for _ in lead), *volume)] if all(part_shape) else None
        except RuntimeError as error:
            raise damaged(path, case, str(error)) from None
        if part is not None and part_shape == tuple(size):
            whole: NDArray[Any] = part.reshape(*lead, *size)
            return whole
        out = np.full((*lead, *size), fill, stored.dtype)
        if part is not None:
            d, h, w = box
            out[..., d, h, w] = part.reshape(*lead, *part_shape)
        return out


def prepare(
    folder: Path,
    records: Sequence[Record],
    recipe: CacheRecipe,
    cache_folder: Path,
    *,
    workers: int = 0,
    progress: Progress | None = None,
    verify: bool = True,
) -> CachedCases:
    """Make sure that every record has an entry in `cache_folder`, and hand them out in the records' order.

    Sound entries of the same recipe and files are taken as they are, damaged ones made anew. `verify` reads entries
    through (about 1 s per GB): damaged blocks can decode to wrong voxels without any error. `workers` processes help.
    Unsound cases do not stop the others: at the end one DataUnsound names them all. Raises StoreError where the
    folder cannot be written, DataMissing where a file is not there.
    The `sight` has the recipe's spacing and, until `shown` is called, the largest shape of all cases.
    """
    _distinct(records)
    packs = Packs(folder, recipe, cache_folder)
    alone = {r.scan_id or r.case_id: r for r in reversed(records) if not packable(r, recipe)}
    jobs = [_Job(folder, record, recipe, cache_folder, verify) for record in reversed(alone.values())]
    entries: dict[str, Entry] = {}
    rows: dict[str, Row] = {}
    unsound: list[DataUnsound] = []
    if progress:
        progress.start("prepare", len(jobs))
    for job, result in zip(jobs, _results(jobs, workers), strict=True):
        if isinstance(result, DataUnsound):
            unsound.append(result)
        else:
            entries[job.record.scan_id or job.record.case_id] = result
        if progress:
            progress.advance(1)
    if progress:
        progress.finish()
    for record in records:
        if packable(record, recipe):
            rows[record.case_id] = packs.row(record)
    if unsound:
        raise _all_of(unsound, len(jobs))
    known = {}
    for record in records:
        row, entry = rows.get(record.case_id), entries.get(record.scan_id or record.case_id)
        known[record.case_id] = _in_pack(record, row) if row else _in_entry(record, entry)
    return CachedCases(known, _sight(list(entries.values()), list(rows.values()), recipe))


def _in_pack(record: Record, row: Row) -> _Known:
    spacing = record.spacing or (1.0, 1.0, 1.0)
    return _Known(row.path, record.dataset, record.case_id, row.shape, spacing, _told(record), row.index)


def _in_entry(record: Record, entry: Entry | None) -> _Known:
    assert entry is not None
    placement, told = entry.meta.placement, dict(_told(record))
    if record.centre_mm is not None:
        told["centre"] = voxel_at(record.centre_mm, entry.meta.header.canonical().affine, placement)
    return _Known(entry.path, record.dataset, record.case_id, placement.crop_shape, placement.spacing_mm, told)


def _told(record: Record) -> Mapping[str, Any]:
    told: dict[str, Any] = {"modality": record.modality, "dataset": record.dataset, **record.meta}
    if record.label.kind == "class":
        told["label"] = record.label.value
    elif record.label.kind == "multilabel":
        told["label"] = record.label.values
    return told | ({"report": record.text} if record.text else {})


def _results(jobs: Sequence[_Job], workers: int) -> Iterator[Entry | DataUnsound]:
    if workers == 0 or len(jobs) < 2:
        yield from map(_ensure, jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(_ensure, jobs)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _ensure(job: _Job) -> Entry | DataUnsound:
    """The sound entry of one job, made if need be. What is wrong with a case's files is handed back, not raised."""
    try:
        key = entry_key(job.folder, job.record, job.recipe)
        path = job.cache_folder / f"{_file_name(job.record.scan_id or job.record.case_id)}-{key[:16]}{SUFFIX}"
        entry = open_entry(path)
        if entry is not None and not (job.verify and not entry.payload_is_whole()):
            return entry
        case = prepared(job.folder, job.record, job.recipe)
        write_entry(path, case.image, case.label, case.foreground, case.meta)
    except DataUnsound as error:
        return error
    written = open_entry(path)
    if written is None:
        raise damaged(path, job.record.case_id, "it could not be read back after it was written")
    return written


def _file_name(case: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", case)[:80]


def _distinct(records: Iterable[Record]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.case_id in seen:
            raise SpecError(
                "stands twice among the cases to prepare.", case=record.case_id, remedy="Name each case once."
            )
        seen.add(record.case_id)


def _all_of(errors: Sequence[DataUnsound], asked: int) -> DataUnsound:
    if len(errors) == 1:
        return errors[0]
    others = ", ".join(error.case for error in errors[1:6]) + (", ..." if len(errors) > 6 else "")
    told = f"{errors[0].message} {len(errors)} of {asked} cases cannot be trusted; the others: {others}."
    return DataUnsound(told, case=errors[0].case, remedy=errors[0].remedy)


def _sight(entries: Sequence[Entry], rows: Sequence[Row], recipe: CacheRecipe) -> Sight:
    channels = {entry.meta.channels for entry in entries} | {row.channels for row in rows}
    if len(channels) > 1:
        raise DataUnsound(
            f"cases differ in their number of channels: {sorted(channels)}.", remedy="Prepare them apart."
        )
    shapes = {*(entry.meta.placement.crop_shape for entry in entries), *(row.shape for row in rows)} or {(1, 1, 1)}
    d, h, w = (max(sizes) for sizes in zip(*shapes, strict=True))
    return Sight(channels.pop() if channels else 1, (d, h, w), recipe.spacing_mm, recipe.intensity)
