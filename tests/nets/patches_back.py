"""The way back from `patchify`, written out."""

from __future__ import annotations

from torch import Tensor

from bench.contracts.configs import Shape3


def unpatchify(tokens: Tensor, patch: Shape3, grid: Shape3, channels: int) -> Tensor:
    """(B, N, P*C) -> (B, C, D, H, W)."""
    (d, h, w), (p, q, r) = grid, patch
    cells = tokens.reshape(len(tokens), d, h, w, p, q, r, channels)
    return cells.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(len(tokens), channels, d * p, h * q, w * r)
