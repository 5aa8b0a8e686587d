"""What a manifest says of one case: its grid and the fingerprints of its files. A scan of many cases is opened once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contracts.record import Record
from bench.data.volumes import Header, quick_fingerprint, read_header, read_image, read_label, voxel_fingerprint


@dataclass(frozen=True)
class Known:
    """What was read before, by scan and by file: a scan or an archive of many cases is opened once."""

    headers: dict[str, Header]
    fingerprints: dict[str, str]


def described(
    folder: Path, record: Record, values: Mapping[int, int], full: bool, known: Known, *, stored_values: bool = False
) -> dict[str, object]:
    """A record's geometry in the file's own axis order, and what its files hold, read as a run reads them (`stored_values`)."""
    first = record.images[0] if record.images else None
    in_archive = first is not None and first.format == "npz"  # whose images all have one grid
    scan = f"{first.path}|{first.key}" if first and in_archive else record.scan_id or record.case_id
    if scan not in known.headers:
        known.headers[scan] = read_header(folder, record, stored_values=stored_values)
    header = known.headers[scan]
    if full:
        image = voxel_fingerprint(read_image(folder, record, stored_values=stored_values))
    else:
        paths = dict.fromkeys(image.path for image in record.images)
        for path in paths:
            if path not in known.fingerprints:
                known.fingerprints[path] = quick_fingerprint(folder / path)
        image = _joined([known.fingerprints[path] for path in paths])
    return {
        "shape": header.shape,
        "spacing": header.spacing_mm,
        "affine": header.affine,
        "orientation": header.orientation,
        "depth_axis": header.depth_axis,
        "anisotropy": header.anisotropy,
        "fingerprint": image,
        "meta": {**record.meta, "label_fingerprint": _label_fingerprint(folder, record, values, full)},
    }


def _label_fingerprint(folder: Path, record: Record, values: Mapping[int, int], full: bool) -> str:
    """What a label holds, in short: its file's, or the answer itself; of a report the sha256 of its text."""
    label = record.label
    if label.kind == "mask":
        return (
            voxel_fingerprint(read_label(folder, record, values))
            if full
            else quick_fingerprint(folder / str(label.path))
        )
    if label.kind == "report":
        return f"text:{hashlib.sha256(record.text.encode()).hexdigest()}"
    return f"{label.kind}:{label.value if label.kind == 'class' else list(label.values)}"


def _joined(fingerprints: Sequence[str]) -> str:
    if len(fingerprints) == 1:
        return fingerprints[0]
    size = sum(int(text.split(":")[1]) for text in fingerprints)
    return f"quick:{size}:{hashlib.sha256(json.dumps(list(fingerprints)).encode()).hexdigest()}"
