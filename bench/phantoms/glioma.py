"""Paint a head without its skull: two halves of brain, cortex, ventricles, and in one of them a glioma.

Frame    millimetres in RAS about the middle of the brain; what is not brain stays air, as after skull stripping
"""

from __future__ import annotations

import math

import numpy as np

from bench.phantoms.body import Person, Point
from bench.phantoms.canvas import Canvas, Field, Inside, Mask, ellipsoid_level, tissues
from bench.phantoms.tissue import Tissue

BRAIN_MM = (66.0, 82.0, 58.0)
CORTEX_MM = 7.0
EMPTY_RIM_RATIO = 0.10  # the project's phantom plan, section D.1: gliomas without enhancement
_INNER = tissues(Tissue.WHITE_MATTER, Tissue.GREY_MATTER)


def paint_head(canvas: Canvas, person: Person) -> None:
    """Paint the brain from outside in, then the tumour: oedema, in it the core, around the core an enhancing rim."""
    size = person.scale["torso"]  # the spread of a whole body, about 4 %
    a, b, c = (r * size for r in BRAIN_MM)
    middle = (0.0, 0.0, 0.0)
    canvas.ellipsoid(Tissue.CEREBROSPINAL_FLUID, middle, (a, b, c), over=tissues(Tissue.AIR))
    canvas.paint(
        Tissue.GREY_MATTER, (-a, -b, -c), (a, b, c), _halves(person, (a - 2, b - 2, c - 2)),
        over=tissues(Tissue.CEREBROSPINAL_FLUID),
    )  # fmt: skip
    inner = (a - CORTEX_MM, b - CORTEX_MM, c - CORTEX_MM)
    canvas.paint(Tissue.WHITE_MATTER, (-a, -b, -c), (a, b, c), _halves(person, inner), over=tissues(Tissue.GREY_MATTER))
    for side in (1.0, -1.0):
        canvas.ellipsoid(
            Tissue.GREY_MATTER, (side * 17, 2.0, 2.0), (8.0, 15.0, 10.0), over=tissues(Tissue.WHITE_MATTER)
        )
        horn = [(side * 9, 30.0, 4.0), (side * 9, 4.0, 14.0), (side * 17, -30.0, 6.0)]
        canvas.tube(Tissue.CEREBROSPINAL_FLUID, horn, [5.0, 6.0, 5.0], over=_INNER, detail=2)
    _paint_glioma(canvas, person, size)


def _halves(person: Person, radii: Point) -> Inside:
    """Inside the ellipsoid, with a wavy surface (gyri) and a cleft between the halves."""
    wave = [round(float(v), 6) for v in person.stream("gyri").uniform(0.20, 0.32, 3)]

    def inside(x: Field, y: Field, z: Field) -> Mask:
        fold = np.sin(np.float32(wave[0]) * x) + np.sin(np.float32(wave[1]) * y) + np.sin(np.float32(wave[2]) * z)
        level = ellipsoid_level(x, y, z, (0.0, 0.0, 0.0), radii)
        cleft = (np.abs(x) < np.float32(1.5)) & (z > np.float32(14.0))
        return np.asarray((level + np.float32(0.02) * fold <= 1) & ~cleft)

    return inside


def _paint_glioma(canvas: Canvas, person: Person, size: float) -> None:
    random = person.stream("glioma")
    enhances = bool(random.random() >= EMPTY_RIM_RATIO)
    side = 1.0 if random.random() < 0.5 else -1.0
    place = (side * random.uniform(22, 36), random.uniform(-38, 40), random.uniform(-12, 22))
    x, y, z = (round(float(v) * size, 6) for v in place)
    core = round(float(random.uniform(13, 19)), 6)
    for _ in range(4):
        way = random.standard_normal(3)
        way = np.round(way / math.sqrt(float(way @ way)), 6)
        shift = [round(0.55 * core * float(w), 6) for w in way]
        spread = round(float(random.uniform(1.1, 1.5)) * core, 6)
        lobe = (x + shift[0], y + shift[1], z + shift[2])
        canvas.ellipsoid(Tissue.GLIOMA_OEDEMA, lobe, (spread, spread, 0.9 * spread), over=_INNER)
    rim = round(float(random.uniform(5.0, 6.5)), 6)
    over = _INNER | tissues(Tissue.GLIOMA_OEDEMA, Tissue.CEREBROSPINAL_FLUID)
    outside = Tissue.GLIOMA_RIM if enhances else Tissue.GLIOMA_CORE
    canvas.ellipsoid(outside, (x, y, z), (core, core, core), over=over)
    canvas.ellipsoid(
        Tissue.GLIOMA_CORE, (x, y, z), (core - rim, core - rim, core - rim), over=over | tissues(Tissue.GLIOMA_RIM)
    )
