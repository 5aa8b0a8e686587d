"""The per-case rows of many cells as columns of numbers, so that ten thousand cells are read and averaged in one sweep.

Which rows belong to a cell is told by the file that they lie in, never by the word in it: a stranger's file speaks for itself only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    unreadable = {name: "the per-case rows are missing" for name in names if not store.cases_path(name).is_file()}
    present = [name for name in names if name not in unreadable]
    try:
        table = _scan(store, present)
    except StoreError:
        for name in present:
            try:
                store.rows(name)
            except StoreError as error:
                unreadable[name] = error.message
        present = [name for name in present if name not in unreadable]
        table = _scan(store, present)
    file = table.column("__fragment_index").to_numpy()
    order = np.argsort(file, kind="stable")
    bounds = np.searchsorted(file[order], np.arange(len(present) + 1))
    (cases, case), (classes, class_), (metrics, metric) = (
        _coded(table.column(word), order) for word in ("case", "class", "metric")
    )
    rows = {name: slice(int(bounds[at]), int(bounds[at + 1])) for at, name in enumerate(present)}
    values = table.column("value").to_numpy()[order]
    return CaseColumns(cases, classes, metrics, case, class_, metric, values, rows, unreadable)


def _scan(store: Store, names: Sequence[str]) -> Any:
    import pyarrow as pa

    columns = ["case", "class", "metric", "value", "__fragment_index"]
    try:
        return store.dataset(names).scanner(columns=columns).to_table()
    except (pa.ArrowException, OSError) as error:
        message = f"{store.cases_folder}: the per-case rows cannot be read: {error}."
        raise StoreError(message, case=str(store.cases_folder)) from error


def _coded(column: Any, order: NDArray[np.int64]) -> tuple[tuple[str, ...], Codes]:
    """The words of a text column in alphabetical order, and the place of each row's word among them."""
    import pyarrow as pa

    held = column.dictionary_encode().combine_chunks()
    if isinstance(held, pa.ChunkedArray):  # no rows at all
        return (), np.zeros(0, np.int64)
    words = held.dictionary.to_pylist()
    ranked = np.argsort(np.array(words, dtype=object), kind="stable") if words else np.zeros(0, np.int64)
    place = np.empty(len(words), np.int64)
    place[ranked] = np.arange(len(words))
    return tuple(words[at] for at in ranked), place[held.indices.to_numpy()][order]
