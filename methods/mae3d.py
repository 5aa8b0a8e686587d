"""MAE3D: hide most 3-D patches of a crop, encode the few that remain, rebuild the hidden ones with a light decoder.

Source   Chen et al., WACV 2023 (arXiv 2204.11716) after He et al., CVPR 2022 (arXiv 2111.06377), Sec. 3 and A.1
Changes  `full` is the setting of MiM's comparison (45k updates of 256 crops, AdamW 1e-4) with a squared error on
         normalised patches; the decoder of width 384 is ours: sine-cosine positions need a multiple of 6, which 512 is
         not. @mim_med3d and @mim_code take decoder, loss and target of the two released 3-D versions. The encoder has
         no class token (UNETR reads patches only; MiM's code carries one) and learned positions as UNETR's, so that a
         network from scratch differs in its start alone. Autocast is bf16 where both releases used fp16. Crops keep the
         voxel size of their pool, native in MiM's
Shapes   B crops, N patches each, V of them visible, P numbers per patch, C channels
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight, recorded
from bench.contracts.errors import SpecError
from bench.contracts.method import Batch, Losses, Method, one_phase
from bench.nets.intensity import to_network_range
from bench.nets.patches import patchify
from bench.nets.vit3d import ViT3D
from methods.parts.decoders import TokenDecoder
from methods.parts.draws import epochs
from methods.parts.losses import mean_over_hidden, normalise_tokens
from methods.parts.masks import kept_count, random_hidden
from methods.parts.views import OneCrop

Positions = Literal["learned", "sincos"]


@dataclass(frozen=True, kw_only=True)
class MAE3DConfig(MethodConfig):
    patch: Shape3 = (16, 16, 16)  # Chen et al. Sec. 3, voxels
    width: int = 768  # Dosovitskiy et al. Tab. 1, ViT-B
    depth: int = 12  # Dosovitskiy et al. Tab. 1, ViT-B, blocks
    heads: int = 12  # Dosovitskiy et al. Tab. 1, ViT-B
    positions: Positions = "learned"  # UNETR Sec. 3.1; He et al. A.1 has sincos
    skips: tuple[int, ...] = (3, 6, 9, 12)  # UNETR Sec. 3.1, blocks whose outputs the decoder of fine-tuning reads
    mask_ratio: float = 0.75  # He et al. Fig. 5, share of patches hidden
    decoder_width: int = 384  # ours, divides by 6 and has He et al.'s 32 numbers per head
    decoder_depth: int = 8  # He et al. Tab. 1a, blocks
    decoder_heads: int = 12  # ours, 32 numbers per head as in He et al.
    decoder_positions: Positions = "sincos"  # He et al. A.1
    distance: Literal["mse", "l1"] = "mse"  # He et al. Sec. 3
    normalise_target: bool = True  # He et al. Tab. 1d, each patch to mean 0 and variance 1
    precision: str = "bf16"  # ours; the released versions use fp16
    compile: bool = recorded(True)  # ours, a third less of an H200's time

    def multiple(self) -> Shape3:
        return self.patch


def build_encoder(config: MAE3DConfig, sight: Sight) -> ViT3D:
    """The ViT that is pre-trained and that fine-tuning sees."""
    return ViT3D(
        sight,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        patch=config.patch,
        positions=config.positions,
        skips=config.skips,
    )


class MAE3D(Method):
    """The encoder sees visible patches only; the decoder's predictions count where a patch was hidden."""

    def __init__(self, config: MAE3DConfig, sight: Sight) -> None:
        super().__init__()
        self.config, self.sight = config, sight
        self.phases = one_phase(config, draw=epochs, views=OneCrop(sight.shape), loss=self.loss)
        self.encoder: ViT3D = build_encoder(config, sight)
        check(config, math.prod(self.encoder.grid))
        self.decoder = TokenDecoder(
            config.width,
            self.encoder.grid,
            width=config.decoder_width,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
            out=math.prod(config.patch) * sight.channels,
            positions=config.decoder_positions,
        )

    def prepare(self, batch: Batch) -> Batch:
        return {"volume": to_network_range(batch["volume"], self.sight.intensity)}

    def blank(self, phase: str) -> Batch:
        return {"volume": torch.empty(1, self.sight.channels, *self.sight.shape)}

    def loss(self, batch: Batch) -> Losses:
        """Mean over hidden patches of the mean over voxels of the squared (or absolute) gap (He et al. Sec. 3)."""
        x = batch["volume"]  # (B, C, D, H, W)
        target = patchify(x, self.config.patch)  # (B, N, P)
        if self.config.normalise_target:
            target = normalise_tokens(target)
        hidden = random_hidden(len(x), target.shape[1], self.config.mask_ratio, x.device)  # (B, N)
        visible = kept_count(target.shape[1], self.config.mask_ratio)  # V
        seen = self.encoder.tokens(x, keep=~hidden, visible=visible)  # (B, V, width)
        _, rebuilt = self.decoder(seen, hidden)  # (B, N, P)
        return {"rebuild": mean_over_hidden(self._distance(rebuilt.float() - target).mean(-1), hidden)}

    def _distance(self, gap: Tensor) -> Tensor:
        return gap.abs() if self.config.distance == "l1" else gap.square()


