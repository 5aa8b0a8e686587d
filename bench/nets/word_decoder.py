"""A transformer that writes words one after the other while it looks at visual tokens.

Source   Vaswani et al., NeurIPS 2017, Sec. 3; learnt memory beside the visual tokens as the knowledge memory of M2KT (Yang et
         al., Medical Image Analysis 2023), which MG-3D fine-tunes for reports
Changes  layer norm before each block; M2KT's memory is read by its own attention, here it stands among the visual tokens
Shapes   B volumes, M visual tokens of V numbers, L words, W words known, C channels
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.method import Features


def visual_tokens(features: Features, side: int) -> Tensor:
    """Every map pooled to side x side x side cells, all maps of a cell side by side: (B, side^3, sum of channels)."""
    pooled = [F.adaptive_avg_pool3d(level.float(), side).flatten(2) for level in features.maps]
    return torch.cat(pooled, dim=1).transpose(1, 2)


class WordDecoder(nn.Module):
    """Visual tokens and the words so far in, one score per known word out."""

    def __init__(
        self,
        visual_width: int,
        *,
        words: int,
        longest: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        slots: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.LayerNorm(visual_width), nn.Linear(visual_width, width))
        self.slots = nn.Parameter(0.02 * torch.randn(slots, width)) if slots else None
        self.embed = nn.Embedding(words, width)
        self.positions = nn.Parameter(0.02 * torch.randn(longest, width))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, heads, hidden, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, words)

    def memory(self, visual: Tensor) -> Tensor:
        """What words look at: (B, M, V) -> (B, M + slots, C)."""
        tokens: Tensor = self.look(visual)
        if self.slots is None:
            return tokens
        return torch.cat([tokens, self.slots.expand(len(tokens), -1, -1)], dim=1)

    def forward(self, ids: Tensor, memory: Tensor) -> Tensor:
        """Scores (B, L, W) of the word after each of the given ones (B, L)."""
        length = ids.shape[1]
        x = self.embed(ids) + self.positions[:length]
        ahead = nn.Transformer.generate_square_subsequent_mask(length, device=ids.device, dtype=x.dtype)
        for layer in self.layers:
            x = layer(x, memory, tgt_mask=ahead, tgt_is_causal=True)
        scores: Tensor = self.score(self.norm(x))
        return scores
