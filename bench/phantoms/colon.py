"""Where the colon runs, and a cancer of it: a stretch whose wall is thickened all round and whose lumen is narrow."""

from __future__ import annotations

from bench.phantoms.body import Person, Point
from bench.phantoms.canvas import Canvas, tissues
from bench.phantoms.placing import Placed
from bench.phantoms.tissue import Tissue

COLON_MM = 20.0
_LUMEN_MM = 6.0
_GROWS_OVER = tissues(Tissue.BOWEL_WALL, Tissue.BOWEL_CONTENT, Tissue.BOWEL_GAS, Tissue.VISCERAL_FAT)


def colon_path(person: Person) -> list[Point]:
    """The centre line from the caecum, across below the stomach, down to where it leaves the abdomen, mm."""
    gut = Placed(person, "bowel")
    return [
        gut.at(92, 0, -140),
        gut.at(90, 10, -70),
        gut.at(74, 50, -52),
        gut.at(0, 66, -52),
        gut.at(-66, 52, -40),
        gut.at(-96, 8, -22),
        gut.at(-98, -8, -140),
    ]


def paint_colon_tumor(canvas: Canvas, person: Person) -> None:
    """Paint one cancer somewhere between the right and the left bend; it bulges into the fat around the colon."""
    random = person.stream("colon-tumor")
    path = colon_path(person)[1:6]
    piece = int(random.integers(len(path) - 1))
    begin = round(float(random.uniform(0.15, 0.5)), 6)
    length_mm = float(random.uniform(28, 48))
    start, end = path[piece], path[piece + 1]
    whole_mm = sum((q - p) ** 2 for p, q in zip(start, end, strict=True)) ** 0.5
    stop = round(min(1.0, begin + length_mm / whole_mm), 6)
    first, last = _between(start, end, begin), _between(start, end, stop)
    thick = round(float(random.uniform(21, 26)), 6)
    canvas.tube(Tissue.COLON_LESION, [first, last], [thick, thick], over=_GROWS_OVER, detail=1)
    lumen = tissues(Tissue.COLON_LESION)
    canvas.tube(Tissue.BOWEL_CONTENT, [first, last], [_LUMEN_MM, _LUMEN_MM], over=lumen, detail=1)


def _between(start: Point, end: Point, share: float) -> Point:
    x, y, z = (p + share * (q - p) for p, q in zip(start, end, strict=True))
    return x, y, z
