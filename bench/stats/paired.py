"""Is one method better than another on the same cases? Mean difference, its interval, and two tests; Holm over many questions.

Both tests take the cases as the draws. The permutation test asks about the mean difference, which is what a table shows; Wilcoxon's
signed ranks ask about the typical case, which a few failed cases do not move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.stats.intervals import LEVEL, RESAMPLES, Interval, batch_of, bootstrap_interval

FEWEST_PAIRS = 2


@dataclass(frozen=True)
class Paired:
    """First less second over the pairs in which both are defined, in the unit of the values.

    `undefined` counts the pairs left out. `higher` and `lower` count the pairs in which the first is; the others are equal.
    p values are two-sided, NaN for fewer than two pairs; `p` is that of `test`, which asks about the difference. An area
    under a curve, tested by DeLong's, has neither pairs of values to count nor signed ranks (NaN).
    """

    first: float
    second: float
    difference: Interval
    p: float
    test: Literal["permutation", "DeLong"]
    wilcoxon_p: float = math.nan
    higher: int = 0
    lower: int = 0
    undefined: int = 0

    @property
    def n(self) -> int:
        """Pairs compared."""
        return self.difference.n


def paired(
    first: Sequence[float], second: Sequence[float], *, level: float = LEVEL, seed: int = 0, resamples: int = RESAMPLES
) -> Paired:
    """Compare two methods on the same cases, given in the same order; the same seed gives the same numbers.

    The interval is BCa over cases. Up to 13 pairs the permutation test goes through all 2^n changes of sign, beyond that
    through `resamples` random ones, counted with the observed one among them. Raises ValueError for lists of two lengths.

    Example: 3, 5, 8 against 2, 3, 5 differ by 1, 2, 3; of 8 changes of sign two reach a mean of -+2, so p is 0.25.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape:
        raise ValueError(f"paired values need one length, found {len(one)} and {len(other)}")
    both = ~(np.isnan(one) | np.isnan(other))
    differences = one[both] - other[both]
    enough = len(differences) >= FEWEST_PAIRS
    return Paired(
        first=float(one[both].mean()) if both.any() else math.nan,
        second=float(other[both].mean()) if both.any() else math.nan,
        difference=bootstrap_interval(differences, level, seed=seed, resamples=resamples),
        p=_permutation(differences, seed, resamples) if enough else math.nan,
        test="permutation",
        wilcoxon_p=_wilcoxon(differences) if enough else math.nan,
        higher=int((differences > 0).sum()),
        lower=int((differences < 0).sum()),
        undefined=int(len(one) - both.sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for being the answers to several questions, in the order given; NaN is no question and stays NaN.

    Source: Holm, Scandinavian Journal of Statistics 1979, step down.

    Example: 0.01, 0.04, 0.03 become 0.03, 0.06, 0.06.
    """
    asked = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    so_far = 0.0
    for rank, (p, place) in enumerate(asked):
        so_far = max(so_far, min(1.0, (len(asked) - rank) * p))
        corrected[place] = so_far
    return corrected


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    """Signed-rank test; pairs without a difference say nothing and are left out (Wilcoxon's own rule)."""
    told = differences[differences != 0]
    if not len(told):
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(told).pvalue)


def _permutation(differences: NDArray[np.float64], seed: int, resamples: int) -> float:
    if not differences.any():
        return 1.0
    from scipy.stats import permutation_test

    return float(
        permutation_test(
            (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=resamples,
            batch=batch_of(len(differences)), rng=np.random.default_rng(seed),
        ).pvalue
    )  # fmt: skip
