"""The plain U-Net decoder of SPAD's segmentation: four maps from the adapter, a stem on the volume, deep supervision.

Source   SPAD names the scales and "plain U-Net decoder"; layers, kernels and weights are its released code's
Changes  the code knows degree of anisotropy 2 alone; here kernels and strides along depth follow the rule of its other layers
         at any degree. Widths shrink with an encoder narrower than 768
Shapes   volume (B, C, D, H, W), maps fine to coarse at strides P/4, P/2, P, 2P -> logits (B, classes, D, H, W)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.configs import Shape3
from bench.nets.adapted_spad_vit import AdaptedSpadViT, depth_step
from bench.nets.spad import depth_back, depth_first

SUPERVISED = (8 / 15, 4 / 15, 2 / 15, 1 / 15)  # weight of the logits at 1/1, 1/2, 1/4, 1/8


class SpadDecoder(nn.Module):
    """From 2P back to full resolution in log2(2P) stages; at width 768 the channels are 32, 64, 128, 256, 512, 512."""

    def __init__(self, encoder: AdaptedSpadViT, *, in_channels: int, classes: int) -> None:
        super().__init__()
        da, width = encoder.da, encoder.width
        self.depth_axis = encoder.depth_axis
        levels = encoder.patch.bit_length()  # halvings of the coarsest map
        fine = levels - 3  # of the finest map that the encoder gives
        channels = [widths_at(width, level) for level in range(levels + 1)]
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv3d(width, channels[fine + i], 1, bias=False), *_act(channels[fine + i]))
            for i in range(4)
        )
        stem, below = [], in_channels
        for level in range(fine):
            stem.append(_pair(below, channels[level], da, level, halve=level > 0))
            below = channels[level]
        self.stem = nn.ModuleList(stem)
        self.ups = nn.ModuleList(_up(channels[n], channels[n - 1], depth_step(da, n)) for n in range(levels, 0, -1))
        self.pairs = nn.ModuleList(_pair(2 * channels[n - 1], channels[n - 1], da, n - 1) for n in range(levels, 0, -1))
        self.heads = nn.ModuleList(nn.Conv3d(channels[level], classes, 1) for level in range(levels)[: len(SUPERVISED)])
        for part in (self.laterals, self.ups[:3], self.pairs[:3]):
            part.apply(_kaiming_)

    def forward(self, volume: Tensor, maps: list[Tensor]) -> Tensor:
        x = self._levels(volume, maps)[0]
        return depth_back(self.heads[0](x), self.depth_axis)

    def supervised(self, volume: Tensor, maps: list[Tensor]) -> list[tuple[float, Tensor]]:
        """Logits of every head at full size with the share each has in the loss; the first are `forward`'s."""
        levels = self._levels(volume, maps)
        size = levels[0].shape[2:]
        found = [head(x) for head, x in zip(self.heads, levels, strict=False)]
        full = [found[0], *(F.interpolate(x, size, mode="trilinear", align_corners=False) for x in found[1:])]
        weights = SUPERVISED[: len(full)]
        return [
            (weight / sum(weights), depth_back(x, self.depth_axis)) for weight, x in zip(weights, full, strict=True)
        ]

    def _levels(self, volume: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """The decoder's maps, fine to coarse, depth first."""
        skips, x = [], depth_first(volume, self.depth_axis)
        for block in self.stem:
            x = block(x)
            skips.append(x)
        laterals = zip(self.laterals, maps, strict=True)
        skips += [lateral(depth_first(found, self.depth_axis)) for lateral, found in laterals]
        x, levels = skips[-1], []
        for up, pair, skip in zip(self.ups, self.pairs, reversed(skips[:-1]), strict=True):
            x = pair(torch.cat((up(x), skip), 1))
            levels.append(x)
        return levels[::-1]


def widths_at(width: int, level: int) -> int:
    """Channels after `level` halvings: 32 * 2**level at width 768, at most 512; in proportion at other widths, at least 8."""
    return max(8, width // 24) * 2 ** min(level, 4)


def _up(inputs: int, outputs: int, depth: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(inputs, outputs, (depth, 2, 2), stride=(depth, 2, 2))


def _pair(inputs: int, outputs: int, da: int, level: int, *, halve: bool = False) -> nn.Sequential:
    """Two convolutions with norm and activation on a grid that was halved `level` times, flat while depth waits."""
    depth = 1 if da > level else 3
    kernel, padding = (depth, 3, 3), (depth // 2, 1, 1)
    stride: Shape3 = (depth_step(da, level), 2, 2) if halve else (1, 1, 1)
    parts: list[nn.Module] = []
    for below, step in ((inputs, stride), (outputs, (1, 1, 1))):
        parts += [nn.Conv3d(below, outputs, kernel, stride=step, padding=padding, bias=False), *_act(outputs)]
    return nn.Sequential(*parts)


def _act(width: int) -> list[nn.Module]:
    return [nn.InstanceNorm3d(width, affine=True), nn.LeakyReLU(0.01, inplace=True)]


def _kaiming_(part: nn.Module) -> None:
    if isinstance(part, (nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(part.weight, mode="fan_out")
        if part.bias is not None:
            nn.init.zeros_(part.bias)
