"""Which of many results differ? Paired t tests between every two of them at once, Holm over the pairs, letters for the ties.

For two results `bench.stats.paired` is the better test. Its random changes of sign know no p below 1 in 10,000, which Holm over
more than 500 pairs makes larger than 0.05: among 33 results nothing could ever be told apart. Student's t has no such floor and
costs nothing, so that a page may hold thousands of boards.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.stats.intervals import LEVEL
from bench.stats.letters import tie_letters
from bench.stats.paired import holm

Name = TypeVar("Name", bound=Hashable)


def pairwise_p(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p of the paired t test between every two rows of `values` (results, cases), as (results, results).

    Cases in which one of the two is undefined (NaN) are left out of that pair. NaN for fewer than two cases, and on the
    diagonal. Two results that are equal in every case have p = 1; those that differ by one and the same amount have p = 0.

    Example: 3, 5, 8 against 2, 3, 5 differ by 1, 2, 3: t = 2 / (1 / sqrt(3)) = 3.464 on 2 degrees, so p is 0.0742.
    """
    from scipy.special import stdtr

    count = len(values)
    found = np.full((count, count), np.nan)
    for at in range(count - 1):
        difference = values[at] - values[at + 1 :]  # (later results, cases)
        known = ~np.isnan(difference)
        n = known.sum(axis=1)
        free = np.maximum(n - 1, 1)
        mean = np.where(known, difference, 0.0).sum(axis=1) / np.maximum(n, 1)
        apart = np.where(known, difference - mean[:, None], 0.0)
        error = np.sqrt((apart**2).sum(axis=1) / free / np.maximum(n, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(error > 0, np.abs(mean) / error, np.where(mean == 0, 0.0, np.inf))
        p = np.where(n > 1, 2 * stdtr(free, -t), np.nan)
        found[at, at + 1 :] = found[at + 1 :, at] = p
    return found


def board_letters(ranked: Sequence[Name], values: NDArray[np.float64], level: float = LEVEL) -> dict[Name, str]:
    """Tie letters of results from the best down, out of their values (results, cases) on the same cases.

    Results that share a letter are not told apart at 1 - `level` after Holm's correction over all pairs of the board.
    """
    p = pairwise_p(values)
    first, second = np.triu_indices(len(ranked), k=1)
    corrected = holm([float(value) for value in p[first, second]])
    differ = [
        frozenset((ranked[a], ranked[b]))
        for a, b, value in zip(first.tolist(), second.tolist(), corrected, strict=True)
        if value <= 1 - level
    ]
    return tie_letters(ranked, differ)
