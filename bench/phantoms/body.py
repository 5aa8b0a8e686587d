"""One latent person: every number that decides the anatomy, drawn from named random streams before any voxel is drawn.

Source   the project's phantom plan, sections D.1 and D.3; sizes and places are typical of an adult, rounded, and ours
Frame    millimetres in RAS: +x the patient's right, +y front, +z head; the origin lies in front of the first lumbar
vertebra
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

GENERATOR_VERSION = "5"

Point = tuple[float, float, float]
Rotation = tuple[Point, Point, Point]

SHAPE_COEFFICIENTS = 12
GALLBLADDER_ABSENT_RATIO = 0.08
RIGHT_KIDNEY_ABSENT_RATIO = 0.04
WARP_LEVELS = ((300.0, 12.0), (180.0, 7.0), (110.0, 3.0))  # wavelength and largest amplitude, mm
POSE_LIMIT_DEG = 8.0

# organ: relative spread of its size, spread of its place in mm
ORGAN_SPREAD: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "torso": (0.04, 0.0),
        "liver": (0.10, 8.0),
        "spleen": (0.14, 8.0),
        "right-kidney": (0.12, 8.0),
        "left-kidney": (0.12, 8.0),
        "adrenals": (0.11, 4.0),
        "gallbladder": (0.18, 8.0),
        "stomach": (0.14, 9.5),
        "pancreas": (0.12, 6.5),
        "oesophagus": (0.11, 3.0),
        "aorta": (0.11, 3.5),
        "inferior-vena-cava": (0.11, 3.5),
        "portal-vein": (0.09, 3.0),
        "bowel": (0.13, 11.0),
        "lungs": (0.05, 4.0),
        "heart": (0.06, 4.0),
        "left-atrium": (0.10, 2.5),
        "hippocampus": (0.07, 1.2),
    }
)


def stream(*parts: str) -> np.random.Generator:
    """Give the random generator that belongs to a name, so that any case and any stage can be redrawn alone.

    The key of the counter-based Philox generator is the first half of sha256 over the parts joined by ``|``.
    """
    digest = hashlib.sha256("|".join(parts).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


@dataclass(frozen=True, kw_only=True)
class WarpTerm:
    """One product of three sine waves that shifts one axis: amplitude_mm * sx(x) * sy(y) * sz(z).

    `frequency` is per axis in radians per mm, `phase` in radians.
    """

    axis: int
    amplitude_mm: float
    frequency: Point
    phase: Point


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One roundish lesion: the organ it grows in, its centre (before the organ's own shift) and radius in mm."""

    organ: str
    centre_mm: Point
    radius_mm: float


@dataclass(frozen=True, kw_only=True)
class Person:
    """All that is latent about one phantom: what images, labels and, later, findings are made from.

    `shape` holds the correlated coefficients (standard normal, clipped to +-2); `scale` and `shift_mm` what follows
    from them for each organ; `rotation` the pose; `warp` the smooth deformation. `mirrored` swaps left and right where
    a view shows one of two sides (the hippocampus); the torso always has its heart on the left.
    """

    key: tuple[str, ...]
    female: bool
    age_years: int
    fat: float
    shape: tuple[float, ...]
    scale: Mapping[str, float]
    shift_mm: Mapping[str, Point]
    rotation: Rotation
    warp: tuple[WarpTerm, ...]
    gallbladder_present: bool
    right_kidney_present: bool
    mirrored: bool
    lesions: tuple[Lesion, ...]

    def stream(self, stage: str) -> np.random.Generator:
        """Give the generator of one stage of this person, e.g. ``"bowel"``."""
        return stream(*self.key, stage)


