"""A results folder -> a table, in one call: what `bench table` prints. The models are made in `bench.tables.model` (our runs by
task or method) and `bench.tables.paper_model` (a paper's table, printed values beside ours)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.case_columns import read_columns
from bench.contracts.errors import SpecError, nearest
from bench.contracts.record import Cell
from bench.data.atomic import json_text
from bench.store import Store
from bench.tables.forms import FORMS, render, to_rich
from bench.tables.leaderboard import boards
from bench.tables.leaderboard_forms import render_sheets
from bench.tables.leaderboard_printed import printed_results
from bench.tables.leaderboard_sheets import Sheet, sheets
from bench.tables.model import MARKS, Column, Entry, Row, Section, TableModel, select, table
from bench.tables.paper_forms import render_paper
from bench.tables.paper_model import VIEWS, PaperTableModel, paper_model
from bench.tables.words import clean

__all__ = [
    "FORMS", "MARKS", "VIEWS", "Column", "Entry", "PaperTableModel", "Row", "Section", "TableModel",
    "paper_model", "render", "render_paper", "render_table", "select", "table", "table_as_json", "to_rich",
]  # fmt: skip
DEFAULT_METRIC = "dice"
DEFAULT_VIEW = "both"
LEADERBOARD = "leaderboard"


def render_table(
    results: Path, name: str = "all", metric: str = "", form: str = "rich", *, view: str = "", width: int = 120
) -> str:
    """The table of a results folder in a form of `FORMS`; the same folder gives the same bytes.

    `name` is `all`, a task, a method, `leaderboard`, or a paper's table as in `mim:III`. `metric` belongs to our own tables (empty:
    Dice, or what the cells' protocol names first), `view` (a word of `VIEWS`) to a paper's (empty: both) and to the leaderboard
    (empty: measured). Raises SpecError for a name, metric, form or view that is not there, and when there are no results to
    make a table of.
    """
    if name == LEADERBOARD:
        return render_sheets(_sheets(results, metric, view), form, width=width)
    if is_paper(name):
        return render_paper(_paper(results, name, metric, view), form, width=width)
    cells = _cells(results, name, view)
    shown = metric or _headline(cells, name)
    text = render(table(cells, name, shown), form, width=width)
    return text + _left_out(select(cells, name), name, shown) if form == "rich" else text


def table_as_json(results: Path, name: str = "all", metric: str = "", view: str = "") -> dict[str, Any]:
    """The table of a results folder as plain values for a program; undefined numbers are None."""
    if name == LEADERBOARD:
        return {"name": LEADERBOARD, "boards": json.loads(json_text(_sheets(results, metric, view)))}
    if is_paper(name):
        return dict(json.loads(json_text(_paper(results, name, metric, view))))
    cells = _cells(results, name, view)
    model = table(cells, name, metric or _headline(cells, name))
    return {**json.loads(json_text(model)), "caption": model.caption}


def is_paper(name: str) -> bool:
    """True for the name of a paper's table: no task or method holds a colon."""
    return ":" in name


def _sheets(results: Path, metric: str, view: str) -> tuple[Sheet, ...]:
    if view and view not in VIEWS:
        raise SpecError(
            f"No view '{view}'. {nearest(view, VIEWS)}Possible: {', '.join(VIEWS)}.",
            case=view,
            remedy="Name one of them with --view.",
        )
    store = Store(results)
    cells = [] if view == "published" else store.cells() if view == "both" else _held(store)
    found = boards(cells, read_columns(store, [cell.name for cell in cells]))
    return sheets(found, printed_results() if view not in ("", "measured") else (), metric, view or "measured")


def _cells(results: Path, name: str, view: str) -> list[Cell]:
    if view:
        remedy = "Leave --view out, or name a paper's table: bench list tables"
        raise SpecError(f"--view belongs to a paper's table, and '{name}' is none.", case=name, remedy=remedy)
    return _held(Store(results))


def _held(store: Store) -> list[Cell]:
    """The cells of a results folder, which is named where it has none."""
    cells = store.cells()
    if not cells:
        raise SpecError(
            f"There are no results in '{store.folder}' yet.",
            case=str(store.folder),
            remedy="Make one: bench run --method M --task T, or name another folder with --results.",
        )
    return cells


def _headline(cells: list[Cell], name: str) -> str:
    """The metric that a table shows unasked: Dice where one of its cells has it, else the first of the first cell's protocol."""
    chosen = select(cells, name)
    return DEFAULT_METRIC if any(DEFAULT_METRIC in cell.scores for cell in chosen) else chosen[0].metrics[0]


def _left_out(cells: list[Cell], name: str, metric: str) -> str:
    """For a person at a terminal: which cells have no such metric, and how to see them; empty where all have it."""
    lacking = [cell for cell in cells if metric not in cell.scores]
    if not lacking:
        return ""
    tasks = ", ".join(sorted({clean(cell.task) for cell in lacking}))
    other = clean(next((m for m in lacking[0].metrics if m in lacking[0].scores), ""))
    next_ = f"bench table {clean(name)} --metric {other}, or " if other else ""
    return f"Not shown, without {clean(metric)}: {len(lacking)} cells of {tasks}.\nNext:  {next_}bench table {LEADERBOARD}\n"


def _paper(results: Path, name: str, metric: str, view: str) -> PaperTableModel:
    if metric:
        remedy = "Leave --metric out."
        raise SpecError(f"The columns of '{name}' have metrics of their own.", case=name, remedy=remedy)
    store = Store(results)
    return paper_model(name, store.cells(), store.rows, view or DEFAULT_VIEW)
