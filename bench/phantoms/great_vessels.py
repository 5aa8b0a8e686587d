"""Paint the tubes that run through chest and abdomen: aorta, inferior vena cava and oesophagus."""

from __future__ import annotations

from bench.phantoms.body import Person
from bench.phantoms.canvas import Canvas
from bench.phantoms.placing import Placed
from bench.phantoms.tissue import Tissue
from bench.phantoms.torso import CHEST


def paint_great_vessels(canvas: Canvas, person: Person) -> None:
    """Paint aorta, inferior vena cava and oesophagus, which run through chest and abdomen."""
    aorta = Placed(person, "aorta")
    path = [
        aorta.at(-20, -34, 190),
        aorta.at(-19, -26, 110),
        aorta.at(-10, -23, 40),
        aorta.at(-6, -22, -30),
        aorta.at(-5, -24, -150),
    ]
    canvas.tube(Tissue.AORTA, path, aorta.long(11.5, 12, 12, 11, 10.5), over=CHEST, detail=4)
    cava = Placed(person, "inferior-vena-cava")
    path = [
        cava.at(34, 10, 108),
        cava.at(28, -8, 72),
        cava.at(23, -18, 20),
        cava.at(19, -19, -40),
        cava.at(17, -22, -150),
    ]
    canvas.tube(Tissue.VENA_CAVA, path, cava.long(11, 12, 12, 12, 12), over=CHEST, detail=4)
    gullet = Placed(person, "oesophagus")
    path = [
        gullet.at(-4, -26, 330),
        gullet.at(-3, -24, 190),
        gullet.at(-1, -14, 110),
        gullet.at(-12, -3, 78),
        gullet.at(-27, 0, 60),
    ]
    canvas.tube(Tissue.OESOPHAGUS, path, gullet.long(8, 9, 9.5, 10, 10), over=CHEST, detail=3)
