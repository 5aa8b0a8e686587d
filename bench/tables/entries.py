"""One entry of a table: the mean over runs, what it needs a mark for, and which entries of a column may be ranked."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.contracts.record import Cell
from bench.metrics import METRICS

DECIMALS = 2
MARKS = {
    "single": ("†", "one run only, so no spread is known"),
    "partial": ("‡", "not all cases of the split were there (test cases scored of listed); not ranked"),
    "mixed": ("§", "averages runs whose data or versions differ; not ranked"),
    "apart": ("‖", "of other files or lists of cases than a result beside it; not ranked"),
    "undefined": ("¶", "some values are undefined and stand in no mean; counted in the notes"),
}
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Entry:
    """One table cell: mean and sample standard deviation over runs, in the section's unit; NaN where undefined.

    `cases` is `4 of 6` where not all listed test cases were scored, else empty. `rank` is 1 for the best, 2 for the
    second of its column and section, else 0. `marks` are names in `MARKS`.
    """

    mean: float
    sd: float
    runs: int
    cases: str = ""
    marks: tuple[str, ...] = ()
    rank: int = 0


def is_distance(metric: str) -> bool:
    """True for metrics measured in mm or voxels; all others are fractions."""
    known = METRICS.get(metric) or METRICS.get(metric.partition("@")[0])
    return known is not None and known.unit == "mm"


def unit_of(metric: str, of_run: str) -> str:
    """What a table shows a metric in: % of a fraction, mm of a distance that says so, else the run's unit of distances.

    Example: of a run in voxels, `hd` is in voxels and `hd@mm` in mm.
    """
    if not is_distance(metric):
        return "%"
    return "mm" if metric.endswith("@mm") else of_run


def is_error(metric: str) -> bool:
    """True for metrics of which less is better: distances, and errors that are fractions (`ravd`)."""
    known = METRICS.get(metric) or METRICS.get(metric.partition("@")[0])
    return known is not None and not known.higher_is_better


def entry(cells: Sequence[Cell], metric: str) -> Entry:
    """The mean over cells that differ in seed and fold only, with the marks it needs; not yet ranked.

    Fractions come in percent. Example: Dice 0.80 and 0.82 give mean 81, standard deviation sqrt(2) = 1.414 and 2 runs.
    """
    scale = 1.0 if is_distance(metric) else 100.0
    values = [scale * score for cell in cells if not math.isnan(score := _score(cell, metric))]
    fewer = any(cell.n < cell.n_listed for cell in cells)
    marks = {
        "single": len(cells) == 1,
        "partial": fewer or any(cell.partial for cell in cells),
        "mixed": _mixed(cells),
        "undefined": len(values) < len(cells) or _lost(cells, metric) > 0,
    }
    return Entry(
        mean=statistics.fmean(values) if values else math.nan,
        sd=statistics.stdev(values) if len(values) > 1 else math.nan,
        runs=len(cells),
        cases=f"{_span(c.n for c in cells)} of {_span(c.n_listed for c in cells)}" if fewer else "",
        marks=tuple(mark for mark, holds in marks.items() if holds),
    )


def entries_of(column: Mapping[Key, Sequence[Cell]], metric: str) -> dict[Key, Entry]:
    """The entries of one column with their ranks; those of other data than one beside them are marked."""
    places, other = ranks(column, metric), of_other_data(column)
    found: dict[Key, Entry] = {}
    for key, cells in column.items():
        made = entry(cells, metric)
        marks = (*made.marks, *(["apart"] if key in other else []))
        found[key] = dataclasses.replace(made, rank=places.get(key, 0), marks=tuple(m for m in MARKS if m in marks))
    return found


def of_other_data(column: Mapping[Key, Sequence[Cell]]) -> set[Key]:
    """The rows of one column of whose fold and order of labels another row has other contents. Rows that lack cases, whose
    contents differ for that, and those that are mixed in themselves are told by their own marks and set no other apart."""
    held: dict[tuple[int, str], dict[str, set[Key]]] = {}
    for key, cells in column.items():
        if not _mixed(cells) and not any(cell.partial or cell.n < cell.n_listed for cell in cells):
            for cell in cells:
                held.setdefault((cell.fold, cell.order), {}).setdefault(cell.content_hash, set()).add(key)
    return set().union(*(keys for contents in held.values() if len(contents) > 1 for keys in contents.values()))


def ranks(column: Mapping[Key, Sequence[Cell]], metric: str, decimals: int = DECIMALS) -> dict[Key, int]:
    """Row -> 1 (best) or 2 (second) among the entries of one column that may be compared; equal as shown shares a rank.

    Those of `competing` alone take part. A second place takes three competitors.
    """
    shown = {key: round(entry(column[key], metric).mean, decimals) for key in competing(column, metric)}
    return best_two(shown, higher=not is_error(metric))


def competing(column: Mapping[Key, Sequence[Cell]], metric: str) -> list[Key]:
    """The rows of one column that may be ranked.

    Partial, mixed and undefined entries do not compete, nor those of other data than one beside them. Of distances only the
    rows with the fewest undefined values do: a missed organ has no distance, and leaving it out would improve the mean.
    """
    other = of_other_data(column)
    fair = [k for k, cells in column.items() if k not in other and _competes(entry(cells, metric), cells, metric)]
    if is_distance(metric) and fair:
        least = min(_lost(column[key], metric) for key in fair)
        fair = [key for key in fair if _lost(column[key], metric) == least]
    return fair


def best_two(shown: Mapping[Key, float], *, higher: bool) -> dict[Key, int]:
    """Key -> 1 for the best and 2 for the second of what is shown; one alone is no best, and of two none is second."""
    if len(shown) < 2:
        return {}
    best, *others = sorted(set(shown.values()), reverse=higher)
    second = others[0] if others and len(shown) > 2 else None
    return {key: 1 if value == best else 2 for key, value in shown.items() if value in (best, second)}


def _competes(made: Entry, cells: Sequence[Cell], metric: str) -> bool:
    whole = not any(math.isnan(_score(cell, metric)) for cell in cells)
    return whole and not {"partial", "mixed"} & set(made.marks)


def _score(cell: Cell, metric: str) -> float:
    score = cell.scores[metric]
    return math.nan if score is None else score


def _mixed(cells: Sequence[Cell]) -> bool:
    """True when one seed and fold stands twice, or the labels that one fold and order give have more than one content."""
    draws = Counter((cell.seed, cell.pretrain_seed, cell.fold) for cell in cells)
    contents = {(cell.fold, cell.order, cell.content_hash) for cell in cells}
    return max(draws.values()) > 1 or len(contents) > len({(cell.fold, cell.order) for cell in cells})


def _lost(cells: Sequence[Cell], metric: str) -> float:
    """Undefined values per run."""
    return sum(sum(undefined(cell, metric).values()) for cell in cells) / len(cells)


def undefined(cell: Cell, metric: str) -> dict[str, int]:
    """What of a cell's counts is a number of values that a metric lacks: names in `n_`, without those of another metric of the
    whole set (`n_undefined_recall@50`) and without answers that nobody told, as those cases are not asked; the run itself where it
    has no value at all and no count says why. Other names (`false_positive_mm3`, `gallery`) measure."""
    pooled, own = "n_undefined_", f"n_undefined_{metric}"
    told = {name: count for name, count in cell.counts.items() if name.startswith("n_") and count}
    valued = {
        "n_failed": not is_distance(metric),  # a miss is a Dice of 0
        "n_empty_truth": metric == "dice@brats",
        "n_untold_answers": True,  # as STOIC's severity of those without COVID-19
    }
    lacked = {name: count for name, count in told.items() if not valued.get(name)}
    found = {name: count for name, count in lacked.items() if not name.startswith(pooled) or name == own}
    return found or ({"runs without a value": 1} if math.isnan(_score(cell, metric)) else {})


def _span(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}"
