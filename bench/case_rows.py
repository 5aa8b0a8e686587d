"""The per-case scores of runs as Parquet: one row per cell, case, class and metric, of one schema for all tasks.

Columns: cell, case, class, metric (text) and value (float64: a fraction, mm or voxels as the metric has it; NaN where
undefined).
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset

COLUMNS = ("cell", "case", "class", "metric", "value")
_REMEDY = "Copy the cases/ folder together with cells/, or score again."


@dataclass(frozen=True)
class CaseRow:
    """The score of one case, class and metric: a fraction, mm or voxels as the metric has it; NaN where undefined."""

    case: str
    class_: str
    metric: str
    value: float

    @property
    def place(self) -> tuple[str, str, str]:
        """What the value is of: case, class, metric."""
        return (self.case, self.class_, self.metric)


def values_by_place(name: str, rows: Sequence[CaseRow]) -> dict[tuple[str, str, str], float]:
    """The rows of one cell as (case, class, metric) -> value. Raises StoreError when a place is told twice."""
    twice = [place for place, times in Counter(row.place for row in rows).items() if times > 1]
    if twice:
        raise StoreError(
            f"{name}: {len(twice)} scores are told twice, the first for case, class and metric {' / '.join(twice[0])}.",
            case=name,
            remedy="Score each case once.",
        )
    return {row.place: float(row.value) for row in rows}


def same_values(one: Sequence[CaseRow], other: Sequence[CaseRow]) -> bool:
    """True when both hold the same numbers bit for bit, in any order; an undefined value equals an undefined value."""
    told = [{row.place: None if math.isnan(row.value) else row.value for row in rows} for rows in (one, other)]
    return len(one) == len(other) and told[0] == told[1]


def rows_to_parquet(name: str, rows: Sequence[CaseRow]) -> bytes:
    """The rows of the cell `name` as the bytes of a Parquet file.

    Without compression and statistics: a run has some hundred rows, which dictionaries already make small; a block codec
    makes such a file larger and the scan over ten thousand of them slower by a third.
    """
    import pyarrow as pa
    import pyarrow.parquet

    columns = [
        [name] * len(rows),
        [row.case for row in rows],
        [row.class_ for row in rows],
        [row.metric for row in rows],
        [float(row.value) for row in rows],
    ]
    buffer = io.BytesIO()
    table = pa.table(columns, schema=_schema())
    pyarrow.parquet.write_table(table, buffer, compression="none", write_statistics=False, store_schema=False)
    return buffer.getvalue()


def rows_from_parquet(path: Path) -> tuple[CaseRow, ...]:
    """The rows in a cell's Parquet file. Raises StoreError when it is missing, damaged or of another schema."""
    table = table_from_parquet(path)
    cases, classes, metrics, values = (table.column(column).to_pylist() for column in COLUMNS[1:])
    return tuple(CaseRow(*row) for row in zip(cases, classes, metrics, values, strict=True))


def table_from_parquet(path: Path, columns: Sequence[str] = COLUMNS) -> pa.Table:
    """Some columns of a cell's Parquet file. Raises StoreError when it is missing, damaged or of another schema.

    The plain reader on one thread: of ten thousand small files it takes a fifth of the seconds that `read_table` does.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            table = pyarrow.parquet.ParquetFile(file, pre_buffer=False).read(columns=list(columns), use_threads=False)
        schema = _schema()
        return table.select(list(columns)).cast(pa.schema([schema.field(column) for column in columns]))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def scan(paths: Sequence[Path]) -> pyarrow.dataset.Dataset:
    """Many cells' rows as one lazy dataset. Raises StoreError when a file is missing."""
    import pyarrow.dataset

    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise StoreError(
            f"{missing[0]}: the per-case rows of {len(missing)} of {len(paths)} cells are missing.",
            case=str(missing[0]),
            remedy=_REMEDY,
        )
    if not paths:
        return pyarrow.dataset.dataset(_schema().empty_table())
    return pyarrow.dataset.dataset([str(path) for path in paths], schema=_schema(), format="parquet")


def read_all(paths: Sequence[Path]) -> pa.Table:
    """Many cells' rows as one table, read in one scan. Raises StoreError when a file is missing or damaged."""
    import pyarrow as pa

    dataset = scan(paths)
    try:
        return dataset.to_table()
    except (pa.ArrowException, OSError) as error:
        for path in paths:  # the scan does not always say which file it was
            rows_from_parquet(path)
        raise _unreadable(paths[0].parent, error) from error


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: the per-case rows cannot be read: {error}.", case=str(path), remedy=_REMEDY)


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = [pa.string()] * 4 + [pa.float64()]
    return pa.schema([pa.field(column, kind, nullable=False) for column, kind in zip(COLUMNS, kinds, strict=True)])
