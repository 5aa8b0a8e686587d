"""Volumes to rows of patches, maps to tokens and back, without losing a bit."""

from __future__ import annotations

from torch import Tensor

from bench.contracts.configs import Shape3
from bench.contracts.errors import SpecError


def grid_of(shape: Shape3, patch: Shape3) -> Shape3:
    """Patches per axis of a volume of `shape` voxels; raises SpecError where a patch does not divide an axis.

    Example: `grid_of((96, 96, 48), (16, 16, 8))` is `(6, 6, 6)`.
    """
    if any(voxels % side or voxels < side for voxels, side in zip(shape, patch, strict=True)):
        raise SpecError(
            f"A volume of {shape} voxels cannot be cut into whole patches of {patch}.",
            remedy="Choose a crop or patch_voxels whose every axis is a multiple of the patch.",
        )
    d, h, w = (voxels // side for voxels, side in zip(shape, patch, strict=True))
    return d, h, w


def patchify(volume: Tensor, patch: Shape3) -> Tensor:
    """Cut a volume into patches, one row each.

    Shapes: (B, C, D, H, W) -> (B, N, P*C). Tokens are row-major over the (D, H, W) grid; inside a token the voxels are
    row-major and the channel runs fastest. Raises SpecError where a patch does not divide an axis.
    """
    batch, channels, depth, height, width = volume.shape
    d, h, w = grid_of((depth, height, width), patch)
    p, q, r = patch
    cells = volume.reshape(batch, channels, d, p, h, q, w, r)
    return cells.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, d * h * w, p * q * r * channels)


def as_tokens(features: Tensor) -> Tensor:
    """A map (B, C, D, H, W) -> its cells as tokens (B, D * H * W, C), row-major."""
    return features.flatten(2).transpose(1, 2)


def as_map(tokens: Tensor, grid: Shape3) -> Tensor:
    """The inverse of `as_tokens`: (B, N, C) -> (B, C, *grid)."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)
