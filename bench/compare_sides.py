"""A stored result as a comparison sees it: one value per case and metric, out of one cell or of several seeds and folds."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.case_rows import CaseRow
from bench.cell_files import is_file
from bench.cell_settings import with_settings
from bench.contracts.errors import SpecError, nearest
from bench.contracts.record import Cell
from bench.find_cell import find_cell
from bench.metrics.pooled import Evidence, evidence_of, is_pooled
from bench.stats.areas import Area, class_area, mean_area, question_area
from bench.stats.variance import Components, Run, components
from bench.store import Store

ALL = "all classes"
AREA, ACCURACY = "auc", "acc"  # of the metrics of a whole set, those that cases can be paired in
_WORDS = ("method", "variant", "task", "target", "protocol", "ratio", "preset", "corpus", "source", "partial")
_SAME = ("task", "target", "protocol", "source")
Values = Mapping[str, float]


@dataclass(frozen=True)
class Side:
    """One result as it was asked for, the cells that it means, and their rows."""

    name: str
    cells: tuple[Cell, ...]
    rows: tuple[tuple[CaseRow, ...], ...]

    def values(self, metric: str, class_: str = ALL) -> dict[str, float]:
        """Case -> value, over runs its mean. Over all classes: the mean over the classes defined in the case."""
        runs = [_by_case(rows, metric, class_) for rows in self.rows]
        cases = dict.fromkeys(case for run in runs for case in run)
        return {case: _mean([run[case] for run in runs if case in run]) for case in cases}

    def area(self, cases: Sequence[str]) -> Area:
        """The AUC over these cases, over runs its mean."""
        return mean_area([_area(evidence_of(_of_cases(rows, cases))) for rows in self.rows])

    def cases(self, metric: str) -> list[str]:
        """The cases that have a value, or evidence, of a metric in any run; for an area, in every run."""
        if metric != AREA:
            return list(self.values(metric))
        told = [evidence_of(rows).cases for rows in self.rows]
        return [case for case in told[0] if all(case in run for run in told)]

    def spread(self, metric: str) -> Components:
        """The variance of the score over all classes, split into case, seed and split."""
        pairs = zip(self.cells, self.rows, strict=True)
        return components([Run(cell.fold, cell.seed, _by_case(rows, metric, ALL)) for cell, rows in pairs])


def find_side(store: Store, asked: str) -> Side:
    """The result that a name, a file or a key means, or a pattern with `*` and `?` over names of runs that differ in seed and
    fold only. A file is read where it lies, whatever `store` holds under its name.

    Raises StoreError when there is no such cell or its rows are gone, SpecError when a pattern mixes results.
    """
    if is_file(Path(asked)) or not any(letter in asked for letter in "*?["):
        cell, results = find_cell(asked, store.folder)
        return Side(cell.name, (cell,), (Store(results).rows(cell.name),))
    asked = asked.removesuffix(".json")
    known = store.cells()
    cells = [cell for cell in known if fnmatch.fnmatchcase(cell.name, asked)]
    if not cells:
        close = nearest(asked, [cell.name for cell in known])
        raise SpecError(f"No cell fits '{asked}'. {close}".strip(), case=asked, remedy="All of them: bench table all")
    for word in _WORDS:
        found = list(dict.fromkeys(str(getattr(cell, word)) for cell in cells))
        if len(found) > 1:
            raise SpecError(
                f"'{asked}' fits results of {len(found)} kinds: {word} is {', '.join(found)}.",
                case=asked,
                remedy="Narrow the pattern: only seeds and folds may differ.",
            )
    settings = sorted({setting or "none" for (_, _, setting), _ in with_settings(cells)})
    if len(settings) > 1:
        raise SpecError(
            f"'{asked}' fits results of {len(settings)} settings: {'; '.join(settings)}.",
            case=asked,
            remedy="Name one cell, or narrow the pattern by the digits of the keys.",
        )
    return Side(asked, tuple(cells), tuple(store.rows(cell.name) for cell in cells))


def check_sides(sides: Sequence[Side]) -> None:
    """Raise SpecError unless there are two or more different results of one test set."""
    if len({frozenset(cell.name for cell in side.cells) for side in sides}) < max(len(sides), 2):
        raise SpecError(
            "A comparison needs different results.", case=sides[0].name, remedy="bench table all lists them."
        )
    for word in _SAME:
        found = {str(getattr(side.cells[0], word)): side.name for side in sides}
        if len(found) > 1:
            told = "; ".join(f"{name} is of {word} '{value}'" for value, name in found.items())
            raise SpecError(f"Not comparable: {told}.", case=sides[0].name, remedy="Compare results of one test set.")


def metrics_of(sides: Sequence[Side], metric: str = "", *, by_case: bool = True) -> list[str]:
    """The metrics that all sides have, or the one asked for; `by_case` leaves out those in which cases cannot be paired.

    Raises SpecError where there is none.
    """
    held = [m for m in sides[0].cells[0].metrics if all(m in cell.metrics for side in sides for cell in side.cells)]
    possible = [name for name in held if not by_case or name in (AREA, ACCURACY) or not is_pooled(name)]
    if metric in possible:
        return [metric]
    if metric or not possible:
        whole = "It is of the whole set, and no share of it belongs to a case. " if metric in held else ""
        raise SpecError(
            f"No metric '{metric}' to compare. {whole}Possible: {', '.join(possible) or 'none'}.",
            case=metric or sides[0].name,
            remedy="Name one of them with --metric." if possible else "Compare results that share a metric.",
        )
    return possible


def common_cases(sides: Sequence[Side], metric: str) -> list[str]:
    """The cases that all sides have, in the order of names. Raises SpecError where there are none."""
    every = [set(side.cases(metric)) for side in sides]
    common = sorted(set.intersection(*every))
    if not common:
        raise SpecError(
            f"{' and '.join(side.name for side in sides)} have no test case in common.",
            case=sides[0].name,
            remedy="Compare results of one split and fold.",
        )
    return common


def classes_of(sides: Sequence[Side], metric: str) -> list[str]:
    """The classes that a metric is told of, none where there is only one or the metric is of the whole set."""
    names = dict.fromkeys(row.class_ for side in sides for rows in side.rows for row in rows if row.metric == metric)
    return list(names) if len(names) > 1 else []


def _by_case(rows: Sequence[CaseRow], metric: str, class_: str) -> dict[str, float]:
    """Case -> value. An accuracy is 1 or 0 for a case of one class, and of several questions the share answered right."""
    if metric == ACCURACY and is_pooled(metric):
        return _right(evidence_of(rows))
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.metric == metric and class_ in (ALL, row.class_):
            found.setdefault(row.case, []).append(row.value)
    return {case: _mean(values) for case, values in found.items()}


def _right(found: Evidence) -> dict[str, float]:
    if found.one_each:
        called = found.scores.argmax(axis=1) == found.true_class
        return dict(zip(found.cases, called.astype(float).tolist(), strict=True))
    answered = np.where(np.isnan(found.truths), np.nan, (found.scores > 0.5) == (found.truths > 0.5))
    return {case: _mean(row.tolist()) for case, row in zip(found.cases, answered, strict=True)}


def _area(found: Evidence) -> Area:
    if found.one_each:
        return class_area(found.scores, found.true_class)
    return question_area(found.scores, found.truths)


def _of_cases(rows: Iterable[CaseRow], cases: Sequence[str]) -> list[CaseRow]:
    """The rows of these cases, in the order of the cases."""
    place = {case: i for i, case in enumerate(cases)}
    return sorted((row for row in rows if row.case in place), key=lambda row: place[row.case])


def _mean(values: Sequence[float]) -> float:
    """The mean of the defined values; NaN when there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
