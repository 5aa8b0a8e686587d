"""Paint the abdomen: the thirteen organs of BTCV and what lies between them.

Small organs come first and keep their place; the liver, the stomach and the bowel fill in around them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from bench.phantoms.body import Person, Point
from bench.phantoms.canvas import Canvas, Field, Mask, ellipsoid_level, tissues
from bench.phantoms.colon import COLON_MM, colon_path
from bench.phantoms.placing import Placed
from bench.phantoms.tissue import Tissue
from bench.phantoms.torso import INTERIOR

GUT_WALL_MM = 4.5

_LIVER = tissues(Tissue.LIVER)
# lesion tissue, what it may replace (a tumour of the pancreas bulges into the fat around it)
_GROWS_IN = {
    "liver": (Tissue.LIVER_LESION, _LIVER),
    "pancreas": (Tissue.PANCREAS_LESION, tissues(Tissue.PANCREAS, Tissue.VISCERAL_FAT)),
}


def paint_abdomen(canvas: Canvas, person: Person, *, lesions: Collection[str]) -> None:
    """Paint all organs below the diaphragm; `lesions` names the organs whose planned lesions are shown."""
    _paint_portal_vein(canvas, person)
    _paint_adrenals(canvas, person)
    if person.gallbladder_present:
        _paint_gallbladder(canvas, person)
    _paint_pancreas_and_duodenum(canvas, person)
    if person.right_kidney_present:
        _paint_kidney(canvas, person, 1.0)
    _paint_kidney(canvas, person, -1.0)
    _paint_stomach(canvas, person)
    _paint_spleen(canvas, person)
    _paint_liver(canvas, person)
    _paint_bowel(canvas, person)
    for number, lesion in enumerate(person.lesions):
        if lesion.organ not in lesions or lesion.organ not in _GROWS_IN:
            continue
        tissue, over = _GROWS_IN[lesion.organ]
        stretch = person.stream(f"lesion{number}").uniform(0.85, 1.15, 3).round(6).tolist()
        a, b, c = (lesion.radius_mm * factor for factor in stretch)
        canvas.ellipsoid(tissue, Placed(person, lesion.organ).at(*lesion.centre_mm), (a, b, c), over=over)


def _paint_portal_vein(canvas: Canvas, person: Person) -> None:
    vein = Placed(person, "portal-vein")
    meet = vein.at(12, 2, 2)
    canvas.tube(
        Tissue.PORTAL_VEIN, [meet, vein.at(26, 6, 14), vein.at(46, 8, 30)], vein.long(8.5, 8.5, 8), over=INTERIOR
    )
    splenic = [meet, vein.at(-20, -2, 12), vein.at(-52, -22, 24), vein.at(-84, -40, 30)]
    canvas.tube(Tissue.PORTAL_VEIN, splenic, vein.long(8, 7.5, 7, 6.5), over=INTERIOR, detail=2)
    down = [vein.at(11, 4, -6), vein.at(8, 14, -45), vein.at(6, 18, -130)]
    canvas.tube(Tissue.MESENTERIC_VEIN, down, vein.long(7, 7, 6), over=INTERIOR, detail=2)


def _paint_adrenals(canvas: Canvas, person: Person) -> None:
    """Each gland is a lambda: two limbs that part backwards and downwards from one crest."""
    gland = Placed(person, "adrenals")
    thick = gland.long(6.8, 6.0)
    for tissue, crest, inner, outer in (
        (Tissue.RIGHT_ADRENAL, (41.0, -29.0, 50.0), (35.0, -45.0, 30.0), (51.0, -46.0, 34.0)),
        (Tissue.LEFT_ADRENAL, (-38.0, -25.0, 48.0), (-31.0, -42.0, 28.0), (-49.0, -42.0, 32.0)),
    ):
        for limb in (inner, outer):
            canvas.tube(tissue, [gland.at(*crest), gland.at(*limb)], thick, over=INTERIOR, detail=1)


def _paint_gallbladder(canvas: Canvas, person: Person) -> None:
    bladder = Placed(person, "gallbladder")
    path = [bladder.at(50, 30, 6), bladder.at(57, 46, -6), bladder.at(62, 58, -20)]
    canvas.tube(Tissue.GALLBLADDER, path, bladder.long(7, 12, 14), over=INTERIOR)


def _paint_pancreas_and_duodenum(canvas: Canvas, person: Person) -> None:
    gland = Placed(person, "pancreas")
    path = [
        gland.at(31, 6, -30),
        gland.at(29, 12, -10),
        gland.at(8, 19, 2),
        gland.at(-24, 13, 14),
        gland.at(-54, -9, 24),
        gland.at(-82, -27, 34),
    ]
    canvas.tube(Tissue.PANCREAS, path, gland.long(12, 16, 11, 12, 12, 9), over=INTERIOR)
    loop = [
        gland.at(22, 42, 2),
        gland.at(44, 30, 0),
        gland.at(54, 8, -18),
        gland.at(46, 0, -46),
        gland.at(10, 4, -54),
        gland.at(-24, 6, -40),
    ]
    _paint_gut(canvas, loop, [13, 13, 13, 13, 12, 12], wall=Tissue.DUODENUM, filling=Tissue.DUODENUM)


def _paint_kidney(canvas: Canvas, person: Person, side: float) -> None:
    kidney = Placed(person, "right-kidney" if side > 0 else "left-kidney")
    height = -32.0 if side > 0 else -22.0
    centre = kidney.at(side * 66, -48, height)
    radii = kidney.radii(27, 25, 50)
    hollow = (centre[0] - side * 27, centre[1] + 8, centre[2])
    cortex, medulla = (
        (Tissue.RIGHT_KIDNEY_CORTEX, Tissue.RIGHT_KIDNEY_MEDULLA)
        if side > 0
        else (Tissue.LEFT_KIDNEY_CORTEX, Tissue.LEFT_KIDNEY_MEDULLA)
    )

    def hilum(x: Field, y: Field, z: Field) -> Mask:
        return ellipsoid_level(x, y, z, hollow, (16.0, 10.0, 16.0)) < 1

    lean = -0.18 * side
    canvas.ellipsoid(cortex, centre, radii, over=INTERIOR, turn=lean, unless=hilum)
    inner = (radii[0] - 9, radii[1] - 9, radii[2] - 10)
    canvas.ellipsoid(medulla, centre, inner, over=tissues(cortex), turn=lean)


def _paint_stomach(canvas: Canvas, person: Person) -> None:
    """A J-shaped bag: wall, fluid below, gas where the lumen is highest in a patient who lies on the back."""
    bag = Placed(person, "stomach")
    path = [
        bag.at(-56, -10, 66),
        bag.at(-64, 6, 48),
        bag.at(-62, 34, 22),
        bag.at(-38, 52, -2),
        bag.at(-6, 54, -6),
        bag.at(16, 46, 2),
    ]
    level_mm = bag.at(0, 0, 0)[1] + float(person.stream("stomach-gas").uniform(24, 48))
    _paint_gut(canvas, path, bag.long(30, 33, 28, 21, 17, 13), wall=Tissue.STOMACH_WALL, filling=Tissue.STOMACH_FLUID)

    def lumen(_x: Field, y: Field, _z: Field) -> Mask:
        return y > np.float32(level_mm)

    low, high = bag.at(-110, 0, -40), bag.at(40, 100, 110)
    canvas.paint(Tissue.STOMACH_GAS, low, high, lumen, over=tissues(Tissue.STOMACH_FLUID))


def _paint_gut(
    canvas: Canvas, path: Sequence[Point], radii: Sequence[float], *, wall: Tissue, filling: Tissue, detail: int = 3
) -> None:
    canvas.tube(wall, path, radii, over=INTERIOR, detail=detail)
    if filling != wall:
        inner = [max(radius - GUT_WALL_MM, 1.0) for radius in radii]
        canvas.tube(filling, path, inner, over=tissues(wall), detail=detail)


def _paint_spleen(canvas: Canvas, person: Person) -> None:
    organ = Placed(person, "spleen")
    centre = organ.at(-101, -38, 32)
    dent = (centre[0] + 30, centre[1] + 22, centre[2] - 2)

    def hollow(x: Field, y: Field, z: Field) -> Mask:
        return ellipsoid_level(x, y, z, dent, (24.0, 28.0, 40.0)) < 1

    canvas.ellipsoid(Tissue.SPLEEN, centre, organ.radii(33, 44, 50), over=INTERIOR, turn=-0.12, unless=hollow)


def _paint_liver(canvas: Canvas, person: Person) -> None:
    """Right lobe and left lobe; the under side is hollowed where stomach and bowel lie."""
    organ = Placed(person, "liver")
    right, left = organ.at(70, -2, 16), organ.at(-4, 34, 46)
    right_radii, left_radii = organ.radii(70, 84, 78), organ.radii(82, 40, 36)
    hollow = organ.at(6, 26, -34)

    def under(x: Field, y: Field, z: Field) -> Mask:
        below = z < np.float32(right[2] - 66.0) + (np.float32(right[0] + 30) - x) * np.float32(0.35)
        return below | (ellipsoid_level(x, y, z, hollow, (56.0, 78.0, 58.0)) < 1)

    canvas.ellipsoid(Tissue.LIVER, right, right_radii, over=INTERIOR, unless=under)
    canvas.ellipsoid(Tissue.LIVER, left, left_radii, over=INTERIOR, turn=-0.25, unless=under)
    random = person.stream("hepatic-vessels")
    for start, reach in (((46.0, 8.0, 30.0), 1.0), ((30.0, -2.0, 66.0), 0.8)):  # from the hilum, and into the vena cava
        root = organ.at(*start)
        for _ in range(5):
            goal = (
                root[0] + reach * random.uniform(-50, 62),
                root[1] + random.uniform(-50, 55),
                root[2] + random.uniform(-45, 22),
            )
            bend = tuple((a + b) / 2 + float(random.uniform(-9, 9)) for a, b in zip(root, goal, strict=True))
            knots = [tuple(round(float(v), 6) for v in knot) for knot in (root, bend, goal)]
            canvas.tube(
                Tissue.HEPATIC_VESSEL, [(k[0], k[1], k[2]) for k in knots], [6.0, 4.5, 2.5], over=_LIVER, detail=2
            )


def _paint_bowel(canvas: Canvas, person: Person) -> None:
    """Colon frame and a few loops of small bowel, filled with fluid, stool or gas: distractors for stomach and
    pancreas."""
    random = person.stream("bowel")
    gut = Placed(person, "bowel")
    colon = colon_path(person)
    _paint_filled(canvas, colon, [COLON_MM] * len(colon), float(random.random()))
    for height in (-84.0, -112.0, -140.0):
        for column in (-52.0, 0.0, 46.0):
            middle = [
                column + float(random.uniform(-8, 8)),
                22 + float(random.uniform(-8, 8)),
                height + float(random.uniform(-8, 8)),
            ]
            knots = [
                [middle[0] - 26, middle[1] - 14, middle[2]],
                [middle[0], middle[1] + 20, middle[2] + 6],
                [middle[0] + 26, middle[1] - 14, middle[2]],
            ]
            path = [gut.at(*(round(v, 6) for v in knot)) for knot in knots]
            _paint_filled(canvas, path, [12.0, 13.0, 12.0], float(random.random()))


def _paint_filled(canvas: Canvas, path: Sequence[Point], radii: Sequence[float], chance: float) -> None:
    filling = Tissue.BOWEL_GAS if chance < 0.3 else Tissue.BOWEL_CONTENT if chance < 0.8 else Tissue.BOWEL_WALL
    _paint_gut(canvas, path, radii, wall=Tissue.BOWEL_WALL, filling=filling, detail=2)
