"""Smooth random fields on a voxel grid: grain, texture, the bias field of a coil and the streaks around metal."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def smooth_noise(random: np.random.Generator, shape: tuple[int, ...], sigmas: tuple[float, float, float]) -> Image:
    """Blurred white noise of unit deviation; where the blur is wide it is drawn on a coarser grid and interpolated."""
    from scipy.ndimage import gaussian_filter

    steps = [max(1, int(sigma)) for sigma in sigmas]
    small = [math.ceil(size / step) + 1 for size, step in zip(shape, steps, strict=True)]
    noise = random.standard_normal(small, dtype=np.float32)
    noise = gaussian_filter(
        noise, [sigma / step for sigma, step in zip(sigmas, steps, strict=True)], mode="wrap", truncate=3.0
    )
    for axis, (size, step) in enumerate(zip(shape, steps, strict=True)):
        noise = _stretched(noise, axis, size, step)
    noise -= noise.mean()
    return np.asarray(noise / max(float(noise.std()), 1e-6), dtype=np.float32)


def _stretched(noise: Image, axis: int, size: int, step: int) -> Image:
    if step == 1:
        return np.take(noise, np.arange(size), axis=axis)
    place = np.arange(size) / step
    left = place.astype(np.intp)
    form = [1, 1, 1]
    form[axis] = size
    weight = (place - left).astype(np.float32).reshape(form)
    return np.asarray(
        np.take(noise, left, axis=axis) * (1 - weight) + np.take(noise, left + 1, axis=axis) * weight, dtype=np.float32
    )


def _ramps(shape: tuple[int, ...]) -> list[Image]:
    """Give -1..1 along each axis, shaped to broadcast."""
    return [
        np.linspace(-1, 1, size, dtype=np.float32).reshape([size if k == axis else 1 for k in range(3)])
        for axis, size in enumerate(shape)
    ]


def squared_radius(shape: tuple[int, ...]) -> Image:
    """Squared distance from the middle of the slice, 1 on the ellipse that touches its sides."""
    x, y, _ = _ramps(shape)
    return np.asarray(x * x + y * y, dtype=np.float32)


def bias_field(shape: tuple[int, ...], random: np.random.Generator) -> Image:
    """A smooth field of about unit range: a random polynomial of second degree in x, y and z."""
    x, y, z = _ramps(shape)
    weights = random.uniform(-1, 1, 7).astype(np.float32)
    terms = (x, y, z, x * x, y * y, x * y, y * z)
    return np.asarray(sum(weight * term for weight, term in zip(weights, terms, strict=True)), dtype=np.float32)


def metal_streak(shape: tuple[int, ...], random: np.random.Generator) -> Image:
    """Rays of light and dark around a piece of metal in a few slices."""
    x, y, z = _ramps(shape)
    place = random.uniform(-0.4, 0.4, 3)
    dx, dy = x - np.float32(place[0]), y - np.float32(place[1])
    rays = np.sin(np.float32(9.0) * np.arctan2(dy, dx)) * np.exp(-np.float32(2.5) * np.sqrt(dx * dx + dy * dy))
    return np.asarray(
        np.float32(110.0) * rays * np.exp(-(((z - np.float32(place[2])) / np.float32(0.08)) ** 2)), dtype=np.float32
    )
