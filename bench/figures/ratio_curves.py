"""Label efficiency: how a score grows with the share of training labels, ours with interval and n, the papers' points beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import registry
from bench.case_columns import CaseColumns
from bench.contracts.errors import SpecError, nearest
from bench.metrics.pooled import is_pooled
from bench.stats.intervals import bootstrap_interval, t_interval
from bench.tables.entries import is_distance, unit_of
from bench.tables.leaderboard import Board, Result, case_values
from bench.tables.leaderboard_printed import PrintedResult
from bench.tables.words import LONGEST_SETTING, apart, clean

LONGEST_LABEL = 64


@dataclass(frozen=True)
class Point:
    """A mean at a share of the labels, in percent or the unit of distances. `low` and `high` bound its 95 % interval, NaN where
    none is known; `runs` are the single runs, `n` the test cases (0 for a printed number)."""

    ratio: float
    mean: float
    low: float = math.nan
    high: float = math.nan
    runs: tuple[float, ...] = ()
    n: int = 0


@dataclass(frozen=True)
class Curve:
    """The points of one method under one setting, by rising share. `key` is the method's, which measured and printed share."""

    label: str
    key: str
    printed: bool
    points: tuple[Point, ...]


@dataclass(frozen=True)
class RatioCurves:
    """All curves of a task and metric, in one unit. `source` is `real` or `phantom`, never both.

    `left_out` names what holds the metric in another unit, as in `protocol spad in voxels`.
    """

    task: str
    metric: str
    unit: str
    source: str
    curves: tuple[Curve, ...]
    left_out: tuple[str, ...] = ()


def ratio_curves(
    boards: Sequence[Board],
    columns: CaseColumns,
    printed: Sequence[PrintedResult],
    task: str,
    metric: str = "",
    *,
    phantom: bool = False,
) -> RatioCurves:
    """The curves of one task; printed ones of two shares and more only. `metric` empty takes the task's first.

    Of distances in mm and in voxels those in the unit of our first board are drawn, the others named. Intervals are BCa over
    test cases, each averaged over runs; of a metric of the whole set Student's t over runs. Raises
    SpecError where nothing is known of the task or the metric, the task has several targets, or no curve is left.
    """
    source = "phantom" if phantom else "real"
    ours = [board for board in boards if board.words.source == source]
    papers = [] if phantom else list(printed)
    known = [*(board.words.task for board in ours), *(result.task for result in papers)]
    task = _one_task(task, known, {board.words.task for board in boards if board not in ours}, phantom=phantom)
    ours = [board for board in ours if board.words.task == task]
    papers = [result for result in papers if result.task == task]
    held = dict.fromkeys(name for board in ours for result in board.results for name in result.entries)
    held |= dict.fromkeys(name for result in papers for name in result.scores)
    metric = metric or next(iter([*(board.metric for board in ours), *held]), "")
    if metric not in held:
        raise SpecError(
            f"No result on {task} holds '{metric}'. {nearest(metric, held)}Found: {', '.join(held)}.",
            case=task,
            remedy="Name one of them with --metric.",
        )
    ours = [board for board in ours if any(metric in result.entries for result in board.results)]
    papers = [result for result in papers if metric in result.scores]
    units = {(b.words.protocol, unit_of(metric, b.words.unit)): None for b in ours}
    units |= {(r.protocol, unit_of(metric, _unit(r))): None for r in papers}
    unit = next(unit for _, unit in units)
    ours = [board for board in ours if unit_of(metric, board.words.unit) == unit]
    papers = [result for result in papers if unit_of(metric, _unit(result)) == unit]
    curves = (*_measured(ours, metric, columns), *_printed(papers, metric))
    if not curves:
        raise SpecError(
            f"No result of ours on {task} holds '{metric}', and no paper prints it at two shares of the labels.",
            case=task,
            remedy=f"Run some: bench plan --method mim,unet3d_scratch --task {task} --ratio 0.25,1; phantoms: --phantom.",
        )
    left_out = tuple(f"protocol {protocol} in {other}" for protocol, other in units if other != unit)
    return RatioCurves(task, metric, unit, source, curves, left_out)


