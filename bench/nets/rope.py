"""Rotary positions for tokens of a 3-D grid, the depth coordinate added to both in-plane ones.

Source   SPAD, App. A (Eq. 9 to 11): theta_i = omega_i t_(h|w) + omega_i^z t_z with omega_i = 10000^(-2i/d) and
         omega_i^z = 2333^(-(2i+1)/d). The appendix does not fix d; half the head's width is what the code takes and what
         alone gives the paper's gap ratio of 26.30
Shapes   N tokens, depth outermost and width innermost; heads of `head` numbers make head / 2 pairs: the first half turns by
         row and depth, the second by column and depth
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.contracts.configs import Shape3
from bench.contracts.errors import SpecError

BASE = 10000.0
DEPTH_BASE = 2333.0


def frequencies(head: int, depth_base: float = DEPTH_BASE) -> tuple[Tensor, Tensor]:
    """omega_i and omega_i^z for i = 0 .. head / 4 - 1, float64. Example (head 64): omega^z runs from .784789 to 5.46e-4."""
    if head % 4:
        raise SpecError(
            f"Rotary positions need heads of a multiple of 4, found {head}.", remedy="Change width or heads."
        )
    half = head // 2
    i = torch.arange(half // 2, dtype=torch.float64)
    return BASE ** (-2 * i / half), depth_base ** (-(2 * i + 1) / half)


def rotary_angles(grid: Shape3, head: int, depth_base: float = DEPTH_BASE) -> Tensor:
    """The angle by which each pair of each token turns, (N, head / 2) float64; coordinates are raw token indices."""
    plane, depth = frequencies(head, depth_base)
    t_z, t_y, t_x = (t.reshape(-1, 1) for t in torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij"))
    return torch.cat([plane * t_y + depth * t_z, plane * t_x + depth * t_z], dim=1)


def rotary_tables(grid: Shape3, head: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of `rotary_angles`, (N, head / 2) float32 each."""
    angles = rotary_angles(grid, head)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn neighbouring pairs (2j, 2j + 1) of (..., N, head) by the angles of (N, head / 2), in float32 or wider."""
    wide = torch.promote_types(x.dtype, torch.float32)
    even, odd = x.to(wide).reshape(*x.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1)
    return turned.flatten(-2).to(x.dtype)
