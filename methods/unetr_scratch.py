"""UNETR from scratch: ViT-B/16 and UNETR's decoder, trained on labels alone.

Source   Hatamizadeh et al., WACV 2022 (arXiv 2103.10504), Sec. 3
Changes  skips after blocks 3, 6, 9, 12 as the paper counts them (`ref_code`: 4, 7, 10, 12, which MONAI's net takes);
         start values and the bias of query, key and value are MAE's, so that this is MAE3D's network untrained
Shapes   volume (B, C, D, H, W) -> four maps (B, 768, D/16, H/16, W/16)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight
from bench.nets.vit3d import ViT3D


@dataclass(frozen=True, kw_only=True)
class UNETRConfig(MethodConfig):
    patch: Shape3 = (16, 16, 16)  # Sec. 4.2, voxels
    width: int = 768  # Sec. 4.2, ViT-B16
    depth: int = 12  # Sec. 4.2, blocks
    heads: int = 12  # Dosovitskiy et al. Tab. 1, ViT-B
    positions: Literal["learned", "sincos"] = "learned"  # Sec. 3.1
    skips: tuple[int, ...] = (3, 6, 9, 12)  # Sec. 3.1, blocks whose outputs the decoder reads

    def multiple(self) -> Shape3:
        return self.patch


def build_encoder(config: UNETRConfig, sight: Sight) -> ViT3D:
    """UNETR's ViT with new weights; its decoder at width 768 has the paper's 16 channels at full resolution."""
    return ViT3D(
        sight,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        patch=config.patch,
        positions=config.positions,
        skips=config.skips,
    )


SMALL = UNETRConfig(
    crop=(48, 64, 48),  # ours
    patch=(8, 8, 8),  # ours
    width=192,  # ours
    depth=6,  # ours
    heads=6,  # ours
    skips=(2, 4, 6),  # ours
)
TINY = UNETRConfig(
    crop=(32, 32, 32),  # ours
    patch=(8, 8, 8),  # ours
    width=48,  # ours
    depth=3,  # ours
    heads=2,  # ours
    skips=(1, 2, 3),  # ours
)

METHOD = MethodCard(
    title="UNETR (scratch)",
    version=1,
    family="scratch",
    paper="arXiv:2103.10504",
    decoder="unetr",
    encoder=build_encoder,
    full=UNETRConfig(),
    small=SMALL,
    tiny=TINY,
    ref_code=replace(UNETRConfig(), skips=(4, 7, 10, 12)),
    needs=frozenset(),
    dims={3},
    corpus="none",
    licence="Apache-2.0 (MONAI's blocks)",
)
