"""Every stored result on its board. A board holds what may be compared: one test set, protocol, preset and share of the labels.

Phantoms have boards of their own, and what the papers print stands apart (`leaderboard_printed`). A result is the mean over
the cells that differ in seed and fold only. Letters tell ties: results of a board that share one are not told apart by paired t
tests over the cases common to all, corrected by Holm over the pairs of the board.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import registry
from bench.case_columns import CaseColumns, Numbers
from bench.cell_settings import with_settings
from bench.contracts.cards import PRESETS
from bench.contracts.record import Cell
from bench.metrics import METRICS
from bench.metrics.pooled import is_pooled
from bench.stats.all_pairs import board_letters
from bench.stats.intervals import FEW
from bench.tables.entries import Entry, competing, entries_of, is_error, of_other_data

TIES = (
    "Results of one board that share a letter are not told apart: paired t tests over the cases common to all of them, corrected "
    "by Holm over all pairs, at 5 %."
)
FEW_NOTE = f"fewer than {FEW} test cases: a 95 % interval may hold the truth less often than it says"


@dataclass(frozen=True, order=True)
class BoardWords:
    """What all results of a board share. `task` has its target after `@`; `unit` is that of distances."""

    source: str
    task: str
    protocol: str
    preset: str
    ratio: float
    unit: str
    average: str


@dataclass(frozen=True)
class Result:
    """One line of a board. `entries` maps a metric to mean, spread, marks and rank; `letters` tell ties in the board's metric."""

    method: str
    family: str
    corpus: str
    setting: str
    cells: tuple[Cell, ...]
    entries: Mapping[str, Entry]
    letters: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells it from every other result of its board."""
        return self.method, self.corpus, self.setting

    @property
    def n(self) -> int:
        """Test cases, of the run that has fewest."""
        return min(cell.n for cell in self.cells)

    @property
    def few(self) -> bool:
        """True where an interval over so few cases is not to be trusted."""
        return self.n < FEW

    @property
    def exposed(self) -> int:
        """Test cases that pre-training has seen, of the run that has most."""
        return max(len(cell.exposed) for cell in self.cells)

    @property
    def exposure(self) -> str:
        """What is known of test cases seen in pre-training, in the words of the records."""
        told = dict.fromkeys(cell.exposure or _unrecorded(cell) for cell in self.cells)
        left_out = max(len(cell.excluded) for cell in self.cells)
        return "; ".join(told) + (f"; {left_out} test cases left out for it" if left_out else "")


@dataclass(frozen=True)
class Board:
    """Results from the best down in `metric`, the first that their task names; those that may not be ranked come behind.

    `tested` counts the cases that the letters rest on. 0: there are no letters, and `untested` says why.
    """

    words: BoardWords
    metric: str
    results: tuple[Result, ...]
    tested: int
    untested: str = ""


def boards(cells: Iterable[Cell], columns: CaseColumns) -> tuple[Board, ...]:
    """The boards of a store: real data first, tasks by name. The same cells in any order give the same boards."""
    groups: dict[BoardWords, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.name):
        groups.setdefault(_words(cell), []).append(cell)
    return tuple(_board(words, groups[words], columns) for words in sorted(groups, key=_order))


def is_known(metric: str) -> bool:
    """True for a metric whose direction is known; a record may name any."""
    return metric in METRICS or metric.partition("@")[0] in METRICS


def _unrecorded(cell: Cell) -> str:
    """What an older record without a word on exposure still says."""
    return "nothing is pre-trained" if cell.corpus == "none" else "not recorded"


def _board(words: BoardWords, cells: Sequence[Cell], columns: CaseColumns) -> Board:
    families = registry.families()
    placed: dict[tuple[str, str, str], list[Cell]] = {}
    for key, cell in with_settings(cells):
        placed.setdefault(key, []).append(cell)
    metrics = list(dict.fromkeys(metric for cell in cells for metric in (*cell.metrics, *sorted(cell.scores))))
    ranked = {}
    for metric in metrics:
        held = {key: runs for key, runs in placed.items() if all(metric in cell.scores for cell in runs)}
        ranked[metric] = entries_of(held, metric)
    results = []
    for key, runs in placed.items():
        method, corpus, setting = key
        entries = {metric: made[key] for metric, made in ranked.items() if key in made}
        results.append(Result(method, families.get(runs[0].method, ""), corpus, setting, tuple(runs), entries))
    first = metrics[0] if metrics else ""
    fair = competing({key: runs for key, runs in placed.items() if all(first in cell.scores for cell in runs)}, first)
    results.sort(key=lambda r: (r.place not in fair, *_place(r, first)))
    letters, tested, why = _letters(results, first, columns)
    told = tuple(dataclasses.replace(result, letters=word) for result, word in zip(results, letters, strict=True))
    return Board(words, first, told, tested, why)


def _letters(results: Sequence[Result], metric: str, columns: CaseColumns) -> tuple[list[str], int, str]:
    """The letters of ranked results, the number of cases behind them, and why there are none."""
    none = [""] * len(results)
    if len(results) < 2:
        return none, 0, "one result only"
    if is_pooled(metric):
        return none, 0, f"{metric} belongs to the whole test set: bench compare tests two results"
    if of_other_data({result.place: result.cells for result in results}):
        return none, 0, "the cases of some have other files or lists than those of others, and cannot be paired"
    values = [case_values(result, metric, columns) for result in results]
    common = sorted(set.intersection(*(set(found) for found in values)))
    if len(common) < 2:
        return none, 0, "the results have fewer than two test cases in common"
    table = np.array([[found[case] for case in common] for found in values])
    letters = board_letters(range(len(results)), table)
    return [letters[at] for at in range(len(results))], len(common), ""


def case_values(result: Result, metric: str, columns: CaseColumns) -> dict[int, float]:
    """Case -> value, over runs the mean of those that tell it; NaN where none defines it."""
    held: dict[int, list[float]] = {}
    for cell in result.cells:
        cases, values = columns.means(cell.name, metric)
        for case, value in zip(cases.tolist(), values.tolist(), strict=True):
            held.setdefault(case, []).append(value)
    return {case: _mean(np.array(values)) for case, values in held.items()}


def _mean(values: Numbers) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _place(result: Result, metric: str) -> tuple[object, ...]:
    mean = result.entries[metric].mean if metric in result.entries else float("nan")
    upward = 1.0 if is_error(metric) else -1.0
    return (np.isnan(mean), upward * mean if not np.isnan(mean) else 0.0, result.method, result.corpus, result.setting)


def _words(cell: Cell) -> BoardWords:
    task = f"{cell.task}@{cell.target}" if cell.target else cell.task
    return BoardWords(
        cell.source, task, cell.protocol, cell.preset, cell.ratio, cell.distance_unit, cell.average
    )  # fmt: skip


def _order(words: BoardWords) -> tuple[object, ...]:
    preset = PRESETS.index(words.preset) if words.preset in PRESETS else len(PRESETS)
    return (words.source != "real", words.task, words.protocol != "bench", words.protocol, preset, words)
