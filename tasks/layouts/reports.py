"""Report texts as datasets keep them: two sections, one of them sometimes not given."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from bench.contracts.errors import DataMissing, DataUnsound

NOT_GIVEN = "not given"


def section(text: str | None) -> str:
    """A section without white space around it; empty where the owners wrote "Not given." or nothing."""
    told = " ".join((text or "").split())
    return "" if told.strip(" .").lower() == NOT_GIVEN else told


def joined(*sections: str | None) -> str:
    """Sections as one text, those that were not given left out. One that stops without a mark is closed by a full stop, or its
    last sentence would go on in the next section."""
    told = [own for text in sections if (own := section(text))]
    return " ".join([*(own if own[-1] in ".,;" else f"{own}." for own in told[:-1]), *told[-1:]])


def table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of an owner's CSV. Raises DataMissing where it is not there, DataUnsound where a column is missing, of all rows or
    of one that is cut short."""
    try:
        return _rows(path, columns, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise DataMissing(
            f"no file '{path.name}' in '{path.parent}'.", case=path.name, remedy="Complete the download."
        ) from error


def by_name(rows: list[dict[str, str]], column: str, path: Path) -> Mapping[str, dict[str, str]]:
    """Rows by the value of a column. Raises DataUnsound where one value stands twice with different content."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if found.setdefault(row[column], row) != row:
            raise DataUnsound(
                f"'{path.name}' holds two different rows of this name.",
                case=row[column],
                remedy="Fetch the table again, or keep one of the rows.",
            )
    return found


@lru_cache(maxsize=8)  # a table of 47,000 reports takes a second to read, and a run asks for it several times
def _rows(path: Path, columns: tuple[str, ...], _changed_ns: int) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataUnsound(
            f"'{path.name}' is no readable CSV ({error}).", case=path.name, remedy="Fetch the table again."
        ) from error
    lacking = [name for name in columns if not rows or rows[0].get(name) is None]
    if lacking:
        found = ", ".join(rows[0]) if rows else "no row"
        raise DataUnsound(
            f"'{path.name}' lacks the column {', '.join(lacking)}; it holds {found}.",
            case=path.name,
            remedy="Fetch the table again; the owners' columns are expected.",
        )
    for number, row in enumerate(rows, start=1):
        if any(row[name] is None for name in columns):
            raise DataUnsound(
                f"row {number} of '{path.name}' is cut short.",
                case=row[columns[0]],
                remedy="Fetch the table again, or take the row out of it.",
            )
    return rows