def check(config: MAE3DConfig, tokens: int) -> None:
    """SpecError unless some of so many patches hide and some stay: without either the encoder learns nothing."""
    kept = kept_count(tokens, config.mask_ratio)
    if not 0 < kept < tokens:
        raise SpecError(
            f"mask_ratio={config.mask_ratio:g} leaves {max(0, min(kept, tokens))} of {tokens} patches visible; "
            "some must hide and some must stay.",
            remedy="Choose a share between 0 and 1, for example --set mask_ratio=0.75.",
        )


SMALL = MAE3DConfig(
    steps=500,  # ours, about two minutes on two cores
    batch_size=8,  # ours
    lr=1e-3,  # ours
    warmup_steps=50,  # ours
    crop=(48, 64, 48),  # ours
    patch=(8, 8, 8),  # ours
    width=192,  # ours
    depth=6,  # ours
    heads=6,  # ours
    skips=(2, 4, 6),  # ours
    decoder_width=96,  # ours
    decoder_depth=2,  # ours
    decoder_heads=3,  # ours
    workers=0,  # ours
    compile=False,  # ours
    checkpoint_every=100,  # ours
)
TINY = MAE3DConfig(
    steps=12,  # ours
    batch_size=2,  # ours
    lr=1e-3,  # ours
    warmup_steps=2,  # ours
    crop=(32, 32, 32),  # ours
    patch=(8, 8, 8),  # ours
    width=48,  # ours
    depth=3,  # ours
    heads=2,  # ours
    skips=(1, 2, 3),  # ours
    decoder_width=48,  # ours
    decoder_depth=1,  # ours
    decoder_heads=2,  # ours
    precision="fp32",  # ours
    workers=0,  # ours
    compile=False,  # ours
    checkpoint_every=6,  # ours
    log_every=2,  # ours
)

METHOD = MethodCard(
    title="MAE3D",
    version=1,
    family="masked",
    paper="arXiv:2204.11716",
    decoder="unetr",
    build=MAE3D,
    encoder=build_encoder,
    full=MAE3DConfig(),
    small=SMALL,
    tiny=TINY,
    needs={"volume"},
    dims={3},
    corpus="mim-1k",
    variants={
        "mim_med3d": {
            "decoder_width": 512,
            "decoder_heads": 8,
            "decoder_positions": "learned",
            "distance": "l1",
            "normalise_target": False,
        },
        "mim_code": {"positions": "sincos", "decoder_width": 576, "decoder_heads": 16},
    },
)
