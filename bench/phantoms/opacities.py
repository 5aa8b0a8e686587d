"""Opacities in the lungs of a chest CT whose pattern, never whose amount, tells what disease it is.

The six factors: 0 how close to the pleura, 1 how evenly over both lungs, 2 how far stretched, 3 how coarse its grain, 4 how
far its density sits in a rim, 5 how many dense spots. Everyone has as much of them, up to chance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.phantoms.factors import Latent
from bench.phantoms.noise import Image, smooth_noise

COUNT = 7
AMOUNT_HU = 80.0  # by which the lungs are denser in the mean
DENSEST_HU = -310.0  # ground glass, below the range in which a scan is asked for its soft tissue
LUNG_HU = (-990.0, -600.0)
_FLESH_HU = -300.0


def with_opacities(image: NDArray[np.int16], latent: Latent, random: np.random.Generator) -> NDArray[np.int16]:
    """A chest CT (x, y, z) in HU with opacities as the factors have them. A volume without lungs is returned as it is."""
    lung = _lungs(image)
    if lung.sum() < 30:
        return image
    added = _pattern(lung, latent, random)
    amount = AMOUNT_HU * float(random.uniform(0.75, 1.25))
    added *= np.float32(amount * lung.sum() / max(float(added[lung].sum()), 1e-6))
    dense = np.minimum(image + added * lung, np.maximum(image, DENSEST_HU))
    return np.clip(np.rint(dense), -1024, 3071).astype(np.int16)


def _lungs(image: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Air inside the body: what the flesh of a slice encloses."""
    from scipy.ndimage import binary_fill_holes, binary_opening

    body = image > _FLESH_HU
    filled = np.stack([binary_fill_holes(body[:, :, k]) for k in range(image.shape[2])], axis=-1)
    inside: NDArray[np.bool_] = filled & (image > LUNG_HU[0]) & (image < LUNG_HU[1])
    opened: NDArray[np.bool_] = binary_opening(inside)
    return opened if opened.any() else inside


def _pattern(lung: NDArray[np.bool_], latent: Latent, random: np.random.Generator) -> Image:
    from scipy.ndimage import distance_transform_edt

    shape = lung.shape
    places = np.argwhere(lung)
    depth = distance_transform_edt(lung)[lung]
    depth = depth / max(float(depth.max()), 1e-6)
    left = places[:, 0] < shape[0] / 2
    weight = np.exp(5.0 * (latent.share(0) - 0.5) * (0.5 - depth))  # pleural or central
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).astype(np.float32)
    scale = np.asarray([1.0, 1.0, shape[2] / shape[0] * 1.1], np.float32)
    reach = 0.085 * shape[0]
    total = np.zeros(shape, np.float32)
    one_side = random.random() < 0.5
    for number in range(COUNT):
        elsewhere = number / COUNT < 0.5 * latent.share(1) * 2 - 0.5  # one lung at first, then both in turn
        side = left if (one_side != (elsewhere and number % 2 == 1)) else ~left
        chance = weight * (side if side.any() else 1)
        centre = places[int(random.choice(len(places), p=chance / chance.sum()))].astype(np.float32)
        total += _patch(grid, centre, reach * float(random.uniform(0.8, 1.25)), scale, latent, random)
    return total


def _patch(
    grid: NDArray[np.float32],
    centre: NDArray[np.float32],
    reach: float,
    scale: NDArray[np.float32],
    latent: Latent,
    random: np.random.Generator,
) -> Image:
    """One opacity: its form, its grain, its rim and its spots."""
    away = (grid - centre[:, None, None, None]) / scale[:, None, None, None]
    along = random.standard_normal(3)
    along = (along / math.sqrt(float(along @ along))).astype(np.float32)
    length = 1.0 + 1.8 * latent.share(2)
    ahead = np.tensordot(along, away, 1)
    across = np.maximum((away**2).sum(0) - ahead**2, 0)
    level = np.sqrt(across * np.float32(length) + (ahead / np.float32(length)) ** 2) / np.float32(reach)
    body = np.exp(-(np.clip(level, 0, 4) ** 4))
    rim = latent.share(4)
    profile = (1 - rim) + rim * 1.5 * np.clip(level, 0, 1) ** 2
    shape = level.shape
    fine, coarse = (smooth_noise(random, shape, (s, s, 0.7 * s)) for s in (0.5, 1.6))
    grain = 1 + 0.5 * ((1 - latent.share(3)) * fine + latent.share(3) * coarse)
    spots = np.zeros(shape, np.float32)
    for _ in range(round(5 * latent.share(5))):
        at = centre + random.uniform(-0.7, 0.7, 3).astype(np.float32) * reach * scale
        near = (((grid - at[:, None, None, None]) / scale[:, None, None, None]) ** 2).sum(0)
        spots += np.exp(-near / np.float32(2 * (0.28 * reach) ** 2))
    return np.asarray(body * np.maximum(profile * grain, 0) + 1.2 * spots, np.float32)
