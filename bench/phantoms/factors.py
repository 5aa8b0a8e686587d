"""Class labels of phantoms: several latent factors decide them together, some labels are wrong, brightness decides nothing.

Source   the project's phantom plan, sections D.1 and D.3. A classifier must see shape, texture and arrangement at once
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.phantoms.body import stream

FACTORS = 6
LABEL_NOISE_RATIO = 0.05
MARGIN, MARGIN_OF_TWO = 0.12, 0.5
"""By how much the winning class leads, so that factors near a border do not drown what can be learnt: two classes lie opposite
each other and can lead by more."""
_TRIES = 10_000


@dataclass(frozen=True)
class Latent:
    """What a labelled phantom is made from: factors, each standard normal and clipped to +-2, and its label.

    `shown` is the class that the factors speak for; it differs from `label` in about one case of twenty.
    """

    factors: tuple[float, ...]
    label: int
    shown: int

    def share(self, factor: int) -> float:
        """A factor as a number in (0, 1), the same for every caller. Example: a factor of 0 gives 0.5."""
        return 1 / (1 + math.exp(-1.5 * self.factors[factor]))


def directions(family: str, classes: int) -> NDArray[np.float64]:
    """The direction in which each class lies among the factors, (classes, FACTORS), unit vectors that no factor rules.

    Two classes lie opposite each other; more are spread over the factors' space.
    """
    random = stream("phantom", "classes", family)
    if classes == 2:
        signs = np.sign(random.standard_normal(FACTORS))
        return np.stack([-signs, signs]) / math.sqrt(FACTORS)
    found = random.standard_normal((classes, FACTORS))
    for _ in range(200):  # pushed apart, so that eleven classes in six dimensions stay eleven classes
        away = found[:, None] - found[None]
        distance = np.maximum((away**2).sum(-1, keepdims=True), 1e-6)
        found = found + 0.05 * (away / distance).sum(1)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
    return np.round(found, 6)


def latent(family: str, classes: int, label: int, *key: str) -> Latent:
    """Factors of a case that bears a label: drawn until they speak for it, or, in one case of twenty, for another class."""
    random = stream(*key, "latent")
    wrong = random.random() < LABEL_NOISE_RATIO
    shown = int((label + random.integers(1, classes)) % classes) if wrong else label
    towards = directions(family, classes)
    for _ in range(_TRIES):
        factors = np.clip(random.standard_normal(FACTORS), -2, 2)
        scores = towards @ factors
        ahead = scores[shown] - max(float(scores[k]) for k in range(classes) if k != shown)
        if ahead > (MARGIN_OF_TWO if classes == 2 else MARGIN):
            return Latent(tuple(round(float(f), 6) for f in factors), label, shown)
    raise AssertionError(f"class {shown} of {family} was never drawn")


def even_label(classes: int, number: int, *key: str) -> int:
    """The label of the case in place `number`: every run of `classes` places holds each class once, in a drawn order."""
    block, place = divmod(number, classes)
    return int(stream(*key, "labels", str(block)).permutation(classes)[place])
