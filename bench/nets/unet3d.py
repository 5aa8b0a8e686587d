"""The plain 3-D U-Net of Models Genesis, as an encoder and its decoder.

Source   Zhou et al., Medical Image Analysis 2021 (arXiv 2004.07882), released PyTorch net
Shapes   volume (B, C, D, H, W) -> maps of the four widths at strides 1, 2, 4, 8
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts.configs import Shape3, Sight
from bench.contracts.errors import SpecError
from bench.contracts.method import Encoder, Features
from bench.nets.input_channels import repeat_conv_channels
from bench.nets.shared_batch_norm import SharedBatchNorm

Norm = Literal["batch", "batch_statistics", "instance"]


class UNet3D(Encoder):
    """Conv pairs, each after the first behind a 2x2x2 max-pool; pair i gives `widths[i]` channels.

    `stem_stride` is the step of the very first convolution: 1 in the paper, 2 where a CPU must be spared full resolution.

    `norm`: `batch` keeps running statistics; `batch_statistics` takes those of the batch in evaluation too, as the
    released code does; `instance` knows no batch. `pooled` is the mean of the deepest map, or with `instance` its maximum:
    there each channel of each case was brought to mean 0 and deviation 1, and the mean over space of what is left says next
    to nothing of the case (measured on phantom nodules: 0.40, and 0.01 from case to case; the maximum 2.4 and 0.4).
    """

    def __init__(
        self, sight: Sight, *, widths: tuple[int, ...] = (64, 128, 256, 512), norm: Norm = "batch", stem_stride: int = 1
    ) -> None:
        super().__init__()
        self.norm: Norm = norm
        inputs = (sight.channels, *widths[:-1])
        self.pairs = nn.ModuleList(
            conv_pair(below, max(here // 2, 1) if level == 0 else below, here, norm, stem_stride if level == 0 else 1)
            for level, (below, here) in enumerate(zip(inputs, widths, strict=True))
        )
        self.pool = nn.MaxPool3d(2)
        self.channels = widths
        self.strides = tuple((stem_stride * 2**level,) * 3 for level in range(len(widths)))
        self.pooled_width = widths[-1]

    def forward(self, volume: Tensor) -> Features:
        factor = self.strides[-1][0]
        if any(side % factor for side in volume.shape[2:]):
            raise SpecError(
                f"This U-Net needs sides that are multiples of {factor}, found {tuple(volume.shape[2:])}.",
                remedy="Change patch_voxels.",
            )
        maps: list[Tensor] = []
        for pair in self.pairs:
            maps.append(pair(self.pool(maps[-1]) if maps else volume))
        deepest = maps[-1]
        return Features(maps, deepest.amax((2, 3, 4)) if self.norm == "instance" else deepest.mean((2, 3, 4)))

    def layers(self) -> list[nn.Module]:
        return list(self.pairs)

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        """The first convolution's input channels are repeated, not divided."""
        return repeat_conv_channels(found, wanted) if name == "pairs.0.0.weight" else None


class UNetDecoder(nn.Module):
    """Transposed convolution, concatenation with the next finer map, conv pair, up to the finest map; 1x1x1 to classes.

    Where the finest map is coarser than the volume, one more transposed convolution goes up to the volume, which stands in
    for the missing map.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[Shape3], *, in_channels: int, classes: int, norm: Norm
    ) -> None:
        super().__init__()
        steps = list(zip(channels[:-1], channels[1:], strides[:-1], strides[1:], strict=True))[::-1]
        self.ups = nn.ModuleList(_doubling(below, fine, coarse) for _, below, fine, coarse in steps)
        self.pairs = nn.ModuleList(conv_pair(below + here, here, here, norm) for here, below, _, _ in steps)
        self.full: nn.Module | None = None
        width = channels[0]
        if tuple(strides[0]) != (1, 1, 1):
            half = max(width // 2, 1)
            self.full = nn.ConvTranspose3d(width, half, kernel_size=strides[0], stride=strides[0])
            self.last = nn.Sequential(
                nn.Conv3d(half + in_channels, half, 3, padding=1), _norm(norm, half), nn.ReLU(inplace=True)
            )
            width = half
        self.out = nn.Conv3d(width, classes, 1)

    def forward(self, volume: Tensor, maps: list[Tensor]) -> Tensor:
        x = maps[-1]
        for up, pair, skip in zip(self.ups, self.pairs, reversed(maps[:-1]), strict=True):
            x = pair(torch.cat((up(x), skip), 1))
        if self.full is not None:
            x = self.last(torch.cat((self.full(x), volume), 1))
        return self.out(x)


def _doubling(channels: int, fine: Shape3, coarse: Shape3) -> nn.Module:
    d, h, w = (c // f for f, c in zip(fine, coarse, strict=True))
    return nn.ConvTranspose3d(channels, channels, kernel_size=(d, h, w), stride=(d, h, w))


def conv_pair(channels: int, middle: int, out: int, norm: Norm, stride: int = 1) -> nn.Sequential:
    """Twice convolution 3x3x3 (the first with `stride`), normalisation, ReLU."""
    parts: list[nn.Module] = []
    for below, here, step in ((channels, middle, stride), (middle, out, 1)):
        parts += [nn.Conv3d(below, here, 3, stride=step, padding=1), _norm(norm, here), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "instance":
        return nn.InstanceNorm3d(channels, affine=True)
    if kind in ("batch", "batch_statistics"):
        return SharedBatchNorm(channels, track_running_stats=kind == "batch")
    raise SpecError(f"No normalisation '{kind}'.", remedy="Choose batch, batch_statistics or instance.")
