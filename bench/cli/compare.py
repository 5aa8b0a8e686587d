"""The command that sets stored results against each other case by case: compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import RESULTS, Json, Results
from bench.contracts.counts import how_many

if TYPE_CHECKING:
    from bench.compare import Board, Line
    from bench.compare_sides import Side
    from bench.stats.equivalence import Equivalence

FEW = "fewer than 50 cases: the interval may hold the truth less often than it says"
OTHER_FILES = (
    "The results hold other files or lists of cases (content_hash in bench show): cases of one name may be two volumes."
)


def attach(app: typer.Typer) -> None:
    app.command(
        "compare",
        help="Compare stored results case by case: mean difference with BCa interval, permutation and Wilcoxon tests, Holm.\n\n"
        "A name may be a pattern over seeds and folds, in quotes. Three and more give a board with tie letters; one and "
        "--published a test of equivalence.\n\n"
        'Example:  bench compare "mim-msd04-*-r0.1-*" "unet3d_scratch-msd04-*-r0.1-*" --metric dice',
    )(compare)


def compare(
    cells: Annotated[
        list[str], typer.Argument(help="Names, files or keys of cells, or patterns over their seeds and folds.")
    ],
    metric: Annotated[
        str, typer.Option(help="Only this metric. Default: all for two results, the first for more.")
    ] = "",
    by_class: Annotated[bool, typer.Option("--by-class", help="Every class too, all counted by Holm.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and the permutations.")] = 0,
    published: Annotated[float | None, typer.Option(help="A printed value: percent, or mm for distances.")] = None,
    published_sd: Annotated[float, typer.Option(help="Its printed standard deviation.")] = math.nan,
    published_runs: Annotated[int, typer.Option(min=1, help="How many runs that is over.")] = 1,
    tolerance: Annotated[float, typer.Option(help="What still counts as equal: points of percent, or mm.")] = 1.0,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    from bench.cli.console import print_json, tell_unreadable
    from bench.compare import beside_published, board
    from bench.compare import compare as compared
    from bench.compare_sides import find_side, metrics_of
    from bench.contracts.errors import SpecError
    from bench.stats.equivalence import Sample
    from bench.store import Store

    if len(cells) < 2 and published is None:
        raise SpecError(
            "One result alone is no comparison.", case=cells[0], remedy="Name a second cell, or --published."
        )
    if len(cells) > 1 and published is not None:
        raise SpecError("--published is compared with one result.", case=cells[1], remedy="Name one cell.")
    if not tolerance > 0:
        raise SpecError(f"--tolerance must be above 0, found {tolerance:g}.", remedy="--tolerance 1.0")
    if published is not None and not math.isfinite(published):
        raise SpecError(f"--published must be a number, found {published:g}.", remedy="For example: --published 86.2")
    if published_sd < 0 or math.isinf(published_sd):
        raise SpecError(
            f"--published-sd must be 0 or more, found {published_sd:g}.", remedy="Leave it out where none is printed."
        )
    if seed < 0:
        raise SpecError(f"--seed must be 0 or more, found {seed}.", remedy="For example: --seed 0")
    tell_unreadable(results)
    store = Store(results)
    sides = [find_side(store, word) for word in cells]
    if published is not None:
        name = metrics_of(sides, metric, by_case=False)[0]
        scale = 0.01 if _is_fraction(name) else 1.0
        printed = Sample(published * scale, published_sd * scale, published_runs)
        told = beside_published(sides[0], name, printed, tolerance * scale)
        _show_equivalence(sides[0], name, told, 1 / scale, json)
    elif len(sides) > 2:
        if by_class:
            raise SpecError("--by-class goes with two results.", case=cells[2], remedy="Name two cells.")
        ranking = board(sides, metric, seed=seed)
        print_json(_board_values(sides, ranking)) if json else _show_board(sides, ranking)
    else:
        lines = compared(sides, metric, by_class=by_class, seed=seed)
        print_json(_pair_values(sides, lines)) if json else _show_pair(sides, lines)


def _is_fraction(metric: str) -> bool:
    from bench.metrics import describe

    return describe(metric).unit == "fraction"


def _show_pair(sides: Sequence[Side], lines: Sequence[Line]) -> None:
    from bench.cli.console import print_table

    first, second = sides
    for word, side in (("A", first), ("B", second)):
        print(f"{word}: {side.name} ({len(side.cells)} {'run' if len(side.cells) == 1 else 'runs'})")
    heads = (
        "metric", "class", "n", "A", "B", "A less B", "95 % interval", "Wilcoxon p", "p", "test", "Holm p", "better"
    )  # fmt: skip
    print_table("Paired over cases", heads, [_line_words(line, first.name) for line in lines])
    for note in _notes(sides, lines):
        print(note)


def _line_words(line: Line, first: str) -> tuple[str, ...]:
    found = line.paired
    n = f"{found.n}*" if line.few else str(found.n)
    better = "" if not line.better else "A" if line.better == first else "B"
    return (
        line.metric, line.class_, n, _number(found.first), _number(found.second), f"{found.difference.mean:+.4f}",
        f"{_number(found.difference.low)} to {_number(found.difference.high)}", _number(found.wilcoxon_p),
        _number(found.p), found.test, _number(line.holm_p), better or "not told apart",
    )  # fmt: skip


def _notes(sides: Sequence[Side], lines: Sequence[Line]) -> list[str]:
    from bench.compare import of_other_files
    from bench.compare_sides import common_cases

    metric = lines[0].metric
    common, every = len(common_cases(sides, metric)), len({case for side in sides for case in side.cases(metric)})
    notes = [f"* {FEW}."] if any(line.few for line in lines) else []
    notes += [OTHER_FILES] if of_other_files(sides) else []
    if common < every:
        notes.append(f"In both results: {common} of {how_many(every, 'case')}; nothing else is compared.")
    undefined = sum(line.paired.undefined for line in lines)
    if undefined:
        notes.append(f"Left out, for one of the two is undefined: {how_many(undefined, 'pair')}.")
    notes.append(
        f"Holm p: p corrected for {how_many(len(lines), 'line')}. Intervals: BCa over cases, DeLong for an AUC."
    )
    for word, side in zip("AB", sides, strict=True):
        notes += _spread_words(word, side, metric)
    return notes


def _spread_words(word: str, side: Side, metric: str) -> list[str]:
    if len(side.cells) < 2:
        return []
    found = side.spread(metric)  # of an AUC there is nothing by case, and nothing is told
    parts = {"case": found.case, "seed": found.seed, "split": found.split, "residual": found.residual}
    told = ", ".join(f"{name} {math.sqrt(value):.4f}" for name, value in parts.items() if not math.isnan(value))
    return [f"Standard deviations of {word}'s {metric} by source: {told}."] if told else []


def _show_board(sides: Sequence[Side], ranking: Board) -> None:
    from bench.cli.console import print_table
    from bench.compare import of_other_files

    rows = [
        (str(i + 1), p.name, f"{p.interval.n}*" if p.interval.few else str(p.interval.n), _number(p.interval.mean),
         f"{_number(p.interval.low)} to {_number(p.interval.high)}", p.letters)
        for i, p in enumerate(ranking.places)
    ]  # fmt: skip
    print_table(
        f"{ranking.metric} over the cases common to all",
        ("rank", "result", "n", "mean", "95 % interval", "letters"),
        rows,
    )
    print(f"Results that share a letter are not told apart (Holm over {how_many(len(ranking.lines), 'pair')}).")
    if any(place.interval.few for place in ranking.places):
        print(f"* {FEW}.")
    if of_other_files(sides):
        print(OTHER_FILES)


def _show_equivalence(side: Side, metric: str, found: Equivalence, scale: float, json: bool) -> None:
    from bench.cli.console import print_json

    told = {
        "result": side.name, "metric": metric, "difference": found.difference * scale,
        "tolerance": found.tolerance * scale, "p": found.p, "basis": found.basis, "equivalent": found.equivalent,
    }  # fmt: skip
    if json:
        print_json(told)
        return
    bases = {
        "welch": "spread of both sides", "one": "one spread, the other value taken as exact",
        "tolerance": "no spread known",
    }  # fmt: skip
    verdict = "equivalent" if found.equivalent else "equivalence not shown"
    print(
        f"{side.name}, {metric}: measured less published {found.difference * scale:+.2f}, tolerance {found.tolerance * scale:.2f}"
    )
    print(f"{verdict} (two one-sided tests, p {_number(found.p)}; {bases[found.basis]})")


def _pair_values(sides: Sequence[Side], lines: Sequence[Line]) -> dict[str, Any]:
    from dataclasses import asdict

    from bench.compare import of_other_files

    metric = lines[0].metric
    return {
        "first": [cell.name for cell in sides[0].cells],
        "second": [cell.name for cell in sides[1].cells],
        "lines": [_line_values(line) for line in lines],
        "other_files": of_other_files(sides),
        "spread": {side.name: asdict(side.spread(metric)) for side in sides if len(side.cells) > 1},
    }


def _line_values(line: Line) -> dict[str, Any]:
    found = line.paired
    return {
        "metric": line.metric, "class": line.class_, "n": found.n, "few": line.few, "first": found.first,
        "second": found.second, "difference": found.difference.mean, "low": found.difference.low,
        "high": found.difference.high, "level": found.difference.level, "wilcoxon_p": found.wilcoxon_p,
        "p": found.p, "test": found.test, "interval": found.difference.method,
        "holm_p": line.holm_p, "better": line.better, "higher": found.higher,
        "lower": found.lower, "undefined": found.undefined,
    }  # fmt: skip


def _board_values(sides: Sequence[Side], ranking: Board) -> dict[str, Any]:
    from bench.compare import of_other_files

    return {
        "metric": ranking.metric,
        "results": {side.name: [cell.name for cell in side.cells] for side in sides},
        "other_files": of_other_files(sides),
        "places": [
            {"name": p.name, "n": p.interval.n, "few": p.interval.few, "mean": p.interval.mean, "low": p.interval.low,
             "high": p.interval.high, "letters": p.letters}
            for p in ranking.places
        ],
        "pairs": [{"first_name": a, "second_name": b, **_line_values(line)} for a, b, line in ranking.lines],
    }  # fmt: skip


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"
