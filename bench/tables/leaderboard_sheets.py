"""The leaderboard in words: a sheet for each board, measured lines first; printed ones under a head of their own, never ranked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench import registry
from bench.contracts.errors import SpecError, nearest
from bench.tables.entries import DECIMALS, MARKS, competing, is_error, unit_of
from bench.tables.leaderboard import FEW_NOTE, TIES, Board, Result
from bench.tables.leaderboard_printed import PrintedResult
from bench.tables.words import LONGEST_SETTING, clean

HEADS = ("", "method", "corpus", "setting", "score", "runs", "cases", "ties", "notes")


@dataclass(frozen=True)
class Line:
    """One result in words. `place` is its place on the board, empty for printed ones; `rank` 1 or 2 is best or second."""

    place: str
    method: str
    corpus: str
    setting: str
    score: str
    runs: str
    cases: str
    ties: str
    notes: str
    rank: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The line under `HEADS`."""
        return (
            self.place, self.method, self.corpus, self.setting, self.score, self.runs, self.cases, self.ties, self.notes
        )  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """One board in words. `key` is what its results share, for CSV."""

    title: str
    key: tuple[str, ...]
    metric: str
    unit: str
    measured: tuple[Line, ...]
    printed: tuple[Line, ...]
    note: str


def sheets(
    boards: Sequence[Board], printed: Sequence[PrintedResult], metric: str = "", view: str = "measured"
) -> tuple[Sheet, ...]:
    """The boards in words. `view` is `measured`, `published` or `both`; `metric` empty takes each board's own first.

    Printed rows stand on the board of their task, protocol and share of labels, else on one of their own. Raises SpecError where
    no result has the metric, or none is there.
    """
    told: list[Sheet] = []
    left = list(printed) if view != "measured" else []
    for board in boards if view != "published" else ():
        asked = metric or board.metric
        results = [result for result in board.results if asked in result.entries]
        beside = [r for r in left if board.words.source == "real" and _same(r, board) and asked in r.scores]
        if results:
            left = [result for result in left if result not in beside]
            told.append(_sheet(board, asked, results, beside))
    groups: dict[tuple[str, str, float, str], list[PrintedResult]] = {}
    for result in left:
        for name in [metric] if metric else list(result.scores)[:1]:
            if name in result.scores:
                groups.setdefault((result.task, result.protocol, result.ratio, name), []).append(result)
    told += [_printed_sheet(key, groups[key]) for key in sorted(groups)]
    if not told:
        possible = sorted({name for board in boards for result in board.results for name in result.entries})
        found = f"Found: {', '.join(map(clean, possible))}." if possible else "There are no results yet."
        raise SpecError(
            f"No result holds '{metric or 'a metric'}'. {nearest(metric, possible)}{found}",
            case=metric or "leaderboard",
            remedy="Name one with --metric." if possible else "Make one: bench run --method M --task T",
        )
    return tuple(told)


def notes(told: Sequence[Sheet]) -> list[str]:
    """What the signs mean, of those that occur."""
    lines = [line for sheet in told for line in sheet.measured]
    found = [TIES] if any(line.ties for line in lines) else []
    found += [f"n < 50: {FEW_NOTE}."] if any("n < 50" in line.notes for line in lines) else []
    return found + [f"{mark}: {text}." for mark, (_, text) in MARKS.items() if any(mark in x.notes for x in lines)]


def _sheet(board: Board, metric: str, results: Sequence[Result], beside: Sequence[PrintedResult]) -> Sheet:
    words, down = board.words, is_error(metric)
    unit = unit_of(metric, clean(words.unit))
    fair = competing({result.place: result.cells for result in results}, metric)

    def key(result: Result) -> tuple[bool, bool, float, str]:
        mean = result.entries[metric].mean
        value = 0.0 if math.isnan(mean) else mean if down else -mean
        return (result.place not in fair, math.isnan(mean), value, result.method)

    data = "real data" if words.source == "real" else "PHANTOM DATA, no medical result"
    lines = tuple(_line(at, r, metric, board) for at, r in enumerate(sorted(results, key=key), 1))
    told = (words.source, words.task, words.protocol, words.preset, f"{words.ratio:g}", words.average)
    return Sheet(
        title=f"{clean(words.task)}, {100 * words.ratio:g} % of labels, {clean(metric)} in {unit} ({data}, protocol "
        f"{clean(words.protocol)}, preset {clean(words.preset)})",
        key=tuple(map(clean, told)),
        metric=clean(metric),
        unit=unit,
        measured=lines,
        printed=_printed_lines(beside, metric),
        note=f"No ties told: {board.untested}." if board.untested and metric == board.metric and len(lines) > 1 else "",
    )


def _printed_sheet(key: tuple[str, str, float, str], found: Sequence[PrintedResult]) -> Sheet:
    task, protocol, ratio, metric = key
    unit = unit_of(metric, _distance_unit(task, protocol))
    return Sheet(
        title=f"{task}, {100 * ratio:g} % of labels, {metric} in {unit} (printed, protocol {protocol})",
        key=("printed", task, protocol, "", f"{ratio:g}", ""),
        metric=metric,
        unit=unit,
        measured=(),
        printed=_printed_lines(found, metric),
        note="",
    )


def _distance_unit(task: str, protocol: str) -> str:
    """What our protocol of that name measures distances in, which is what its paper's code does."""
    return registry.task(task.partition("@")[0]).protocols[protocol].distance_unit


def _line(at: int, result: Result, metric: str, board: Board) -> Line:
    made = result.entries[metric]
    if math.isnan(made.mean):
        score = "undefined"
    else:
        score = f"{made.mean:.{DECIMALS}f}" + ("" if math.isnan(made.sd) else f" ± {made.sd:.{DECIMALS}f}")
    exposed = [f"exposed {result.exposed} of {result.n}"] if result.exposed else []
    few = ["n < 50"] if result.few else []
    return Line(
        place=str(at),
        method=clean(result.method),
        corpus="" if result.corpus == "none" else clean(result.corpus),
        setting=clean(result.setting, LONGEST_SETTING),
        score=score,
        runs=str(made.runs),
        cases=made.cases or str(result.n),
        ties=result.letters if metric == board.metric else "",
        notes=", ".join([*exposed, *few, *made.marks]),
        rank=made.rank,
    )


def _printed_lines(found: Sequence[PrintedResult], metric: str) -> tuple[Line, ...]:
    sign = 1 if is_error(metric) else -1
    ranked = sorted(found, key=lambda result: (sign * float(result.shown(metric)[0]), result.table, result.method))
    lines = []
    for result in ranked:
        value, spread = result.shown(metric)
        corpus = "" if result.corpus == "none" else result.corpus
        notes_ = [result.table, *(["exposed"] if result.exposure else [])]
        score = f"{value} ± {spread}" if spread else value
        lines.append(Line("", result.method, corpus, result.setting, score, "", "", "", ", ".join(notes_)))
    return tuple(lines)


def _same(result: PrintedResult, board: Board) -> bool:
    words = board.words
    return (result.task, result.protocol, result.ratio) == (words.task, words.protocol, words.ratio)
