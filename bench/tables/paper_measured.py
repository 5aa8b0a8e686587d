"""What we measured in the places of a paper's table: entries of our runs, their averages over columns, their gains."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.contracts.record import Cell
from bench.published.layout import PaperColumn, PaperRow, PaperTable
from bench.published.printed import Printed
from bench.published.verdict import Comparison, Spread, compare
from bench.tables.entries import Entry, best_two, entry, ranks
from bench.tables.paper_cells import Asked, Chosen, Pool, asked_for

Draw = tuple[int, int, int]
_MEANS_OF_SCORES = ("dice", "nsd", "nsd-voxel", "acc", "recall")
_UNFAIR = {"partial", "mixed", "undefined"}


@dataclass(frozen=True)
class Found:
    """A measured entry in its column's unit. `draws` maps (seed, pre-training seed, fold) to the value of that run.

    `chosen` and `asked` are None for averages over columns and for gains, which no run holds alone.
    """

    entry: Entry
    departures: tuple[str, ...]
    draws: Mapping[Draw, float] = field(default_factory=dict)
    chosen: Chosen | None = None
    asked: Asked | None = None


@dataclass(frozen=True)
class Measured:
    """What was found for each (row, column) of a table, what was asked and not found, and the ranks within columns."""

    found: Mapping[tuple[int, int], Found]
    missing: Mapping[tuple[int, int], Asked]
    ranks: Mapping[tuple[int, int], int]


def measure(table: PaperTable, rows: Sequence[PaperRow], pool: Pool) -> Measured:
    """Our entries in the places of a table; averages and gains follow from the entries beside them."""
    found: dict[tuple[int, int], Found] = {}
    missing: dict[tuple[int, int], Asked] = {}
    wanted = {
        (at, column): asked
        for at, row in enumerate(rows)
        for column, (told, cell) in enumerate(zip(table.columns, row.cells, strict=True))
        if cell and (asked := asked_for(table.paper, told, cell))
    }
    corpora: dict[str, set[str]] = {}
    for asked in wanted.values():
        corpora.setdefault(asked.run, set()).add(asked.corpus)
    for place, asked in wanted.items():
        chosen = pool.closest(asked, corpora[asked.run] - {asked.corpus})  # a run stands in the row of its own corpus
        if chosen is None:
            missing[place] = asked
        else:
            found[place] = _direct(chosen, asked, table.columns[place[1]])
    for at in range(len(rows)):
        for column, told in enumerate(table.columns):
            made = (
                _average(table, found, at, told) if told.over else _gain(table, found, at, told) if told.gain else None
            )
            if made:
                found[at, column] = made
    placed = {} if not table.ranked else {
        (at, column): rank
        for column, told in enumerate(table.columns)
        if not told.gain
        for at, rank in _ranks({at: f for (at, c), f in found.items() if c == column}, told).items()
    }  # fmt: skip
    return Measured(found, missing, placed)


def beside(found: Found, cell: Printed, column: PaperColumn, printed_runs: int, pool: Pool) -> Comparison:
    """How a measured entry stands to the printed cell; without a verdict where the run or the reading departs."""
    uncertain = "ocr-uncertain" in cell.tags
    told = found.entry
    if found.departures or _UNFAIR & set(told.marks) or (uncertain and cell.spread is None):
        return Comparison(told.mean - float(cell.number), math.nan, "none", "")
    spread = None if uncertain else cell.spread
    one = 1.0 if column.unit == "fraction" else 100.0
    cases, n_cases = None, 0
    if found.chosen and found.asked and told.runs == 1 and spread is None:
        run = found.chosen.cells[0]
        cases = pool.case_spread(run, found.chosen.metric, found.asked.region)
        cases = cases and Spread(
            cases.sd * one / 100.0 if column.unit in ("fraction", "percent") else cases.sd, cases.n
        )
        n_cases = run.n if found.chosen.metric.partition("@")[0] in _MEANS_OF_SCORES else 0
    return compare(
        told.mean,
        float(cell.number),
        half_step=float(cell.half_step),
        runs=Spread(told.sd, told.runs),
        printed=Spread(math.nan if spread is None else float(spread), printed_runs),
        cases=cases,
        n_cases=n_cases,
        one=one,
    )


def _direct(chosen: Chosen, asked: Asked, column: PaperColumn) -> Found:
    scale = 0.01 if column.unit == "fraction" else 1.0
    made = entry(chosen.cells, chosen.metric)
    draws = {
        _draw(cell): scale * entry([cell], chosen.metric).mean
        for cell in chosen.cells
        if cell.scores[chosen.metric] is not None
    }
    scaled = replace(made, mean=scale * made.mean, sd=scale * made.sd)
    return Found(scaled, chosen.departures, draws, chosen, asked)


def _average(table: PaperTable, found: Mapping[tuple[int, int], Found], at: int, column: PaperColumn) -> Found | None:
    """The mean over other columns of the row, draw by draw; None unless all are there and share a draw."""
    wanted = dict(column.selects)
    members = [
        j
        for j, other in enumerate(table.columns)
        if dict(other.selects).get("task_slug") in column.over
        and dict(other.selects).get("metric") == wanted.get("metric")
    ]
    parts = [found[at, j] for j in members if (at, j) in found]
    if len(parts) < len(members):
        return None
    shared = sorted(set.intersection(*(set(part.draws) for part in parts)))
    means = [statistics.fmean(part.draws[draw] for part in parts) for draw in shared]
    defined = [value for value in means if not math.isnan(value)]
    if not defined:
        return None
    sd = statistics.stdev(defined) if len(defined) > 1 else math.nan
    marks = {mark for part in parts for mark in part.entry.marks} - {"single"} | (
        {"single"} if len(means) == 1 else set()
    )
    made = Entry(statistics.fmean(defined), sd, len(means), marks=tuple(sorted(marks)))
    return Found(made, _all_departures(parts), dict(zip(shared, means, strict=True)))


def _gain(table: PaperTable, found: Mapping[tuple[int, int], Found], at: int, column: PaperColumn) -> Found | None:
    """What the first of two methods improves on the second in the same row and group, positive where better."""
    parts = [
        found[at, j]
        for method in column.gain
        for j, other in enumerate(table.columns)
        if other.group == column.group and dict(other.selects).get("method_slug") == method and (at, j) in found
    ]
    if len(parts) < 2:
        return None
    first, second = parts
    sign = 1.0 if column.higher_is_better else -1.0
    marks = tuple(sorted({mark for part in parts for mark in part.entry.marks}))
    runs = min(part.entry.runs for part in parts)
    return Found(
        Entry(sign * (first.entry.mean - second.entry.mean), math.nan, runs, marks=marks), _all_departures(parts)
    )


def _ranks(column: Mapping[int, Found], told: PaperColumn) -> dict[int, int]:
    """Row -> rank among runs of one protocol, preset and metric; nothing where the column mixes them."""
    if told.over:
        fair = {at: f for at, f in column.items() if not f.departures and not _UNFAIR & set(f.entry.marks)}
        shown = {at: round(f.entry.mean, told.decimals) for at, f in fair.items()}
        return best_two(shown, higher=told.higher_is_better)
    chosen = {at: f.chosen for at, f in column.items() if f.chosen}
    kinds = {(c.cells[0].protocol, c.cells[0].preset, c.metric) for c in chosen.values()}
    decimals = told.decimals - (2 if told.unit == "fraction" else 0)  # ranks are made in percent
    return ranks({at: c.cells for at, c in chosen.items()}, next(iter(kinds))[-1], decimals) if len(kinds) == 1 else {}


def _all_departures(parts: Iterable[Found]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for part in parts for text in part.departures))


def _draw(cell: Cell) -> Draw:
    return (cell.seed, cell.pretrain_seed, cell.fold)
