"""Spatially adaptive layers: one set of weights for volumes of any anisotropy, down to single 2-D images.

Source   Building Universal Foundation Models for Medical Image Analysis with Spatially Adaptive Networks (arXiv 2312.07630),
         Sec. 3.1; what the paper leaves open (sum over contiguous depth slices, bias untouched, sum in transposed layers)
         follows its code
Changes  the reduction of transposed kernels may be the mean, for which a volume constant along depth gives the base result
Shapes   (B, C, D, H, W) with D the depth axis, the one of largest spacing; a 2-D image has D = 1
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.configs import Shape3
from bench.contracts.errors import SpecError

MOST_ANISOTROPIC = 5  # no network here halves more than four times, so beyond this all degrees behave alike (code)


@dataclass(frozen=True)
class Grid:
    """Where a feature map stands: `da`, the input's degree of anisotropy, and `halvings`, its in-plane halvings so far.

    `pending` halvings are still due in-plane only, before the voxels are about as deep as they are wide; `deep` ones
    were taken in depth too. With voxel sizes tracked through a network, `pending` > 0 holds exactly where the slice
    spacing is at least twice the in-plane one.
    """

    da: int
    halvings: int = 0

    @property
    def pending(self) -> int:
        return max(self.da - self.halvings, 0)

    @property
    def deep(self) -> int:
        return max(self.halvings - self.da, 0)

    def halved(self, times: int) -> Grid:
        """The grid after so many in-plane halvings, or doublings where negative."""
        return replace(self, halvings=self.halvings + times)


def degree_of_anisotropy(ratio: float, most: int = MOST_ANISOTROPIC) -> int:
    """DA = max(0, floor(log2(slice spacing / in-plane spacing))), at most `most` (Sec. 3.1).

    Examples: 1.99 -> 0, 2 -> 1, 5.55 -> 2, 32 -> 5, 1e8 (a 2-D image) -> 5.
    """
    return min(max(0, math.floor(math.log2(ratio))), most)


def pool_depth(weight: Tensor, depth: int, reduce: Literal["sum", "mean"] = "sum") -> Tensor:
    """A kernel (O, I, k, h, w) with its k slices reduced to `depth`: contiguous blocks are summed (or averaged).

    Example: slices a, b, c, d to depth 2 are a + b and c + d.
    """
    outputs, inputs, k, h, w = weight.shape
    blocks = weight.reshape(outputs, inputs, depth, k // depth, h, w)
    return blocks.sum(3) if reduce == "sum" else blocks.mean(3)


def inflate(weight: Tensor, depth: int) -> Tensor:
    """A 2-D kernel (O, I, h, w) repeated along depth and divided by it, so that pooling all of it gives it back."""
    return weight[:, :, None].expand(-1, -1, depth, -1, -1) / depth


def spread_channels(weight: Tensor, channels: int) -> Tensor:
    """A kernel (O, a, ...) for another number of input channels: summed over a, divided by it, repeated.

    A network of one channel then gives for a grey image what the one of three gives for the same image thrice.
    """
    repeats = [1, channels] + [1] * (weight.ndim - 2)
    return weight.sum(1, keepdim=True).repeat(repeats) / channels


class SpadConv(nn.Conv3d):
    """3 x 3 x 3 convolution, stride 1, padding 1; 1 x 3 x 3 while in-plane halvings are due."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:  # type: ignore[override]
        if not grid.pending:
            return super().forward(x), grid
        return F.conv3d(x, pool_depth(self.weight, 1), self.bias, padding=(0, 1, 1)), grid


