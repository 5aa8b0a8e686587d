"""May a measured mean and a printed value be two draws of one thing? One rule, stated beside every table that uses it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["within", "below", "above", ""]
LEVEL = 0.95
BASES = {
    "both": "difference of two means, each with its own spread (Welch)",
    "published": "our one run against the spread of the printed iterations",
    "runs": "the printed run against the spread of ours",
    "cases": "one run each, on two samples of test cases as varied as ours",
    "bound": "one run each, on two samples of test cases as varied as a mean in 0..1 allows",
    "none": "no spread is known",
}


@dataclass(frozen=True)
class Spread:
    """A standard deviation and the number of draws behind it. The unit is the caller's."""

    sd: float
    n: int

    @property
    def known(self) -> bool:
        """True where two draws or more and a defined deviation stand behind it."""
        return self.n > 1 and math.isfinite(self.sd)


@dataclass(frozen=True)
class Comparison:
    """`difference` is measured minus printed; `half_width` the tolerance to both sides, NaN where none is known.

    `basis` is a name in `BASES`. `verdict` is empty where nothing can be said.
    """

    difference: float
    half_width: float
    basis: str
    verdict: Verdict


def compare(
    measured: float,
    published: float,
    *,
    half_step: float,
    runs: Spread,
    printed: Spread,
    cases: Spread | None = None,
    n_cases: int = 0,
    one: float = 1.0,
) -> Comparison:
    """Where a measured mean stands to a printed value: within, below or above what chance and rounding explain.

    The tolerance is `half_step` (half of the last printed digit) plus the half-width of a 95 % interval of the difference,
    from the first of these that is known: the spread of both sides (Welch's t); of the printed iterations alone, of which
    our one run would be one more; of our `runs` alone, of which the printed run would be one more (both Student's t times
    sqrt(1/n + 1/m) for means of n and m draws, the lone run being one); of our test `cases` in one run, doubled in
    variance since the paper's cases are another sample; and for a mean over `n_cases` of scores between 0 and `one`, the
    largest variance that such scores can have, measured * (one - measured). All numbers share one unit. `measured` NaN
    gives no verdict.

    Source: Student's and Welch's t (Welch, Biometrika 1947); the bound on the variance is Bhatia and Davis 2000; the order is ours.

    Example: runs of mean 80.0 and sd 1.0 (n = 4) beside a printed 82.00: t(3) = 3.182, so the tolerance is
    3.182 * sqrt(1.25) + 0.005 = 3.563 and the verdict is within.
    """
    if math.isnan(measured):
        return Comparison(math.nan, math.nan, "none", "")
    basis, interval = "none", math.nan
    if runs.known and printed.known:
        basis, interval = "both", _welch(runs, printed)
    elif printed.known:
        basis, interval = "published", _t(printed.n - 1) * printed.sd * math.sqrt(1 / max(runs.n, 1) + 1 / printed.n)
    elif runs.known:
        basis, interval = "runs", _t(runs.n - 1) * runs.sd * math.sqrt(1 + 1 / runs.n)
    elif cases is not None and cases.known:
        basis, interval = "cases", _t(cases.n - 1) * cases.sd * math.sqrt(2 / cases.n)
    elif n_cases > 1 and 0 <= measured <= one:
        widest = math.sqrt(measured * (one - measured))
        basis, interval = "bound", _t(n_cases - 1) * widest * math.sqrt(2 / n_cases)
    difference = measured - published
    half_width = interval + half_step
    return Comparison(difference, half_width, basis, _verdict(difference, half_width))


def _verdict(difference: float, half_width: float) -> Verdict:
    if math.isnan(half_width):
        return ""
    if abs(difference) <= half_width:
        return "within"
    return "above" if difference > 0 else "below"


def _welch(one: Spread, other: Spread) -> float:
    parts = [spread.sd**2 / spread.n for spread in (one, other)]
    if sum(parts) == 0:
        return 0.0
    freedom = sum(parts) ** 2 / sum(part**2 / (s.n - 1) for part, s in zip(parts, (one, other), strict=True))
    return _t(freedom) * math.sqrt(sum(parts))


def _t(freedom: float) -> float:
    """The two-sided quantile of Student's t at `LEVEL`."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))
