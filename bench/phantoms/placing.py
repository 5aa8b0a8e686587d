"""Where an organ lies and how large it is in one person: book places and lengths go in, the person's come out."""

from __future__ import annotations

from bench.phantoms.body import Person, Point


class Placed:
    """Places and sizes of one organ in one person: `at` moves a book place, `long` scales a book length."""

    def __init__(self, person: Person, name: str) -> None:
        self._shift, self._scale = person.shift_mm[name], person.scale[name]

    def at(self, x: float, y: float, z: float) -> Point:
        return x + self._shift[0], y + self._shift[1], z + self._shift[2]

    def long(self, *lengths: float) -> list[float]:
        return [length * self._scale for length in lengths]

    def radii(self, a: float, b: float, c: float) -> Point:
        return a * self._scale, b * self._scale, c * self._scale
