"""Device-side variation of labelled crops in space: rotation, zoom and bent space, from numbers the loader drew."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def turn(
    volume: Tensor, label: Tensor, inside: Tensor, matrix: Tensor, bent: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotate and zoom about the centre: volume (B, C, D, H, W) trilinearly, label and inside (B, D, H, W) by nearest voxel.

    `matrix` (B, 3, 3) maps output to input offsets from the centre, in voxels along (D, H, W). `bent` (B, 3, d, h, w) are
    offsets in voxels, on a coarser grid, that are added before. What comes from outside is 0 in every output.
    """
    grid = _grid(matrix, volume.shape[2:], bent)
    turned = F.grid_sample(volume, grid.to(volume.dtype), mode="bilinear", padding_mode="zeros", align_corners=True)
    masks = torch.stack([label, inside], dim=1).float()
    label_turned, inside_turned = F.grid_sample(masks, grid, mode="nearest", align_corners=True).unbind(1)
    return turned, label_turned.to(label.dtype), inside_turned.to(inside.dtype)


def _grid(matrix: Tensor, shape: torch.Size, bent: Tensor | None) -> Tensor:
    """Sampling positions (B, D, H, W, 3) in grid_sample's order (W, H, D), each axis from -1 to 1."""
    half = torch.tensor([(side - 1) / 2 or 1.0 for side in shape], device=matrix.device)
    axes = [torch.linspace(-1, 1, side, device=matrix.device) * h for side, h in zip(shape, half, strict=True)]
    voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    moved = torch.einsum("bij,dhwj->bdhwi", matrix, voxels)
    if bent is not None:
        shifts = F.interpolate(bent, shape, mode="trilinear", align_corners=False)
        moved = moved + torch.einsum("bij,bjdhw->bdhwi", matrix, shifts)
    moved = moved / half
    return moved.flip(-1)
