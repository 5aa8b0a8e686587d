"""One thing in a cube or a picture: a body with a form, a skin, an inside and company, as six latent factors have it.

The factors: 0 how long the body is, 1 its spicules, 2 its lobes, 3 the grain of its inside, 4 how far its density sits in its
rim, 5 its bright and dark spots. A shape of two values has no inside to look at: there they say 3 how deep its rings are, 4 how
many holes it has, 5 how many crumbs lie around it. Mean and spread of every image are drawn without regard to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.phantoms.factors import Latent
from bench.phantoms.noise import Image, smooth_noise

LONGEST = 0.62  # of half a side, the body's mean radius
COMPANY = 3  # vessels that pass by
RINGS, RING_TURNS, HOLES, CRUMBS, SPECK = 0.35, 24.0, 12, 12, 0.09  # of shapes of two values; half a side is 1


@dataclass(frozen=True)
class Style:
    """How a family of specimens looks: grey or coloured, solid or a shape of two values, how grainy its surroundings."""

    form: Literal["solid", "shape"] = "solid"
    channels: int = 1
    surroundings: float = 0.35
    share: float = 0.09  # of all voxels, what a shape fills


def specimen(
    latent: Latent, style: Style, shape: tuple[int, int, int], random: np.random.Generator
) -> NDArray[np.uint8]:
    """The image of one case, (x, y, z) or, where the style has colours, (x, y, z, channels); one slice where z is 1."""
    places = _places(shape, random)
    level = level_of(latent, places, random)  # 1 on the body's surface, 0 in its middle
    if style.form == "shape":
        level = _carved(latent, level, places, random)
        filled = style.share * float(random.uniform(0.85, 1.15))
        inside = level <= np.quantile(level, filled)  # the same size whatever the form
        return np.where(inside, 255, 0).astype(np.uint8)
    density = _density(latent, level, style, random)
    if style.channels == 1:
        return _grey(density, random)
    tints = random.uniform(0.6, 1.0, style.channels)
    planes = [tint * density + 0.25 * smooth_noise(random, shape, _sigmas(shape, 1.0)) for tint in tints]
    return np.stack([_grey(plane, random) for plane in planes], axis=-1)


def _places(shape: tuple[int, int, int], random: np.random.Generator) -> NDArray[np.float32]:
    """Coordinates (3, x, y, z) from -1 to 1 about a middle that moves a little, turned at random (about z in a picture)."""
    axes = [np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    flat = shape[2] == 1
    middle = random.uniform(-0.15, 0.15, 3) * ([1, 1, 0] if flat else [1, 1, 1])
    angles = random.uniform(0, 2 * math.pi, 3) * ([0, 0, 1] if flat else [1, 1, 1])
    turned = np.tensordot(_turn(angles), grid - middle.astype(np.float32)[:, None, None, None], 1)
    return np.asarray(turned, np.float32)


def _turn(angles: NDArray[np.float64]) -> NDArray[np.float32]:
    (a, b, c), (d, e, f) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    about_z = np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    return np.round(about_x @ about_y @ about_z, 6).astype(np.float32)


def level_of(latent: Latent, places: NDArray[np.float32], random: np.random.Generator) -> Image:
    """Distance from the middle in units of the body's surface in that direction, for coordinates (3, x, y, z)."""
    longer = 0.75 + 0.9 * latent.share(0)  # one axis against the others, at the same volume
    stretched = places * np.array([1 / longer, math.sqrt(longer), math.sqrt(longer)], np.float32)[:, None, None, None]
    radius = np.sqrt((stretched**2).sum(0)) + np.float32(1e-6)
    way = stretched / radius
    surface = np.full(radius.shape, LONGEST * random.uniform(0.85, 1.1), np.float32)
    surface *= 1 + np.float32(0.30 * latent.share(2)) * _waves(way, random, count=3, turns=2.2)
    surface *= 1 + np.float32(0.28 * latent.share(1)) * _waves(way, random, count=6, turns=8.0)
    return np.asarray(radius / np.maximum(surface, 0.05), np.float32)


def _carved(latent: Latent, level: Image, places: NDArray[np.float32], random: np.random.Generator) -> Image:
    """The level of a body with rings about it, holes in it and crumbs around it."""
    carved = level + np.float32(RINGS * latent.share(3)) * (1 + np.cos(np.float32(RING_TURNS) * places[0]))
    for factor, most, deep, (low, high) in ((4, HOLES, 1.5, (0.0, 0.75)), (5, CRUMBS, -1.5, (1.15, 1.6))):
        at = np.flatnonzero((level > low) & (level < high))
        for _ in range(round(most * latent.share(factor)) if len(at) else 0):
            middle = places.reshape(3, -1)[:, int(at[int(random.integers(len(at)))])]
            distance = ((places - middle[:, None, None, None]) ** 2).sum(0)
            carved = carved + np.float32(deep) * np.exp(-distance / np.float32(2 * SPECK**2))
    return np.asarray(carved, np.float32)