def person(*key: str) -> Person:
    """Draw the latent person that belongs to a key, usually (preset, dataset, case).

    The same key gives the same person, whatever was drawn before. All floats are rounded to 1e-6, so that the last
    digit of another processor's sine cannot move a voxel from one organ to the next.
    """
    random = stream(*key, "person")
    shape = _correlated(random)
    loading = stream("phantom", "organ-loadings")
    scale: dict[str, float] = {}
    shift: dict[str, Point] = {}
    for name, (size_spread, place_spread_mm) in ORGAN_SPREAD.items():
        weights = loading.standard_normal((4, SHAPE_COEFFICIENTS)) / math.sqrt(SHAPE_COEFFICIENTS)
        size, *place = (_dot(row, shape) for row in weights.tolist())
        own = np.clip(random.standard_normal(3), -2, 2).tolist()
        scale[name] = round(1.0 + size_spread * min(2.0, max(-2.0, size)), 6)
        shift[name] = _point(place_spread_mm * (0.7 * p + 0.5 * o) for p, o in zip(place, own, strict=True))
    return Person(
        key=key,
        female=bool(random.random() < 0.5),
        age_years=int(random.integers(25, 85)),
        fat=round(min(2.0, max(-1.0, 0.6 * shape[0] + 0.5 * float(random.standard_normal()))), 6),
        shape=shape,
        scale=scale,
        shift_mm=shift,
        rotation=_rotation(random),
        warp=_warp(random),
        gallbladder_present=bool(stream(*key, "gallbladder").random() >= GALLBLADDER_ABSENT_RATIO),
        right_kidney_present=bool(stream(*key, "kidney-removed").random() >= RIGHT_KIDNEY_ABSENT_RATIO),
        mirrored=bool(stream(*key, "side").random() < 0.5),
        lesions=_lesions(stream(*key, "lesions")),
    )


def _dot(left: list[float], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _point(values: object) -> Point:
    x, y, z = (round(float(value), 6) for value in values)  # type: ignore[attr-defined]
    return x, y, z


def _correlated(random: np.random.Generator) -> tuple[float, ...]:
    """Draw coefficients of unit variance that share three factors, so that organs of one person go together."""
    factors = stream("phantom", "shape-factors").standard_normal((SHAPE_COEFFICIENTS, 3)).tolist()
    common = tuple(random.standard_normal(3).tolist())
    own = random.standard_normal(SHAPE_COEFFICIENTS).tolist()
    values = []
    for row, alone in zip(factors, own, strict=True):
        length = math.sqrt(sum(weight * weight for weight in row) + 0.5)
        values.append(round(min(2.0, max(-2.0, (_dot(row, common) + math.sqrt(0.5) * alone) / length)), 6))
    return tuple(values)


def _rotation(random: np.random.Generator) -> Rotation:
    """Turn by up to 8 degrees about each axis; spread 2.5 degrees, since patients are laid down straight."""
    turn = np.clip(2.5 * random.standard_normal(3), -POSE_LIMIT_DEG, POSE_LIMIT_DEG).tolist()
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(math.radians(t)), math.sin(math.radians(t))) for t in turn)
    return (
        _point((cy * cz, cz * sx * sy - cx * sz, cx * cz * sy + sx * sz)),
        _point((cy * sz, cx * cz + sx * sy * sz, cx * sy * sz - cz * sx)),
        _point((-sy, cy * sx, cx * cy)),
    )


def _warp(random: np.random.Generator) -> tuple[WarpTerm, ...]:
    terms = []
    for wavelength_mm, largest_mm in WARP_LEVELS:
        for axis in range(3):
            stretch = random.uniform(0.8, 1.25, 3)
            terms.append(
                WarpTerm(
                    axis=axis,
                    amplitude_mm=round(float(random.uniform(-largest_mm, largest_mm)), 6),
                    frequency=_point(2 * math.pi / (wavelength_mm * stretch)),
                    phase=_point(random.uniform(0, 2 * math.pi, 3)),
                )
            )
    return tuple(terms)


def _lesions(random: np.random.Generator) -> tuple[Lesion, ...]:
    """Plan the lesions of a person: none to three in the liver, at most one each in pancreas and colon, one in a lung.

    A view decides which of them it shows, so that a task on healthy organs stays one.
    """
    lesions = []
    for _ in range(1 + int(random.integers(0, 3))):
        place = (random.uniform(50, 95), random.uniform(-30, 35), random.uniform(5, 38))
        lesions.append(Lesion(organ="liver", centre_mm=_point(place), radius_mm=round(float(random.uniform(9, 20)), 6)))
    along = float(random.uniform(0, 1))  # from the head of the pancreas to its body
    place = (30 - 48 * along, 9 + 7 * along, -20 + 32 * along)
    lesions.append(Lesion(organ="pancreas", centre_mm=_point(place), radius_mm=round(float(random.uniform(10, 15)), 6)))
    side = 1.0 if random.random() < 0.55 else -1.0
    place = (side * random.uniform(68, 88), random.uniform(-40, 15), random.uniform(150, 225))
    lesions.append(Lesion(organ="lung", centre_mm=_point(place), radius_mm=round(float(random.uniform(10, 20)), 6)))
    return tuple(lesions)
