"""Is a measured score the same as a printed one, to a stated tolerance? Two one-sided tests where a spread is known.

Not to be told apart is not the same as equal: few noisy cases tell nothing apart. Here the burden is the other way round, and
"equivalent" means that a difference as large as the tolerance has been excluded to both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

LEVEL = 0.05


@dataclass(frozen=True)
class Sample:
    """A mean with its standard deviation and number of draws; a single printed number has `sd` NaN and `n` 1."""

    mean: float
    sd: float = math.nan
    n: int = 1

    @property
    def spread(self) -> bool:
        """True where a standard error is known."""
        return self.n > 1 and math.isfinite(self.sd)


@dataclass(frozen=True)
class Equivalence:
    """`difference` is first less second; `p` the larger of both one-sided p values, NaN where no spread is known.

    `basis` says what was tested: `welch` (both spreads), `one` (one spread; the other mean is taken as exact) or `tolerance`
    (no spread: only the numbers are compared).
    """

    difference: float
    tolerance: float
    p: float
    basis: Literal["welch", "one", "tolerance"]

    @property
    def equivalent(self) -> bool:
        """True where a difference of the tolerance is excluded, or, without any spread, not reached."""
        if self.basis == "tolerance":
            return abs(self.difference) < self.tolerance
        return self.p <= LEVEL


def equivalence(first: Sample, second: Sample, tolerance: float) -> Equivalence:
    """Two one-sided t tests of two means against -+`tolerance`, all in one unit. Raises ValueError for a tolerance not above 0.

    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987; Welch's degrees of freedom.

    Example: 80.0 with sd 1.0 over 4 runs against a printed 80.0 and a tolerance of 1.0: t = 2 on 3 degrees, p = 0.070, so
    four runs of that spread do not show equivalence.
    """
    if not tolerance > 0:
        raise ValueError(f"a tolerance must be above 0, found {tolerance}")
    difference = first.mean - second.mean
    spreads = [sample for sample in (first, second) if sample.spread]
    if not spreads:
        return Equivalence(difference, tolerance, math.nan, "tolerance")
    parts = [sample.sd**2 / sample.n for sample in spreads]
    error = math.sqrt(math.fsum(parts))
    basis: Literal["welch", "one"] = "welch" if len(spreads) == 2 else "one"
    if error == 0:
        return Equivalence(difference, tolerance, 0.0 if abs(difference) < tolerance else 1.0, basis)
    from scipy.special import stdtr

    freedom = error**4 / math.fsum(part**2 / (s.n - 1) for part, s in zip(parts, spreads, strict=True))
    p = max(
        float(stdtr(freedom, -(tolerance - difference) / error)),
        float(stdtr(freedom, -(tolerance + difference) / error)),
    )
    return Equivalence(difference, tolerance, p, basis)
