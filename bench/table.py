"""A results folder -> a table, in one call: what `bench table` prints. The model is made in `bench.table_model`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.data.atomic import json_text
from bench.store import Store
from bench.table_forms import FORMS, render, to_rich
from bench.table_model import MARKS, Column, Entry, Row, Section, TableModel, select, table

__all__ = [
    "FORMS", "MARKS", "Column", "Entry", "Row", "Section", "TableModel",
    "render", "render_table", "select", "table", "table_as_json", "to_rich",
]  # fmt: skip


def render_table(
    results: Path, name: str = "all", metric: str = "dice", form: str = "rich", *, width: int = 120
) -> str:
    """The table of a results folder in a form of `FORMS`; the same folder gives the same bytes.

    Raises SpecError for a name, metric or form that is not there, and when there are no results.
    """
    return render(table(Store(results).cells(), name, metric), form, width=width)


def table_as_json(results: Path, name: str = "all", metric: str = "dice") -> dict[str, Any]:
    """The table of a results folder as plain values for a program; undefined numbers are None."""
    model = table(Store(results).cells(), name, metric)
    return {**json.loads(json_text(model)), "caption": model.caption}
