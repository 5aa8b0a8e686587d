"""Commands that draw results as a whole: figure ratios, ranks, radar, scaling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import RESULTS, Json, Results

if TYPE_CHECKING:
    from bench.case_columns import CaseColumns
    from bench.tables.leaderboard import Board

FORMS = ("png", "svg")
Out = Annotated[
    Path | None,
    typer.Option(
        help="The folder that gets the files, or one file (.png, .svg). Default: figures/ in the results folder."
    ),
]
Form = Annotated[str, typer.Option("--format", help="png, svg, or both joined by a comma.")]
Phantom = Annotated[bool, typer.Option("--phantom", help="Phantom data, which never stand beside real ones.")]
Metric = Annotated[str, typer.Option(help="Which metric. Default: the first that the task names.")]


def attach(app: typer.Typer) -> None:
    figure = typer.Typer(
        help="Draw results: ratios, ranks, radar, scaling.\n\nExample:  bench figure ratios msd04", no_args_is_help=True
    )
    figure.command(
        "ratios",
        help="How a score grows with the share of training labels: mean, interval and n, printed points beside ours.\n\n"
        "Example:  bench figure ratios msd04",
    )(ratios)
    figure.command(
        "ranks",
        help="Critical-difference diagram: mean ranks over boards, Friedman and Nemenyi.\n\n"
        "Example:  bench figure ranks --table mim:IV",
    )(ranks)
    figure.command(
        "radar",
        help="MG-3D's tasks as a radar, printed and ours.\n\nExample:  bench figure radar --methods mg3d,m3ae,swin_unetr",
    )(radar)
    figure.command(
        "scaling",
        help="What more data and a larger network bring, from printed numbers; prints the table too.\n\n"
        "Example:  bench figure scaling",
    )(scaling)
    app.add_typer(figure, name="figure")


def ratios(
    task: Annotated[str, typer.Argument(help="A task, or task@target.")],
    metric: Metric = "",
    phantom: Phantom = False,
    results: Results = RESULTS,
    out: Out = None,
    form: Form = "png,svg",
    json: Json = False,
) -> None:
    from bench.figures.ratio_curves import ratio_curves
    from bench.figures.ratios import draw_ratios
    from bench.tables.leaderboard_printed import printed_results

    boards, columns = _boards(results)
    found = ratio_curves(boards, columns, printed_results(), task, metric, phantom=phantom)
    name = f"ratios-{found.task}-{found.metric}{'-phantom' if phantom else ''}"
    _tell(_drawn(name, results, out, form, lambda path: draw_ratios(found, path)), found, json)


def ranks(
    table: Annotated[str, typer.Option(help="Rank what a paper's table prints instead: mim:IV.")] = "",
    phantom: Phantom = False,
    results: Results = RESULTS,
    out: Out = None,
    form: Form = "png,svg",
    json: Json = False,
) -> None:
    from bench.figures.ranks import draw_ranks, measured_scores, printed_scores, rank_methods
    from bench.tables.leaderboard_printed import printed_results

    scores = (
        printed_scores(table, printed_results()) if table else measured_scores(_boards(results)[0], phantom=phantom)
    )
    found, methods, boards = rank_methods(scores)
    data = f"printed in {table}" if table else "PHANTOM DATA, no medical result" if phantom else "measured on real data"
    left = [
        f"{n} {word} left out, for they do not meet all others"
        for n, word in ((methods, "methods"), (boards, "boards"))
        if n
    ]
    title = f"Mean ranks of {len(found.names)} methods, {data}"
    name = f"ranks-{table.replace(':', '-') or ('phantom' if phantom else 'measured')}"
    _tell(_drawn(name, results, out, form, lambda path: draw_ranks(found, path, title, "; ".join(left))), found, json)


def radar(
    methods: Annotated[
        str, typer.Option(help="Methods by key, joined by commas. Default: mg3d and the five next to it.")
    ] = "",
    results: Results = RESULTS,
    out: Out = None,
    form: Form = "png,svg",
    json: Json = False,
) -> None:
    from bench.figures.radar import draw_radar, radar_of
    from bench.tables.leaderboard_printed import printed_results

    asked = [word.strip() for word in methods.split(",") if word.strip()]
    found = radar_of(_boards(results)[0], printed_results(), asked)
    _tell(_drawn("radar-mg3d", results, out, form, lambda path: draw_radar(found, path)), found, json)


def scaling(results: Results = RESULTS, out: Out = None, form: Form = "png,svg", json: Json = False) -> None:
    from bench.cli.console import print_table
    from bench.figures.scaling import draw_scaling, scaling_rows
    from bench.tables.leaderboard_printed import printed_results

    rows = scaling_rows(printed_results())
    if not json:
        heads = ("table", "method", "network", "corpus", "volumes", "task", "labels", "metric", "value", "sd")
        told = [
            (
                r.table,
                r.method,
                r.network,
                r.corpus,
                f"{r.volumes:,}",
                r.task,
                f"{100 * r.ratio:g} %",
                r.metric,
                r.value,
                r.spread,
            )
            for r in rows
        ]
        print_table("Printed numbers on corpora of several sizes, and on two networks", heads, told)
    _tell(_drawn("scaling", results, out, form, lambda path: draw_scaling(rows, path)), rows, json)


def _boards(results: Path) -> tuple[tuple[Board, ...], CaseColumns]:
    from bench.case_columns import read_columns
    from bench.cli.console import tell_unreadable
    from bench.store import Store
    from bench.tables.leaderboard import boards

    tell_unreadable(results)
    store = Store(results)
    cells = store.cells()
    columns = read_columns(store, [cell.name for cell in cells])
    return boards(cells, columns), columns


def _drawn(name: str, results: Path, out: Path | None, forms: str, draw: Callable[[Path], Path]) -> list[Path]:
    """The files: one where `out` names a figure, else one per form in the folder."""
    from bench.contracts.errors import SpecError, nearest

    asked = [word.strip() for word in forms.split(",") if word.strip()]
    for form in asked or [""]:
        if form not in FORMS:
            raise SpecError(
                f"No format '{form}'. {nearest(form, FORMS)}Possible: {', '.join(FORMS)}.",
                case=form,
                remedy="For example: --format svg",
            )
    if out is not None and out.suffix.removeprefix(".") in FORMS and not out.is_dir():
        return [draw(out)]
    folder = out or results / "figures"
    if folder.is_file():
        raise SpecError(
            f"--out '{folder}' is a file of another kind.", case=str(folder), remedy="Name a folder, or a .png or .svg."
        )
    return [draw(folder / f"{name}.{form}") for form in asked]


def _tell(files: list[Path], found: Any, json: bool) -> None:
    if json:
        import json as words

        from bench.data.atomic import json_text

        print(json_text({"files": files, "values": words.loads(json_text(found))}), end="")
        return
    for path in files:
        print(f"Drawn: {path}")
