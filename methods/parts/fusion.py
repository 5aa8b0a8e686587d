"""Two streams of tokens that inform each other: how language reaches a volume's tokens, and a volume those of its report.

Source   MG-3D (arXiv 2412.05876), Sec. III-B, Eq. 1 and 3; its released code for the gate
Changes  pre-norm residual layers, their scale and start are ours: the paper names the parts (self-attention, cross-modal
         attention, feed-forward), not how they join
Shapes   B samples, A own tokens and G guides of width W; `shown` (B, A) and (B, G) bool, True = a token, False = padding
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts.errors import SpecError
from bench.nets.vit3d import Attention, Mlp, init_transformer_

CrossAttention = Literal["proposed", "classical", "gate"]


class ValueAttention(nn.Module):
    """The proposed attention (Eq. 1): own tokens are keys and values, guides only weigh them.

    H[i] = A * mean_b softmax_over_own(q_b . k / sqrt(W))[i] * v[i]; weights average 1 over the own tokens that are shown.
    One head. Nothing is mixed between own tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, own: Tensor, guides: Tensor, own_shown: Tensor, guide_shown: Tensor) -> Tensor:
        scores = self.query(guides) @ self.key(own).transpose(1, 2) / math.sqrt(own.shape[-1])  # (B, G, A)
        shares = scores.float().masked_fill(~own_shown[:, None], float("-inf")).softmax(-1)
        weights = masked_mean(shares, guide_shown) * own_shown.sum(1, keepdim=True)  # (B, A)
        return weights[..., None].to(own.dtype) * self.value(own)


class MixingAttention(nn.Module):
    """The classical cross-attention: own tokens ask, guides are keys and values. One head, so that only the roles differ."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, own: Tensor, guides: Tensor, own_shown: Tensor, guide_shown: Tensor) -> Tensor:
        scores = self.query(own) @ self.key(guides).transpose(1, 2) / math.sqrt(own.shape[-1])  # (B, A, G)
        shares = scores.float().masked_fill(~guide_shown[:, None], float("-inf")).softmax(-1)
        return shares.to(own.dtype) @ self.value(guides)


class SigmoidGate(nn.Module):
    """What MG-3D's released code does for Eq. 1: H[i] = mean_b sigmoid(q_i . k_b / sqrt(W)) * v[i], q of the own tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, own: Tensor, guides: Tensor, own_shown: Tensor, guide_shown: Tensor) -> Tensor:
        scores = self.query(own) @ self.key(guides).transpose(1, 2) / math.sqrt(own.shape[-1])  # (B, A, G)
        gate = masked_mean(scores.sigmoid().transpose(1, 2), guide_shown)  # (B, A)
        return gate[..., None] * self.value(own)


class FusionLayer(nn.Module):
    """One stream's layer: self-attention, cross-modal attention, feed-forward, each pre-norm and residual."""

    def __init__(self, width: int, heads: int, cross: CrossAttention, dropout: float) -> None:
        super().__init__()
        self.norm_self, self.norm_own, self.norm_guides, self.norm_mlp = (nn.LayerNorm(width) for _ in range(4))
        self.attention = Attention(width, heads)
        self.cross = (ValueAttention if cross == "proposed" else MixingAttention)(width)
        self.mlp = Mlp(width, 4 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, own: Tensor, guides: Tensor, own_shown: Tensor, guide_shown: Tensor) -> Tensor:
        hide = torch.zeros_like(own_shown, dtype=torch.float32).masked_fill(~own_shown, float("-inf"))
        own = own + self.dropout(self.attention(self.norm_self(own), hide[:, None, None]))
        own = own + self.dropout(self.cross(self.norm_own(own), self.norm_guides(guides), own_shown, guide_shown))
        return own + self.dropout(self.mlp(self.norm_mlp(own)))


class FusionStack(nn.Module):
    """Layers over two streams, each guided by the other as it entered the layer; (B, A, W), (B, G, W) -> the same.

    `both` False leaves out what only the second stream's end would need; None comes in its place. Xavier-uniform, biases
    0. `gate` layers are the gate alone, without residual, norm, self-attention and feed-forward, and start as PyTorch does.
    """

    def __init__(
        self, width: int, *, depth: int, heads: int, cross: CrossAttention, dropout: float, both: bool = True
    ) -> None:
        super().__init__()
        if cross not in ("proposed", "classical", "gate") or depth < 1:
            raise SpecError(f"No fusion of {depth} layers of '{cross}'.", remedy="Choose proposed, classical or gate.")

        def layer() -> nn.Module:
            return SigmoidGate(width) if cross == "gate" else FusionLayer(width, heads, cross, dropout)

        self.first = nn.ModuleList(layer() for _ in range(depth))
        self.second = nn.ModuleList(layer() for _ in range(depth if both else depth - 1))
        plain = cross == "gate"
        self.first_norm = nn.Identity() if plain else nn.LayerNorm(width)
        self.second_norm = (nn.Identity() if plain else nn.LayerNorm(width)) if both else None
        if not plain:
            init_transformer_(self)

    def forward(
        self, first: Tensor, second: Tensor, first_shown: Tensor, second_shown: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        for number, layer in enumerate(self.first):
            informed = layer(first, second, first_shown, second_shown)
            if number < len(self.second):
                second = self.second[number](second, first, second_shown, first_shown)
            first = informed
        return self.first_norm(first), None if self.second_norm is None else self.second_norm(second)


def all_shown(tokens: Tensor) -> Tensor:
    """(B, T, W) -> (B, T) bool, all True: no token is padding."""
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


def masked_mean(x: Tensor, shown: Tensor) -> Tensor:
    """The mean of (B, T, ...) over the T tokens that are shown (B, T); zeros where none is."""
    weights = shown.reshape(*shown.shape, *[1] * (x.ndim - 2)).to(x.dtype)
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1)
