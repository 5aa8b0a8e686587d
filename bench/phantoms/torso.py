"""Paint the trunk: wall, spine, ribs, lungs and the airways and vessels in them.

Heights are body coordinates in mm: the liver's dome lies near 70, the tips of the lungs near 290.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.phantoms.body import Lesion, Person, Point
from bench.phantoms.canvas import Canvas, Field, Inside, Mask, ellipsoid_level, tissues
from bench.phantoms.tissue import Tissue

HALF_WIDTH_MM, HALF_DEPTH_MM = 150.0, 104.0
RIB_PITCH_MM, RIB_HEIGHT_MM = 25.0, 9.0
LOWEST_RIB_MM = -35.0
TABLE_TOP_MM = -118.0

INTERIOR = tissues(Tissue.VISCERAL_FAT)
CHEST = tissues(Tissue.VISCERAL_FAT, Tissue.LUNG, Tissue.LUNG_VESSEL)
_LUNG = tissues(Tissue.LUNG)
_LUNG_AND_VESSELS = tissues(Tissue.LUNG, Tissue.LUNG_VESSEL)
_BODY = tissues(Tissue.FAT, Tissue.MUSCLE, Tissue.VISCERAL_FAT)


def paint_wall(canvas: Canvas, person: Person) -> None:
    """Paint table, skin fat, muscle wall, back muscles, spine and ribs; the rest of the inside becomes visceral fat."""
    _paint_table(canvas)
    size = person.scale["torso"]
    width, depth = HALF_WIDTH_MM * size, (HALF_DEPTH_MM + 4 * person.fat) * size
    radius = _superellipse(canvas, width, depth)  # (r / wall) ** 2.5 in the horizontal plane
    fat_ratio = (13.0 + 3.0 * person.fat) / width
    skin, muscle, inside = 1.0, (1 - fat_ratio) ** 2.5, (1 - fat_ratio - 0.085) ** 2.5
    tissue = canvas.tissue
    np.copyto(tissue, np.uint8(Tissue.FAT), where=radius <= skin)
    np.copyto(tissue, np.uint8(Tissue.MUSCLE), where=radius <= muscle)
    np.copyto(tissue, np.uint8(Tissue.VISCERAL_FAT), where=radius <= inside)
    _paint_ribs(canvas, radius, (0.75 * inside + 0.25 * muscle, 0.3 * inside + 0.7 * muscle))
    _paint_back(canvas)


def paint_lungs(canvas: Canvas, person: Person) -> None:
    """Paint both lungs above the domes of the diaphragm, with the vessels that branch out from their roots."""
    size = person.scale["lungs"]
    lift = person.shift_mm["lungs"][2]
    domes = (
        ((68.0, -4.0, -4.0 + lift), (86.0, 98.0, 76.0)),
        ((-68.0, -4.0, -8.0 + lift), (84.0, 98.0, 74.0)),
        ((-8.0, 22.0, -8.0 + lift), (78.0, 78.0, 76.0)),  # where the heart rests
    )
    for side in (1.0, -1.0):
        inside = _lung(side, size, domes)
        canvas.paint(
            Tissue.LUNG,
            (min(0.0, side * 170), -130.0, 8.0),
            (max(0.0, side * 170), 130.0, 295.0),
            inside,
            over=INTERIOR,
        )
        _paint_lung_vessels(canvas, person, side)


def paint_lung_lesion(canvas: Canvas, person: Person, lesion: Lesion) -> None:
    """Paint a lobed tumour in a lung: a ball and five smaller ones on its surface; it may swallow vessels, not the
    wall."""
    random = person.stream("lung-lesion")
    centre, radius = lesion.centre_mm, lesion.radius_mm
    canvas.ellipsoid(Tissue.LUNG_LESION, centre, (radius, radius, radius), over=_LUNG_AND_VESSELS)
    for _ in range(5):
        way = random.standard_normal(3)
        way = np.round(way / math.sqrt(float(way @ way)), 6)
        x, y, z = (c + 0.75 * radius * float(w) for c, w in zip(centre, way, strict=True))
        lobe = round(float(random.uniform(0.35, 0.6)) * radius, 6)
        canvas.ellipsoid(Tissue.LUNG_LESION, (x, y, z), (lobe, lobe, lobe), over=_LUNG_AND_VESSELS)


def _lung(side: float, size: float, domes: Sequence[tuple[Point, Point]]) -> Inside:
    """A lung bulges towards the spine's side like an ellipsoid; outwards the wall ends it, downwards the domes."""

    def inside(x: Field, y: Field, z: Field) -> Mask:
        outward = x * np.float32(side) - np.float32(74.0)
        np.copyto(outward, outward * np.float32(0.4), where=outward > 0)
        hit = ellipsoid_level(outward, y, z, (0.0, -6.0, 70.0), (60.0 * size, 112.0 * size, 222.0)) <= 1
        hit &= z > np.float32(8.0)
        for centre, radii in domes:
            hit &= ellipsoid_level(x, y, z, centre, radii) > 1
        return hit

    return inside