def _measured(boards: Sequence[Board], metric: str, columns: CaseColumns) -> list[Curve]:
    rows: dict[tuple[str, ...], list[Point]] = {}
    keys: dict[tuple[str, ...], str] = {}
    several = len({(board.words.protocol, board.words.preset) for board in boards}) > 1
    for board in boards:
        told = f"{board.words.protocol}, {board.words.preset}" if several else ""
        for result in board.results:
            if metric in result.entries and not math.isnan(result.entries[metric].mean):
                place = (result.method, result.corpus, result.setting, told)
                rows.setdefault(place, []).append(_point(result, board.words.ratio, metric, columns))
                keys[place] = result.method
    return [
        Curve(label, keys[place], False, tuple(sorted(points, key=lambda point: point.ratio)))
        for label, (place, points) in zip(_labels(rows), rows.items(), strict=True)
    ]


def _point(result: Result, ratio: float, metric: str, columns: CaseColumns) -> Point:
    scale = 1.0 if is_distance(metric) else 100.0
    mean = result.entries[metric].mean
    runs = tuple(scale * score for cell in result.cells if (score := cell.scores[metric]) is not None)
    if is_pooled(metric):
        found = t_interval(runs)
    else:
        found = bootstrap_interval([scale * value for value in case_values(result, metric, columns).values()])
    low, high = (
        mean + found.low - found.mean,
        mean + found.high - found.mean,
    )  # around the mean as the protocol averages
    return Point(ratio, mean, low, high, runs, result.n)


def _printed(results: Sequence[PrintedResult], metric: str) -> list[Curve]:
    rows: dict[tuple[str, ...], list[Point]] = {}
    keys: dict[tuple[str, ...], str] = {}
    for result in results:
        if metric in result.scores:
            place = (result.method, result.corpus, result.setting, f"printed, {result.table}")
            rows.setdefault(place, []).append(Point(result.ratio, float(result.shown(metric)[0])))
            keys[place] = result.key
    return [
        Curve(label, keys[place], True, tuple(sorted(points, key=lambda point: point.ratio)))
        for label, (place, points) in zip(_labels(rows), rows.items(), strict=True)
        if len({point.ratio for point in points}) > 1
    ]


def _unit(result: PrintedResult) -> str:
    """The unit of a printed row's distances: that of our protocol of the same name."""
    task = result.task.partition("@")[0]
    protocols = registry.task(task).protocols if task in registry.names(registry.TASKS) else {}
    return protocols[result.protocol].distance_unit if result.protocol in protocols else "mm"


def _labels(places: Iterable[tuple[str, ...]]) -> list[str]:
    """What a legend calls each curve: method, corpus, setting and what else it is, no two alike."""
    names = []
    for method, corpus, setting, told in ([clean(word, LONGEST_SETTING) for word in place] for place in places):
        inside = [word for word in ("" if corpus in ("none", "") else corpus, setting, told) if word]
        names.append(f"{method} ({', '.join(inside)})" if inside else method)
    return apart(names, LONGEST_LABEL)


def _one_task(asked: str, known: Iterable[str], left_out: Iterable[str], *, phantom: bool) -> str:
    """The task that was asked for among the known ones; `left_out` are those of the data that were not asked for."""
    found = sorted({task for task in known if asked in (task, task.partition("@")[0])})
    if asked in found:
        return asked
    if len(found) == 1:
        return found[0]
    if found:
        raise SpecError(f"'{asked}' has several targets.", case=asked, remedy=f"Name one: {', '.join(found)}")
    if any(asked in (task, task.partition("@")[0]) for task in left_out):
        here, there = ("phantoms", "real data") if phantom else ("real data", "phantoms")
        remedy = "Leave --phantom out." if phantom else "Add --phantom."
        raise SpecError(f"No result on '{asked}' is of {here}, some are of {there}.", case=asked, remedy=remedy)
    possible = sorted(set(known))
    told = f"Known: {', '.join(map(clean, possible))}." if possible else "There are no results yet."
    raise SpecError(
        f"No result on '{asked}'. {nearest(asked, possible)}{told}", case=asked, remedy="What is there: bench table all"
    )
