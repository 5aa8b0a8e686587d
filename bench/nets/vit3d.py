"""ViT3D: a plain vision transformer over 3-D patches that can encode the visible ones alone.

Source   Dosovitskiy et al., ICLR 2021 (arXiv 2010.11929), Sec. 3.1; dropped tokens as in He et al., CVPR 2022
Shapes   B volumes, N patches each (row-major over the grid), V of them visible, C the width, P voxels per patch
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.configs import Shape3, Sight
from bench.contracts.errors import SpecError
from bench.contracts.method import Encoder, Features
from bench.nets.drop_path import DropPath
from bench.nets.input_channels import repeat_patch_channels
from bench.nets.patches import as_map, grid_of, patchify
from bench.nets.visible import rows_at, visible_places


def sincos_positions(grid: Shape3, width: int) -> Tensor:
    """Fixed sine-cosine positions of a 3-D grid, (N, width), tokens row-major.

    Source: Vaswani et al. 2017, Sec. 3.5, one third of the width per axis: first part axis 0, then 1, then 2. A part of
    m numbers is m/2 sines, then m/2 cosines, of integer coordinate times 10000**(-k/(m/2)), k < m/2. Raises SpecError
    where `width` does not divide by 6.

    Example: the token at the origin has 0 in every sine and 1 in every cosine.
    """
    if width % 6:
        raise SpecError(
            f"Sine-cosine positions need a width divisible by 6, found {width}.", remedy="Choose a multiple of 6."
        )
    half = width // 6
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [axis.reshape(-1, 1) * frequency for axis in axes]
    return torch.cat([part for a in angles for part in (a.sin(), a.cos())], dim=1).float()


def interpolate_positions(positions: Tensor, grid: tuple[int, ...]) -> Tensor:
    """(C, d, h, w) brought to another grid, trilinear with align_corners False; itself where grids agree."""
    if tuple(positions.shape[1:]) == grid:
        return positions
    return F.interpolate(positions[None].float(), size=grid, mode="trilinear", align_corners=False)[0]


def init_transformer_(module: nn.Module) -> None:
    """Start values of He et al. (CVPR 2022, appendix A.1): Linear Xavier-uniform with bias 0, LayerNorm 1 and 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm) and part.elementwise_affine:
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


class Attention(nn.Module):
    """Multi-head self-attention over (B, N, C); `bias` (heads, N, N) is added to the logits."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise SpecError(f"{heads} heads do not divide a width of {width}.", remedy="Choose heads that divide it.")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, width / heads)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """One pre-norm transformer block, (B, N, C) -> (B, N, C): MLP ratio 4, LayerNorm eps 1e-6."""

    def __init__(self, width: int, heads: int, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x), bias))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ViT3D(Encoder):
    """A ViT whose maps are the tokens after chosen blocks, put back on their grid.

    `skips` counts blocks from 1; the last one is read after the final norm. `positions`: `learned` (normal, sd 0.02,
    trained) or `sincos` (fixed). The grid is that of `sight.shape`; other volumes raise SpecError. The patch embedding
    is a linear layer on `patchify` rows, so that hidden patches cost nothing. `pooled`: the mean of all normed tokens.
    """

    positions: Tensor

    def __init__(
        self,
        sight: Sight,
        *,
        width: int,
        depth: int,
        heads: int,
        patch: Shape3,
        positions: Literal["learned", "sincos"] = "learned",
        skips: tuple[int, ...],
    ) -> None:
        super().__init__()
        check_skips(skips, depth)
        self.patch, self.width, self.skips = patch, width, skips
        self.shape = sight.shape
        self.grid = grid_of(sight.shape, patch)
        self.embed = nn.Linear(math.prod(patch) * sight.channels, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        init_transformer_(self)
        if positions == "sincos":
            fixed = sincos_positions(self.grid, width).T.reshape(width, *self.grid)
            self.register_buffer("positions", fixed.contiguous())
        else:
            self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(width, *self.grid), std=0.02))
        self.channels = (width,) * len(skips)
        self.strides = (patch,) * len(skips)
        self.pooled_width = width

    def tokens(self, volume: Tensor, keep: Tensor | None = None, visible: int | None = None) -> Tensor:
        """The visible tokens (B, V, C) after the final norm, in grid order.

        `keep` (B, N) True = visible, the same number in every row; without it all N are visible. `visible` is that
        number; where it is not given the host waits to count it.
        """
        x = self._embedded(volume, keep, visible)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, volume: Tensor) -> Features:
        x = self._embedded(volume)
        maps: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in self.skips[:-1]:
                maps.append(as_map(x, self.grid))
        x = self.norm(x)
        return Features([*maps, as_map(x, self.grid)], x.mean(1))

    def layers(self) -> list[nn.Module]:
        return [self.embed, *self.blocks, self.norm]

    def at_head(self) -> list[nn.Module]:
        """The final norm, as in He et al.'s and AR's released code; it stands in `layers` too, for the order of weights."""
        return [self.norm]

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        """Positions are interpolated trilinearly; the embedding's input channels are repeated, not divided."""
        if name == "positions" and found.ndim == 4 and found.shape[0] == wanted.shape[0]:
            return interpolate_positions(found, tuple(wanted.shape[1:]))
        if name == "embed.weight" and found.shape[0] == wanted.shape[0]:
            return repeat_patch_channels(found, wanted, math.prod(self.patch))
        return None

    def _embedded(self, volume: Tensor, keep: Tensor | None = None, visible: int | None = None) -> Tensor:
        check_shape(volume, self.shape)
        x = patchify(volume, self.patch)
        positions = self.positions.flatten(1).T
        if keep is None:
            return self.embed(x) + positions
        places = visible_places(keep, visible)
        return self.embed(rows_at(x, places)) + rows_at(positions.expand(len(x), -1, -1), places)


def check_shape(volume: Tensor, shape: Shape3) -> None:
    """SpecError unless a volume (B, C, D, H, W) has the voxels that a ViT was built for."""
    if tuple(volume.shape[2:]) != shape:
        raise SpecError(
            f"This ViT was built for volumes of {shape} voxels, found {tuple(volume.shape[2:])}.",
            remedy="Use windows of the training size, or build the encoder for the new size.",
        )


def check_skips(skips: tuple[int, ...], depth: int) -> None:
    """SpecError unless the blocks that a decoder reads rise and end with the last one."""
    if not skips or list(skips) != sorted(set(skips)) or skips[0] < 1 or skips[-1] != depth:
        raise SpecError(
            f"Skips {skips} must rise and end with the last of {depth} blocks.",
            remedy="For example (3, 6, 9, 12) of 12.",
        )
