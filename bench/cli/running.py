"""Commands that run from words to cells: plan, run, quickstart."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options as o
from bench.cli.place import place_of
from bench.contracts.counts import how_many

if TYPE_CHECKING:
    from bench.spec import RunSpec


class Engine(StrEnum):
    """Where runs are carried out."""

    here = "here"
    slurm = "slurm"


RUN_HELP = """Run a method on a task, from pre-training to a line in a table. Repeating a command resumes it.

Examples:

  bench run --method mim --task btcv --ratio 0.25

  bench run --method mim,mae3d --task msd04 --ratio 0.1,0.25 --preset small --corpus own --repeats 3

  bench run --plan plan.json
"""


def attach(app: typer.Typer) -> None:
    app.command(
        "plan",
        help="What would run, what is already there, and what it would cost.\n\n"
        "Example:  bench plan --method mim,mae3d --task msd04 --ratio 0.1,0.25 --preset small --corpus own --out plan.json",
    )(plan)
    app.command("run", help=RUN_HELP)(run)
    app.command(
        "quickstart", help="The whole pipe on phantom data in about two minutes.\n\nExample:  bench quickstart"
    )(quickstart)


def plan(
    method: o.Methods,
    task: o.Tasks,
    ratio: o.Ratios = "1.0",
    seed: o.Seed = 0,
    repeats: o.Repeats = 1,
    fold: o.Fold = 0,
    preset: o.Preset = "full",
    protocol: o.ProtocolName = "bench",
    corpus: o.Corpus = "",
    corpus_root: o.CorpusRoot = "",
    weights: o.Weights = "",
    settings: o.Settings = [],  # noqa: B006  (typer copies it)
    phantom: o.Phantom = False,
    partial: o.Partial = False,
    exclude_exposed: o.ExcludeExposed = False,
    root: o.Root = "",
    device: o.Device = "auto",
    results: o.Results = o.RESULTS,
    out: Annotated[Path | None, typer.Option(help="Write the plan here for `bench run --plan`.")] = None,
    json: o.Json = False,
) -> None:
    specs = o.specs_of(**o.words_of(locals()))
    from bench.cli.console import print_json, print_table
    from bench.data.atomic import demand_place
    from bench.plan import make_plan, write_plan

    if out is not None:
        demand_place(out)
    jobs = make_plan(specs, place_of(results, device, json))
    if out is not None:
        write_plan(specs, out)
    if json:
        print_json([job.as_json() for job in jobs])
        return
    print_table(
        f"{how_many(len(jobs), 'job')} for {how_many(len(specs), 'cell')}",
        ("room", "what", "state", "hours", "GiB", "disk GiB", "basis"),
        [job.line() for job in jobs],
    )
    if out is not None:
        there = "" if results == o.RESULTS else f" --results {shlex.quote(str(results))}"
        print(f"Written to {out}. Next: bench run --plan {shlex.quote(str(out))}{there}")


def run(
    method: o.Methods = "",
    task: o.Tasks = "",
    ratio: o.Ratios = "1.0",
    seed: o.Seed = 0,
    repeats: o.Repeats = 1,
    fold: o.Fold = 0,
    preset: o.Preset = "full",
    protocol: o.ProtocolName = "bench",
    corpus: o.Corpus = "",
    corpus_root: o.CorpusRoot = "",
    weights: o.Weights = "",
    settings: o.Settings = [],  # noqa: B006
    phantom: o.Phantom = False,
    partial: o.Partial = False,
    exclude_exposed: o.ExcludeExposed = False,
    root: o.Root = "",
    device: o.Device = "auto",
    devices: o.Devices = 1,
    results: o.Results = o.RESULTS,
    plan: Annotated[Path | None, typer.Option(help="Run all cells of a plan written by `bench plan --out`.")] = None,
    engine: Annotated[Engine, typer.Option(help="Run here, or hand the jobs to Slurm.")] = Engine.here,
    sbatch_option: Annotated[
        list[str], typer.Option(help="For --engine slurm, repeatable: --sbatch-option=--partition=gpu.")
    ] = [],  # noqa: B006
    json: o.Json = False,
) -> None:
    import os

    from bench.contracts.errors import SpecError

    if sbatch_option and engine is not Engine.slurm:
        raise SpecError("--sbatch-option belongs to --engine slurm.", remedy="Add --engine slurm, or leave it out.")

    if plan is None and not (method and task):
        raise SpecError(
            "bench run needs --method and --task, or --plan.",
            remedy="For example: bench run --method mim --task btcv --ratio 0.25",
        )
    if plan is None:
        specs = o.specs_of(**o.words_of(locals()))
    else:
        from bench.plan import read_plan

        _demand_alone(o.words_of(locals()))
        specs = read_plan(plan)
    if not phantom:  # names, folders and case lists are checked before anything heavy is imported
        from bench.chain import find

        for spec in specs:
            if not spec.phantom:
                find(spec, os.environ)
    if engine is Engine.slurm:
        _hand_in(specs, place_of(results, device, json), sbatch_option, devices, json)
        return
    from bench.cli.console import print_json, print_table
    from bench.run import outcome
    from bench.run import run as run_one

    place = place_of(results, device, json, devices)
    cells = [cell for spec in specs if (cell := run_one(spec, place)) is not None]
    if not cells:  # a further process of several: the first one tells
        return
    told = [outcome(cell, results) for cell in cells]
    if json:
        print_json(told if len(told) > 1 else told[0])
        return
    for cell, found in zip(cells, told, strict=True):
        rows = [(metric, "undefined" if value is None else f"{value:.4f}") for metric, value in cell.scores.items()]
        print_table(f"{cell.name}  ({cell.source}, protocol {cell.protocol}, n = {cell.n})", ("metric", "mean"), rows)
        print(f"Exposure: {cell.exposure or 'not recorded'}.")
        print(f"Record: {found['path']}")
    print(f"Next:  bench table {cells[0].task} --results {shlex.quote(str(results))}")


def _demand_alone(words: dict[str, Any]) -> None:
    """Raise SpecError where words of a run stand beside a plan, which holds those of every cell."""
    import inspect

    from bench.contracts.errors import SpecError

    usual = inspect.signature(run).parameters
    said = [f"--{'set' if n == 'settings' else n.replace('_', '-')}" for n in words if words[n] != usual[n].default]
    if said:
        raise SpecError(
            f"A plan holds the words of every cell, so --plan takes no {', '.join(said)}.",
            remedy="Leave them out, or write another plan: bench plan ... --out plan.json",
        )


def quickstart(
    results: Annotated[Path, typer.Option(help="Where results go.")] = Path("quickstart"),
    device: o.Device = "auto",
    json: o.Json = False,
) -> None:
    from bench.cli.console import print_json
    from bench.quickstart import quickstart as start

    place = place_of(results, device, json)
    told = start(place, say=None if json else print)
    if json:
        print_json(told)


def _hand_in(specs: list[RunSpec], place: Any, options: list[str], devices: int, json: bool) -> None:
    """Write and submit the jobs of some runs, and say where they are."""
    from bench.cli.console import print_json
    from bench.engines.slurm import hand_in

    handed = hand_in(specs, place, options, devices)
    jobs = handed.jobs
    counts = {"pretrainings": len(jobs.pretrainings), "cells": len(jobs.cells), "finished": jobs.finished}
    if json:
        print_json({"folder": str(handed.folder), "ids": list(handed.ids), **counts})
        return
    ahead = f"{how_many(len(jobs.pretrainings), 'pre-training')} and {how_many(len(jobs.cells), 'cell')} to run"
    print(f"{ahead}, {how_many(jobs.finished, 'cell')} finished.")
    if not jobs.cells:
        print(f"Next:  bench table all --results {shlex.quote(str(place.results))}")
    elif handed.ids:
        print(f"Submitted as {', '.join(handed.ids)}; logs in {handed.folder / 'logs'}. Next:  squeue --me")
    else:
        script = shlex.quote(str(handed.folder / "submit.sh"))
        print(f"There is no sbatch on this machine. Next, where there is:  bash {script}")
