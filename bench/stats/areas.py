"""Two areas under the ROC curve on the same cases: their difference, its interval and DeLong's test.

An AUC is no mean over cases, but to first order it is its value plus a share of each case: how often the case is ranked right
among those of the other answer, less the AUC. The spread of these shares gives the standard error, and on the same cases the
shares of two methods are paired.

Source   DeLong, DeLong and Clarke-Pearson, Biometrics 1988, for one curve of two answers
Changes  over classes and over runs the shares are averaged, which is the same expansion for the average
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.stats.intervals import LEVEL, Interval


@dataclass(frozen=True)
class Area:
    """An AUC with each case's share of it, in the order of the cases; shares sum to 0. NaN where the AUC is undefined.

    `strata` (n,) numbers the groups of cases whose sizes count as fixed: the true classes, or one group where a case has an
    answer to several questions.
    """

    value: float
    shares: NDArray[np.float64]
    strata: NDArray[np.intp]


def one_area(scores: NDArray[np.float64], answers: NDArray[np.float64]) -> Area:
    """The area of one curve. `scores` (n,); `answers` (n,) holds 1, 0, or NaN for a case that says nothing.

    Example: scores 0.9, 0.4, 0.6, 0.1 for answers 1, 1, 0, 0 have the area 0.75; the shares are 0.125, -0.125, -0.125, 0.125.
    """
    known = ~np.isnan(answers)
    right, wrong = scores[known & (answers == 1)], scores[known & (answers == 0)]
    shares = np.zeros(len(scores))
    strata = np.nan_to_num(answers, nan=2).astype(np.intp)
    if not len(right) or not len(wrong):
        return Area(math.nan, shares, strata)
    above = _above(right, wrong)
    value = float(above.mean())
    shares[known & (answers == 1)] = (above - value) / len(right)
    shares[known & (answers == 0)] = (1 - _above(wrong, right) - value) / len(wrong)
    return Area(value, shares, strata)


def class_area(scores: NDArray[np.float64], true_class: NDArray[np.intp]) -> Area:
    """The mean area over classes, each against the rest; of two classes the area of the last column. `scores` (n, C)."""
    count = scores.shape[1]
    columns = [count - 1] if count == 2 else range(count)
    areas = [one_area(scores[:, k], (true_class == k).astype(np.float64)) for k in columns]
    found = mean_area(areas)
    return Area(found.value, found.shares, true_class)


def question_area(scores: NDArray[np.float64], truths: NDArray[np.float64]) -> Area:
    """The mean area over questions that each case answers by 1, 0 or NaN; undefined ones are left out. Both (n, C)."""
    areas = [one_area(scores[:, k], truths[:, k]) for k in range(scores.shape[1])]
    defined = [area for area in areas if not math.isnan(area.value)]
    if len(areas) == 1 or not defined:
        return areas[0]
    found = mean_area(defined)
    return Area(found.value, found.shares, np.zeros(len(scores), dtype=np.intp))


def mean_area(areas: Sequence[Area]) -> Area:
    """The mean of several areas over the same cases: of classes, or of runs. The strata are those of the first."""
    value = float(np.mean([area.value for area in areas]))
    return Area(value, np.mean([area.shares for area in areas], axis=0), areas[0].strata)


def area_interval(area: Area, level: float = LEVEL) -> Interval:
    """An area, or a difference of two, with a normal interval; NaN where it is undefined."""
    from scipy.special import ndtri

    if math.isnan(area.value):
        return Interval(math.nan, math.nan, math.nan, level, len(area.shares), "none")
    half = float(ndtri((1 + level) / 2)) * _standard_error(area)
    return Interval(area.value, area.value - half, area.value + half, level, len(area.shares), "DeLong")


def difference_of_areas(first: Area, second: Area, level: float = LEVEL) -> tuple[Interval, float]:
    """First less second with a normal interval, and the two-sided p value; NaN where an area is undefined.

    Shares that agree in every case leave nothing to test: p is 1.
    """
    from scipy.special import ndtr

    apart = Area(first.value - second.value, first.shares - second.shares, first.strata)
    found = area_interval(apart, level)
    if math.isnan(apart.value):
        return found, math.nan
    error = _standard_error(apart)
    if error == 0 and apart.value:
        return Interval(apart.value, math.nan, math.nan, level, len(apart.shares), "none"), math.nan
    return found, 1.0 if error == 0 else 2 * float(ndtr(-abs(apart.value) / error))


def _above(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each of ours the share of theirs that lie below it, equal ones as halves."""
    ordered = np.sort(theirs)
    below, not_above = np.searchsorted(ordered, ours, "left"), np.searchsorted(ordered, ours, "right")
    return np.asarray((below + not_above) / (2 * len(theirs)), dtype=np.float64)


def _standard_error(area: Area) -> float:
    """Of a sum of independent shares, each stratum around its own mean; a stratum of one case adds nothing."""
    groups = [area.shares[area.strata == group] for group in np.unique(area.strata)]
    return math.sqrt(math.fsum(len(g) * float(g.var(ddof=1)) for g in groups if len(g) > 1))
