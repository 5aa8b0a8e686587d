"""Which cases are reconstructions of one scan, and which of them speaks for it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts.record import Record


def scan_of(record: Record) -> str:
    """The scan of a case; a case whose owners tell none is its own scan."""
    return str(record.meta.get("scan", record.case_id))


def first_of_scan(records: Sequence[Record]) -> frozenset[str]:
    """Of each scan the case of the lowest reconstruction number."""
    lowest: dict[str, Record] = {}
    for record in records:
        held = lowest.setdefault(scan_of(record), record)
        if _number(record) < _number(held):
            lowest[scan_of(record)] = record
    return frozenset(record.case_id for record in lowest.values())


def _number(record: Record) -> int:
    return int(record.meta.get("reconstruction", 0))
