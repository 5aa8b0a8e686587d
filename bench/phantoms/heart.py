"""Paint the heart with its four chambers, the great vessels and, for late-enhancement MR, scar in the wall of the left
atrium."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bench.phantoms.body import Person, Point
from bench.phantoms.canvas import Canvas, Field, Mask, ellipsoid_level, tissues
from bench.phantoms.tissue import Tissue
from bench.phantoms.torso import CHEST

_Place = Callable[[float, float, float], Point]

LEFT_ATRIUM_RADII_MM = (33.0, 20.0, 25.0)
ATRIAL_WALL_MM = 3.0
MYOCARDIUM_MM = 9.0
LABELLED_VEIN_MM = 13.0  # how far into the pulmonary veins the left atrium's label reaches


def paint_heart(canvas: Canvas, person: Person) -> None:
    """Paint from the inside out: blood first, then the walls around it, each only where nothing was painted before."""
    move = person.shift_mm["heart"]
    size = person.scale["heart"]

    def at(x: float, y: float, z: float) -> Point:
        middle = (-15.0, 15.0, 128.0)
        return (
            middle[0] + (x - middle[0]) * size + move[0],
            middle[1] + (y - middle[1]) * size + move[1],
            middle[2] + (z - middle[2]) * size + move[2],
        )

    _paint_left_atrium(canvas, person, at)
    canvas.tube(Tissue.ASCENDING_AORTA, [at(0, 6, 146), at(12, 22, 172), at(12, 22, 200)], [12, 14, 13], over=CHEST)
    _paint_ventricles(canvas, at, size, person.scale.get("ventricles", 1.0))
    right = tuple(size * r for r in (19.0, 24.0, 27.0))
    canvas.ellipsoid(Tissue.RIGHT_ATRIUM, at(37, 22, 126), (right[0], right[1], right[2]), over=CHEST)
    canvas.tube(Tissue.RIGHT_ATRIUM, [at(36, 10, 145), at(30, 6, 185), at(24, 6, 240)], [9, 9, 9], over=CHEST, detail=2)
    canvas.tube(Tissue.PULMONARY_ARTERY, [at(-16, 44, 140), at(-16, 32, 165), at(-8, 8, 178)], [11, 12, 12], over=CHEST)
    canvas.tube(
        Tissue.PULMONARY_ARTERY, [at(-8, 8, 178), at(18, -4, 172), at(42, -10, 168)], [11, 10, 8], over=CHEST, detail=2
    )
    canvas.tube(
        Tissue.PULMONARY_ARTERY, [at(-8, 8, 178), at(-28, -8, 178), at(-44, -14, 172)], [10, 9, 8], over=CHEST, detail=2
    )
    arch = [at(12, 22, 200), at(4, 10, 222), at(-12, -18, 218), at(-20, -34, 190)]
    canvas.tube(Tissue.AORTA, arch, [13, 13, 12, 11], over=CHEST)
    canvas.tube(Tissue.AIRWAY, [(0, -12, 330), (1, -14, 240), (1, -14, 196)], [9, 9, 9], over=CHEST, detail=2)
    for side in (1.0, -1.0):
        canvas.tube(
            Tissue.AIRWAY,
            [(1, -14, 196), (side * 16, -17, 184), (side * 34, -20, 172)],
            [8, 7, 6],
            over=CHEST,
            detail=2,
        )


def _paint_left_atrium(canvas: Canvas, person: Person, at: _Place) -> None:
    size, move = person.scale["left-atrium"], person.shift_mm["left-atrium"]
    random = person.stream("pulmonary-veins")

    def near(x: float, y: float, z: float) -> Point:
        place = at(x, y, z)
        return place[0] + move[0], place[1] + move[1], place[2] + move[2]

    centre = near(0, -6, 140)
    a, b, c = (size * r for r in LEFT_ATRIUM_RADII_MM)
    bulge = (centre[0] - 0.30 * a, centre[1] + 0.45 * b, centre[2] - 0.12 * c)
    canvas.ellipsoid(Tissue.LEFT_ATRIUM, centre, (a, b, c), over=CHEST)
    canvas.ellipsoid(Tissue.LEFT_ATRIUM, bulge, (0.62 * a, 0.9 * b, 0.72 * c), over=CHEST)
    ear = [near(-22, 6, 146), near(-36, 15, 149), near(-44, 24, 145)]
    canvas.tube(Tissue.LEFT_ATRIUM, ear, [9 * size, 8 * size, 5 * size], over=CHEST, detail=2)
    for side, height in ((1.0, 0.45), (1.0, -0.40), (-1.0, 0.45), (-1.0, -0.40)):
        tilt = [round(float(v), 6) for v in random.uniform(-6, 6, 2)]
        start = (centre[0] + side * 0.62 * a, centre[1] - 0.25 * b, centre[2] + height * c)
        end = (start[0] + side * 44.0, start[1] - 14.0 + tilt[0], start[2] + 30.0 * height + tilt[1])
        stop = LABELLED_VEIN_MM + 0.38 * a  # the first part still runs inside the atrium
        share = round(stop / math.dist(start, end), 6)
        cut = tuple(p + share * (q - p) for p, q in zip(start, end, strict=True))
        radius = round(float(random.uniform(6.0, 8.0)), 6) * size
        canvas.tube(Tissue.LEFT_ATRIUM, [start, (cut[0], cut[1], cut[2])], [radius, radius], over=CHEST, detail=1)
        canvas.tube(
            Tissue.PULMONARY_VEIN, [(cut[0], cut[1], cut[2]), end], [radius, 0.7 * radius], over=CHEST, detail=1
        )
    _paint_atrial_wall(canvas, person, centre, (a + ATRIAL_WALL_MM, b + ATRIAL_WALL_MM, c + ATRIAL_WALL_MM))


def _paint_atrial_wall(canvas: Canvas, person: Person, centre: Point, radii: Point) -> None:
    canvas.ellipsoid(Tissue.ATRIAL_WALL, centre, radii, over=CHEST)
    random = person.stream("atrial-scar")
    for _ in range(6):
        way = random.standard_normal(3)
        way = np.round(way / math.sqrt(float(way @ way)), 6)
        x, y, z = (m + r * float(w) for m, r, w in zip(centre, radii, way, strict=True))
        spread = round(float(random.uniform(7, 14)), 6)
        canvas.ellipsoid(Tissue.ATRIAL_SCAR, (x, y, z), (spread, spread, spread), over=tissues(Tissue.ATRIAL_WALL))


def _paint_ventricles(canvas: Canvas, at: _Place, size: float, filled: float) -> None:
    """`filled` scales the radii of both cavities: 1 at the end of filling, less where they contract and walls thicken."""
    base, middle, apex = at(-14, 14, 126), at(-38, 32, 110), at(-58, 46, 98)
    wall = MYOCARDIUM_MM * size / filled
    blood = [20 * size * filled, 20 * size * filled, 9 * size * filled]
    canvas.tube(Tissue.LEFT_VENTRICLE, [base, middle, apex], blood, over=CHEST)
    canvas.tube(Tissue.MYOCARDIUM, [base, middle, apex], [radius + wall for radius in blood], over=CHEST)
    centre, radii = at(-6, 50, 112), (38 * size * filled, 20 * size * filled, 27 * size * filled)
    canvas.ellipsoid(Tissue.RIGHT_VENTRICLE, centre, radii, over=CHEST)
    outer = tuple(radius + 3.0 for radius in radii)

    def septum_side(x: Field, y: Field, z: Field) -> Mask:
        return np.asarray(ellipsoid_level(x, y, z, centre, radii) <= 1)

    canvas.ellipsoid(Tissue.RIGHT_MYOCARDIUM, centre, (outer[0], outer[1], outer[2]), over=CHEST, unless=septum_side)
