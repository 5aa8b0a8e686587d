"""Stored voxels to the numbers a network sees."""

from __future__ import annotations

from torch import Tensor

from bench.contracts.cards import Intensity


def to_network_range(volume: Tensor, intensity: Intensity) -> Tensor:
    """Stored int16 HU or float16 to float32 network input, any shape.

    `hu`: clipped to `window_hu`, then mapped linearly to `scaled_to`. `zscore` and `asis` are normalised before they
    are stored, so only the type changes.

    Example: 0 HU in the window (-1000, 1000) scaled to (0, 1) is 0.5.
    """
    x = volume.float()
    if intensity.kind != "hu":
        return x
    (low_hu, high_hu), (low, high) = intensity.window_hu, intensity.scaled_to
    return (x.clamp(low_hu, high_hu) - low_hu) * ((high - low) / (high_hu - low_hu)) + low
