"""Geometry of nested levels: which tokens hide, which blocks become the next level, how they are cut out and resized.

Source   MiM (arXiv 2404.15580), Sec. III-B, and its released code for the block geometries
Shapes   a level has B volumes, N tokens in row-major order over (D, H, W), U blocks that may become children, G
         children each. A block is one cell of a regular grid over the volume; it may be a token's own box or larger.
Random   draws use torch's default generator of the device, which the training loop seeds anew at each step
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from bench.contracts.configs import Shape3
from bench.contracts.errors import SpecError


def resize(volume: Tensor, shape: Shape3) -> Tensor:
    """(B, C, ...) to another shape: trilinear, align_corners False, no smoothing before; itself where shapes agree."""
    if tuple(volume.shape[2:]) == tuple(shape):
        return volume
    return functional.interpolate(volume, size=shape, mode="trilinear", align_corners=False)


def cut(volume: Tensor, blocks: Shape3, chosen: Tensor) -> Tensor:
    """(B, C, D, H, W) split into a grid of `blocks`, chosen (B, G) row-major -> (B * G, C, D/bd, H/bh, W/bw).

    Children of one volume lie side by side.
    """
    sizes = [length // count for length, count in zip(volume.shape[2:], blocks, strict=True)]
    pairs = [number for pair in zip(blocks, sizes, strict=True) for number in pair]
    cells = volume.reshape(*volume.shape[:2], *pairs)
    _, h, w = blocks
    # not torch.unravel_index, which copies `blocks` to the device each time
    i, j, k = chosen // (h * w), chosen // w % h, chosen % w
    row = torch.arange(len(volume), device=volume.device)[:, None]
    return cells[row, :, i, :, j, :, k, :].flatten(0, 1)


def choose(allowed: Tensor, count: int) -> Tensor:
    """`count` distinct tokens of each row, uniformly among those allowed: (B, N) bool -> (B, count).

    A row that allows fewer is our own bug (a method refuses such settings when it is built): RuntimeError, on a GPU when
    the device gets there, so that the host need not wait. A token that is not allowed would else slip in silently.
    """
    torch._assert_async((allowed.sum(1) >= count).all(), f"{count} children must be drawn from fewer tokens")
    noise = torch.rand(allowed.shape, device=allowed.device)
    return noise.masked_fill(~allowed, -1.0).topk(count, dim=1).indices


def block_of_each_token(tokens: Shape3, blocks: Shape3) -> Tensor:
    """(N,) block in which each token's centre lies, both grids row-major over the same volume."""
    axes = [
        ((torch.arange(t) * 2 + 1) * b).div(2 * t, rounding_mode="floor") for t, b in zip(tokens, blocks, strict=True)
    ]
    i, j, k = torch.meshgrid(*axes, indexing="ij")
    return ((i * blocks[1] + j) * blocks[2] + k).reshape(-1)


def chunk_of_each_token(tokens: Shape3, count: int) -> Tensor:
    """(N,) chunk of consecutive row-major tokens, as the released code numbers them.

    A chunk is not an octant: at 6^3 tokens and 4 of 8 chunks masked, a chosen octant is masked to 13/21 on average.
    """
    total = math.prod(tokens)
    if total % count:
        raise SpecError(f"{total} tokens cannot be cut into {count} equal chunks.", remedy="Set octant_fix=true.")
    return torch.arange(total) // (total // count)


def hide_blocks(
    batch: int, block: Tensor, blocks: int, kept: int, children: int, *, from_hidden: bool = True
) -> tuple[Tensor, Tensor]:
    """Hide whole blocks, then part of one so that `kept` tokens stay: hidden (B, N), chosen blocks (B, children).

    Blocks are ranked by one uniform draw each; tokens take their block's rank plus a draw below the gap of ranks; the
    `kept` lowest stay visible. Children are the highest-ranked blocks, or the lowest with `from_hidden` False; a method
    sees to it, when it is built, that so many blocks find room among the tokens that hide (or stay).
    """
    rank = torch.rand(batch, blocks, device=block.device).argsort(1).argsort(1)  # 0 .. U-1, higher hides first
    score = rank[:, block] + torch.rand(batch, len(block), device=block.device, dtype=torch.float64)
    visible = score.topk(kept, dim=1, largest=False).indices
    hidden = torch.ones(batch, len(block), dtype=torch.bool, device=block.device).scatter(1, visible, False)
    return hidden, rank.topk(children, dim=1, largest=from_hidden).indices


def block_means(features: Tensor, block: Tensor, blocks: int) -> Tensor:
    """(B, N, C) -> (B, U, C): mean over the tokens of each block."""
    share = functional.one_hot(block, blocks).T.to(features.dtype)
    return (share / share.sum(1, keepdim=True)) @ features
