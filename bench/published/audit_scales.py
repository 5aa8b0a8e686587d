"""Two metrics of one task that lie apart differently in two tables of a paper: one of them was measured with other settings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.published.findings import LEVEL, Finding
from bench.published.sheets import DIFFERENCE, Sheet

FEWEST_ROWS = 3


@dataclass(frozen=True)
class _Gap:
    """Per row of one table, a metric and how far a second one lies above it; both in one unit."""

    sheet: Sheet
    what: tuple[str, str, str, str, str]
    base: tuple[float, ...]
    above: tuple[float, ...]
    step: float

    @property
    def centre(self) -> tuple[float, float]:
        """The means of both."""
        return statistics.fmean(self.base), statistics.fmean(self.above)


def audit_scales(sheets: Sequence[Sheet]) -> Iterator[Finding]:
    """Pairs of tables in which the gap between two metrics of one task differs, at scores that overlap.

    The gap may depend on how good a row is, so a line of one slope is fitted to both tables (analysis of covariance) and
    its two heights are compared by a t test, counted against all pairs of tables compared. A spread around the line below
    one printed digit counts as that digit. Tables whose first metric covers no common range are not compared.
    """
    gaps = [gap for sheet in sheets for gap in _gaps(sheet)]
    pairs = [(a, b) for a, b in combinations(gaps, 2) if a.sheet.paper == b.sheet.paper and a.what == b.what]
    pairs = [(a, b) for a, b in pairs if max(min(a.base), min(b.base)) <= min(max(a.base), max(b.base))]
    for first, second in pairs:
        height, chance = _height(first, second)
        if chance * len(pairs) <= LEVEL:
            yield _finding(first, second, height, chance * len(pairs))


def _gaps(sheet: Sheet) -> Iterator[_Gap]:
    for place in dict.fromkeys((c.task, c.ratio, c.region) for c in sheet.columns):
        here = [c for c in sheet.columns if (c.task, c.ratio, c.region) == place]
        for base, other in combinations(here, 2):
            rows = [
                (found[base], found[other]) for row, found in sheet.cells.items()
                if base in found and other in found and DIFFERENCE not in row.method
            ]  # fmt: skip
            alike = [(a, b) for a, b in rows if a.unit == b.unit and a.unit in ("fraction", "percent")]
            if len(alike) >= FEWEST_ROWS:
                above = tuple(float(b.number - a.number) for a, b in alike)
                step = max(10.0 ** -min(a.decimals, b.decimals) for a, b in alike)
                yield _Gap(
                    sheet, (*place, base.metric, other.metric), tuple(float(a.number) for a, _ in alike), above, step
                )


def _height(first: _Gap, second: _Gap) -> tuple[float, float]:
    """How much higher the second table's line lies than the first's, and how likely as much is by chance."""
    from scipy.special import stdtr

    centred = [(x - gap.centre[0], y - gap.centre[1]) for gap in (first, second)
               for x, y in zip(gap.base, gap.above, strict=True)]  # fmt: skip
    run = math.fsum(x * x for x, _ in centred)
    slope = math.fsum(x * y for x, y in centred) / run if run else 0.0
    freedom = len(centred) - 3
    spread = math.sqrt(math.fsum((y - slope * x) ** 2 for x, y in centred) / freedom)
    apart = second.centre[0] - first.centre[0]
    height = second.centre[1] - first.centre[1] - slope * apart
    parts = 1 / len(first.base) + 1 / len(second.base) + (apart**2 / run if run else 0.0)
    error = max(spread, first.step, second.step) * math.sqrt(parts)
    return height, 2 * float(stdtr(freedom, -abs(height) / error))


def _finding(first: _Gap, second: _Gap, height: float, chance: float) -> Finding:
    task, ratio, region, base, other = second.what
    usual = second.centre[1] - height
    where = " ".join(word for word in (task, region, f"at {ratio}" if ratio not in ("", "1.0") else "") if word)
    note = (
        f"{other} less {base} over {len(second.base)} rows, where the {len(first.base)} rows of {first.sheet.table} let expect "
        f"{usual:+.2f} at the same {base}; chance below {chance:.1e}; another tolerance, spacing or way of averaging would be "
        "innocent, and makes the two tables incomparable."
    )
    return Finding(
        second.sheet.paper, second.sheet.table, f"{len(second.base)} rows", f"{where} {other} less {base}", "scale",
        f"{second.centre[1]:+.2f}", f"{usual:+.2f}", round(height, 6), "likely", note,
    )  # fmt: skip
