"""What decides, of a dataset's files and of the tables beside them, which cases they are: digests for keys and records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from bench.contracts.record import Record
from bench.data.volumes import quick_fingerprint
from bench.metrics.pooled import FINDING, FINDINGS

UNSAID = ("image", "train_images", "val_images", "test_images")
"""Names of arrays in a file that decide a result without being told: the first results were stored so."""


def content_hash(folder: Path, records: Sequence[Record]) -> str:
    """sha256 over sorted (case, quick fingerprints of its files, report, where tables place it): equal only where the bytes' sizes
    and ends are."""
    marks = {path: quick_fingerprint(folder / path) for path in dict.fromkeys(p for r in records for p in _files(r))}
    lines = sorted((r.case_id, *[marks[path] for path in _files(r)], *_report(r), *_placed(r)) for r in records)
    return "sha256:" + hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def told_answers(records: Sequence[Record], *, scored: bool) -> str:
    """sha256 over what a table beside the images tells of cases: class and answers, and where they are `scored` the finding that a
    candidate belongs to. '' where no table does: an answer that lies in the archive of its image (`label.path`) is told with it.

    No fingerprint of an image changes with such a table, so it decides a result of its own.
    """
    lines = sorted(
        [r.case_id, str(r.label.value), *map(str, r.label.values), *(_finding(r) if scored else ())]
        for r in records
        if r.label.kind in ("class", "multilabel") and r.label.path not in {image.path for image in r.images}
    )
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest() if lines else ""


def _finding(record: Record) -> list[str]:
    return [f"{name} {record.meta[name]}" for name in (FINDING, FINDINGS) if name in record.meta]


def _files(record: Record) -> list[str]:
    paths = [image.path for image in record.images] + ([record.label.path] if record.label.path else [])
    return sorted(set(paths))


def _placed(record: Record) -> list[str]:
    """What of how voxels are read no file tells: where a case lies in its scan, slope, voxel size, slices, which array, series or
    frame of a file (a frame of its channel's own number goes without saying); and of a lesion where its middle lies and of which
    category it is, by which pre-training cuts and gathers it."""
    told: list[object] = [record.centre_mm, record.meta.get("lesion_centre"), record.meta.get("category")]
    for image in record.images:
        told += [image.rescale, image.spacing_mm]
        told += [image.key, record.spacing] if image.format == "hu_slices" else []
        told += [image.key] if image.format != "hu_slices" and image.key not in UNSAID else []
        told += [f"frame {image.frame}"] if image.frame not in (None, image.channel) else []
    return [repr(one) for one in told if one is not None]


def _report(record: Record) -> list[str]:
    """A report's digest; its text may lie far from both ends of a table of reports."""
    return [hashlib.sha256(record.text.encode()).hexdigest()] if record.text else []
