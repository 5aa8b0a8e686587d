"""Convolution that never looks under a mask: the local stages of the hybrid encoder that MiM pre-trains.

Source   MiM (arXiv 2404.15580), released model definition; the idea is MCMAE's (Gao et al., NeurIPS 2022), in 3D
Shapes   B volumes of V visible tokens, C channels; a token is s voxels along each axis at a stage (8, 4, 2). Planes are
         (D, M, H, W, C): what M volumes or cubes hold, first axis first and channels last, as the mixing reads them
Changes  the released code runs over hidden voxels too and multiplies them by 0 before they are mixed; nothing visible
         ever depends on them, so here they are left out, with the same outcome for the share of the work that is visible
Speed    a depth-wise convolution over volumes takes three to five times as long on an H200, forward and backward in half
         precision, with torch's own kernel or cuDNN's, as five depth-wise convolutions over planes that are summed
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts.configs import Shape3
from bench.nets.channel_norm import ChannelNorm
from bench.nets.drop_path import DropPath
from bench.nets.patches import patchify
from bench.nets.visible import rows_at

REACH = 2
"""How many voxels the depth-wise convolution sees to each side; no token is thinner at any stage."""
OFFSETS = tuple(itertools.product((-1, 0, 1), repeat=3))
"""Where a token's neighbours lie, itself in the middle; the opposite of number n is number 26 - n."""


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

    def __init__(self, width: int, drop_path: float = 0.0) -> None:
        super().__init__()
        inner = 4 * width
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
        planes = bordered(inner) if near is None else near.widened(inner)
        x = x + self.drop_path(self.conv2(mixed(planes, self.mix)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def mixed(planes: Tensor, mix: nn.Conv3d) -> Tensor:
    """A depth-wise convolution's own weights over planes (D + 4, M, H + 4, W + 4, C) -> (M, C, D, H, W), without a border."""
    depth, (count, height, width, channels) = len(planes) - 2 * REACH, planes.shape[1:]
    assert mix.bias is not None
    found = mix.bias.view(1, -1, 1, 1)
    for k in range(2 * REACH + 1):
        images = planes[k : k + depth].reshape(depth * count, height, width, channels).permute(0, 3, 1, 2)
        found = found + functional.conv2d(images, mix.weight[:, :, k], groups=channels)
    height, width = found.shape[2:]
    return found.view(depth, count, channels, height, width).permute(1, 2, 0, 3, 4)


def bordered(volume: Tensor) -> Tensor:
    """(B, C, D, H, W) -> planes (D + 4, B, H + 4, W + 4, C), zeros around each volume."""
    return functional.pad(volume.permute(2, 0, 3, 4, 1), (0, 0, REACH, REACH, REACH, REACH, 0, 0, REACH, REACH))


@dataclass(frozen=True)
class Surroundings:
    """Which visible token lies at each of `OFFSETS` from each visible token: (B * V, 27), B * V where there is none."""

    near: Tensor

    @classmethod
    def of(cls, places: Tensor, grid: Shape3) -> Surroundings:
        """Of the tokens at places (B, V), numbers on `grid` in row-major order."""
        (d, h, w), device = grid, places.device
        none = places.numel()
        numbers = torch.arange(none, device=device).view_as(places)
        held = torch.full((len(places), d * h * w), none, device=device).scatter(1, places, numbers)
        cell = torch.stack([places // (h * w), places // w % h, places % w])[..., None]  # (3, B, V, 1)
        away = _along_axes(device)
        there = cell + away  # (3, B, V, 27)
        inside = torch.stack([(x >= 0) & (x < n) for x, n in zip(there, grid, strict=True)]).all(0)
        number = ((there[0] * h + there[1]) * w + there[2]).masked_fill(~inside, 0)
        found = held.gather(1, number.flatten(1)).view_as(number).masked_fill(~inside, none)
        return cls(found.flatten(0, 1))

    def widened(self, cubes: Tensor) -> Tensor:
        """Cubes (B * V, C, s, s, s) -> planes (s + 4, B * V, s + 4, s + 4, C): each with what is visible around it, else 0."""
        found: Tensor = _Widened.apply(cubes, self.near)  # type: ignore[no-untyped-call]
        return found


def _along_axes(device: torch.device) -> Tensor:
    """`OFFSETS` as (3, 1, 1, 27), made on the device, so that the host copies nothing."""
    number = torch.arange(len(OFFSETS), device=device)
    return torch.stack([number // 9, number // 3 % 3, number % 3])[:, None, None] - 1


class _Widened(torch.autograd.Function):
    """Every cube takes a slab from each of its neighbours. What it is to them, they are to it: so gradients are gathered too,
    and nothing is added up in an order that a GPU chooses."""

    @staticmethod
    def forward(ctx: Any, cubes: Tensor, near: Tensor) -> Tensor:
        ctx.save_for_backward(near)
        rows = _with_zeros(cubes.permute(0, 2, 3, 4, 1))  # (M + 1, s, s, s, C)
        side = cubes.shape[2]
        wide = side + 2 * REACH
        planes = rows.new_empty(wide, len(cubes), wide, wide, rows.shape[-1])
        for number, offset in enumerate(OFFSETS):
            (x, y, z), (i, j, k) = _slabs(offset, side)
            planes[x, :, y, z] = rows[near[:, number], i, j, k].transpose(0, 1)
        return planes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (near,) = ctx.saved_tensors
        side = len(gradient) - 2 * REACH
        rows = _with_zeros(gradient.transpose(0, 1))
        total = rows.new_zeros(len(near), side, side, side, rows.shape[-1])
        for number, offset in enumerate(OFFSETS):
            (x, y, z), (i, j, k) = _slabs(offset, side)
            total[:, i, j, k] += rows[near[:, len(OFFSETS) - 1 - number], x, y, z]
        return total.permute(0, 4, 1, 2, 3), None


def _with_zeros(rows: Tensor) -> Tensor:
    """One more row, of zeros: what is taken where no neighbour is."""
    return torch.cat([rows, rows.new_zeros(1, *rows.shape[1:])])


def _slabs(offset: tuple[int, ...], side: int) -> tuple[list[slice], list[slice]]:
    """Where a neighbour's slab lies in the widened cube, and which slab of the neighbour it is, along each axis."""
    wide = {-1: slice(0, REACH), 0: slice(REACH, side + REACH), 1: slice(side + REACH, side + 2 * REACH)}
    own = {-1: slice(side - REACH, side), 0: slice(0, side), 1: slice(0, REACH)}
    return [wide[step] for step in offset], [own[step] for step in offset]


def visible_cubes(volume: Tensor, places: Tensor, side: int) -> Tensor:
    """(B, C, D, H, W) and places (B, V) -> the voxels of those tokens, (B * V, C, side, side, side)."""
    tokens = rows_at(patchify(volume, (side, side, side)), places)
    return tokens.view(-1, side, side, side, volume.shape[1]).movedim(-1, 1)
