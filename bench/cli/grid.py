"""The command that walks every pair of method and task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as o

GRID_HELP = """Run every method on every task on smoke phantoms, in one process; what was finished before is read.

Exit code 1 where a pair failed. A pair that cannot be is skipped, with its reason.

Examples:

  bench grid --results results/runs/grid

  bench grid --method ar,spad --task btcv,ricord --json
"""


def attach(app: typer.Typer) -> None:
    app.command("grid", help=GRID_HELP)(grid)


def grid(
    method: Annotated[str, typer.Option(help="Methods joined by commas, or all.")] = "all",
    task: Annotated[str, typer.Option(help="Tasks joined by commas, or all.")] = "all",
    results: Annotated[Path, typer.Option(help="Where the pairs' results go.")] = Path("results/runs/grid"),
    device: o.Device = "auto",
    json: o.Json = False,
) -> None:
    from bench import registry
    from bench.cli.console import print_json, print_table
    from bench.cli.place import place_of
    from bench.grid import SUMMARY, chosen, matrix, summary, walk, write_summary

    methods, tasks = chosen(registry.METHODS, method), chosen(registry.TASKS, task)
    pairs = []
    for pair in walk(methods, tasks, place_of(results, device, True)):
        pairs.append(pair)
        write_summary(results / SUMMARY, pairs)
        if not json:
            print(
                f"{pair.state:8}{pair.seconds:6.1f} s  {pair.method} x {pair.task}  {pair.reason}".rstrip(), flush=True
            )
    found = summary(pairs)
    if json:
        print_json(found)
    else:
        columns, rows, reasons = matrix(pairs)
        print_table(f"{found['ok']} ran, {found['skipped']} skipped, {found['failed']} failed", columns, rows)
        print("\n".join([*reasons, f"Median {found['median_s']} s a pair. All of it: {results / SUMMARY}"]))
    if found["failed"]:
        raise typer.Exit(1)
