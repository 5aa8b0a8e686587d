"""SequenceViT: a ViT that reads a volume as a sequence, from START on, each token seeing its prefix or all.

Source   AR-SSL4M (AAAI 2025) and its released code: ViT-B, pre-norm, LayerNorm eps 1e-5, query, key and
         value apart and without bias, raw integer positions that are never interpolated
Changes  patches are embedded by a linear layer on `patchify` rows, which is the code's convolution of equal stride
Shapes   B volumes, N image tokens (row-major over the grid, the last axis fastest), C the width
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.contracts.configs import Shape3, Sight
from bench.contracts.errors import SpecError
from bench.contracts.method import Encoder, Features
from bench.nets.input_channels import repeat_patch_channels
from bench.nets.patches import as_map, grid_of, patchify
from bench.nets.prefix_attention import Prefix, prefix_attention
from bench.nets.vit3d import Mlp, check_shape, check_skips, init_transformer_, sincos_positions

START, END, SPECIAL_TOKENS = 1, 2, 4  # released code: rows of the table; 0 and 3 are never used
NORM_EPS = 1e-5  # released code


class PrefixAttention(nn.Module):
    """Multi-head self-attention over (B, N, C) with separate, bias-free projections of query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise SpecError(f"{heads} heads do not divide a width of {width}.", remedy="Choose heads that divide it.")
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, prefix: Prefix | None) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = prefix_attention(q, k, v, prefix)  # (B, heads, N, C / heads)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class SequenceBlock(nn.Module):
    """One pre-norm transformer block, (B, N, C) -> (B, N, C), MLP ratio 4."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = PrefixAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, prefix: Prefix | None) -> Tensor:
        x = x + self.attention(self.norm1(x), prefix)
        return x + self.mlp(self.norm2(x))


class Entry(nn.Module):
    """What turns a volume into tokens: the patch embedding and the table that holds START and END."""

    def __init__(self, voxels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(voxels, width)
        nn.init.xavier_uniform_(self.embed.weight)  # released code; the bias keeps the convolution's default
        self.special_tokens = nn.Parameter(torch.randn(SPECIAL_TOKENS, width))


class SequenceViT(Encoder):
    """A ViT for next-token prediction, and the encoder that fine-tuning sees.

    `sequence` is the pre-training pass. `forward` is fine-tuning's: START and all image tokens see each other, START is
    dropped. Maps are the tokens after the blocks in `skips` (counted from 1), not normed but for the last; `pooled` is
    the mean of the normed tokens. Positions belong to the grid of `sight.shape`; other volumes raise SpecError.
    `recompute` trades time for memory in pre-training: activations of a block are computed again in the backward pass.
    """

    positions: Tensor

    def __init__(
        self,
        sight: Sight,
        *,
        width: int,
        depth: int,
        heads: int,
        patch: Shape3,
        skips: tuple[int, ...],
        recompute: bool = False,
    ) -> None:
        super().__init__()
        check_skips(skips, depth)
        self.patch, self.width, self.skips, self.recompute = patch, width, skips, recompute
        self.shape, self.grid = sight.shape, grid_of(sight.shape, patch)
        self.entry = Entry(math.prod(patch) * sight.channels, width)
        self.blocks = nn.ModuleList(SequenceBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        init_transformer_(self.blocks)
        self.register_buffer("positions", sincos_positions(self.grid, width), persistent=False)
        self.channels, self.strides = (width,) * len(skips), (patch,) * len(skips)
        self.pooled_width = width

    def embedded(self, volume: Tensor) -> Tensor:
        """(B, C, D, H, W) -> image tokens (B, N, width) with the positions of their own places."""
        check_shape(volume, self.shape)
        tokens: Tensor = self.entry.embed(patchify(volume, self.patch)) + self.positions
        return tokens

    def sequence(self, volume: Tensor, order: Tensor, prefix_lengths: Tensor) -> Tensor:
        """START, the image tokens in the given order, END -> (B, N + 2, width) after the final norm.

        `order` (N,): the grid place of the image token at each place of the sequence. `prefix_lengths` (B,) counts START.
        """
        tokens = self.embedded(volume)[:, order]
        start, end = (self._special(row, tokens) for row in (START, END))
        x = torch.cat([start, tokens, end], dim=1)
        prefix = Prefix.of(prefix_lengths, x.shape[1])
        for block in self.blocks:
            x = checkpoint(block, x, prefix, use_reentrant=False) if self.recompute else block(x, prefix)
        return self.norm(x)

    def forward(self, volume: Tensor) -> Features:
        tokens = self.embedded(volume)
        x = torch.cat([self._special(START, tokens), tokens], dim=1)
        maps: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, None)
            if number in self.skips[:-1]:
                maps.append(as_map(x[:, 1:], self.grid))
        x = self.norm(x[:, 1:])
        return Features([*maps, as_map(x, self.grid)], x.mean(1))

    def layers(self) -> list[nn.Module]:
        return [self.entry, *self.blocks]

    def at_head(self) -> list[nn.Module]:
        return [self.norm]

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        """The embedding's input channels are repeated, not divided."""
        if name == "entry.embed.weight" and found.shape[0] == wanted.shape[0]:
            return repeat_patch_channels(found, wanted, math.prod(self.patch))
        return None

    def _special(self, row: int, tokens: Tensor) -> Tensor:
        return self.entry.special_tokens[row].to(tokens.dtype).expand(len(tokens), 1, -1)
