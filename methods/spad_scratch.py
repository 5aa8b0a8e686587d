"""SPAD-ViT from scratch: the network that SPAD fine-tunes, trained on labels alone ("TFS" in the paper's tables).

Source   arXiv 2312.07630, Table 4 and 5; layers as in SPAD
Changes  none beyond SPAD's own
Shapes   volume (B, C, D, H, W) -> four maps of width 768 at strides 4, 8, 16, 32 in-plane
Outcome  BTCV Dice 84.86 (21 training cases), 70.98 with 4 of them
"""

from __future__ import annotations

from dataclasses import replace

from bench.contracts.cards import MethodCard
from methods.parts.spad_encoder import SpadViTConfig, build_encoder

SMALL = SpadViTConfig(
    crop=(40, 40, 40),  # ours
    patch=8,  # ours
    width=192,  # ours
    depth=6,  # ours
    heads=6,  # ours
    taps=(2, 3, 4, 6),  # ours
)

METHOD = MethodCard(
    title="SPAD (scratch)",
    version=1,
    family="scratch",
    paper="arXiv:2312.07630",
    decoder="spad",
    encoder=build_encoder,
    full=SpadViTConfig(),
    small=SMALL,
    tiny=replace(SMALL, width=48, depth=4, heads=4, taps=(1, 2, 3, 4)),
    ref_code=SpadViTConfig(even_axis=0, eva02_eps=1e-5, eva02_class_row=1),  # released code
    needs=frozenset(),
    dims={2, 3},
    corpus="none",
    licence="none given with the released code; nothing of it is copied here",
)
