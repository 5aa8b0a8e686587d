"""The per-case rows of many cells as columns of numbers, so that ten thousand cells are read and averaged in one sweep.

Which rows belong to a cell is told by the file that they lie in, never by the word in it: a stranger's file speaks for itself only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.case_rows import COLUMNS, table_from_parquet
from bench.contracts.errors import StoreError
from bench.store import Store

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class CaseColumns:
    """Rows in the order of cells. `case`, `class_` and `metric` are places in the lists of words; NaN is undefined.

    `rows` maps a cell to its rows, `unreadable` a cell whose rows are missing or damaged to what is wrong.
    """

    cases: tuple[str, ...]
    classes: tuple[str, ...]
    metrics: tuple[str, ...]
    case: Codes
    class_: Codes
    metric: Codes
    values: Numbers
    rows: Mapping[str, slice]
    unreadable: Mapping[str, str]

    def means(self, cell: str, metric: str) -> tuple[Codes, Numbers]:
        """The cases that a cell has a metric of, in ascending places, and the mean over the classes defined in each."""
        rows = self.rows.get(cell, slice(0, 0))
        if metric not in self.metrics:
            return np.zeros(0, np.int64), np.zeros(0)
        asked = self.metric[rows] == self.metrics.index(metric)
        places, inverse = np.unique(self.case[rows][asked], return_inverse=True)
        values = self.values[rows][asked]
        known = ~np.isnan(values)
        counts = np.bincount(inverse[known], minlength=len(places))
        sums = np.bincount(inverse[known], weights=values[known], minlength=len(places))
        return places, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def read_columns(store: Store, names: Sequence[str]) -> CaseColumns:
    """The rows of the named cells. A cell whose rows cannot be read is told in `unreadable`; no error is raised for it."""
    import pyarrow as pa

    tables: dict[str, pa.Table] = {}
    unreadable: dict[str, str] = {}
    for name in names:
        try:
            tables[name] = table_from_parquet(store.cases_path(name), COLUMNS[1:])
        except StoreError as error:
            gone = not store.cases_path(name).is_file()
            unreadable[name] = "the per-case rows are missing" if gone else error.message
    stops = np.cumsum([table.num_rows for table in tables.values()]).tolist()
    rows = {name: slice(start, stop) for name, start, stop in zip(tables, [0, *stops], stops, strict=False)}
    whole = pa.concat_tables(tables.values()) if tables else None
    if whole is None or not whole.num_rows:
        nothing = np.zeros(0, np.int64)
        return CaseColumns((), (), (), nothing, nothing, nothing, np.zeros(0), rows, unreadable)
    (cases, case), (classes, class_), (metrics, metric) = (_coded(whole.column(word)) for word in COLUMNS[1:4])
    values = whole.column("value").to_numpy()
    return CaseColumns(cases, classes, metrics, case, class_, metric, values, rows, unreadable)


def _coded(column: Any) -> tuple[tuple[str, ...], Codes]:
    """The words of a text column in alphabetical order, and the place of each row's word among them."""
    held = column.combine_chunks().dictionary_encode()
    words = held.dictionary.to_pylist()
    ranked = sorted(range(len(words)), key=words.__getitem__)
    place = np.empty(len(words), np.int64)
    place[ranked] = np.arange(len(words))
    return tuple(words[at] for at in ranked), place[held.indices.to_numpy()]
