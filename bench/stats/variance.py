"""Where the spread of scores comes from: the case, the seed of training, or the split into parts.

Source   Searle, Casella and McCulloch, Variance Components, 1992: analysis of variance estimators
Model    score = mean + split + case within split + seed within split + residual. A seed trains anew in every split, and a case
         is tested in one split only, so both are nested in it and crossed with each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Run:
    """The scores of one run: which split and seed it was, and case -> value (NaN where undefined)."""

    split: int
    seed: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Components:
    """Variances in the squared unit of the scores; NaN where the runs cannot tell them.

    With one seed per split `case` holds the residual too and `seed` is NaN; with one split `split` is NaN. `negative` names
    the components whose estimate came out below zero and is told as 0. `cases` counts those defined in every run of their
    split, which alone are used.
    """

    case: float
    seed: float
    split: float
    residual: float
    cases: int
    seeds: int
    splits: int
    negative: tuple[str, ...] = ()


def components(runs: Sequence[Run]) -> Components:
    """Split the variance of per-case scores over runs into its sources.

    Mean squares within splits are pooled over splits; expected mean squares are solved for the components.

    Example: one split, two seeds, cases scoring 1 and 2 under the first and 3 and 4 under the second: seeds differ by 2 in every
    case, so the seed's variance is 2, the case's 0.5 and the residual 0.
    """
    tables = [table for split in sorted({run.split for run in runs}) if (table := _table(runs, split)).size]
    if not tables:
        return Components(math.nan, math.nan, math.nan, math.nan, 0, 0, 0)
    cases, seeds = [len(table) for table in tables], [table.shape[1] for table in tables]
    residual = _ratio(
        math.fsum(float(_left_over(table)) for table in tables),
        sum((c - 1) * (s - 1) for c, s in zip(cases, seeds, strict=True)),
    )
    case_square = _mean_square(tables, axis=1)
    seed_square = _mean_square(tables, axis=0)
    noise = 0.0 if math.isnan(residual) else residual
    found = {
        "case": (case_square - noise) / _weight([c - 1 for c in cases], seeds),
        "seed": (seed_square - residual) / _weight([s - 1 for s in seeds], cases),
    }
    known = {name: 0.0 if math.isnan(value) else max(value, 0.0) for name, value in found.items()}
    within = [known["case"] / c + known["seed"] / s + noise / (c * s) for c, s in zip(cases, seeds, strict=True)]
    means = [float(table.mean()) for table in tables]
    found["split"] = float(np.var(means, ddof=1)) - float(np.mean(within)) if len(tables) > 1 else math.nan
    return Components(
        **{name: max(value, 0.0) if not math.isnan(value) else value for name, value in found.items()},
        residual=residual, cases=sum(cases), seeds=max(seeds), splits=len(tables),
        negative=tuple(name for name, value in found.items() if value < 0),
    )  # fmt: skip


def _table(runs: Sequence[Run], split: int) -> NDArray[np.float64]:
    """Cases by seeds of one split, of the cases that every run defines. A seed run twice counts once, the first."""
    by_seed: dict[int, Run] = {}
    for run in runs:
        if run.split == split:
            by_seed.setdefault(run.seed, run)
    columns = [run.values for run in by_seed.values()]
    whole = [case for case in columns[0] if all(not math.isnan(column.get(case, math.nan)) for column in columns)]
    return np.array([[column[case] for column in columns] for case in whole], dtype=np.float64)


def _left_over(table: NDArray[np.float64]) -> float:
    """Sum of squares that neither the case nor the seed explains."""
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return float((rest**2).sum())


def _mean_square(tables: Sequence[NDArray[np.float64]], axis: int) -> float:
    """The pooled mean square of the means over `axis`: of cases for 1, of seeds for 0."""
    squares, freedom = 0.0, 0
    for table in tables:
        means = table.mean(axis=axis)
        squares += table.shape[axis] * float(((means - table.mean()) ** 2).sum())
        freedom += len(means) - 1
    return _ratio(squares, freedom)


def _weight(freedoms: Sequence[int], repeats: Sequence[int]) -> float:
    """How often a component stands in its pooled mean square: repeats averaged by degrees of freedom."""
    return _ratio(math.fsum(f * r for f, r in zip(freedoms, repeats, strict=True)), sum(freedoms))


def _ratio(squares: float, freedom: float) -> float:
    return squares / freedom if freedom > 0 else math.nan
