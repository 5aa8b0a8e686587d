"""A synthetic abdomen to time metrics on: 13 organs of 3 mL to 1.5 L, a shifted and roughened copy, and stray islands.

The size of a raw portal-venous CT: 512x512x150 voxels of 0.76x0.76x3 mm. Organs are ellipsoids whose radius varies
smoothly with direction; neighbours may touch, and a later organ overwrites an earlier one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.uint8]

SHAPE = (512, 512, 150)
SPACING_MM = (0.76, 0.76, 3.0)
SHIFT_VOXELS = (1, 1, 0)
ROUGHNESS_MM = 1.5
N_RIPPLES = 24
# name, volume in mL, centre in mm from the centre of the image, axes relative to one another
ORGANS = (
    ("liver", 1500, (-65, -10, 60), (1.2, 1.0, 0.9)),
    ("stomach", 350, (70, 25, 60), (1.0, 1.2, 0.9)),
    ("spleen", 220, (115, -45, 65), (0.8, 1.1, 1.2)),
    ("right-kidney", 170, (-60, -75, -30), (0.8, 0.8, 1.5)),
    ("left-kidney", 175, (65, -75, -20), (0.8, 0.8, 1.5)),
    ("gallbladder", 40, (-55, 55, 0), (0.8, 0.9, 1.4)),
    ("esophagus", 18, (12, -25, 130), (0.7, 0.7, 2.0)),
    ("aorta", 110, (8, -55, -10), (0.6, 0.6, 2.8)),
    ("inferior-vena-cava", 80, (-20, -50, -10), (0.6, 0.7, 2.4)),
    ("portal-vein", 35, (-5, 0, 15), (2.0, 0.8, 0.7)),
    ("pancreas", 85, (20, 10, -15), (2.0, 0.8, 0.7)),
    ("right-adrenal", 3, (-38, -55, 45), (1.2, 0.6, 1.4)),
    ("left-adrenal", 4, (40, -55, 45), (1.2, 0.6, 1.4)),
)
CLASSES = {label: name for label, (name, *_) in enumerate(ORGANS, start=1)}
N_ISLANDS = 26


def truth_and_copy() -> tuple[Map, Map]:
    """The truth, and the copy that a fair network might predict."""
    truth, copy = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for label, (_, volume_ml, centre_mm, axes) in enumerate(ORGANS, start=1):
        rng = np.random.default_rng([512, label])
        lobes = rng.normal(size=(4, 3)), rng.uniform(0, 2 * np.pi, 4)
        ripples = rng.normal(size=(N_RIPPLES, 3)), rng.uniform(0, 2 * np.pi, N_RIPPLES)
        _draw(truth, label, volume_ml, centre_mm, axes, lobes, None)
        _draw(copy, label, volume_ml, centre_mm, axes, lobes, ripples)
    return truth, np.roll(copy, SHIFT_VOXELS, axis=(0, 1, 2))


def with_islands(clean: Map) -> Map:
    """The map with 26 false-positive islands, two of each class, strewn over the whole image as raw network output has."""
    stray = clean.copy()
    rng = np.random.default_rng(26)
    for number in range(N_ISLANDS):
        low = [int(rng.integers(2, size - 14)) for size in SHAPE]
        size = rng.integers(2, (12, 12, 4))
        island = tuple(slice(start, start + int(extent)) for start, extent in zip(low, size, strict=True))
        stray[island] = number % len(ORGANS) + 1
    return stray


def _draw(
    volume: Map,
    label: int,
    volume_ml: float,
    centre_mm: tuple[float, float, float],
    axes: tuple[float, float, float],
    lobes: tuple[NDArray[np.float64], NDArray[np.float64]],
    ripples: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> None:
    radius_mm = (volume_ml * 1000 * 3 / (4 * np.pi * np.prod(axes))) ** (1 / 3)
    semi_mm = radius_mm * np.asarray(axes)
    middle = [size / 2 + centre / step for size, centre, step in zip(SHAPE, centre_mm, SPACING_MM, strict=True)]
    half = [int(1.4 * semi / step) + 6 for semi, step in zip(semi_mm, SPACING_MM, strict=True)]
    low = [max(0, int(centre) - reach) for centre, reach in zip(middle, half, strict=True)]
    high = [min(size, int(centre) + reach) for size, centre, reach in zip(SHAPE, middle, half, strict=True)]
    x, y, z = np.ogrid[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))]
    p = [(part - centre) * step for part, centre, step in zip((x, y, z), middle, SPACING_MM, strict=True)]
    level = np.sqrt(sum((part / semi) ** 2 for part, semi in zip(p, semi_mm, strict=True)))
    for direction, phase in zip(*lobes, strict=True):
        level = level + 0.03 * np.sin(
            sum(d * part for d, part in zip(direction, p, strict=True)) / radius_mm * 2 + phase
        )
    if ripples is not None:
        for direction, phase in zip(*ripples, strict=True):
            wave = np.sin(sum(d * part for d, part in zip(direction, p, strict=True)) / 6 + phase)
            level = level + ROUGHNESS_MM / radius_mm * wave / np.sqrt(N_RIPPLES / 2)
    region = volume[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))]
    region[level <= 1] = label
