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
    place = {name: i for i, name in enumerate(ranked)}
    groups = [(1 << len(ranked)) - 1] if ranked else []  # a group is a set of places, as the bits of a number
    for pair in differ:
        bits = [1 << place[name] for name in pair]
        both = sum(bits)
        kept = [group for group in groups if group & both != both]
        parts = dict.fromkeys(group & ~bit for group in groups if group & both == both for bit in bits)
        # what was kept lies in no part, for it lay in no group; only parts may be absorbed
        groups = kept + [p for p in parts if not any(p & o == p for o in kept) and not _inside_another(p, parts)]
    members = sorted([i for i in range(len(ranked)) if group >> i & 1] for group in groups)
    return {name: "".join(_letter(k) for k, held in enumerate(members) if place[name] in held) for name in ranked}


def _inside_another(part: int, parts: Collection[int]) -> bool:
    return any(part & other == part and part != other for other in parts)


def _letter(index: int) -> str:
    """a, b, ... z, then (aa), (ab): letters of two signs stand in brackets, so that they cannot be read as two."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    if index < len(alphabet):
        return alphabet[index]
    return f"({alphabet[index // 26 - 1]}{alphabet[index % 26]})"