class SpadDown(nn.Conv3d):
    """Downsampling by 2**K, in depth only as far as the grid allows.

    `kernel` equals `factor`, or is 3 with factor 2 (padding 1). Raises SpecError where the input's depth is no multiple
    of the reduced kernel.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, kernel: int = 0) -> None:
        kernel = kernel or factor
        if factor < 2 or factor & (factor - 1) or (kernel != factor and (kernel, factor) != (3, 2)):
            raise SpecError(
                f"Adaptive downsampling by {factor} with kernel {kernel}: possible are powers of two, or 3/2."
            )
        super().__init__(inputs, outputs, kernel, stride=factor, padding=kernel // 2 if kernel == 3 else 0)
        self.times = factor.bit_length() - 1

    def depth(self, grid: Grid) -> int:
        """Depth by which the layer shrinks a map on this grid."""
        return int(2 ** max(self.times - grid.pending, 0))

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:  # type: ignore[override]
        after = grid.halved(self.times)
        if not grid.pending:
            return super().forward(x), after
        depth = self.depth(grid)
        if x.shape[2] % depth:
            raise SpecError(
                f"A volume {x.shape[2]} deep cannot be cut by {depth} at anisotropy {grid.da}.",
                remedy="Choose a crop whose depth is a multiple of the adapted patch.",
            )
        padding = (0, *self.padding[1:]) if isinstance(self.padding, tuple) else 0
        weight = pool_depth(self.weight, depth)
        return F.conv3d(x, weight, self.bias, (depth, *self.stride[1:]), padding), after


class SpadUp(nn.ConvTranspose3d):
    """Upsampling by 2**K (kernel = stride), in depth only where depth was halved before.

    `reduce`: a reduced kernel is the `sum` of its slices (code), or their `mean`.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, reduce: Literal["sum", "mean"] = "sum") -> None:
        if factor < 2 or factor & (factor - 1):
            raise SpecError(f"Adaptive upsampling by {factor}: possible are powers of two.")
        super().__init__(inputs, outputs, factor, stride=factor)
        self.times, self.reduce = factor.bit_length() - 1, reduce

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:  # type: ignore[override]
        after, depth = grid.halved(-self.times), 2 ** min(grid.deep, self.times)
        if depth == self.stride[0]:
            return super().forward(x), after
        weight = pool_depth(self.weight, depth, self.reduce)
        return F.conv_transpose3d(x, weight, self.bias, (depth, *self.stride[1:])), after


class SpadSequence(nn.ModuleList):
    """Layers one after the other; adaptive ones are handed the grid and say how it stands after them."""

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        super().__init__(parts)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        for part in self:
            if isinstance(part, (SpadConv, SpadDown, SpadUp, SpadSequence)):
                x, grid = part(x, grid)
            else:
                x = part(x)
        return x, grid


def crop_depth(da: int, tokens: int, patch: int) -> int:
    """Voxels along depth of a crop of `tokens` tokens: tokens * max(patch / 2**DA, 1); one slice at the highest degree.

    Example (four tokens of 16): 64, 32, 16, 8, 4, 1 for DA 0 to 5.
    """
    return 1 if da >= MOST_ANISOTROPIC else tokens * max(patch >> da, 1)


def degrees_by_depth(tokens: int, patch: int) -> dict[int, int]:
    """Depth of such a crop -> the degree of anisotropy as which it is treated: where two share a depth, the lesser.

    Example (four tokens of 8): 32, 16, 8, 4, 1 for DA 0, 1, 2, 3 and 4 alike, 5.
    """
    return {crop_depth(da, tokens, patch): da for da in range(MOST_ANISOTROPIC, -1, -1)}


def resample_grid(table: Tensor, grid: Shape3) -> Tensor:
    """A table (C, d, h, w) of learned positions brought to another grid: axes that shrink by area, then those that grow
    trilinearly; itself where the grids agree."""
    least = tuple(min(a, b) for a, b in zip(table.shape[1:], grid, strict=True))
    if least != tuple(table.shape[1:]):
        table = F.interpolate(table[None], least, mode="area")[0]
    if least != tuple(grid):
        table = F.interpolate(table[None], grid, mode="trilinear", align_corners=False)[0]
    return table


def depth_first(x: Tensor, axis: int) -> Tensor:
    """(B, C, D, H, W) with the spatial axis `axis` (0, 1, 2) moved to the front: a view."""
    return x if axis == 0 else x.movedim(2 + axis, 2)


def depth_back(x: Tensor, axis: int) -> Tensor:
    """The inverse of `depth_first`."""
    return x if axis == 0 else x.movedim(2, 2 + axis)


def along_first(shape: Shape3, axis: int) -> Shape3:
    """A shape, place or size along (D, H, W) as `depth_first` orders it."""
    rest = [side for at, side in enumerate(shape) if at != axis]
    return shape[axis], rest[0], rest[1]


def along_back(shape: Shape3, axis: int) -> Shape3:
    """The inverse of `along_first`."""
    rest = list(shape[1:])
    rest.insert(axis, shape[0])
    return rest[0], rest[1], rest[2]
