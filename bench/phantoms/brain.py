"""Paint the crop around one hippocampus: head and tail, amygdala, temporal horn, and folded cortex around them.

Frame    millimetres in RAS about the middle of the crop; the long axis runs from the head in front and below to the
tail
         behind and above, as in 200 volumes of MSD Task04
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.phantoms.body import Person, Point
from bench.phantoms.canvas import Canvas, Field, Mask, tissues
from bench.phantoms.tissue import Tissue

Place = Callable[[float, float, float], Point]

_BRAIN = tissues(Tissue.WHITE_MATTER, Tissue.GREY_MATTER, Tissue.CEREBROSPINAL_FLUID)
_FREE = _BRAIN | tissues(Tissue.AMYGDALA)

# centre line, body coordinates in mm, and half width of the hippocampus from its front tip to the end of its tail
_PATH: tuple[tuple[Point, float], ...] = (
    ((3.0, 17.5, -7.5), 4.0),
    ((3.0, 11.5, -7.0), 6.0),
    ((2.0, 5.0, -5.2), 5.7),
    ((0.0, -2.5, -1.8), 5.3),
    ((-2.5, -9.5, 3.0), 4.9),
    ((-5.5, -15.0, 8.5), 4.0),
)
_HEAD_ENDS_AT_Y_MM = 4.5
_FLATNESS = 0.82


def paint_brain(canvas: Canvas, person: Person) -> None:
    """Paint white matter, cortex and fluid as level sets of a smooth random field, then the named structures."""
    _paint_folds(canvas, person)
    size, (dx, dy, dz) = person.scale["hippocampus"], person.shift_mm["hippocampus"]

    def at(x: float, y: float, z: float) -> Point:
        return x * size + dx, y * size + dy, z * size + dz

    _paint_surroundings(canvas, at, size)
    path = [at(*point) for point, _ in _PATH]
    radii = [radius * size for _, radius in _PATH]
    canvas.tube(Tissue.HIPPOCAMPUS_TAIL, path, radii, over=_FREE, detail=4, flat=_FLATNESS)
    hook = [at(1.0, 11.0, -6.5), at(-3.0, 9.0, -5.0), at(-4.0, 6.0, -4.2)]  # the uncus bends inwards from the head
    canvas.tube(Tissue.HIPPOCAMPUS_TAIL, hook, [5.0 * size, 4.4 * size, 3.8 * size], over=_FREE)
    border = at(0.0, _HEAD_ENDS_AT_Y_MM, 0.0)

    def in_front(x: Field, y: Field, z: Field) -> Mask:
        lean = np.float32(0.25) * (z - np.float32(border[2])) + np.float32(0.12) * (x - np.float32(border[0]))
        return y - np.float32(border[1]) > lean

    reach = (40.0, 40.0, 40.0)
    low, high = (-reach[0], border[1] - 10, -reach[2]), reach
    canvas.paint(Tissue.HIPPOCAMPUS_HEAD, low, high, in_front, over=tissues(Tissue.HIPPOCAMPUS_TAIL))


def _paint_folds(canvas: Canvas, person: Person) -> None:
    random = person.stream("cortex")
    field = np.zeros(canvas.tissue.shape, dtype=np.float32)
    for _ in range(5):
        wave = np.round(random.standard_normal(3) / 7.5, 6).astype(np.float32)
        phase = np.float32(random.uniform(0, 6.283))
        field += np.sin(wave[0] * canvas.x + wave[1] * canvas.y + wave[2] * canvas.z + phase)
    outward = np.float32(0.07) * (np.abs(canvas.x) + np.abs(canvas.z - np.float32(2.0)))
    field += outward
    canvas.tissue[...] = Tissue.WHITE_MATTER
    canvas.tissue[np.abs(field - np.float32(2.3)) < np.float32(1.6)] = Tissue.GREY_MATTER
    canvas.tissue[np.abs(field - np.float32(2.3)) < np.float32(0.28)] = Tissue.CEREBROSPINAL_FLUID


def _paint_surroundings(canvas: Canvas, at: Place, size: float) -> None:
    """White matter sheath, horn of the ventricle above and outside, amygdala in front and above, cistern inside."""
    stem = [at(-15.0, -2.0, 4.0), at(-17.0, -6.0, -16.0)]
    canvas.tube(Tissue.CEREBROSPINAL_FLUID, stem, [6.5 * size, 6.5 * size], over=_BRAIN, detail=1)
    sheath = [at(x + 0.5, y, z) for (x, y, z), _ in _PATH]
    canvas.tube(Tissue.WHITE_MATTER, sheath, [(radius + 3.2) * size for _, radius in _PATH], over=_BRAIN, detail=2)
    bank = [at(4.0, 14.0, -15.0), at(2.0, 0.0, -12.0), at(-2.0, -14.0, -5.0)]
    canvas.tube(Tissue.GREY_MATTER, bank, [3.0 * size, 3.0 * size, 3.0 * size], over=_BRAIN, detail=2)
    horn = [at(7.5, 13.0, -3.5), at(7.0, 3.0, -1.5), at(5.0, -7.0, 4.0), at(1.0, -15.0, 11.5)]
    canvas.tube(
        Tissue.CEREBROSPINAL_FLUID, horn, [2.2 * size, 2.6 * size, 2.6 * size, 3.4 * size], over=_BRAIN, detail=2
    )
    canvas.ellipsoid(Tissue.AMYGDALA, at(0.5, 16.0, 4.0), (8.0 * size, 7.0 * size, 6.5 * size), over=_BRAIN)
