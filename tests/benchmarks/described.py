"""A cube described by hand, wherever it is turned: how its power, its brightness and its spread lie, and how long its body is.

What a linear model reads from these numbers is visible in the image; a network that reads less has not learnt to see it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SHELLS = 10  # about the middle, of equal thickness
BANDS = 12  # of spatial frequency


def description(cube: NDArray[Any]) -> NDArray[np.float64]:
    """Of a cube (side, side, side): log power per band, mean and variance per shell, log axes of what is bright, skewness, peak.

    Example: 12 + 10 + 10 + 3 + 2 = 37 numbers, none of which changes with the cube's brightness or contrast.
    """
    values = cube.astype(np.float64)
    values = (values - values.mean()) / max(float(values.std()), 1e-9)
    side = len(values)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij"))
    away = np.sqrt((grid**2).sum(0))
    shell = np.minimum((away * 0.8 * SHELLS).astype(int), SHELLS - 1).ravel()
    count = np.bincount(shell, minlength=SHELLS)
    profile = np.bincount(shell, values.ravel(), SHELLS) / count
    spread = np.bincount(shell, values.ravel() ** 2, SHELLS) / count - profile**2
    moments = [float((values**3).mean()), float((values**4).mean())]
    return np.asarray([*_power(values), *profile, *spread, *_axes(values, grid, away), *moments])


def _power(values: NDArray[np.float64]) -> NDArray[np.float64]:
    side = len(values)
    taper = np.hanning(side)
    tapered = values * taper[:, None, None] * taper[:, None] * taper
    power = np.abs(np.fft.rfftn(tapered)) ** 2
    frequencies = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    band = np.minimum((np.sqrt(sum(f**2 for f in frequencies)) * 2 * BANDS).astype(int), BANDS - 1)
    return np.asarray(np.log(np.bincount(band.ravel(), power.ravel(), BANDS) + 1e-6))


def _axes(values: NDArray[np.float64], grid: NDArray[np.float64], away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logs of the variances of place along the three main axes of what is brighter than the mean, near the middle."""
    weight = np.clip(values, 0, None) * (away < 0.9)
    weight /= max(float(weight.sum()), 1e-9)
    beside = grid - (grid * weight).sum((1, 2, 3))[:, None, None, None]
    covariance = np.einsum("axyz,bxyz,xyz->ab", beside, beside, weight)
    return np.asarray(np.log(np.maximum(np.linalg.eigvalsh(covariance), 1e-9)))
