"""The command that writes the leaderboard as a page: page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RESULTS, Json, Results
from bench.contracts.counts import how_many


def attach(app: typer.Typer) -> None:
    app.command(
        "page",
        help="Write the leaderboard as one static page to sort, filter and search; each result opens to its record. No server.\n\n"
        "Example:  bench page --out site",
    )(page)


def page(
    results: Results = RESULTS,
    out: Annotated[
        Path, typer.Option(help="The folder that gets index.html, and data/ and pictures/ beside it.")
    ] = Path("site"),
    json: Json = False,
) -> None:
    import dataclasses

    from bench.cli.console import print_json
    from bench.page import write_page

    made = write_page(results, out)
    if json:
        print_json({**dataclasses.asdict(made), "path": str(made.path)})
        return
    results_of = f"{how_many(made.results, 'result')} of {how_many(made.cells, 'run')}"
    print(f"{results_of}, {how_many(made.case_rows, 'case row')}, {how_many(made.printed, 'printed row')}.")
    if made.unreadable:
        print(f"{how_many(made.unreadable, 'file')} cannot be read; the page tells which.")
    print(f"Written to {made.path} ({how_many(made.files, 'file')}). Open it in any browser.")
