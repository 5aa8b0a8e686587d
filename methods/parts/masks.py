"""Which patches a method hides. Always boolean, True = hidden."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.contracts.configs import Shape3


def kept_count(tokens: int, hidden_ratio: float) -> int:
    """Patches left visible: floor(tokens * (1 - hidden_ratio)), the rule of He et al.'s and MiM's released code.

    Rounding down the hidden count instead (tokens - floor(tokens * ratio)) keeps one more wherever tokens * ratio is no
    whole number; at 216 patches and ratio 0.75 both keep 54. The 1e-9 undoes binary fractions: 10 * (1 - 0.9) is < 1.
    """
    return math.floor(tokens * (1.0 - hidden_ratio) + 1e-9)


def random_hidden(batch: int, tokens: int, hidden_ratio: float, device: torch.device | str) -> Tensor:
    """Uniformly random hidden patches, (B, N) bool, the same count in every row (see `kept_count`).

    Source: He et al., CVPR 2022, Sec. 3. Draws from torch's default generator of the device (the loop reseeds it).
    """
    rank = torch.rand(batch, tokens, device=device).argsort(1).argsort(1)
    return rank >= kept_count(tokens, hidden_ratio)


def random_blocks(batch: int, blocks: Shape3, block: Shape3, hidden_ratio: float, device: torch.device | str) -> Tensor:
    """Uniformly random hidden blocks of `block` voxels, as voxels (B, 1, D, H, W) bool; `blocks` counts them per axis.

    The same count in every volume and the same draws as `random_hidden`, row-major.
    """
    hidden = random_hidden(batch, math.prod(blocks), hidden_ratio, device).view(batch, 1, *blocks)
    for axis, length in enumerate(block, start=2):
        hidden = hidden.repeat_interleave(length, axis)
    return hidden
