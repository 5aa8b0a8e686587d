"""Segmentation decoders of UNETR and Swin-UNETR: residual blocks and transposed convolutions back to full resolution.

Source   Hatamizadeh et al., WACV 2022 (arXiv 2103.10504), Sec. 3; Hatamizadeh et al., 2022 (arXiv 2201.01266), Sec. 3
Changes  UNETR's decoder takes any patch whose sides are powers of two, not 16 alone; its blocks are MONAI's
Shapes   maps fine to coarse (B, C_i, D_i, H_i, W_i), volume (B, C, D, H, W) -> logits (B, classes, D, H, W)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from monai.networks.blocks.dynunet_block import UnetOutBlock, UnetResBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrUpBlock
from torch import Tensor, nn

from bench.contracts.configs import Shape3
from bench.contracts.errors import SpecError


def halvings(stride: Shape3) -> list[Shape3]:
    """The factors from full resolution to `stride`, fine to coarse: every axis halves until it has its stride.

    Raises SpecError where a side is no power of two. Example: (4, 8, 8) gives [(2, 2, 2), (2, 2, 2), (1, 2, 2)].
    """
    if any(side < 1 or side & (side - 1) for side in stride):
        raise SpecError(f"A UNETR decoder needs strides that are powers of two, found {stride}.", remedy="Use 8 or 16.")
    factors: list[Shape3] = []
    level = 1
    while level < max(stride):
        d, h, w = (2 if side > level else 1 for side in stride)
        factors.append((d, h, w))
        level *= 2
    return factors


class Lift(nn.Module):
    """Tokens up to a finer stride: a transposed convolution per factor, a residual block after each but the first."""

    def __init__(self, width: int, out: int, factors: Sequence[Shape3]) -> None:
        super().__init__()
        self.first = _transposed(width, out, factors[0])
        self.rest = nn.ModuleList(
            nn.Sequential(_transposed(out, out, factor), UnetResBlock(3, out, out, 3, 1, "instance"))
            for factor in factors[1:]
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for step in self.rest:
            x = step(x)
        return x


class UNETRDecoder(nn.Module):
    """UNETR's decoder over n maps of one stride 2**n, shallow to deep (16: four maps, 8: three).

    Map k (from 1) is lifted to stride 2**k and joins there; the last starts the way up; the volume joins at stride 1.
    `feature` is the number of channels at full resolution, doubled at every stride.
    """

    def __init__(self, widths: Sequence[int], stride: Shape3, *, in_channels: int, classes: int, feature: int) -> None:
        super().__init__()
        factors = halvings(stride)
        levels = len(factors)
        if len(widths) != levels:
            raise SpecError(
                f"A UNETR decoder at stride {stride} reads {levels} maps, found {len(widths)}.",
                remedy=f"Set the encoder's skips to {levels} blocks.",
            )
        coarser = [feature * 2**level for level in range(1, levels)] + [widths[-1]]  # channels below each up-block
        self.volume_block = UnetrBasicBlock(3, in_channels, feature, 3, 1, "instance", res_block=True)
        self.lifts = nn.ModuleList(
            Lift(widths[level - 1], feature * 2**level, factors[: level - 1 : -1]) for level in range(1, levels)
        )
        self.ups = nn.ModuleList(
            UnetrUpBlock(3, coarser[level], feature * 2**level, 3, factors[level], "instance", res_block=True)
            for level in reversed(range(levels))
        )
        self.out = UnetOutBlock(3, feature, classes)

    def forward(self, volume: Tensor, maps: list[Tensor]) -> Tensor:
        skips = [self.volume_block(volume)]
        skips += [lift(x) for lift, x in zip(self.lifts, maps[:-1], strict=True)]
        x = maps[-1]
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        return self.out(x)


class SwinUNETRDecoder(nn.Module):
    """Swin-UNETR's decoder over five maps of f, 2f, 4f, 8f, 16f channels at strides 2, 4, 8, 16, 32.

    A residual block on the volume and on every map but the fourth, which joins as it is. Other maps raise SpecError.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[Shape3], *, in_channels: int, classes: int) -> None:
        super().__init__()
        f = channels[0]
        if tuple(channels) != (f, 2 * f, 4 * f, 8 * f, 16 * f) or [set(s) for s in strides] != [
            {2},
            {4},
            {8},
            {16},
            {32},
        ]:
            raise SpecError(
                "A Swin-UNETR decoder reads five maps of f, 2f, 4f, 8f, 16f channels at strides 2 to 32, found "
                f"channels {tuple(channels)} at strides {tuple(strides)}.",
                remedy="Choose the decoder that fits the encoder: unetr for one stride, unet for a map at stride 1.",
            )
        self.volume_block = _residual(in_channels, f)
        self.skip_blocks = nn.ModuleList(_residual(width, width) for width in channels[:3])
        self.deepest_block = _residual(16 * f, 16 * f)
        widths = (16 * f, 8 * f, 4 * f, 2 * f, f, f)
        self.ups = nn.ModuleList(
            UnetrUpBlock(3, below, here, 3, 2, "instance", res_block=True) for below, here in pairwise(widths)
        )
        self.out = UnetOutBlock(3, f, classes)

    def forward(self, volume: Tensor, maps: list[Tensor]) -> Tensor:
        skips = [
            self.volume_block(volume),
            *(block(x) for block, x in zip(self.skip_blocks, maps[:3], strict=True)),
            maps[3],
        ]
        # a lone voxel is its own mean, so that its normalised branch is zero; torch would refuse to compute that
        lone = maps[4][0, 0].numel() == 1
        x = F.leaky_relu(maps[4], 0.01) if lone else self.deepest_block(maps[4])
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        return self.out(x)


def _transposed(width: int, out: int, factor: Shape3) -> nn.Module:
    return nn.ConvTranspose3d(width, out, kernel_size=factor, stride=factor, bias=False)


def _residual(width: int, out: int) -> nn.Module:
    return UnetrBasicBlock(3, width, out, 3, 1, "instance", res_block=True)
