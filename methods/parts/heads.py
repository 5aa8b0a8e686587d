"""Small heads between an encoder's tokens and a loss: pooling, projections for contrast, a decoder back to voxels.

Source   MG-3D (arXiv 2412.05876), Sec. III, and its released code; attention pooling of CLIP (Radford et al., ICML 2021)
Shapes   B samples, T tokens of width W, F projected features
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.configs import Shape3
from bench.contracts.errors import SpecError
from bench.nets.patches import as_map
from methods.parts.fusion import masked_mean


class TokenPool(nn.Module):
    """(B, T, W) -> (B, W): the mean of the tokens, or with `tokens` > 0 weights learned for so many; then Linear and tanh."""

    def __init__(self, width: int, tokens: int = 0) -> None:
        super().__init__()
        self.weights = nn.Linear(tokens, 1) if tokens else None
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(1) if self.weights is None else self.weights(x.transpose(1, 2))[..., 0]
        return self.dense(pooled).tanh()


class MeanPool(nn.Module):
    """(B, T, W) -> (B, W): the mean over the tokens that are shown; then Linear and tanh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor, shown: Tensor) -> Tensor:
        return self.dense(masked_mean(x, shown)).tanh()


class AttentionPool(nn.Module):
    """(B, T, W) -> (B, W): the mean token asks, it and all shown tokens answer; no positions."""

    heads = 8  # MG-3D's released code

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % self.heads:
            raise SpecError(
                f"{self.heads} heads do not divide a width of {width}.", remedy="Choose a multiple of them."
            )
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, shown: Tensor) -> Tensor:
        mean = masked_mean(x, shown)[:, None]
        everything = torch.cat((mean, x), 1)
        seen = torch.cat((torch.ones_like(shown[:, :1]), shown), 1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(mean), self.key(everything), self.value(everything))
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])
        return self.out(mixed.transpose(1, 2).flatten(2))[:, 0]


class ContrastHead(nn.Module):
    """LayerNorm and a Linear without bias to the space in which pairs are compared."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.norm(x))


def sentence_projection(width: int, inner: int, out: int) -> nn.Sequential:
    """(B, S, W) -> (B, S, out): Linear, a norm of each sentence without weights, GELU, Linear.

    MG-3D's released code norms by a BatchNorm1d that it feeds (1, S, inner), which norms every sentence by itself.
    """
    normed = nn.LayerNorm(inner, elementwise_affine=False)
    return nn.Sequential(nn.Linear(width, inner), normed, nn.GELU(), nn.Linear(inner, out))


class VolumeDecoder(nn.Module):
    """Tokens of a coarse grid (B, T, W), row-major, back to voxels (B, C, 32 D, 32 H, 32 W).

    Five stages of Conv3d 3x3x3, InstanceNorm, LeakyReLU and trilinear doubling, widths W / 2, / 4, / 8, / 16, / 16; then
    1x1x1. The last doubling comes after the 1x1x1 convolution: both are linear and commute, and few channels are doubled.
    """

    def __init__(self, width: int, grid: Shape3, channels: int) -> None:
        super().__init__()
        if width % 16 or math.prod(grid) < 2:
            raise SpecError(
                f"A decoder halves its width of {width} four times and needs two tokens, found a grid of {grid}.",
                remedy="Choose a width that is a multiple of 16 and a crop of at least 32 x 32 x 64 voxels.",
            )
        self.grid = grid
        widths = [width, width // 2, width // 4, width // 8, width // 16, width // 16]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv3d(below, here, 3, padding=1), nn.InstanceNorm3d(here), nn.LeakyReLU(0.01))
            for below, here in pairwise(widths)
        )
        self.out = nn.Conv3d(widths[-1], channels, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.device.type != "cpu":
            return self._decoded(tokens)
        # torch 2.13 on a CPU leaves a bf16 Conv3d's weight gradient undefined where its input is two slices deep
        with torch.autocast("cpu", enabled=False):
            return self._decoded(tokens.float())

    def _decoded(self, tokens: Tensor) -> Tensor:
        x = as_map(tokens, self.grid)
        for stage in self.stages[:-1]:
            x = _doubled(stage(x))
        return _doubled(self.out(self.stages[-1](x)))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
