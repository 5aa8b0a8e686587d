"""Commands that read results: score, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RESULTS, Json, Results, Root
from bench.contracts.counts import how_many


def attach(app: typer.Typer) -> None:
    app.command(
        "score",
        help="Score any folder of label maps against another.\n\n"
        "Example:  bench score --predictions pred --truth labels --metrics dice,hd95,nsd@2mm",
    )(score)
    app.command(
        "verify",
        help="Re-hash a stored cell and re-score it from its predictions; train its first steps again where asked.\n\n"
        "Example:  bench verify CELL --replay 20",
    )(verify)


def score(
    predictions: Annotated[Path, typer.Option(help="Folder of label maps (.nii, .nii.gz).")],
    truth: Annotated[Path, typer.Option(help="Folder of reference label maps with the same names.")],
    metrics: Annotated[str, typer.Option(help="Metric ids joined by commas.")] = "dice,hd,hd95,assd,nsd@2mm",
    spacing_from: Annotated[str, typer.Option(help="truth, prediction, or voxels (distances in voxels).")] = "truth",
    classes: Annotated[
        str,
        typer.Option(help="Labels to score, joined by commas; others are background. Default: all in the truth."),
    ] = "",
    json: Json = False,
) -> None:
    from bench.cli.console import print_json, print_table, shown
    from bench.contracts.errors import SpecError
    from bench.score_folders import score_folders

    asked = [word.strip() for word in metrics.split(",") if word.strip()]
    if not asked:
        raise SpecError(
            f"--metrics names nothing, found '{metrics}'.", remedy="For example: --metrics dice,hd95,nsd@2mm"
        )
    rows, means, notes = score_folders(predictions, truth, asked, spacing_from, classes)
    if json:
        print_json([{"case": r.case, "class": r.class_, "metric": r.metric, "value": r.value} for r in rows])
        for note in notes:
            print(note, file=sys.stderr)
        return
    print_table(
        how_many(len({r.case for r in rows}), "case"),
        ("class", *means),
        [(name, *[shown(means[m][name]) for m in means]) for name in next(iter(means.values()), {})],
    )
    for note in notes:
        print(note)


def verify(
    cell: Annotated[str, typer.Argument(help="A cell's name or the path of its JSON.")],
    replay: Annotated[
        int | None,
        typer.Option(help="Fine-tune so many steps again on the CPU and compare weights and loss log bit for bit."),
    ] = None,
    root: Root = "",
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    import dataclasses
    import os

    from bench.cli.console import print_json, print_table
    from bench.verify_cell import verify_cell

    report = verify_cell(cell, results, root, os.environ)
    if replay is not None:
        from bench.cli.console import progress_for
        from bench.replay import replay_cell

        again = replay_cell(cell, replay, results, root, os.environ, progress_for(json))
        report = dataclasses.replace(report, checks=(*report.checks, *again))
    if json:
        print_json(dataclasses.asdict(report))
    else:
        print_table(f"{cell}", ("what", "verdict", "detail"), [(c.name, c.verdict, c.detail) for c in report.checks])
    if not report.holds:
        raise typer.Exit(2)
