"""A block of lung with a wall, and nodules in it whose form and texture, never whose size or density, tell their class."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.phantoms.body import stream
from bench.phantoms.factors import Latent
from bench.phantoms.noise import Image, smooth_noise
from bench.phantoms.scanner import SITES, Site
from bench.phantoms.specimen import LONGEST, inside_of, level_of

LUNG_HU, VESSEL_HU, FLESH_HU, FAT_HU, AIR_HU = (
    -640.0,
    30.0,
    45.0,
    -100.0,
    -1000.0,
)  # lung breathed out: air is air alone
NODULE_HU = 460.0  # by which a nodule is denser than lung, in the mean over the ball of its radius
ORDINARY_BLUR_VOXELS, ORDINARY_NOISE_HU = 0.5, 18.0
Point = tuple[float, float, float]


def lung_block(shape: tuple[int, int, int], random: np.random.Generator) -> Image:
    """Lung with vessels, behind it a wall of flesh and fat, behind that air; float32 HU without noise, (x, y, z)."""
    image = np.full(shape, LUNG_HU, np.float32) + 22 * smooth_noise(random, shape, (1.2, 1.2, 1.2))
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")).astype(np.float32)
    for _ in range(10):
        along = random.standard_normal(3)
        along = (along / math.sqrt(float(along @ along))).astype(np.float32)
        away = grid - random.uniform(-1, 1, 3).astype(np.float32)[:, None, None, None]
        across = (away**2).sum(0) - np.tensordot(along, away, 1) ** 2
        width = float(random.uniform(0.02, 0.05))
        image += np.float32(VESSEL_HU - LUNG_HU) * np.exp(-across / np.float32(2 * width**2))
    image = np.minimum(image, VESSEL_HU)
    depth = grid[1] + np.float32(0.06) * smooth_noise(random, shape, (6.0, 0.01, 6.0))
    for beyond, value in ((-0.46, FLESH_HU), (-0.72, FAT_HU), (-0.78, AIR_HU)):
        image[depth < np.float32(beyond)] = value
    return image


def add_nodule(image: Image, centre: Point, radius: float, latent: Latent, random: np.random.Generator) -> None:
    """Put one nodule into an image (x, y, z) of HU, in place; `centre` and `radius` in voxels. It never reaches the wall.

    Every nodule of one radius brings the same mass, up to chance.
    """
    reach = radius / LONGEST * 1.6
    box = tuple(
        slice(max(0, math.floor(c - reach)), min(n, math.ceil(c + reach) + 1))
        for c, n in zip(centre, image.shape, strict=True)
    )
    axes = [np.arange(part.start, part.stop, dtype=np.float32) for part in box]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    places = (grid - np.asarray(centre, np.float32)[:, None, None, None]) / np.float32(radius / LONGEST)
    inside = np.maximum(inside_of(latent, level_of(latent, places, random), random), 0)
    ball = 4 / 3 * math.pi * radius**3
    mass = NODULE_HU * ball * float(random.uniform(0.85, 1.15))
    part = image[box]
    part += np.where(part < -350, inside * np.float32(mass / max(float(inside.sum()), 1e-6)), 0)
    np.minimum(part, np.float32(400.0), out=part)


def reserved_site(*key: str) -> Site:
    """Draw, for a block's key, one of the two scanners that no training case has seen."""
    reserved = [site for site in SITES if site.reserved]
    return reserved[int(stream(*key, "site").integers(len(reserved)))]


def scanned(image: Image, random: np.random.Generator, site: Site | None = None) -> NDArray[np.int16]:
    """The block as an ordinary scanner gives it, a little blurred and with white noise, or one site's; int16 HU.

    Of a site's habits a block shows blur, noise, grain and offset; it has no round field of view and is too small for cupping.
    """
    from scipy.ndimage import gaussian_filter

    blur, noise_hu = (site.blur_voxels, site.noise_hu) if site else (ORDINARY_BLUR_VOXELS, ORDINARY_NOISE_HU)
    blurred = gaussian_filter(image, blur, mode="nearest", truncate=3.0)
    strength = np.where(blurred < -900, np.float32(0.4 * noise_hu), np.float32(noise_hu))
    if site is None:
        noise = random.standard_normal(image.shape, dtype=np.float32)
    else:
        noise = smooth_noise(random, image.shape, (site.grain_voxels, site.grain_voxels, 0.3))
    noisy = blurred + strength * noise + np.float32(site.offset_hu if site else 0.0)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)


def spread_places(count: int, shape: tuple[int, int, int], margin: float, random: np.random.Generator) -> list[Point]:
    """Places in the lung of a block that keep twice `margin` (voxels) from each other where there is room for it."""
    found: list[Point] = []
    low = np.asarray([margin, max(margin, 0.34 * shape[1]), margin])
    high = np.asarray(shape) - 1 - margin
    for _ in range(count):
        tries = [np.round(random.uniform(low, high), 3) for _ in range(60)]
        apart = [min((float(((t - np.asarray(f)) ** 2).sum()) for f in found), default=math.inf) for t in tries]
        x, y, z = tries[int(np.argmax(np.minimum(apart, (2 * margin) ** 2)))].tolist()
        found.append((x, y, z))
    return found
