"""What a dataset was when it was used: one record per case, a header, and one hash by which two runs are comparable or not.

Source   the project's plan of records, sections C.1 and C.2. Holds names, geometry and hashes; no voxel, no machine's path
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from bench.contracts.cards import TaskCard
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, DataUnsound, SpecError, nearest
from bench.contracts.protocols import Protocol
from bench.contracts.record import ManifestHeader, Record
from bench.data.atomic import json_text, publish, stage_bytes
from bench.data.described import Known, described
from bench.data.roster import roster_of
from bench.data.splits import Parts, check_hygiene, lists, nested, present
from bench.data.volumes import label_map

HEADER, RECORDS, TABLE = "manifest.json", "manifest.jsonl", "manifest.csv"
WRITTEN_BY = "A run writes one beside its model: bench run --method METHOD --task TASK --results NEW_FOLDER."
COLUMNS = (
    *("case_id", "group", "split", "fold", "order", "label", "image"),
    *("spacing_x", "spacing_y", "spacing_z", "shape", "fingerprint"),
)  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """A header and its records: train in the order of label ratios, then val, then test.

    Where a protocol selects on the cases it reports, they stand once, as test, and `n` counts no val.
    """

    header: ManifestHeader
    records: tuple[Record, ...]


def build(
    key: str,
    card: TaskCard,
    protocol_name: str,
    *,
    folder: Path,
    splits_folder: Path,
    fold: int = 0,
    ratio: float = 1.0,
    full: bool = False,
    order: int = 0,
    checks: Mapping[str, str] | None = None,
) -> Manifest:
    """The manifest of what a run would use: one fold, one label ratio, one order of train, the cases that are on disk.

    Fingerprints are quick ones (size and ends of files) unless `full`, which reads every voxel. `checks` is what
    `bench.data.checks` found (its `checks`). Raises SpecError for a protocol that the card lacks, DataMissing where no
    case is there, DataUnsound for a file whose header cannot be trusted.
    """
    protocol = _protocol(key, card, protocol_name)
    card = card.under(protocol)
    on_disk = {record.case_id: record for record in card.files.records(folder)}
    listed = lists(protocol.split, splits_folder, fold, roster_of(card.files, folder, list(on_disk.values())), order)
    labelled = [case for case, record in on_disk.items() if record.label.kind != "none"]
    if any(record.source == "phantom" for record in on_disk.values()):
        listed, _ = present(listed, labelled)  # a phantom is whole as it is, and a run takes its share of what is there
    subset = nested(listed.train, ratio, protocol.split.count, listed.subsets, listed.unit_of)
    here, _ = present(replace(listed, train=subset), labelled)
    check_hygiene(here, {case: record.group for case, record in on_disk.items()})
    rank_of = {case: place for part in (listed.val, listed.train, listed.test) for place, case in enumerate(part)}
    values = label_map(len(card.classes), card.label_values)
    known = Known({}, {})
    records = [
        on_disk[case].model_copy(
            update={
                **described(folder, on_disk[case], values, full, known, stored_values=protocol.stored_values),
                "split": split,
                "protocol": protocol_name,
                "fold": fold,
                "order": rank_of[case],
                "text": "",
            }
        )
        for split, part in _parts(here).items()
        for case in part
    ]
    if not records:
        raise DataMissing(f"None of {how_many(len(listed.everything()), 'listed case')} is in {folder}.", case=key)
    header = ManifestHeader(
        task=key,
        protocol=protocol_name,
        adapter=f"{key}@{card.version}",
        root_hint=folder.name,
        n={split: len(part) for split, part in _parts(here).items()},
        classes=tuple(enumerate(card.classes, start=1 if card.kind == "segmentation" else 0)),
        split_source=protocol.split.origin,
        ratios=protocol.label_ratios,
        checks=dict(checks or {}),
        content_hash=content_hash(records),
        created_from="phantom" if any(record.source == "phantom" for record in records) else "real",
    )
    return Manifest(header, tuple(records))


def content_hash(records: Iterable[Record]) -> str:
    """`sha256:` over the sorted (case, split, order, fingerprint of images, fingerprint of label) of all records.

    Two results are comparable only where these are equal.
    """
    lines = sorted(
        (r.case_id, r.split, r.order, r.fingerprint, str(r.meta.get("label_fingerprint", ""))) for r in records
    )
    return "sha256:" + hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def write(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.jsonl`, `manifest.csv` and, last, `manifest.json`; all are on disk before any takes its name.

    Raises StoreError where the disk refuses.
    """
    lines = "".join(record.model_dump_json(fallback=_as_python) + "\n" for record in manifest.records)
    header = json_text(manifest.header.model_dump(by_alias=True))
    contents = {RECORDS: lines, TABLE: _table(manifest.records), HEADER: header}
    staged = [(stage_bytes(folder / name, text.encode()), folder / name) for name, text in contents.items()]
    for temporary, path in staged:
        publish(temporary, path)


def _as_python(value: Any) -> Any:
    """Of what a layout puts into `meta` a number of numpy's, or an array, as plain values; of any other thing the type."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else type(value).__name__


def read(folder: Path) -> Manifest:
    """A manifest as it was written. Raises DataMissing where it is not, DataUnsound where header and records disagree."""
    try:
        header = ManifestHeader.model_validate_json((folder / HEADER).read_text(encoding="utf-8"))
        lines = (folder / RECORDS).read_text(encoding="utf-8").splitlines()
        records = tuple(Record.model_validate_json(line) for line in lines)
    except FileNotFoundError as error:
        raise DataMissing(f"No manifest in {folder}.", case=folder.name, remedy=WRITTEN_BY) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise DataUnsound(
            f"the manifest in {folder} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}.",
            case=folder.name,
            remedy=WRITTEN_BY,
        ) from error
    found = content_hash(records)
    if found != header.content_hash:
        raise DataUnsound(
            f"the manifest's records give {found}, its header says {header.content_hash}.",
            case=header.task,
            remedy="One of the two files was changed or is of another run; write both anew.",
        )
    return Manifest(header, records)


def _protocol(key: str, card: TaskCard, name: str) -> Protocol:
    if name not in card.protocols:
        possible = ", ".join(card.protocols)
        raise SpecError(
            f"'{key}' has no protocol '{name}'. {nearest(name, card.protocols)}Possible: {possible}.", case=key
        )
    return card.protocols[name]


def _parts(parts: Parts) -> dict[str, tuple[str, ...]]:
    return {"train": parts.train, "val": () if parts.selects_on_test else parts.val, "test": parts.test}


def _label_in_short(record: Record) -> str:
    label = record.label
    return str(label.value) if label.kind == "class" else label.path or " ".join(map(str, label.values))


def _table(records: Iterable[Record]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in records:
        spacing = r.spacing or ("", "", "")
        shape = "x".join(map(str, r.shape or ()))
        writer.writerow(
            [
                r.case_id,
                r.group,
                r.split,
                r.fold,
                r.order,
                _label_in_short(r),
                r.images[0].path,
                *spacing,
                shape,
                r.fingerprint,
            ]
        )
    return text.getvalue()
