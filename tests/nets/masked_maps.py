"""MiM's masked encoder as its released code writes it: over all voxels, hidden ones multiplied by 0 before they are mixed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bench.contracts.configs import Shape3
from bench.nets.conv3d import MaskedConvEncoder
from bench.nets.masked_conv import MaskedConvBlock
from bench.nets.patches import as_tokens, grid_of
from bench.nets.visible import rows_at, visible_places


def lit(keep: Tensor, grid: Shape3, side: int) -> Tensor:
    """keep (B, N) on a grid -> (B, 1, D, H, W), True in the `side`^3 voxels of each kept token: nearest upsampling."""
    coarse = keep.view(-1, 1, *grid)
    return coarse.repeat_interleave(side, 2).repeat_interleave(side, 3).repeat_interleave(side, 4)


def block_over_all(block: MaskedConvBlock, x: Tensor, visible: Tensor) -> Tensor:
    """x + W2 DW5(mask * W1 LN(x)), then x + MLP(LN(x)), on (B, C, D, H, W)."""
    x = x + block.conv2(block.mix(visible * block.conv1(block.norm1(x))))
    return x + block.mlp(block.norm2(x))


def tokens_over_all(encoder: MaskedConvEncoder, volume: Tensor, keep: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """What `encoder.tokens` must give; `masks` at S1, S2 and S3 are `lit`, or others to see what they were for."""
    d, h, w = volume.shape[2:]
    grid = grid_of((d, h, w), (16, 16, 16))
    places = visible_places(keep)
    x, brought = volume, []
    embeds, fuses = (encoder.embed1, encoder.embed2, encoder.embed3), (encoder.fuse1, encoder.fuse2, encoder.fuse3)
    stages = (encoder.stage1, encoder.stage2, encoder.stage3)
    for embed, stage, fuse, mask in zip(embeds, stages, fuses, masks, strict=True):
        x = embed(x)
        for block in stage:
            x = block_over_all(block, x, mask)
        brought.append(rows_at(as_tokens(fuse(x)), places))
    seen = rows_at(encoder.placed(as_tokens(encoder.embed4(x)), grid), places)
    return encoder.norm(encoder.transformed(seen) + sum(brought))