def _superellipse(canvas: Canvas, width: float, depth: float) -> Field:
    """Give |x/a|^2.5 + |y/b|^2.5, written with a square root since that one is rounded alike on every processor."""
    total: Field | None = None
    for axis, half in ((canvas.x, width), (canvas.y + np.float32(6.0), depth)):
        part = np.abs(axis * np.float32(1 / half))
        part *= part * np.sqrt(part)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def _paint_table(canvas: Canvas) -> None:
    """The table does not move with the patient, so it is painted in frame coordinates."""
    x, y, _ = canvas.frame_mm
    sag_mm = 0.0006 * (x * x)
    depth = (TABLE_TOP_MM + sag_mm)[:, None] - y[None, :]
    hit = (depth > 0) & (depth < 9) & (np.abs(x) < 140)[:, None]
    canvas.tissue[hit] = Tissue.TABLE


def _paint_ribs(canvas: Canvas, radius: Field, band: tuple[float, float]) -> None:
    """Ribs are the part of a shell in the wall that lies near sloping planes: the fronts hang lower than the backs."""
    shell = np.flatnonzero((radius > np.float32(band[0])) & (radius < np.float32(band[1])))
    z = canvas.z.ravel()[shell]
    keep = z > np.float32(LOWEST_RIB_MM)
    shell, z = shell[keep], z[keep]
    x, y = canvas.x.ravel()[shell], canvas.y.ravel()[shell]
    turn = (z + y * np.float32(0.55)) * np.float32(1 / RIB_PITCH_MM)
    near = np.abs(turn - np.floor(turn) - np.float32(0.5)) < np.float32(RIB_HEIGHT_MM / RIB_PITCH_MM / 2)
    near &= (z > np.float32(80.0)) | (np.abs(x) > np.float32(38.0))
    canvas.tissue.ravel()[shell[near]] = Tissue.BONE


def _paint_back(canvas: Canvas) -> None:
    everywhere = (-140.0, 330.0)
    for side in (1.0, -1.0):
        _column(canvas, Tissue.MUSCLE, (side * 34.0, -84.0), (27.0, 17.0), everywhere)
        _column(canvas, Tissue.MUSCLE, (side * 39.0, -54.0), (17.0, 19.0), (-140.0, 8.0))
        canvas.tube(
            Tissue.MUSCLE,
            [(side * 26, -40, 50), (side * 17, -32, 5), (side * 14, -34, -20)],
            [6, 8, 4],
            over=INTERIOR,
            detail=2,
        )
    _column(canvas, Tissue.BONE, (0.0, -57.0), (24.0, 20.0), everywhere)
    _column(canvas, Tissue.MARROW, (0.0, -57.0), (21.0, 17.0), everywhere)
    _column(canvas, Tissue.BONE, (0.0, -86.0), (15.0, 14.0), everywhere)
    _column(canvas, Tissue.BONE, (0.0, -100.0), (4.0, 16.0), everywhere)
    _column(canvas, Tissue.CORD, (0.0, -84.0), (9.0, 8.0), everywhere)

    def disc(x: Field, y: Field, z: Field) -> Mask:
        turn = z * np.float32(1 / 34.0)
        flat = (x * np.float32(1 / 25)) ** 2 + ((y + np.float32(57.0)) * np.float32(1 / 21)) ** 2
        return np.asarray((flat < 1) & (np.abs(turn - np.floor(turn) - np.float32(0.5)) < np.float32(0.13)))

    over = tissues(Tissue.BONE, Tissue.MARROW)
    canvas.paint(Tissue.DISC, (-26.0, -79.0, everywhere[0]), (26.0, -35.0, everywhere[1]), disc, over=over)


def _column(
    canvas: Canvas,
    tissue: Tissue,
    centre: tuple[float, float],
    radii: tuple[float, float],
    heights: tuple[float, float],
) -> None:
    """Paint an upright cylinder of elliptic section over anything that is body."""

    def inside(x: Field, y: Field, z: Field) -> Mask:
        flat = ((x - np.float32(centre[0])) * np.float32(1 / radii[0])) ** 2
        flat += ((y - np.float32(centre[1])) * np.float32(1 / radii[1])) ** 2
        return np.asarray((flat < 1) & (z > np.float32(heights[0])) & (z < np.float32(heights[1])))

    low = (centre[0] - radii[0], centre[1] - radii[1], heights[0])
    high = (centre[0] + radii[0], centre[1] + radii[1], heights[1])
    over = _BODY | tissues(Tissue.BONE, Tissue.MARROW)
    canvas.paint(tissue, low, high, inside, over=over)


def _paint_lung_vessels(canvas: Canvas, person: Person, side: float) -> None:
    random = person.stream(f"lung-vessels{side:+.0f}")
    root = (side * 32.0, -12.0, 165.0)
    for _ in range(9):
        goal = (side * random.uniform(70, 115), random.uniform(-75, 60), random.uniform(70, 265))
        bend = tuple((a + b) / 2 + float(random.uniform(-14, 14)) for a, b in zip(root, goal, strict=True))
        knots = [tuple(round(float(v), 6) for v in knot) for knot in (root, bend, goal)]
        canvas.tube(Tissue.LUNG_VESSEL, [(k[0], k[1], k[2]) for k in knots], [6.5, 4.5, 2.0], over=_LUNG, detail=2)
