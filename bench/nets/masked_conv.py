"""Convolution that never looks under a mask: the local stages of the hybrid encoder that MiM pre-trains.

Source   MiM (arXiv 2404.15580), released model definition; the idea is MCMAE's (Gao et al., NeurIPS 2022), in 3D
Shapes   B volumes of V visible tokens, C channels; a token is s voxels along each axis at a stage (8, 4, 2)
Changes  the released code runs over hidden voxels too and multiplies them by 0 before they are mixed; nothing visible
         ever depends on them, so here they are left out, with the same outcome for the share of the work that is visible
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts.cards import Shape3
from bench.nets.drop_path import DropPath
from bench.nets.patches import patchify
from bench.nets.visible import gather_visible

REACH = 2
"""How many voxels the depth-wise convolution sees to each side."""


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each voxel of (B, C, D, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Embed(nn.Module):
    """Halve the grid: Conv3d with stride = kernel = 2 and no padding, channel LayerNorm (eps 1e-5), GELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel_size=2, stride=2)
        self.norm = ChannelNorm(outputs)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class MaskedConvBlock(nn.Module):
    """x + W2 DW5(mask * W1 LN(x)), then x + MLP(LN(x)): depth-wise 5^3 mixing of visible voxels, then a 1^3 MLP.

    Source: MiM, released code (W1, W2 are 1x1x1 convolutions, LN eps 1e-5, MLP ratio 4, GELU). Only DW5 looks at other
    voxels, and never at hidden ones. So what hidden voxels would become is not computed: x is (B, C, D, H, W) where all
    are visible, else the cubes of the visible tokens, (B * V, C, s, s, s), with their `Surroundings`.
    """

    def __init__(self, width: int, drop_path: float = 0.0, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        inner = int(width * mlp_ratio)
        self.norm1 = ChannelNorm(width)
        self.conv1 = nn.Conv3d(width, width, kernel_size=1)
        self.mix = nn.Conv3d(width, width, kernel_size=2 * REACH + 1, padding=REACH, groups=width)
        self.conv2 = nn.Conv3d(width, width, kernel_size=1)
        self.norm2 = ChannelNorm(width)
        self.mlp = nn.Sequential(
            nn.Conv3d(width, inner, kernel_size=1), nn.GELU(), nn.Conv3d(inner, width, kernel_size=1)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, near: Surroundings | None = None) -> Tensor:
        inner = self.conv1(self.norm1(x))
        mixed = self.mix(inner) if near is None else self._mix_cubes(near.widened(inner))
        x = x + self.drop_path(self.conv2(mixed))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _mix_cubes(self, wide: Tensor) -> Tensor:
        return functional.conv3d(wide, self.mix.weight, self.mix.bias, groups=self.mix.groups)


@dataclass(frozen=True)
class Surroundings:
    """Which voxels lie around each visible token, at one stage: rows of a table of all voxels and a border of zeros.

    `own` (B * V * s^3,) are the rows of the tokens' voxels, `around` (B * V * (s + 2 REACH)^3,) those of their cubes with
    REACH voxels more on every side; both run through tokens, then voxels, row-major. `rows` is the length of the table.
    """

    own: Tensor
    around: Tensor
    rows: int
    side: int

    @classmethod
    def of(cls, places: Tensor, grid: Shape3, side: int) -> Surroundings:
        """Of the tokens at places (B, V), numbers on `grid` in row-major order, each `side` voxels along an axis."""
        d, h, w = (cells * side + 2 * REACH for cells in grid)
        corner = torch.stack([places // (grid[1] * grid[2]), places // grid[2] % grid[1], places % grid[2]]) * side
        volume = torch.arange(len(places), device=places.device)[:, None] * (d * h * w)

        def rows(steps: Tensor) -> Tensor:
            x, y, z = corner[..., None] + steps  # (B, V, steps) each
            plane = (x[..., :, None] * h + y[..., None, :])[..., None] * w + z[..., None, None, :]
            return (plane + volume[..., None, None, None]).flatten()

        inside = torch.arange(side, device=places.device) + REACH
        everything = torch.arange(side + 2 * REACH, device=places.device)
        return cls(rows(inside), rows(everything), len(places) * d * h * w, side)

    def widened(self, cubes: Tensor) -> Tensor:
        """(B * V, C, s, s, s) -> (B * V, C, s + 2 REACH, ...): each cube with what is visible around it, elsewhere 0.

        Voxels are rows of channels on the way, which is also the layout in memory that the result keeps.
        """
        count, channels = cubes.shape[:2]
        table = cubes.new_zeros(self.rows, channels)
        table = table.index_copy(0, self.own, cubes.movedim(1, -1).reshape(-1, channels))
        wide = (self.side + 2 * REACH,) * 3
        return table.index_select(0, self.around).view(count, *wide, channels).movedim(-1, 1)


def visible_cubes(volume: Tensor, places: Tensor, side: int) -> Tensor:
    """(B, C, D, H, W) and places (B, V) -> the voxels of those tokens, (B * V, C, side, side, side)."""
    tokens = gather_visible(patchify(volume, (side, side, side)), places)
    return tokens.view(-1, side, side, side, volume.shape[1]).movedim(-1, 1)
