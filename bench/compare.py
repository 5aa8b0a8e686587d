"""Two or more stored results, case by case: which is better, by how much, and could it be chance?

Cases are the draws of every interval and test, so nothing here speaks of other seeds: `Side.spread` says how much those move a
score. An AUC is compared by DeLong's test, which is paired by case as well.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.compare_sides import ALL, AREA, Side, check_sides, classes_of, common_cases, metrics_of
from bench.contracts.errors import SpecError
from bench.contracts.record import Cell
from bench.metrics import describe
from bench.metrics.pooled import is_pooled
from bench.stats.areas import area_interval, difference_of_areas
from bench.stats.equivalence import Equivalence, Sample, equivalence
from bench.stats.intervals import FEW, LEVEL, Interval, bootstrap_interval
from bench.stats.letters import tie_letters
from bench.stats.paired import Paired, holm, paired
from bench.tables.entries import of_other_data


@dataclass(frozen=True)
class Line:
    """One metric and class: the paired comparison, its p value corrected by Holm over all lines, and who wins.

    `better` is the name of a side, empty where the corrected p is above 0.05 or undefined.
    """

    metric: str
    class_: str
    paired: Paired
    holm_p: float
    better: str

    @property
    def few(self) -> bool:
        """True where the number of pairs is too small to trust the level of the interval."""
        return self.paired.n < FEW


@dataclass(frozen=True)
class Place:
    """One result on a board: its mean with an interval over the cases common to all, and its tie letters."""

    name: str
    interval: Interval
    letters: str


@dataclass(frozen=True)
class Board:
    """Results ranked by one metric. `lines` compares every pair, corrected by Holm over the pairs."""

    metric: str
    places: tuple[Place, ...]
    lines: tuple[tuple[str, str, Line], ...]


def compare(sides: Sequence[Side], metric: str = "", *, by_class: bool = False, seed: int = 0) -> tuple[Line, ...]:
    """Two results on the cases that both have: one line per metric, and per class where asked.

    Raises SpecError where the two cannot be compared.
    """
    check_sides(sides)
    first, second = sides
    found = []
    for name in metrics_of(sides, metric):
        cases = common_cases(sides, name)
        for class_ in [ALL, *classes_of(sides, name)] if by_class else [ALL]:
            found.append((name, class_, _pair(first, second, name, class_, cases, seed)))
    corrected = holm([result.p for _, _, result in found])
    return tuple(
        Line(name, class_, result, p, _better(first, second, name, result, p))
        for (name, class_, result), p in zip(found, corrected, strict=True)
    )


def board(sides: Sequence[Side], metric: str = "", *, seed: int = 0) -> Board:
    """Several results ranked on the cases common to all, with the letters of those that the tests do not tell apart."""
    check_sides(sides)
    name = metrics_of(sides, metric)[0]
    cases = common_cases(sides, name)
    pairs = list(combinations(sides, 2))
    found = [_pair(a, b, name, ALL, cases, seed) for a, b in pairs]
    lines = [
        (a.name, b.name, Line(name, ALL, result, p, _better(a, b, name, result, p)))
        for (a, b), result, p in zip(pairs, found, holm([f.p for f in found]), strict=True)
    ]
    told = _told_by_all(sides, name, cases)
    intervals = {side.name: _interval(side, name, told, seed) for side in sides}
    upward = describe(name).higher_is_better
    speechless = sorted(word for word, found in intervals.items() if math.isnan(found.mean))
    defined = intervals.keys() - set(speechless)
    ranked = sorted(defined, key=lambda word: (intervals[word].mean * (-1 if upward else 1), word)) + speechless
    letters = tie_letters(ranked, [frozenset((a, b)) for a, b, line in lines if line.better])
    return Board(name, tuple(Place(word, intervals[word], letters[word]) for word in ranked), tuple(lines))


def of_other_files(sides: Sequence[Side]) -> bool:
    """True where results of one share of the labels hold other files or lists of cases: what has one name may be two volumes."""
    shares: dict[float, dict[str, Sequence[Cell]]] = {}
    for side in sides:
        shares.setdefault(side.cells[0].ratio, {})[side.name] = side.cells
    return any(of_other_data(column) for column in shares.values())


def beside_published(side: Side, metric: str, published: Sample, tolerance: float) -> Equivalence:
    """A result against a printed value, both in the unit of records (fractions, mm): two one-sided tests.

    Two or more runs give the spread over runs; one run gives that over its cases, and of an AUC none.
    """
    name = metrics_of([side], metric, by_case=False)[0]
    scores = [score for cell in side.cells if (score := cell.scores.get(name)) is not None]
    if not scores:
        raise SpecError(f"{side.name} has no defined {name}.", case=side.name, remedy="Name another with --metric.")
    if len(scores) > 1:
        measured = Sample(statistics.fmean(scores), statistics.stdev(scores), len(scores))
    else:
        cases = [] if is_pooled(name) else [v for v in side.values(name).values() if not math.isnan(v)]
        measured = Sample(scores[0], statistics.stdev(cases) if len(cases) > 1 else math.nan, max(len(cases), 1))
    return equivalence(measured, published, tolerance)


def _pair(first: Side, second: Side, metric: str, class_: str, cases: Sequence[str], seed: int) -> Paired:
    if metric == AREA:
        areas = first.area(cases), second.area(cases)
        difference, p = difference_of_areas(*areas)
        return Paired(areas[0].value, areas[1].value, difference, p, "DeLong")
    one, other = first.values(metric, class_), second.values(metric, class_)
    nothing = math.nan  # a class that a case of one side does not tell
    return paired([one.get(c, nothing) for c in cases], [other.get(c, nothing) for c in cases], seed=seed)


def _told_by_all(sides: Sequence[Side], metric: str, cases: Sequence[str]) -> list[str]:
    """The cases that no side lacks, sides without any value apart: a mean must not gain by what it leaves out."""
    held = [] if metric == AREA else [side.values(metric) for side in sides]
    speaking = [values for values in held if not all(math.isnan(values[case]) for case in cases)]
    return [case for case in cases if not any(math.isnan(values[case]) for values in speaking)]


def _interval(side: Side, metric: str, cases: Sequence[str], seed: int) -> Interval:
    if metric == AREA:
        return area_interval(side.area(cases))
    values = side.values(metric)
    return bootstrap_interval([values[case] for case in cases], seed=seed)


def _better(first: Side, second: Side, metric: str, found: Paired, p: float) -> str:
    if math.isnan(p) or p > 1 - LEVEL:
        return ""
    return first.name if (found.difference.mean > 0) == describe(metric).higher_is_better else second.name
