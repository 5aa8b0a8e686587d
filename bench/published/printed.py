"""One CSV of printed results -> frozen rows. Digits stay text, so `95.60` and `95.6` stay apart.

The columns are told in `README.md` beside this file. The reader takes any CSV of these columns, not only the four papers'.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cache
from pathlib import Path

from bench.contracts.errors import DataMissing, DataUnsound, SpecError, nearest

NUMBERS = Path(__file__).parent / "numbers"
PAPERS = ("ar", "spad", "mim", "mg3d")
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True)
class Printed:
    """One printed table cell. Every field is the text of its CSV column, empty where the paper says nothing.

    `label_ratio` is a fraction (`0.25`); `unit` is that of `value` and `std`: fraction, percent, mm, GFLOPs, hours, GB.
    """

    paper: str
    table: str
    row_group: str
    method: str
    method_slug: str
    pretrain_data: str
    network: str
    task: str
    task_slug: str
    label_ratio: str
    region: str
    metric: str
    unit: str
    value: str
    std: str
    is_average: str
    note: str

    @property
    def key(self) -> tuple[str, ...]:
        """What tells a row from every other of its file."""
        return (
            self.table, self.method_slug, self.pretrain_data, self.network,
            self.task_slug, self.label_ratio, self.region, self.metric,
        )  # fmt: skip

    @property
    def number(self) -> Decimal:
        """The printed value, exact."""
        return Decimal(self.value)

    @property
    def spread(self) -> Decimal | None:
        """The printed standard deviation, None where there is none."""
        return Decimal(self.std) if self.std else None

    @property
    def decimals(self) -> int:
        """Digits after the point as printed. Example: 2 for `95.60`, 0 for `100`."""
        return len(self.value.partition(".")[2])

    @property
    def half_step(self) -> Decimal:
        """Half of the last printed digit: what rounding alone may have moved. Example: 0.005 for `95.60`."""
        return Decimal(5).scaleb(-self.decimals - 1)

    @property
    def average(self) -> bool:
        """True where the paper prints the value as an average over other columns of its row."""
        return self.is_average == "1"

    @property
    def tags(self) -> tuple[str, ...]:
        """The notes one by one, as in `ocr-uncertain` or `config:stride=8`."""
        return tuple(tag for tag in self.note.split(";") if tag)

    @property
    def config(self) -> dict[str, str]:
        """The settings of an ablation row, empty for others. Example: `{"stride": "8"}`."""
        told = next((tag.removeprefix("config:") for tag in self.tags if tag.startswith("config:")), "")
        return {name: word for name, _, word in (pair.partition("=") for pair in told.split(",") if pair)}


COLUMNS = tuple(field.name for field in fields(Printed))


@cache
def printed(paper: str) -> tuple[Printed, ...]:
    """What one of the four papers prints, in the order of its tables. Raises SpecError for a name not in `PAPERS`."""
    if paper not in PAPERS:
        raise SpecError(
            f"No paper '{paper}'. {nearest(paper, PAPERS)}Possible: {', '.join(PAPERS)}.",
            case=paper,
            remedy="Their tables: bench list tables",
        )
    return read_printed(NUMBERS / f"{paper}.csv")


def read_printed(file: Path) -> tuple[Printed, ...]:
    """The rows of a CSV with the columns of `COLUMNS`, in any order, others ignored.

    Raises DataMissing where there is no file, DataUnsound with the line where a column is missing or a number is none.
    """
    if not file.is_file():
        raise DataMissing(f"There is no file '{file}'.", case=file.name, remedy="Name a CSV of printed results.")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return tuple(_rows(csv.DictReader(lines, strict=True), file.name))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataUnsound(f"Not a CSV in UTF-8: {error}.", case=file.name, remedy="Save it as CSV UTF-8.") from error


def _rows(reader: csv.DictReader[str], name: str) -> Iterator[Printed]:
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise DataUnsound(
            f"Column {', '.join(missing)} is missing, found {', '.join(reader.fieldnames or ()) or 'nothing'}.",
            case=name,
            remedy=f"The columns are {', '.join(COLUMNS)}.",
        )
    for line in reader:
        found = {column: line[column] for column in COLUMNS}
        short = [column for column, word in found.items() if word is None]
        case = f"{name} line {reader.line_num}"
        if short:
            raise DataUnsound(f"The line ends before {short[0]}.", case=case, remedy="Write every column, if empty.")
        row = Printed(**found)
        for column, word, asked in (("value", row.value, True), ("std", row.std, bool(row.std))):
            if asked and not _NUMBER.fullmatch(word):
                remedy = "Write digits with a point, without unit."
                raise DataUnsound(f"{column} is '{word}', not a number.", case=case, remedy=remedy)
        yield row
