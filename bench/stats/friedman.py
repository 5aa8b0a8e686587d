"""Do many methods differ over many boards, and which do? Friedman's test on ranks and Nemenyi's critical difference.

Source: Demšar, Journal of Machine Learning Research 2006; the null distribution of the largest difference of ranks is the
studentised range for infinitely many degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


@dataclass(frozen=True)
class Ranking:
    """Names from the best mean rank on, p of Friedman's test, and the critical difference between two mean ranks.

    `cliques` are runs of neighbours whose ranks differ by less than that, the longest ones only. `n` counts the boards.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    p: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    n: int


def ranking(names: Sequence[str], scores: NDArray[np.float64], level: float = LEVEL) -> Ranking:
    """Rank methods by `scores` (methods, boards), of which more is better; equal scores share a rank.

    Raises ValueError for fewer than three methods, fewer than two boards, or an undefined score.

    Example: three methods that come first, second and third on all of four boards have mean ranks 1, 2 and 3.
    """
    if len(names) != len(scores) or len(scores) < 3 or scores.shape[1] < 2 or np.isnan(scores).any():
        raise ValueError(f"a ranking needs 3 methods, 2 boards and every score, found {scores.shape}")
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    count, n = scores.shape
    mean_ranks = rankdata(-scores, axis=0).mean(axis=1)
    order = sorted(range(count), key=lambda at: (mean_ranks[at], names[at]))
    p = 1.0 if np.ptp(scores, axis=0).max() == 0 else float(friedmanchisquare(*scores).pvalue)
    quantile = float(studentized_range.ppf(level, count, np.inf)) / math.sqrt(2)
    difference = quantile * math.sqrt(count * (count + 1) / (6 * n))
    ranked, ranks = tuple(names[at] for at in order), tuple(float(mean_ranks[at]) for at in order)
    return Ranking(ranked, ranks, p, difference, _cliques(ranked, ranks, difference), n)


def _cliques(names: Sequence[str], ranks: Sequence[float], difference: float) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[int, int]] = []
    for start in range(len(names)):
        stop = max(at for at in range(start, len(names)) if ranks[at] - ranks[start] < difference)
        if stop > start and not any(stop <= other for _, other in found):
            found.append((start, stop))
    return tuple(tuple(names[start : stop + 1]) for start, stop in found)
