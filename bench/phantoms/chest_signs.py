"""Paint the findings of a chest into its voxels, each where its report will say it is.

Places are body millimetres. What is painted first keeps its place only where a later sign is not told to cover it: lung as a
whole first, then single spots, then fluid, and metal and calcium last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.phantoms.body import Person, Point
from bench.phantoms.canvas import Canvas, Field, Inside, Mask, tissues
from bench.phantoms.findings import Finding
from bench.phantoms.signs import Sign
from bench.phantoms.tissue import Tissue

_AIRY = tissues(Tissue.LUNG, Sign.BULLA, Sign.GROUND_GLASS, Sign.TRAPPED_AIR, Sign.DENSE_LUNG, Sign.SEPTUM)
_LUNGS = _AIRY | tissues(Tissue.LUNG_VESSEL, Sign.NODULE, Sign.CONSOLIDATED, Sign.COLLAPSED, Sign.SCAR, Sign.THICK_WALL)
_LOOSE = tissues(Tissue.VISCERAL_FAT, Tissue.LUNG, Tissue.LUNG_VESSEL)
_FAT = tissues(Tissue.VISCERAL_FAT)
_VESSEL_WALL = _LOOSE | tissues(Tissue.AORTA)
_HEART_WALL = _LOOSE | tissues(Tissue.MYOCARDIUM, Tissue.RIGHT_VENTRICLE, Sign.FLUID)
_ANYTHING = np.arange(256) > 0

LOBE_HEIGHT_MM: Mapping[str, tuple[float, float]] = {"upper": (205, 255), "middle": (135, 160), "lower": (95, 140)}
HEART_MM: Point = (-15.0, 22.0, 122.0)

Painter = Callable[[Canvas, Finding, np.random.Generator], None]


def enlarged_heart(finding: Finding) -> float:
    """By how much cardiomegaly scales the heart."""
    return 1.22 + 0.07 * finding.degree


def paint_findings(canvas: Canvas, person: Person, findings: Sequence[Finding]) -> None:
    """Paint every finding of `_PAINTERS` that is there, in that order; cardiomegaly is drawn with the heart itself."""
    there = {finding.name: finding for finding in findings}
    for name, paint in _PAINTERS.items():
        if name in there:
            paint(canvas, there[name], person.stream(f"sign {name}"))


def _sides(finding: Finding) -> tuple[float, ...]:
    return {"right": (1.0,), "left": (-1.0,), "both": (1.0, -1.0)}[finding.side]


def _spot(finding: Finding, random: np.random.Generator, side: float) -> Point:
    """A place in the lobe of a finding, well inside the lung: lower lobes lie behind, the middle lobe in front."""
    low, high = LOBE_HEIGHT_MM[finding.lobe]
    front = {"upper": (-35, 25), "middle": (25, 50), "lower": (-60, -15)}[finding.lobe]
    place = side * random.uniform(62, 92), random.uniform(*front), random.uniform(low, high)
    x, y, z = (round(float(value), 6) for value in place)
    return x, y, z


def _ball(canvas: Canvas, sign: Sign, centre: Point, radius: float, over: Mask, flat: float = 1.0) -> None:
    canvas.ellipsoid(sign, centre, (radius, radius, flat * radius), over=over)


def _mosaic(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    phase = [round(float(v), 6) for v in random.uniform(0, 2 * math.pi, 3)]

    def waves(x: Field, y: Field, z: Field) -> Field:
        parts = (np.sin(axis * np.float32(0.12) + np.float32(p)) for axis, p in zip((x, y, z), phase, strict=True))
        return np.asarray(sum(parts), dtype=np.float32)

    level = np.float32(0.9 - 0.25 * finding.degree)
    _everywhere(canvas, Sign.DENSE_LUNG, lambda x, y, z: np.asarray(waves(x, y, z) > level), tissues(Tissue.LUNG))
    _everywhere(canvas, Sign.TRAPPED_AIR, lambda x, y, z: np.asarray(waves(x, y, z) < -level), tissues(Tissue.LUNG))


def _septa(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    pitch, thick = 17.0, 1.6 + 0.5 * finding.degree
    start = [round(float(v), 6) for v in random.uniform(0, pitch, 3)]

    def net(x: Field, y: Field, z: Field) -> Mask:
        near = np.zeros(x.shape, dtype=bool)
        for axis, offset in zip((x, y, z), start, strict=True):
            turn = (axis + np.float32(offset)) * np.float32(1 / pitch)
            near |= (turn - np.floor(turn)) < np.float32(thick / pitch)
        return np.asarray(near & (np.abs(x) > np.float32(55)) & (z < np.float32(220)))

    _everywhere(canvas, Sign.SEPTUM, net, _AIRY, _sides(finding))


def _everywhere(canvas: Canvas, sign: Sign, inside: Inside, over: Mask, sides: Sequence[float] = (1.0, -1.0)) -> None:
    for side in sides:
        low, high = (min(0.0, side * 170), -130.0, 20.0), (max(0.0, side * 170), 130.0, 300.0)

        def half(x: Field, y: Field, z: Field, side: float = side) -> Mask:
            return np.asarray(inside(x, y, z) & (x * np.float32(side) > 0))

        canvas.paint(sign, low, high, half, over=over)


def _emphysema(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    for side in _sides(finding):
        for _ in range(8 + 5 * finding.degree):
            place = side * random.uniform(45, 105), random.uniform(-60, 50), random.uniform(180, 268)
            centre = tuple(round(float(v), 6) for v in place)
            _ball(canvas, Sign.BULLA, (centre[0], centre[1], centre[2]), float(random.uniform(9, 17)), _AIRY)


def _opacity(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    for _ in range(finding.count):
        centre = _spot(finding, random, _sides(finding)[0])
        _ball(canvas, Sign.GROUND_GLASS, centre, 20.0 + 0.5 * finding.size_mm, _AIRY)


def _consolidation(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    x, y, z = _spot(finding, random, _sides(finding)[0])
    radius = 18.0 + 6.0 * finding.degree
    for shift in (0.0, 0.7):
        _ball(
            canvas, Sign.CONSOLIDATED, (x, y - shift * radius, z + shift * radius), radius * (1 - 0.3 * shift), _LUNGS
        )


def _nodule(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    for number in range(finding.count):
        radius = finding.size_mm / 2 if number == 0 else max(3.0, finding.size_mm / 4)
        _ball(canvas, Sign.NODULE, _spot(finding, random, _sides(finding)[0]), radius, _LUNGS)


def _atelectasis(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    centre = _spot(finding, random, _sides(finding)[0])
    canvas.ellipsoid(Sign.COLLAPSED, centre, (34.0, 26.0, 4.0 + 2.0 * finding.degree), over=_LUNGS, turn=0.2)


def _sequela(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    side = _sides(finding)[0]
    for _ in range(4 + 2 * finding.degree):
        a, b = ((side * random.uniform(45, 95), random.uniform(-55, 30), random.uniform(215, 270)) for _ in range(2))
        knots = [tuple(round(float(v), 6) for v in knot) for knot in (a, b)]
        canvas.tube(Sign.SCAR, [(k[0], k[1], k[2]) for k in knots], [3.5, 2.5], over=_LUNGS, detail=1)


def _thick_bronchi(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    _bronchi(canvas, _sides(finding), random, wall=4.0 + finding.degree, hollow=3.0, count=4)


def _wide_bronchi(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    _bronchi(canvas, _sides(finding)[:1], random, wall=9.0, hollow=7.0 + finding.degree, count=5, lobe=finding.lobe)


def _bronchi(
    canvas: Canvas,
    sides: Sequence[float],
    random: np.random.Generator,
    *,
    wall: float,
    hollow: float,
    count: int,
    lobe: str = "",
) -> None:
    for side in sides:
        for _ in range(count):
            heights = LOBE_HEIGHT_MM[lobe] if lobe else (110.0, 230.0)
            goal = side * random.uniform(70, 100), random.uniform(-60, 20), random.uniform(*heights)
            knots = [(side * 36.0, -18.0, 168.0), tuple(round(float(v), 6) for v in goal)]
            points = [(k[0], k[1], k[2]) for k in knots]
            canvas.tube(Sign.THICK_WALL, points, [wall, wall * 0.8], over=_LUNGS, detail=1)
            inner = tissues(Sign.THICK_WALL)
            canvas.tube(Sign.WIDE_BRONCHUS, points, [hollow, hollow * 0.8], over=inner, detail=1)


def _effusion(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    level = -62.0 + 16.0 * finding.degree  # fluid runs to the back of a person lying down

    def pool(x: Field, y: Field, z: Field) -> Mask:
        return np.asarray((y < np.float32(level)) & (z < np.float32(215.0)))

    _everywhere(canvas, Sign.FLUID, pool, _LUNGS, _sides(finding))


def _pericardial(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    x, y, z = HEART_MM
    grown = 6.0 * finding.degree
    canvas.ellipsoid(Sign.FLUID, (x - 8, y + 6, z), (70.0 + grown, 48.0 + grown, 50.0 + grown), over=_LOOSE)


def _nodes(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    places = ((22, 4, 205), (-22, 18, 195), (8, -22, 160), (20, 30, 225), (-8, 34, 215), (30, -18, 185))
    for x, y, z in places[: 3 + finding.count]:
        canvas.ellipsoid(Sign.NODE, (float(x), float(y), float(z)), (11.0, 10.0, 12.0), over=_FAT | _LOOSE)


def _hernia(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    centre = (-12.0, -14.0, 92.0)
    radius = 20.0 + 4.0 * finding.degree
    over = _LOOSE | tissues(Tissue.OESOPHAGUS)
    canvas.ellipsoid(Tissue.STOMACH_GAS, (centre[0], centre[1] + 4, centre[2] + 4), (0.6 * radius,) * 3, over=over)
    canvas.ellipsoid(Tissue.STOMACH_WALL, centre, (radius, radius, radius), over=over)


def _wall_calcium(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    path = ((0, 22, 200), (4, 10, 234), (-12, -18, 230), (-32, -34, 190), (-31, -30, 150), (-30, -26, 110))
    for x, y, z in path[: 4 + finding.degree]:
        canvas.ellipsoid(Sign.CALCIUM, (float(x), float(y), float(z)), (4.0, 7.0, 7.0), over=_VESSEL_WALL)


def _coronary_calcium(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    for x, y, z in ((-38, 54, 132), (-48, 58, 118), (-56, 58, 104), (12, 58, 128), (24, 50, 112))[: 3 + finding.degree]:
        canvas.ellipsoid(Sign.CALCIUM, (float(x), float(y), float(z)), (5.0, 5.0, 6.0), over=_HEART_WALL)


def _device(canvas: Canvas, finding: Finding, random: np.random.Generator) -> None:
    """A port under the skin with its line in the vena cava, or wires in the breastbone."""
    side = _sides(finding)[0]
    canvas.ellipsoid(Sign.METAL, (side * 70, 78.0, 235.0), (13.0, 8.0, 13.0), over=_ANYTHING)
    line = [(side * 70, 74.0, 235.0), (side * 45, 40.0, 268.0), (26.0, 8.0, 240.0), (30.0, 8.0, 175.0)]
    canvas.tube(Sign.METAL, line, [3.0, 3.0, 3.0, 3.0], over=_ANYTHING)


_PAINTERS: Mapping[str, Painter] = {
    "mosaic-attenuation-pattern": _mosaic,
    "emphysema": _emphysema,
    "lung-opacity": _opacity,
    "interlobular-septal-thickening": _septa,
    "pulmonary-fibrotic-sequela": _sequela,
    "peribronchial-thickening": _thick_bronchi,
    "bronchiectasis": _wide_bronchi,
    "consolidation": _consolidation,
    "atelectasis": _atelectasis,
    "lung-nodule": _nodule,
    "hiatal-hernia": _hernia,
    "lymphadenopathy": _nodes,
    "pericardial-effusion": _pericardial,
    "pleural-effusion": _effusion,
    "arterial-wall-calcification": _wall_calcium,
    "coronary-artery-wall-calcification": _coronary_calcium,
    "medical-material": _device,
}
