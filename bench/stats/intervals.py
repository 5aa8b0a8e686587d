"""How far a mean over test cases may be off: intervals by Student's t and by the bootstrap.

Cases are the draws. An interval speaks of other cases from the same source, not of other seeds or splits: for those see
`bench.stats.variance`. An undefined value (NaN) is no draw; it is left out, and whoever asks counts it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 9_999
FEW = 50  # below this many cases the coverage of a 95 % interval may fall short of what it says: results/benchmarks/coverage.json
MOST_FOR_BCA = 5_000  # the jackknife behind it costs n squared; by then skewness moves no digit
_BATCH_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean and the interval around it, in the unit of the values; NaN where too few values are defined.

    `n` counts the values used. `few` True means fewer than `FEW`, which every table marks.
    """

    mean: float
    low: float
    high: float
    level: float
    n: int
    method: Literal["t", "BCa", "percentile", "DeLong", "none"]

    @property
    def few(self) -> bool:
        """True where the number of cases is too small to trust the level."""
        return self.n < FEW


def defined(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The values that are numbers, as float64. Example: 1, NaN, 2 gives 1, 2."""
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]


def t_interval(values: Sequence[float] | NDArray[np.float64], level: float = LEVEL) -> Interval:
    """Mean and Student's t interval of the defined values; without bounds for fewer than two.

    Example: 1, 2, 3 has mean 2, standard error 1/sqrt(3) and t(2) = 4.303, so the interval is 2 -+ 2.484.
    """
    used = defined(values)
    if len(used) < 2:
        return _without_bounds(used, level)
    from scipy.special import stdtrit

    half = float(stdtrit(len(used) - 1, (1 + level) / 2)) * float(used.std(ddof=1)) / math.sqrt(len(used))
    mean = float(used.mean())
    return Interval(mean, mean - half, mean + half, level, len(used), "t")


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64], level: float = LEVEL, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Mean and bias-corrected, accelerated bootstrap interval of the defined values; the same seed gives the same bounds.

    Values that are all equal give an interval of no width; values equal but for the noise of rounding give no bounds. More
    than 5,000 values take the percentiles of the bootstrap as they are, which are then the same to all digits that a table
    shows.

    Source: Efron, Journal of the American Statistical Association 1987; `scipy.stats.bootstrap`.
    """
    used = defined(values)
    if len(used) < 2:
        return _without_bounds(used, level)
    mean = float(used.mean())
    if np.ptp(used) == 0:
        return Interval(mean, mean, mean, level, len(used), "BCa")
    from scipy.stats import DegenerateDataWarning, bootstrap

    method: Literal["BCa", "percentile"] = "BCa" if len(used) <= MOST_FOR_BCA else "percentile"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # it comes with NaN bounds, which are told below
        found = bootstrap(
            (used,), np.mean, n_resamples=resamples, batch=batch_of(len(used)), confidence_level=level, method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    if math.isnan(found.low) or math.isnan(found.high):
        return _without_bounds(used, level)
    return Interval(mean, float(found.low), float(found.high), level, len(used), method)


def batch_of(n: int) -> int:
    """How many resamples of n values are held in memory at once (32 MB)."""
    return max(1, _BATCH_NUMBERS // max(n, 1))


def _without_bounds(used: NDArray[np.float64], level: float) -> Interval:
    return Interval(float(used.mean()) if len(used) else math.nan, math.nan, math.nan, level, len(used), "none")
