"""Does a stored result still hold? Hash again what it names, average again what it averaged, score again what it scored.

Nothing is written. What cannot be looked at any more (weights deleted, truth not on this machine) is told as absent,
which is no pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.case_rows import CaseRow, values_by_place
from bench.contracts.errors import DataMissing, StoreError
from bench.contracts.record import Cell
from bench.store import Store

TOLERANCE = 1e-9
SHOWN = 3
Verdict = Literal["ok", "differs", "absent"]
Rescore = Callable[[], Sequence[CaseRow] | None]
HashFiles = Callable[[Sequence[Path]], str]


@dataclass(frozen=True)
class Check:
    """One thing looked at, what came of it, and in what it differs or why it is absent."""

    what: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """All checks of one cell."""

    cell: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True when nothing differs; what is absent does not count."""
        return all(check.verdict != "differs" for check in self.checks)

    @property
    def complete(self) -> bool:
        """True when every check could be made."""
        return all(check.verdict != "absent" for check in self.checks)

    def lines(self) -> list[tuple[str, str, str]]:
        """What, verdict and detail of each check, for a person."""
        return [(check.what, check.verdict, check.detail) for check in self.checks]

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, for a program."""
        checks = [{"what": check.what, "verdict": check.verdict, "detail": check.detail} for check in self.checks]
        return {"cell": self.cell, "ok": self.ok, "complete": self.complete, "checks": checks}


def verify(
    cell: Cell | str,
    store: Store,
    predictions: Path | None,
    model: Path | None,
    hash_files: HashFiles,
    rescore: Rescore,
) -> VerifyReport:
    """Check a stored cell, given or by name. Raises StoreError when there is no readable cell of that name.

    Checks: the sha256 of the per-case Parquet; means and class means in the JSON against those of the stored rows;
    `hash_files` of the NIfTI files in the folder `predictions`; the digest of `model.safetensors` in the folder
    `model`; and the stored rows against those that `rescore()` gives. None, an empty folder, and a `rescore` that
    returns None or raises DataMissing are absent; a StoreError of `rescore` is a difference. Numbers are equal when
    they differ by at most 1e-9 or are both undefined.
    """
    held = store.read(cell) if isinstance(cell, str) else cell
    rows = _stored_rows(store, held.name)
    checks = (
        _check_hash("per-case rows", held.hashes.get("cases"), lambda: store.cases_sha256(held.name)),
        _check_means(held, rows),
        _check_hash("predictions", held.hashes.get("predictions"), lambda: _hash_of_folder(predictions, hash_files)),
        _check_hash("weights", held.hashes.get("finetune:final"), lambda: _hash_of_model(model)),
        _check_rescored(held, rows, rescore),
    )
    return VerifyReport(held.name, checks)


def compare(stored: Sequence[CaseRow], again: Sequence[CaseRow], name: str = "") -> list[str]:
    """In what two lists of per-case values differ, one line each, empty when they are equal.

    Example: 0.81 stored for case_1 / liver / dice and 0.82 found gives `case_1 / liver / dice: 0.81 stored, 0.82 found`.
    """
    ours, theirs = values_by_place(name, stored), values_by_place(name, again)
    lines = [f"{' / '.join(place)}: stored only" for place in ours if place not in theirs]
    lines += [f"{' / '.join(place)}: found only" for place in theirs if place not in ours]
    return lines + [
        f"{' / '.join(place)}: {value!r} stored, {theirs[place]!r} found"
        for place, value in ours.items()
        if place in theirs and not _equal(value, theirs[place])
    ]


def _check_hash(what: str, recorded: str | None, again: Callable[[], str | None]) -> Check:
    try:
        found = again()
    except StoreError as error:
        return Check(what, "differs", str(error))
    if found is None:
        return Check(what, "absent", "not there (any more)")
    if recorded is None:
        return Check(what, "differs", "the cell records no hash of them")
    if found != recorded:
        return Check(what, "differs", f"sha256 {recorded[:16]} recorded, {found[:16]} found")
    return Check(what, "ok")


def _check_means(cell: Cell, rows: Sequence[CaseRow] | None) -> Check:
    if rows is None:
        return Check("means", "absent", "no readable rows to average")
    from bench.score import summarise  # loads torch on its way

    means, class_means = summarise(rows, cell.average)
    recorded = _flat(cell.scores, cell.class_scores)
    found = _flat(means, class_means)
    return _told(
        "means",
        [
            f"{' / '.join(place)}: {recorded.get(place)!r} recorded, {found.get(place)!r} found"
            for place in {**recorded, **found}
            if place not in recorded or place not in found or not _equal(recorded[place], found[place])
        ],
    )


def _flat(
    means: Mapping[str, float | None], class_means: Mapping[str, Mapping[str, float | None]]
) -> dict[tuple[str, ...], float]:
    """Means by (metric,) and (class, metric); undefined ones NaN."""
    every: dict[tuple[str, ...], float | None] = {(metric,): value for metric, value in means.items()}
    every |= {(name, metric): value for name, by_metric in class_means.items() for metric, value in by_metric.items()}
    return {place: math.nan if value is None else value for place, value in every.items()}


def _check_rescored(cell: Cell, rows: Sequence[CaseRow] | None, rescore: Rescore) -> Check:
    if rows is None:
        return Check("scored again", "absent", "no readable rows to compare with")
    try:
        again = rescore()
    except DataMissing as error:
        return Check("scored again", "absent", str(error))
    except StoreError as error:
        return Check("scored again", "differs", str(error))
    if again is None:
        return Check("scored again", "absent", "predictions or truth are not there")
    return _told("scored again", compare(rows, again, cell.name))


def _told(what: str, differing: Sequence[str]) -> Check:
    if not differing:
        return Check(what, "ok")
    more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return Check(what, "differs", "; ".join(differing[:SHOWN]) + more)


def _hash_of_folder(folder: Path | None, hash_files: HashFiles) -> str | None:
    files = sorted(folder.glob("*.nii.gz")) if folder and folder.is_dir() else []
    return hash_files(files) if files else None


def _hash_of_model(folder: Path | None) -> str | None:
    path = folder / "model.safetensors" if folder else None
    if path is None or not path.is_file():
        return None
    from bench.train.checkpoint import load_weights, sha256_of_weights  # loads torch: only where there are weights

    return sha256_of_weights(load_weights(path)[0])


def _stored_rows(store: Store, name: str) -> tuple[CaseRow, ...] | None:
    """The stored rows, None when they are missing or damaged, which the check of their hash tells."""
    try:
        return store.rows(name)
    except StoreError:
        return None


def _equal(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= TOLERANCE
