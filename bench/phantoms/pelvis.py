"""Paint what the pelvis adds to an abdomen: the bladder, and behind and below it the prostate or the uterus."""

from __future__ import annotations

from bench.phantoms.body import Person
from bench.phantoms.canvas import Canvas
from bench.phantoms.tissue import Tissue
from bench.phantoms.torso import INTERIOR


def paint_pelvis(canvas: Canvas, person: Person) -> None:
    """Paint the bladder, filled as much as it happens to be, and the prostate (men) or the larger uterus (women)."""
    random = person.stream("pelvis")
    fill = round(float(random.uniform(0.8, 1.15)), 6)
    x, y = (round(float(v), 6) for v in random.uniform(-4, 4, 2))
    canvas.ellipsoid(Tissue.BLADDER, (x, 34 + y, -138.0), (31 * fill, 25 * fill, 22 * fill), over=INTERIOR)
    radii = (26.0, 17.0, 20.0) if person.female else (21.0, 16.0, 15.0)
    centre = (x, -4 + y, -140.0) if person.female else (x, 4 + y, -154.0)
    canvas.ellipsoid(Tissue.PROSTATE_UTERUS, centre, radii, over=INTERIOR)
