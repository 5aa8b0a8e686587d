"""The command that repeats the study of whether pre-training helps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options as o
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing

if TYPE_CHECKING:
    from bench.run import Place
    from bench.study import Arm

STUDY_HELP = """Pre-train every method at preset small and set it against the same network from scratch, with controls.

The forecast comes first; --yes starts without asking, --forecast stops after it. What was finished is read, so a study may be
stopped and started again, and --report tells of what is there while others still run. Cells are enough to go on from: a run
whose cell was committed is not run again elsewhere.

Example:  bench study --size short --yes
"""


def attach(app: typer.Typer) -> None:
    app.command("study", help=STUDY_HELP)(study)


def study(
    size: Annotated[
        str,
        typer.Option(
            help="short (one seed, one ratio; an hour), full (three seeds, two ratios; a night) or long (pre-training of "
            "ten times the steps on the hippocampus, three seeds)."
        ),
    ] = "short",
    method: Annotated[str, typer.Option(help="Methods joined by commas, or all that pre-train.")] = "all",
    root: o.Root = "",
    results: Annotated[Path, typer.Option(help="Where the cells and runs go.")] = Path("results/study"),
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("results/study"),
    device: o.Device = "auto",
    yes: Annotated[bool, typer.Option("--yes", help="Start without asking.")] = False,
    forecast: Annotated[bool, typer.Option("--forecast", help="Print the forecast and stop.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Train nothing; report what is there.")] = False,
) -> None:
    from bench import study as s
    from bench import study_report as r
    from bench.cli.console import print_table
    from bench.cli.place import place_of
    from bench.figures.courses import draw_courses
    from bench.provenance import provenance
    from bench.store import Store

    place = place_of(results, device, True)
    asked = s.arms(size, s.chosen_methods(method), root=root)
    if report and not Store(results).cells():  # before phantoms are drawn, without which no run's key is known
        raise _nothing(len(asked), size, results)
    print(
        f"Finding the data of {how_many(len(asked), 'run')}; phantoms that are not there yet are drawn first.",
        flush=True,
    )
    kept, refused = s.possible(asked, place)
    print("".join(f"left out: {reason}\n" for reason in refused), end="", flush=True)
    if not report:
        if not _agreed(kept, place, forecast, yes):
            return
        s.run_arms(kept, place, lambda text: print(text, flush=True))
    found = r.recorded(kept, place)
    if not found:
        raise _nothing(len(kept), size, results)
    lines = r.report(found, Store(results))
    path = r.write_report(out, size, lines, len(kept), refused, provenance())
    print_table("Against the same network from scratch, on the same cases", r.COLUMNS, r.rows_of(lines))
    courses = r.courses(found)
    picture = draw_courses(courses, path.with_suffix(".svg")) if courses else None
    print(f"Written to {path}" + (f"; how fine-tuning went: {picture}" if picture else ""))


def _nothing(runs: int, size: str, results: Path) -> DataMissing:
    return DataMissing(
        f"None of the {runs} runs of the study '{size}' is there.",
        case=str(results),
        remedy=f"Run them with `bench study --size {size}`, or name their folder with --results.",
    )


def _agreed(kept: Sequence[Arm], place: Place, forecast: bool, yes: bool) -> bool:
    """Print what is left to do and how long it may take; whether to do it."""
    from bench.cli.console import print_table
    from bench.study import forecast_of

    jobs, hours = forecast_of(kept, place)
    print_table(
        f"{how_many(len(kept), 'run')}, {how_many(len(jobs), 'job')} to do",
        ("room", "what", "hours"),
        [(j.room, j.what, j.line()[3]) for j in jobs],
    )
    print(f"Forecast: about {hours:.1f} hours on this machine.", flush=True)
    return not forecast and (yes or typer.confirm("Start?"))
