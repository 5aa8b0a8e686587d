"""How likely it is that printed digits agree by chance: the arithmetic behind the checks for copies.

Two values of one column agree in all printed digits with a chance of about (step of print) x (density of the column). The
density is taken as twice that of the shortest interval that holds half of the column: clusters of similar methods raise it, a
few outliers do not lower it, and values that were copied only make the estimate more cautious.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R", bound=Hashable)
C = TypeVar("C", bound=Hashable)
FEWEST_ROWS = 5


@dataclass(frozen=True)
class Agreement(Generic[R, C]):
    """Rows that agree in all of `columns`, and an upper bound on the chance to see as much anywhere in the table."""

    columns: tuple[C, ...]
    groups: tuple[tuple[R, ...], ...]
    chance: float


def shortest_half(values: Sequence[float]) -> float:
    """The length of the shortest interval that holds more than half of the values.

    Example: of 0, 1, 2, 3, 100 it is 2.
    """
    ordered = sorted(values)
    held = len(ordered) // 2 + 1
    return min(ordered[i + held - 1] - ordered[i] for i in range(len(ordered) - held + 1))


def chance_of_agreement(values: Sequence[float], step: float) -> float:
    """The chance that two values of a column print alike; 1, which proves nothing, for few rows or a constant column."""
    if len(values) < FEWEST_ROWS:
        return 1.0
    width = shortest_half(values)
    return min(1.0, step / width) if width > 0 else 1.0


def agreements(digits: Mapping[R, Mapping[C, str]], chances: Mapping[C, float]) -> list[Agreement[R, C]]:
    """Every set of columns in which some rows agree, the least likely first.

    Of k columns a set of c in which m pairs of rows agree (a group of g rows counts as g - 1 pairs, the others follow) has
    at most the chance k x choose(k, c) x choose(pairs of rows, m) x (product of the columns' chances)^m: the sum over all
    that could have been found in its place.
    """
    telling = [column for column, chance in chances.items() if chance < 1]
    pairs = math.comb(len(digits), 2)
    found = []
    for columns in _agreeing_sets(digits, telling):
        groups = _groups(digits, columns)
        agreeing = sum(len(group) - 1 for group in groups)
        log_chance = (
            math.log(len(telling)) + _log_choose(len(telling), len(columns)) + _log_choose(pairs, agreeing)
            + agreeing * math.fsum(math.log(chances[column]) for column in columns)
        )  # fmt: skip
        found.append(Agreement(columns, groups, math.exp(min(log_chance, 0.0))))
    return sorted(found, key=lambda agreement: (agreement.chance, -len(agreement.columns)))


def chance_of_shift(widths: Mapping[C, float], reach: float) -> float:
    """The chance that the differences of two unrelated rows, one per column, all lie within `reach` of each other.

    `widths` are the shortest halves of the columns' residuals. One column may hold the lowest difference, the others must
    follow within `reach`, each with a chance of at most reach / width; summed over which column is the lowest.
    """
    follow = [min(1.0, reach / width) if width > 0 else 1.0 for width in widths.values()]
    return min(1.0, math.fsum(math.prod(follow[:i] + follow[i + 1 :]) for i in range(len(follow))))


def _agreeing_sets(digits: Mapping[R, Mapping[C, str]], telling: Sequence[C]) -> list[tuple[C, ...]]:
    """For each pair of rows all columns in which they agree, every set once."""
    shared: dict[tuple[R, R], list[C]] = {}
    for column in telling:
        for group in _groups(digits, (column,)):
            for i, first in enumerate(group):
                for second in group[i + 1 :]:
                    shared.setdefault((first, second), []).append(column)
    return list(dict.fromkeys(tuple(columns) for columns in shared.values()))


def _groups(digits: Mapping[R, Mapping[C, str]], columns: Sequence[C]) -> tuple[tuple[R, ...], ...]:
    groups: dict[tuple[str, ...], list[R]] = {}
    for row, cells in digits.items():
        if all(column in cells for column in columns):
            groups.setdefault(tuple(cells[column] for column in columns), []).append(row)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _log_choose(n: int, k: int) -> float:
    return math.log(math.comb(n, k)) if k <= n else -math.inf
