"""How much one dataset scan over the cases of a store saves against opening its files one by one.

    python -m tests.benchmarks.store [FOLDER] [--cells 10000] [--rows 100]

Writes that many cells with that many rows each into a temporary folder (or keeps them in FOLDER), reads all rows both
ways in turn, three times, checks that both give the same, and prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.case_rows import CaseRow
from bench.data.atomic import write_json
from bench.provenance import provenance
from bench.store import Store
from tests.cells import make_cell


def fill(store: Store, cells: int, rows: int) -> float:
    """Write the cells and return the seconds it took."""
    begin = time.perf_counter()
    for seed in range(cells):
        told = [CaseRow(f"case_{i // 10:04d}", f"class-{i % 10}", "dice", (seed + i) % 97 / 97) for i in range(rows)]
        store.write(make_cell(seed=seed), told)
    return time.perf_counter() - begin


def timed(read: Callable[[], pa.Table]) -> tuple[float, pa.Table]:
    """Seconds and result of one call."""
    begin = time.perf_counter()
    table = read()
    return time.perf_counter() - begin, table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = Store(Path(asked.folder or temporary))
        write_s = fill(store, asked.cells, asked.rows)
        begin = time.perf_counter()
        names = [cell.name for cell in store.cells()]
        cells_s = time.perf_counter() - begin
        scans: list[float] = []
        singles: list[float] = []
        for _ in range(3):
            scan_s, together = timed(lambda: store.cases(names))
            single_s, apart = timed(lambda: pa.concat_tables([pq.read_table(store.cases_path(n)) for n in names]))
            assert together.sort_by("cell").num_rows == apart.num_rows == asked.cells * asked.rows
            scans, singles = [*scans, scan_s], [*singles, single_s]
    report = {
        "cells": len(names),
        "rows": together.num_rows,
        "write_s": round(write_s, 2),
        "read_cells_s": round(cells_s, 2),
        "scan_s": round(statistics.median(scans), 2),
        "one_by_one_s": round(statistics.median(singles), 2),
        "ratio": round(statistics.median(one / scan for one, scan in zip(singles, scans, strict=True)), 2),
    }
    print(f"one scan is {report['ratio']} times as fast as {report['cells']} files one by one")
    print(json.dumps(report))
    if asked.out:
        write_json(asked.out, report | {"machine": provenance()})


if __name__ == "__main__":
    main()
