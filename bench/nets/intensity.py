"""Stored voxels to the numbers a network sees."""

from __future__ import annotations

from torch import Tensor

from bench.contracts.configs import Intensity


def to_network_range(volume: Tensor, intensity: Intensity) -> Tensor:
    """Stored int16 HU, uint8 or float16 to float32 network input, any shape.

    `hu`: clipped to `window_hu`, then mapped linearly to `scaled_to`; `u8` likewise from 0 to 255. `zscore` and `asis` are
    normalised before they are stored, so only the type changes.

    Example: 0 HU in the window (-1000, 1000) scaled to (0, 1) is 0.5.
    """
    x = volume.float()
    if intensity.kind not in ("hu", "u8"):
        return x
    window, (low, high) = intensity.window_hu if intensity.kind == "hu" else (0.0, 255.0), intensity.scaled_to
    return (x.clamp(*window) - window[0]) * ((high - low) / (window[1] - window[0])) + low


def darkest(intensity: Intensity) -> float:
    """What stands for the outside of a volume in network range: the low end of what grey values are scaled to; 0, the mean, of
    `zscore`, and 0 of `asis`.

    Example: 0 for a window scaled to (0, 1), -1 for one scaled to (-1, 1).
    """
    return intensity.scaled_to[0] if intensity.kind in ("hu", "u8") else 0.0
