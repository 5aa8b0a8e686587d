"""Convolution that never looks under a mask: the local stages of the hybrid encoder that MiM pre-trains.

Source   MiM (arXiv 2404.15580), released model definition; the idea is MCMAE's (Gao et al., NeurIPS 2022), in 3D
Shapes   x is (B, C, D, H, W); a mask is boolean (B, 1, D, H, W) in x's voxels, True = visible
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.contracts.cards import Shape3
from bench.nets.drop_path import DropPath


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

    Source: MiM, released code (W1, W2 are 1x1x1 convolutions, LN eps 1e-5, MLP ratio 4, GELU). Hidden voxels keep a
    pointwise residual stream and may receive from visible ones; nothing hidden reaches a visible voxel.
    """

    def __init__(self, width: int, drop_path: float = 0.0, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        inner = int(width * mlp_ratio)
        self.norm1 = ChannelNorm(width)
        self.conv1 = nn.Conv3d(width, width, kernel_size=1)
        self.mix = nn.Conv3d(width, width, kernel_size=5, padding=2, groups=width)
        self.conv2 = nn.Conv3d(width, width, kernel_size=1)
        self.norm2 = ChannelNorm(width)
        self.mlp = nn.Sequential(
            nn.Conv3d(width, inner, kernel_size=1), nn.GELU(), nn.Conv3d(inner, width, kernel_size=1)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        inner = self.conv1(self.norm1(x))
        x = x + self.drop_path(self.conv2(self.mix(inner if visible is None else inner * visible)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def stage_masks(keep: Tensor, grid: Shape3, voxels_per_token: tuple[int, ...]) -> list[Tensor]:
    """Keep mask (B, N), tokens of `grid`, at each stage's voxels by nearest upsampling: [(B, 1, ...)], True = visible."""
    coarse = keep.view(-1, 1, *grid)
    return [coarse.repeat_interleave(s, 2).repeat_interleave(s, 3).repeat_interleave(s, 4) for s in voxels_per_token]
