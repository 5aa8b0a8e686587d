"""The static form of SPAD-ViT: a kernel and a position grid of one task's own, and four maps for a U-Net decoder.

Source   SPAD, Sec. 3.3 and App. B; feature levels 4/6/8/12 with norms before resizing are the released code's
Changes  strides along depth follow the degree of anisotropy itself, where the code takes log2(16 / patch depth): the same up
         to degree 4, and it keeps a 2-D image one slice deep
Shapes   volume (B, C, D, H, W) in the task's axes; inside, the depth axis comes first. N tokens of P in-plane voxels, width W
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.configs import Shape3, Sight
from bench.contracts.errors import SpecError
from bench.contracts.method import Adopted, Features
from bench.nets.eva02 import is_eva02
from bench.nets.patches import as_map
from bench.nets.spad import (
    MOST_ANISOTROPIC,
    along_back,
    along_first,
    depth_back,
    depth_first,
    pool_depth,
    resample_grid,
    spread_channels,
)
from bench.nets.spad_vit import SpadViT

LEVELS = 4  # 1/4, 1/8, 1/16 and 1/32 of the in-plane side at patch 16


class AdaptedSpadViT(SpadViT):
    """SPAD-ViT for the volumes of one task: a kernel and a position grid of their own, and four maps for a U-Net decoder.

    `da` and `depth_axis` tell how the task's voxels lie. Maps are of strides P/4, P/2, P and 2P in-plane (the four of
    `taps`, each through an affine instance norm), less along depth as the anisotropy asks. `pooled` is the class token after
    the final norm.
    """

    def __init__(
        self,
        sight: Sight,
        *,
        da: int,
        depth_axis: int,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        taps: tuple[int, ...],
        norm_eps: float = 1e-5,
        eva02_eps: float = 1e-6,
        eva02_class_row: int = 0,
    ) -> None:
        if len(taps) != LEVELS or list(taps) != sorted(set(taps)) or not 1 <= taps[0] <= taps[-1] <= depth:
            raise SpecError(
                f"{LEVELS} rising blocks of {depth} are asked for, found {taps}.", remedy="For example 4,6,8,12 of 12."
            )
        self.da, self.depth_axis, self.taps = da, depth_axis, taps
        self.eva02_eps, self.eva02_class_row = eva02_eps, eva02_class_row
        self.kernel: Shape3 = (max(patch >> da, 1), patch, patch)
        self.grid = task_grid(along_first(sight.shape, depth_axis), self.kernel, da)
        super().__init__(
            channels=sight.channels,
            width=width,
            depth=depth,
            heads=heads,
            patch=patch,
            table=self.grid,
            norm_eps=norm_eps,
        )
        self.norms = nn.ModuleList(nn.InstanceNorm3d(width, affine=True) for _ in taps)
        times = patch.bit_length() - 1  # in-plane halvings of a token
        self.depth_steps = tuple(depth_step(da, stage) for stage in (times - 1, times, times + 1))
        fine, half, _ = self.depth_steps
        self.twice = nn.Sequential(
            transposed(width, half), nn.InstanceNorm3d(width, affine=True), nn.GELU(), transposed(width, fine)
        )
        self.once = transposed(width, half)
        self.channels = (width,) * LEVELS
        self.strides = self._strides()
        self.trunk = frozenset(name for name in self.state_dict() if not name.startswith(("norms.", "twice.", "once.")))
        self.register_load_state_dict_pre_hook(_bring_eps)  # type: ignore[no-untyped-call]

    def _patch_layer(self, channels: int) -> nn.Module:
        return nn.Conv3d(channels, self.width, self.kernel, stride=self.kernel)

    def _strides(self) -> tuple[Shape3, ...]:
        fine, half, coarse = self.depth_steps
        p, (d, _, _) = self.patch, self.kernel
        depths = (max(d // (fine * half), 1), max(d // half, 1), d, d * coarse)
        planes = (p // 4, p // 2, p, 2 * p)
        return tuple(along_back((z, s, s), self.depth_axis) for z, s in zip(depths, planes, strict=True))

    def forward(self, volume: Tensor) -> Features:
        tokens, grid = self._tokens(volume)
        last, kept = self.encoded(tokens, grid, self.taps)
        maps = [norm(as_map(x[:, 1:], grid)) for norm, x in zip(self.norms, kept, strict=True)]
        coarse = F.max_pool3d(maps[3], (self.depth_steps[2], 2, 2))
        levels = [self.twice(maps[0]), self.once(maps[1]), maps[2], coarse]
        return Features([depth_back(level, self.depth_axis) for level in levels], last[:, 0])

    def pooled(self, volume: Tensor) -> Tensor:
        """The class token alone: no map is made for it."""
        tokens, grid = self._tokens(volume)
        return self.encoded(tokens, grid)[0][:, 0]

    def _tokens(self, volume: Tensor) -> tuple[Tensor, Shape3]:
        tokens, grid = self._placed(self.embed(depth_first(volume, self.depth_axis)))
        if grid != self.grid:
            raise SpecError(
                f"This encoder was built for a grid of {self.grid} tokens (depth first), found {grid}.",
                remedy="Use windows of the training size, or build the encoder for the new size.",
            )
        return tokens, grid

    def layers(self) -> list[nn.Module]:
        return [self.embed, *self.blocks, self.norm, nn.ModuleList([self.norms, self.twice, self.once])]

    def declared(self) -> frozenset[str]:
        return self.trunk

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        """The patch kernel is summed along depth to what the task's anisotropy asks and spread over its channels; positions
        are resampled."""
        if name == "positions" and found.ndim == 4:
            return resample_grid(found.float(), (wanted.shape[1], wanted.shape[2], wanted.shape[3])).to(found.dtype)
        if name == "embed.weight" and found.ndim == 5 and found.shape[3:] == wanted.shape[3:]:
            if found.shape[2] % wanted.shape[2]:
                return None
            pooled = pool_depth(found, wanted.shape[2])
            return pooled if pooled.shape[1] == wanted.shape[1] else spread_channels(pooled, wanted.shape[1])
        return None

    def adopt(self, weights: Mapping[str, Tensor], *, declared: bool = True) -> Adopted:
        """As every encoder; a file of EVA-02-B is brought to our names and shapes first, and brings the epsilon of its norms."""
        if not is_eva02(weights):
            return super().adopt(weights, declared=declared)
        adopted = super().adopt(self._from_eva02(weights, self.eva02_class_row)[0], declared=True)
        self.keep_eps(torch.tensor(self.eva02_eps, device=self.cls_token.device))
        return adopted

    def keep_eps(self, eps: Tensor) -> None:
        """Take this epsilon in every layer norm and keep it beside the weights: a stored model is built again from a config
        that does not know what was adopted."""
        self.register_buffer("adopted_eps", eps.to(next(self.parameters()).device))
        for part in self.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = eps.item()


def _bring_eps(encoder: AdaptedSpadViT, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Before weights are loaded: the epsilon that lies beside them, where they were once adopted from EVA-02."""
    if (eps := state.get(f"{prefix}adopted_eps")) is not None:
        encoder.keep_eps(eps)


def task_grid(shape: Shape3, kernel: Shape3, da: int) -> Shape3:
    """Patches along each axis of a task's volume, both depth first. Raises SpecError where they are no whole number."""
    if any(side < step or side % step for side, step in zip(shape, kernel, strict=True)):
        raise SpecError(
            f"A volume of {shape} voxels at anisotropy {da} is no whole number of patches {kernel} (depth first).",
            remedy="Change patch_voxels.",
        )
    d, h, w = (side // step for side, step in zip(shape, kernel, strict=True))
    return d, h, w


def depth_step(da: int, stage: int) -> int:
    """By how much depth changes in halving number `stage` (from 1, fine to coarse): 1 while it is due in-plane only."""
    return 1 if da >= stage or da >= MOST_ANISOTROPIC else 2


def transposed(width: int, depth: int) -> nn.ConvTranspose3d:
    """Upsampling by 2 in-plane and by `depth` along depth, width unchanged."""
    return nn.ConvTranspose3d(width, width, (depth, 2, 2), stride=(depth, 2, 2))