def _waves(way: NDArray[np.float32], random: np.random.Generator, *, count: int, turns: float) -> Image:
    """A sum of waves over directions, about -1 to 1."""
    total = np.zeros(way.shape[1:], np.float32)
    for _ in range(count):
        towards = random.standard_normal(3)
        towards /= math.sqrt(float(towards @ towards))
        along = np.tensordot(towards.astype(np.float32), way, 1)
        total += np.cos(np.float32(turns) * along + np.float32(random.uniform(0, 2 * math.pi)))
    return total / np.float32(math.sqrt(count))


def inside_of(latent: Latent, level: Image, random: np.random.Generator) -> Image:
    """The body alone, 0 outside: its rim, its grain and its spots."""
    shape = level.shape
    body = 1 / (1 + np.exp(np.clip(14 * (level - 1), -30, 30)))
    rim = latent.share(4)
    profile = (1 - rim) + rim * 1.6 * np.clip(level, 0, 1) ** 2  # from full to hollow
    fine, coarse = (smooth_noise(random, shape, _sigmas(shape, share)) for share in (0.6, 2.4))
    grain = (1 - latent.share(3)) * fine + latent.share(3) * coarse
    return np.asarray(body * (profile + 0.35 * grain) + _spots(latent, level, random), np.float32)


def _density(latent: Latent, level: Image, style: Style, random: np.random.Generator) -> Image:
    """The body and what lies around it, of no particular brightness."""
    inside = inside_of(latent, level, random)
    outside = 1 / (1 + np.exp(np.clip(14 * (1 - level), -30, 30)))
    around = outside * style.surroundings * smooth_noise(random, level.shape, _sigmas(level.shape, 1.5))
    return np.asarray(inside + around + _passers(level.shape, style, random), np.float32)


def _spots(latent: Latent, level: Image, random: np.random.Generator) -> Image:
    """As many bright as dark spots inside the body, more of them as the factor grows."""
    total = np.zeros(level.shape, np.float32)
    inside = np.flatnonzero(level < 0.8)
    count = 2 * round(4 * latent.share(5))
    if not len(inside) or not count:
        return total
    grid = np.stack(np.unravel_index(np.arange(level.size), level.shape)).reshape(3, *level.shape).astype(np.float32)
    width = max(0.9, 0.035 * max(level.shape))
    for number in range(count):
        at = np.unravel_index(int(inside[int(random.integers(len(inside)))]), level.shape)
        distance = sum((grid[axis] - np.float32(at[axis])) ** 2 for axis in range(3))
        total += np.float32(0.9 if number % 2 else -0.9) * np.exp(-distance / np.float32(2 * width**2))
    return total


def _passers(shape: tuple[int, ...], style: Style, random: np.random.Generator) -> Image:
    """Straight tubes that cross the view: company that says nothing of the class."""
    axes = np.meshgrid(*(np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in shape), indexing="ij")
    grid = np.stack(axes).astype(np.float32)
    total = np.zeros(shape, np.float32)
    for _ in range(COMPANY):
        along = random.standard_normal(3) * ([1, 1, 0] if shape[2] == 1 else [1, 1, 1])
        along = (along / math.sqrt(float(along @ along))).astype(np.float32)
        beside = random.uniform(-0.9, 0.9, 3).astype(np.float32)
        away = grid - beside[:, None, None, None]
        across = (away**2).sum(0) - np.tensordot(along, away, 1) ** 2
        width = float(random.uniform(0.05, 0.1))
        total += np.float32(style.surroundings * 1.5) * np.exp(-across / np.float32(2 * width**2))
    return total


def _sigmas(shape: tuple[int, ...], share: float) -> tuple[float, float, float]:
    """Blur in voxels: about `share` at 28 voxels a side, and the same share of larger images."""
    x, y, z = (max(0.33, share * side / 28) if side > 1 else 0.01 for side in shape)
    return x, y, z


def _grey(density: Image, random: np.random.Generator) -> NDArray[np.uint8]:
    """Bytes with a mean and a spread that are drawn apart from everything else."""
    mean, spread = float(random.uniform(95, 135)), float(random.uniform(32, 46))
    standard = (density - density.mean()) / max(float(density.std()), 1e-6)
    return np.clip(np.rint(mean + spread * standard), 0, 255).astype(np.uint8)
