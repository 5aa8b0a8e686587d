"""A light transformer that fills in hidden tokens; it is dropped after pre-training."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts.configs import Shape3
from bench.nets.visible import visible_places
from bench.nets.vit3d import Block, init_transformer_, sincos_positions


class TokenDecoder(nn.Module):
    """Visible tokens and a mask to predictions for every patch.

    Source: He et al., CVPR 2022, Sec. 3. The encoder's width is projected to the decoder's, a learned mask token
    (normal, sd 0.02) stands at every hidden place, positions are added to all, `depth` blocks run, a linear head
    predicts. Positions are fixed sine-cosine (a buffer) or `learned`.
    """

    positions: Tensor

    def __init__(
        self,
        in_width: int,
        grid: Shape3,
        *,
        width: int,
        depth: int,
        heads: int,
        out: int,
        positions: Literal["sincos", "learned"] = "sincos",
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(in_width, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, out)
        init_transformer_(self)
        nn.init.normal_(self.mask_token, std=0.02)
        if positions == "learned":
            self.positions = nn.Parameter(torch.randn(math.prod(grid), width) * 0.02)
        else:
            self.register_buffer("positions", sincos_positions(grid, width))

    def forward(self, seen: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(B, V, in_width) and (B, N) True = hidden -> features (B, N, width) after the norm, voxels (B, N, out)."""
        seen = self.embed(seen)
        blank = self.mask_token.to(seen.dtype).expand(*hidden.shape, -1)  # autocast gives `seen` a shorter type
        places = visible_places(~hidden, seen.shape[1])[..., None].expand_as(seen)
        x = blank.scatter(1, places, seen) + self.positions
        for block in self.blocks:
            x = block(x)
        features = self.norm(x)
        return features, self.head(features)
