"""Brightness, contrast and gamma of images in [0, 1], per sample on the device."""

from __future__ import annotations

import torch
from torch import Tensor


def vary_intensity(x: Tensor, *, by_colour: bool) -> Tensor:
    """(B, C, D, H, W) in [0, 1] -> the same. Gain 1 +- 0.25 (p 0.15), contrast 0.75 to 1.25 about the sample's mean, or
    `by_colour` about that of each channel (p 0.15), gamma 0.7 to 1.5 (p 0.3) on the image or, as often, on its inverse;
    clamped after each.

    Source: SPAD's released code. Draws from torch's default generator of the device; no wait for the device.
    """
    n = len(x)
    u = torch.rand(7, n, 1, 1, 1, 1, device=x.device)
    one = torch.ones_like(u[0])
    x = (x * torch.where(u[0] < 0.15, 0.75 + 0.5 * u[1], one)).clamp(0, 1)
    mean = x.mean((2, 3, 4) if by_colour else (1, 2, 3, 4), keepdim=True)
    x = ((x - mean) * torch.where(u[2] < 0.15, 0.75 + 0.5 * u[3], one) + mean).clamp(0, 1)
    gamma = torch.where(u[4] < 0.3, 0.7 + 0.8 * u[5], one)
    inverse = u[6] < 0.5
    base = torch.where(inverse, 1 - x, x) ** gamma
    return torch.where(inverse, 1 - base, base)
