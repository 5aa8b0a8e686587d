"""Paint the lungs of a pneumonia by COVID-19: patches of ground glass along the pleura of both lungs, some consolidated."""

from __future__ import annotations

import math

from bench.phantoms.body import Person
from bench.phantoms.canvas import Canvas, tissues
from bench.phantoms.tissue import Tissue

_LUNG = tissues(Tissue.LUNG)
_PATCH = tissues(Tissue.GROUND_GLASS)


def paint_covid_lesions(canvas: Canvas, person: Person) -> None:
    """Three to six patches a lung, more of them low and behind; each third patch has a dense middle."""
    random = person.stream("covid")
    for side in (1.0, -1.0):
        for number in range(int(random.integers(3, 7))):
            turn = math.radians(float(random.uniform(-120, 60)))  # 0 is outwards, -90 behind
            x = side * (74.0 + 38.0 * math.cos(turn))
            y = -6.0 + 74.0 * math.sin(turn)
            z = float(random.triangular(80, 110, 240))
            centre = (round(x, 6), round(y, 6), round(z, 6))
            a, b, c = (round(float(r), 6) for r in random.uniform(14, 30, 3))
            canvas.ellipsoid(Tissue.GROUND_GLASS, centre, (a, b, c), over=_LUNG)
            if number % 3 == 0:
                canvas.ellipsoid(Tissue.CONSOLIDATION, centre, (0.55 * a, 0.55 * b, 0.55 * c), over=_PATCH)
