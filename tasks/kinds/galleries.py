"""A gallery's answers: what the prediction of one case holds, and where among all volumes its own stands.

A prediction is an `.npz` of two float32 vectors (E,), `image` and `text`. Where the network also paired the case's report with
every volume, `fused` (n,) holds how alike each pair is, in the order of the gallery, whose names `gallery` tells by their sha256.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.contracts.record import Record
from bench.data.atomic import write_bytes
from bench.metrics.pooled import INDEX, SCAN
from tasks.kinds.scans import first_of_scan, scan_of

UNIQUE = "unique"
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Answer:
    """A case's two vectors, and how alike its report is to every volume it was paired with; None where it was not."""

    image: NDArray[np.float32]
    text: NDArray[np.float32]
    fused: NDArray[np.float32] | None = None
    gallery: str = ""


def digest_of(cases: Sequence[str]) -> str:
    """The sha256 of a gallery: its names in order, one a line."""
    return hashlib.sha256("\n".join(cases).encode()).hexdigest()


def write_answer(path: Path, answer: Answer) -> None:
    """Write a case's answer, whole or not at all."""
    held: dict[str, Any] = {"image": answer.image, "text": answer.text}
    if answer.fused is not None:
        held |= {"fused": answer.fused, "gallery": np.asarray(answer.gallery)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **held)
    write_bytes(path, buffer.getvalue())


def read_answer(record: Record, path: Path) -> Answer:
    """Raises DataUnsound where the file is none, or its numbers are not finite or of no one length."""
    try:
        with np.load(path, allow_pickle=False) as held:
            paired = (held["fused"], str(held["gallery"])) if "fused" in held.files else (None, "")
            answer = Answer(held["image"], held["text"], *paired)
    except (ValueError, OSError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise _unsound(record, path, f"cannot be read ({error})") from error
    shapes = answer.image.shape, answer.text.shape
    parts = (answer.image, answer.text, *([] if answer.fused is None else [answer.fused]))
    if len(shapes[0]) != 1 or shapes[0] != shapes[1] or not all(np.isfinite(part).all() for part in parts):
        raise _unsound(
            record, path, f"holds {shapes[0]} and {shapes[1]}, two vectors of one length and finite numbers are due"
        )
    return answer


def alike(records: Sequence[Record], files: Sequence[Path]) -> tuple[Floats, Floats | None]:
    """(n, n) twice, how alike report i is to volume j: by their vectors, and by pairs, None where nothing was paired.

    Raises DataUnsound where the answers do not fit each other, or were found in another gallery.
    """
    answers = [read_answer(record, path) for record, path in zip(records, files, strict=True)]
    folder = files[0].parent.name
    if len({answer.image.shape for answer in answers}) > 1:
        lengths = sorted({len(answer.image) for answer in answers})
        raise _unfit(records[0], folder, f"hold vectors of different lengths: {lengths}")
    by_vectors = np.stack([answer.text for answer in answers]) @ np.stack([answer.image for answer in answers]).T
    rows = [answer.fused for answer in answers if answer.fused is not None]
    if not rows:
        return by_vectors, None
    own, due = digest_of([record.case_id for record in records]), (len(records),)
    fits = [a.fused is not None and a.gallery == own and a.fused.shape == due for a in answers]
    if not all(fits):
        told = f"{fits.count(False)} of {len(fits)} were not paired with the {len(fits)} volumes that are scored"
        raise _unfit(records[fits.index(False)], folder, told)
    return by_vectors, np.stack(rows)


def ranked(found: Floats, records: Sequence[Record]) -> Iterator[list[tuple[str, float]]]:
    """For each report where its own volume stands, by way of counting: `index`, `scan`, and for the first of a scan `unique`."""
    by_index, by_scan = ranks(found, np.arange(len(records))), _ranks_of_scans(found, records)
    speaking = first_of_scan(records)
    chosen = [i for i, record in enumerate(records) if record.case_id in speaking]
    unique = dict(zip(chosen, ranks(found[np.ix_(chosen, chosen)], np.arange(len(chosen))), strict=True))
    for i in range(len(records)):
        ways = [(INDEX, float(by_index[i])), (SCAN, float(by_scan[i]))]
        yield [*ways, (UNIQUE, float(unique[i]))] if i in unique else ways


def ranks(found: Floats, own: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """(n,) from 1: items as similar as the own one stand before it, so that equal scores find nothing."""
    mine = found[np.arange(len(found)), own]
    place: NDArray[np.intp] = (found >= mine[:, None]).sum(axis=1)
    return place


def _ranks_of_scans(found: Floats, records: Sequence[Record]) -> NDArray[np.intp]:
    """(n,) from 1: where the best reconstruction of the own scan stands; its siblings are not in its way."""
    scans = np.unique([scan_of(record) for record in records], return_inverse=True)[1]
    own = scans[:, None] == scans[None, :]
    best = np.where(own, found, -np.inf).max(axis=1)
    place: NDArray[np.intp] = 1 + ((found >= best[:, None]) & ~own).sum(axis=1)
    return place


def _unsound(record: Record, path: Path, why: str) -> DataUnsound:
    return DataUnsound(f"the prediction {why}.", case=record.case_id, remedy=f"Delete {path.name} and predict again.")


def _unfit(record: Record, folder: str, why: str) -> DataUnsound:
    return DataUnsound(f"predictions {why}.", case=record.case_id, remedy=f"Delete {folder} and predict again.")
