"""EVA-02's transformer block with rotary positions, and its released weights under our names.

Source   Fang et al., EVA-02 (arXiv 2303.11331), Sec. 2.1: SwiGLU with a norm inside, rotary positions; the base model has no
         norm inside its attention
Shapes   (B, 1 + N, C): a class token that is not turned, then N grid tokens
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.errors import SpecError
from bench.nets.rope import rotate


class RotaryAttention(nn.Module):
    """Multi-head self-attention; queries and values have a bias, keys none; the grid tokens' q and k are turned."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise SpecError(f"{heads} heads do not divide a width of {width}.", remedy="Choose heads that divide it.")
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k = (torch.cat((t[:, :, :1], rotate(t[:, :, 1:], cos, sin)), 2) for t in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """W3(LN(SiLU(W1 x) * W2 x)), all with bias."""

    def __init__(self, width: int, inner: int, norm_eps: float) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, inner)
        self.w2 = nn.Linear(width, inner)
        self.norm = nn.LayerNorm(inner, eps=norm_eps)
        self.w3 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w3(self.norm(F.silu(self.w1(x)) * self.w2(x)))


class Eva02Block(nn.Module):
    """x + Attention(LN x), then x + SwiGLU(LN x); the inner width is floor(8/3 of the width)."""

    def __init__(self, width: int, heads: int, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attention = RotaryAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = SwiGLU(width, width * 8 // 3, norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), cos, sin)
        return x + self.mlp(self.norm2(x))


_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_PARTS = {
    "attn.q_proj.weight": "attention.q.weight",
    "attn.q_proj.bias": "attention.q.bias",
    "attn.q_bias": "attention.q.bias",
    "attn.k_proj.weight": "attention.k.weight",
    "attn.v_proj.weight": "attention.v.weight",
    "attn.v_proj.bias": "attention.v.bias",
    "attn.v_bias": "attention.v.bias",
    "attn.proj.weight": "attention.proj.weight",
    "attn.proj.bias": "attention.proj.bias",
    "mlp.fc1_g.weight": "mlp.w1.weight",
    "mlp.fc1_g.bias": "mlp.w1.bias",
    "mlp.fc1_x.weight": "mlp.w2.weight",
    "mlp.fc1_x.bias": "mlp.w2.bias",
    "mlp.fc2.weight": "mlp.w3.weight",
    "mlp.fc2.bias": "mlp.w3.bias",
    "mlp.w1.weight": "mlp.w1.weight",
    "mlp.w1.bias": "mlp.w1.bias",
    "mlp.w2.weight": "mlp.w2.weight",
    "mlp.w2.bias": "mlp.w2.bias",
    "mlp.w3.weight": "mlp.w3.weight",
    "mlp.w3.bias": "mlp.w3.bias",
    "mlp.ffn_ln.weight": "mlp.norm.weight",
    "mlp.ffn_ln.bias": "mlp.norm.bias",
    "mlp.norm.weight": "mlp.norm.weight",
    "mlp.norm.bias": "mlp.norm.bias",
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
}
_OUTSIDE = ("cls_token", "mask_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")


def is_eva02(weights: Mapping[str, Tensor]) -> bool:
    """True for a state as its authors or timm release it."""
    return "patch_embed.proj.weight" in weights and "blocks.0.attn.q_proj.weight" in weights


def renamed_eva02(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released names (the authors' or timm's) to ours: blocks, final norm, and what stands outside under its own name."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        block = _BLOCK.fullmatch(name)
        if block and block[2] in _PARTS:
            found[f"blocks.{block[1]}.{_PARTS[block[2]]}"] = value
        elif name in _OUTSIDE:
            found[name] = value
        elif name in ("norm.weight", "norm.bias", "fc_norm.weight", "fc_norm.bias"):
            found[name.replace("fc_norm", "norm")] = value
    return found
