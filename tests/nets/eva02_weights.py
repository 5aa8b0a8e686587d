"""Random weights of EVA-02 as they are released."""

from __future__ import annotations

import torch
from torch import Tensor


def eva02(width: int = 48, depth: int = 4, timm: bool = True) -> dict[str, Tensor]:
    """Random weights under released names: timm's, or the authors'."""
    inner = width * 8 // 3
    q, v, gate, value, norm, out = (
        ("q_proj.bias", "v_proj.bias", "fc1_g", "fc1_x", "norm", "fc2")
        if timm
        else ("q_bias", "v_bias", "w1", "w2", "ffn_ln", "w3")
    )
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "mask_token": (1, 1, width),
        "pos_embed": (1, 257, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "lm_head.weight": (7, width),
    }
    for n in range(depth):
        block = f"blocks.{n}."
        for part in ("norm1", "norm2"):
            shapes |= {f"{block}{part}.weight": (width,), f"{block}{part}.bias": (width,)}
        shapes |= {f"{block}attn.{part}_proj.weight": (width, width) for part in "qkv"}
        shapes |= {f"{block}attn.{q}": (width,), f"{block}attn.{v}": (width,)}
        shapes |= {f"{block}attn.proj.weight": (width, width), f"{block}attn.proj.bias": (width,)}
        for part, (o, i) in {gate: (inner, width), value: (inner, width), out: (width, inner)}.items():
            shapes |= {f"{block}mlp.{part}.weight": (o, i), f"{block}mlp.{part}.bias": (o,)}
        shapes |= {f"{block}mlp.{norm}.weight": (inner,), f"{block}mlp.{norm}.bias": (inner,)}
    rng = torch.Generator().manual_seed(2)
    return {name: torch.randn(*shape, generator=rng) for name, shape in shapes.items()}
