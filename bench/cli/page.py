"""The command that writes the leaderboard as a page: page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RESULTS, Json, Results


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
    print(f"{made.results} results of {made.cells} runs, {made.case_rows} case rows, {made.printed} printed rows.")
    if made.unreadable:
        print(f"{made.unreadable} files cannot be read; the page names them.")
    print(f"Written to {made.path} ({made.files} {'file' if made.files == 1 else 'files'}). Open it in any browser.")
