"""The command that renders tables: our cells by task or method, or a paper's table beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RESULTS, Json, Results


def attach(app: typer.Typer) -> None:
    app.command(
        "table",
        help="Render results as a table: ours by task or method, or a table of a paper with its values beside ours.\n\n"
        "Example:  bench table msd04 --format md   |   bench table mim:III --view both --format latex",
    )(table)


def table(
    name: Annotated[
        str, typer.Argument(help="A task, a method, all, leaderboard, or a paper's table: bench list tables.")
    ] = "all",
    format: Annotated[str, typer.Option(help="rich, md, latex, html or csv.")] = "rich",
    view: Annotated[
        str,
        typer.Option(
            help="published, measured or both; of a paper's table (default both) and of the leaderboard (measured)."
        ),
    ] = "",
    metric: Annotated[
        str,
        typer.Option(
            help="Of our own tables: which metric fills the cells. Default: dice, else what a task names first."
        ),
    ] = "",
    results: Results = RESULTS,
    out: Annotated[Path | None, typer.Option(help="Write to a file instead.")] = None,
    json: Json = False,
) -> None:
    import shutil
    import sys

    from bench.cli.console import print_json, tell_unreadable
    from bench.data.atomic import write_text
    from bench.table import render_table, table_as_json

    if view != "published":
        tell_unreadable(results)
    if out is not None or not json:
        width = shutil.get_terminal_size().columns if out is None and sys.stdout.isatty() else 120
        text = render_table(results, name, metric, format, view=view, width=max(width, 60))
    if out is not None:
        write_text(out, text)
    if json:
        print_json(table_as_json(results, name, metric, view))
    else:
        print(text if out is None else f"Written to {out}")
