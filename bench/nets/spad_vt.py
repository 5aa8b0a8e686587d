"""SPAD-VT: a tokenizer whose soft tokens are probabilities over a vocabulary, and the discriminator it is trained against.

Source   SPAD, Sec. 3.2, for the contract (tokens of 16 in-plane voxels, vocabulary 1024); layers are the released code's
Changes  none known
Shapes   depth-first volumes (B, 3, D, H, W) in [-1, 1] -> logits (B, d, h, w, V); V words, E numbers per word
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from bench.nets.channel_norm import ChannelNorm
from bench.nets.spad import Grid, SpadConv, SpadDown, SpadSequence, SpadUp

CHANNELS = 3  # grey images come thrice
SLOPE = 0.01  # of every leaky ReLU
NORM_GROUPS = 8
DISCRIMINATOR_GROUPS = 16


class SpadTokenizer(nn.Module):
    """Encoder, soft vector quantisation and decoder. `factors` multiply to the in-plane side of a token.

    At widths 128, 256, 512 and 1024 words: 15,496,832 + 1,049,600 + 17,707,523 parameters. The codebook is uniform in
    +-`codebook_reach` at the start; everything else starts as PyTorch's default.
    """

    undecayed = ("codebook",)

    def __init__(
        self,
        *,
        widths: tuple[int, int, int] = (128, 256, 512),
        factors: tuple[int, int, int] = (4, 2, 2),
        words: int = 1024,
        up_reduce: Literal["sum", "mean"] = "sum",
        codebook_reach: float = 1 / 1024,
    ) -> None:
        super().__init__()
        top, self.token_side = widths[-1], math.prod(factors)
        down: list[nn.Module] = []
        for (below, here), factor in zip(pairwise((CHANNELS, *widths)), factors, strict=True):
            down += [SpadDown(below, here, factor), ChannelNorm(here), nn.GELU()]
        self.encoder = SpadSequence([*down, *_mixed(top), *_mixed(top)])
        self.to_logits = nn.Linear(top, words)
        self.codebook = nn.Parameter(torch.empty(words, top).uniform_(-codebook_reach, codebook_reach))
        up: list[nn.Module] = []
        for (here, below), factor in zip(pairwise(widths[::-1]), factors[:0:-1], strict=True):
            up += [SpadUp(here, below, factor, up_reduce), *_mixed(below)]
        last = SpadUp(widths[0], CHANNELS, factors[0], up_reduce)
        self.decoder = SpadSequence([*_mixed(top), *_mixed(top), *up, last])

    def logits(self, x: Tensor, da: int) -> tuple[Tensor, Grid]:
        """Words' logits (B, d, h, w, V) and the grid on which the decoder goes on."""
        cells, grid = self.encoder(x, Grid(da))
        return self.to_logits(cells.movedim(1, -1)), grid

    def soft_tokens(self, x: Tensor, da: int) -> Tensor:
        """q = softmax(logits), (B, N, V) float32, depth outermost."""
        return self.logits(x, da)[0].flatten(1, 3).float().softmax(-1)

    def decoded(self, q: Tensor, grid: Grid) -> Tensor:
        """Soft tokens (B, d, h, w, V) to a volume (B, 3, D, H, W)."""
        x, _ = self.decoder((q.to(self.codebook.dtype) @ self.codebook).movedim(-1, 1), grid)
        return x

    def forward(self, x: Tensor, da: int) -> tuple[Tensor, Tensor]:
        """The volume rebuilt (B, 3, D, H, W), and q (B, d, h, w, V) float32."""
        logits, grid = self.logits(x, da)
        q = logits.float().softmax(-1)
        return self.decoded(q, grid), q


class SpadDiscriminator(nn.Module):
    """Three halvings with kernel 3, then a score per place: positive where the volume looks real. 11,529,985 parameters
    at widths 128, 256, 512."""

    def __init__(self, *, widths: tuple[int, int, int] = (128, 256, 512)) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for below, here in pairwise((CHANNELS, *widths)):
            parts += [SpadDown(below, here, 2, kernel=3), *_normed(DISCRIMINATOR_GROUPS, here)]
        top = widths[-1]
        parts += [SpadConv(top, top), *_normed(DISCRIMINATOR_GROUPS, top), SpadConv(top, 1)]
        self.parts = SpadSequence(parts)

    def forward(self, x: Tensor, da: int) -> Tensor:
        scores, _ = self.parts(x, Grid(da))
        return scores


def _mixed(width: int) -> list[nn.Module]:
    return [SpadConv(width, width), *_normed(NORM_GROUPS, width)]


def _normed(groups: int, width: int) -> list[nn.Module]:
    return [nn.GroupNorm(groups, width), nn.LeakyReLU(SLOPE)]
