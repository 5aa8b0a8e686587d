"""Numbers of things, as a message says them. Standard library alone."""

from __future__ import annotations


def how_many(number: int, one: str, several: str = "") -> str:
    """A number with its thing; `several` where an s does not do, as where a verb goes along.

    Examples: `1 image`, `1,234 images`; how_many(1, "file is", "files are") is `1 file is`.
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
