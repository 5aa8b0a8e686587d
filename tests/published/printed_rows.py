"""Printed cells for tests: a small table of plausible words whose columns a test can change one at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.published.printed import COLUMNS, Printed

WORDS = {
    "paper": "toy", "table": "1", "row_group": "", "method": "Alpha", "method_slug": "alpha", "pretrain_data": "none",
    "network": "UNet", "task": "BTCV", "task_slug": "btcv", "label_ratio": "1.0", "region": "", "metric": "dice",
    "unit": "percent", "value": "80.00", "std": "", "is_average": "0", "note": "",
}  # fmt: skip


def make_cell(**changes: str) -> Printed:
    """A printed cell; `method_slug` names the method too."""
    words = {**WORDS, **changes}
    return Printed(**{**words, "method": changes.get("method", words["method_slug"])})


def make_row(method: str, values: Mapping[str, str], average: str = "", **changes: str) -> list[Printed]:
    """One row: region -> digits, and the average over them where given."""
    cells = [make_cell(method_slug=method, region=region, value=value, **changes) for region, value in values.items()]
    if average:
        cells.append(make_cell(method_slug=method, region="average", value=average, is_average="1", **changes))
    return cells


def write_csv(file: Path, cells: Iterable[Printed]) -> Path:
    """The cells as a CSV with the columns of published numbers."""
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(cell, column) for column in COLUMNS] for cell in cells)
    return file
