"""Does a stored result still hold? Hash again what it names, average again what it averaged, score again what it scored.

Nothing is written. What cannot be looked at any more (weights deleted, truth not on this machine) is told as absent,
which is no pass.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.case_rows import CaseRow, values_by_place
from bench.contracts.errors import DataMissing, StoreError
from bench.contracts.record import Cell
from bench.store import Store

TOLERANCE = 1e-9
SHOWN = 3
Verdict = Literal["ok", "differs", "absent"]
Rescore = Callable[[Cell], Sequence[CaseRow] | None]
Rehash = Callable[[], str | None]
Summarise = Callable[[Cell, Sequence[CaseRow]], Mapping[str, float | None]]


_KEPT_OUT = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""Of a disk that refuses: scoring reads through a cache that it may have to write, and nothing was compared then."""


@dataclass(frozen=True)
class Check:
    """One thing looked at (`cases`, `predictions`, `scores`, `rescored`, ...), what came of it, and why."""

    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """All checks of one cell."""

    cell: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """True when nothing differs; what is absent does not count."""
        return all(check.verdict != "differs" for check in self.checks)

    @property
    def complete(self) -> bool:
        """True when every check could be made."""
        return all(check.verdict != "absent" for check in self.checks)


def verify(
    cell_name: str,
    store: Store,
    rescore: Rescore,
    *,
    rehash: Mapping[str, Rehash] | None = None,
    summarise: Summarise | None = None,
) -> VerifyReport:
    """Check a stored cell. Raises StoreError when there is no readable cell of that name.

    `rehash` maps a name in `cell.hashes` (weights, predictions) to what hashes it now, None where it is gone; the rows'
    Parquet (`cases`) needs none. `summarise(cell, rows)` averages stored rows as the protocol does, to be compared with
    the scores in the JSON. `rescore(cell)` scores the stored predictions again; None or DataMissing means that they or
    the truth are not there, a StoreError that they give something else. Numbers are equal when they differ by at most
    1e-9 or are both undefined.
    """
    cell = store.read(cell_name)
    known: dict[str, Rehash] = {**(rehash or {}), "cases": lambda: store.cases_sha256(cell_name)}
    recorded = {"cases": "", **cell.hashes}
    rows = _stored_rows(store, cell_name)
    checks = [_check_hash(name, recorded[name], known.get(name)) for name in sorted(recorded)]
    return VerifyReport(
        cell_name, (*checks, _check_scores(cell, rows, summarise), _check_rescored(cell, rows, rescore))
    )


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


def _check_hash(name: str, recorded: str, again: Rehash | None) -> Check:
    if again is None:
        return Check(name, "absent", "recorded only; nothing here can hash it again")
    try:
        found = again()
    except StoreError as error:
        return Check(name, "differs", str(error))
    if found is None:
        return Check(name, "absent", "no longer there")
    if not recorded:
        return Check(name, "differs", "the cell records no hash of it")
    if found != recorded:
        return Check(name, "differs", f"sha256 {recorded[:16]} recorded, {found[:16]} found")
    return Check(name, "ok")


def _check_scores(cell: Cell, rows: Sequence[CaseRow] | None, summarise: Summarise | None) -> Check:
    if rows is None:
        return Check("scores", "absent", "no readable rows to average")
    if summarise is None:
        return Check("scores", "absent", "nothing given that averages rows")
    means = summarise(cell, rows)
    told = dict(cell.scores)
    told |= {f"{name} {metric}": score for name, found in cell.class_scores.items() for metric, score in found.items()}
    differing = [
        f"{metric}: {told.get(metric)!r} recorded, {means.get(metric)!r} found"
        for metric in sorted({*told, *means})
        if not _equal(_number(told.get(metric)), _number(means.get(metric)))
    ]
    return _told("scores", differing)


def _check_rescored(cell: Cell, rows: Sequence[CaseRow] | None, rescore: Rescore) -> Check:
    if rows is None:
        return Check("rescored", "absent", "no readable rows to compare with")
    try:
        again = rescore(cell)
    except DataMissing as error:
        return Check("rescored", "absent", str(error))
    except StoreError as error:
        kept_out = isinstance(error.__cause__, OSError) and error.__cause__.errno in _KEPT_OUT
        return Check("rescored", "absent" if kept_out else "differs", str(error))
    if again is None:
        return Check("rescored", "absent", "predictions or truth are not there")
    return _told("rescored", compare(rows, again, cell.name))


def _told(name: str, differing: Sequence[str]) -> Check:
    if not differing:
        return Check(name, "ok")
    more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return Check(name, "differs", "; ".join(differing[:SHOWN]) + more)


def _stored_rows(store: Store, name: str) -> tuple[CaseRow, ...] | None:
    """The stored rows, None when they are missing or damaged, which the check of their hash tells."""
    try:
        return store.rows(name)
    except StoreError:
        return None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _equal(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= TOLERANCE
