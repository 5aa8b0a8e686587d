"""Swin3D: the shifted-window encoder of Swin-UNETR, with each of the three patch mergings in use.

Source   Hatamizadeh et al., 2022 (arXiv 2201.01266), Sec. 3.1; Liu et al., ICCV 2021; blocks from MONAI
Changes  none; the stages are wired here because MONAI's own wiring needs a package that it does not require, and attention
         within windows is made by one call on CUDA (`window_attention.py`)
Shapes   volume (B, C, D, H, W) -> maps of f, 2f, 4f, 8f, 16f channels at strides 2, 4, 8, 16, 32
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from monai.networks.blocks.patchembedding import PatchEmbed
from monai.networks.nets.swin_unetr import SwinTransformerBlock, compute_mask, get_window_size
from torch import Tensor, nn

from bench.contracts.configs import Shape3, Sight
from bench.contracts.errors import SpecError
from bench.contracts.method import Encoder, Features
from bench.nets.channel_norm import norm_channels
from bench.nets.input_channels import repeat_conv_channels
from bench.nets.window_attention import fuse

Merging = Literal["legacy", "fixed", "v2"]
Offsets = tuple[Shape3, ...]

OFFSETS: dict[Merging, Offsets] = {
    # MONAI 0.9, under which the released weights were trained: two offsets come twice, two not.
    "legacy": ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1)),
    # MONAI 1.6 `merging`: repaired, the other offsets in their old places.
    "fixed": ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)),
    # MONAI `mergingv2`: all eight, row-major.
    "v2": tuple(itertools.product((0, 1), repeat=3)),  # type: ignore[arg-type]
}


class PatchMerging(nn.Module):
    """Halve every axis and double the channels, (B, D, H, W, C) -> (B, D/2, H/2, W/2, 2C); odd axes are zero-padded.

    The mergings share names, shapes and parameter counts, so a wrong one loads without a word: name it in the config.
    """

    def __init__(self, width: int, merging: Merging) -> None:
        super().__init__()
        if merging not in OFFSETS:
            raise SpecError(f"No patch merging '{merging}'.", remedy=f"Choose one of {', '.join(OFFSETS)}.")
        self.offsets = OFFSETS[merging]
        self.norm = nn.LayerNorm(8 * width)
        self.reduction = nn.Linear(8 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        odd = [side % 2 for side in x.shape[1:4]]
        if any(odd):
            x = F.pad(x, (0, 0, 0, odd[2], 0, odd[1], 0, odd[0]))
        slices = [x[:, d::2, h::2, w::2] for d, h, w in self.offsets]
        return self.reduction(self.norm(torch.cat(slices, -1)))


class Stage(nn.Module):
    """Swin blocks, every second one with shifted windows, then a merging; (B, C, D, H, W) -> (B, 2C, D/2, H/2, W/2)."""

    def __init__(self, width: int, depth: int, heads: int, window: Shape3, merging: Merging) -> None:
        super().__init__()
        self.window = window
        self.shift = tuple(side // 2 for side in window)
        self.blocks = nn.ModuleList(
            fuse(SwinTransformerBlock(width, heads, window, self.shift if number % 2 else (0, 0, 0), qkv_bias=True))
            for number in range(depth)
        )
        self.downsample = PatchMerging(width, merging)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 4, 1).contiguous()
        window, shift = get_window_size(tuple(x.shape[1:4]), self.window, self.shift)
        padded = [math.ceil(side / w) * w for side, w in zip(x.shape[1:4], window, strict=True)]
        apart = compute_mask(padded, window, shift, x.device)
        for block in self.blocks:
            x = block(x, apart)
        return self.downsample(x).permute(0, 4, 1, 2, 3).contiguous()


class Swin3D(Encoder):
    """Patch embedding of 2x2x2 voxels and four stages; each map leaves through a channel LayerNorm without weights.

    Names are MONAI's (`patch_embed.proj`, `layers1.0.blocks.0...`), so that published weights fit after their prefix.
    8,062,002 parameters at feature 48 with one channel. Sides: multiples of 32. `pooled`: mean of the last map.
    """

    def __init__(
        self,
        sight: Sight,
        *,
        feature: int = 48,
        depths: tuple[int, ...] = (2, 2, 2, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        window: Shape3 = (7, 7, 7),
        merging: Merging = "v2",
    ) -> None:
        super().__init__()
        if len(depths) != 4 or len(heads) != 4 or any(feature * 2**i % h for i, h in enumerate(heads)):
            raise SpecError(
                f"Swin3D has four stages whose widths {feature}, {2 * feature}, ... divide by their heads, found "
                f"depths {depths}, heads {heads}.",
                remedy="For example feature 48, depths (2, 2, 2, 2), heads (3, 6, 12, 24).",
            )
        self.patch_embed = PatchEmbed(2, sight.channels, feature, norm_layer=None, spatial_dims=3)
        stages = [Stage(feature * 2**i, depths[i], heads[i], window, merging) for i in range(4)]
        self.layers1, self.layers2, self.layers3, self.layers4 = (nn.ModuleList([stage]) for stage in stages)
        self.channels = tuple(feature * 2**i for i in range(5))
        self.strides = ((2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16), (32, 32, 32))
        self.pooled_width = 16 * feature

    def forward(self, volume: Tensor) -> Features:
        if any(side % 32 for side in volume.shape[2:]):
            raise SpecError(
                f"Swin3D needs sides that are multiples of 32, found {tuple(volume.shape[2:])}.",
                remedy="Change patch_voxels.",
            )
        x = self.patch_embed(volume)
        maps = [norm_channels(x)]
        for stage in self._stages():
            x = stage(x)
            maps.append(norm_channels(x))
        return Features(maps, maps[-1].mean((2, 3, 4)))

    def layers(self) -> list[nn.Module]:
        inner = [part for stage in self._stages() for part in (*stage.blocks, stage.downsample)]
        return [self.patch_embed, *inner]

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        """The patch embedding's input channels are repeated, not divided."""
        return repeat_conv_channels(found, wanted) if name == "patch_embed.proj.weight" else None

    def _stages(self) -> list[Stage]:
        return [layer[0] for layer in (self.layers1, self.layers2, self.layers3, self.layers4)]  # type: ignore[misc]
