"""Tie letters: methods that share a letter are not told apart by the tests, methods that share none are."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def tie_letters(ranked: Sequence[Name], differ: Collection[frozenset[Name]]) -> dict[Name, str]:
    """Each name -> its letters, `a` with the first of `ranked`. `differ` holds the pairs that a test tells apart.

    Two names share a letter exactly where their pair is not in `differ`.

    Source: Piepho, Journal of Computational and Graphical Statistics 2004 (insert and absorb).

    Example: of x, y, z in order, where only x and z differ, x is `a`, y `ab` and z `b`.
    """
    groups: list[frozenset[Name]] = [frozenset(ranked)] if ranked else []
    for pair in differ:
        split = [part for group in groups for part in ([group - {name} for name in pair] if pair <= group else [group])]
        groups = [g for i, g in enumerate(split) if not any(g < o or (g == o and j < i) for j, o in enumerate(split))]
    place = {name: i for i, name in enumerate(ranked)}
    groups.sort(key=lambda group: sorted(place[name] for name in group))
    return {name: "".join(_letter(i) for i, group in enumerate(groups) if name in group) for name in ranked}


def _letter(index: int) -> str:
    """a, b, ... z, then (aa), (ab): letters of two signs stand in brackets, so that they cannot be read as two."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    if index < len(alphabet):
        return alphabet[index]
    return f"({alphabet[index // 26 - 1]}{alphabet[index % 26]})"
