"""Swin-UNETR from scratch: the shifted-window encoder and its convolutional decoder, trained on labels alone.

Source   Hatamizadeh et al., 2022 (arXiv 2201.01266), Sec. 3; feature size 48 as MiM and MG-3D use it
Changes  patch merging `v2` takes each of eight neighbours once; @legacy is the layer of MONAI 0.9, in which two come
         twice and two never, and under which the released weights were trained
Shapes   volume (B, C, D, H, W) -> maps of f, 2f, 4f, 8f, 16f channels at strides 2, 4, 8, 16, 32
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight
from bench.nets.swin3d import Merging, Swin3D


@dataclass(frozen=True, kw_only=True)
class SwinUNETRConfig(MethodConfig):
    feature: int = 48  # Tab. 1, channels at stride 2
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)  # Tab. 1, blocks per stage
    heads: tuple[int, int, int, int] = (3, 6, 12, 24)  # Tab. 1, per stage
    window: Shape3 = (7, 7, 7)  # Tab. 1, tokens
    merging: Merging = "v2"  # MONAI 1.6 mergingv2; Sec. 3.1 means each neighbour once

    def multiple(self) -> Shape3:
        """The coarsest map has stride 32."""
        return (32, 32, 32)


def build_encoder(config: SwinUNETRConfig, sight: Sight) -> Swin3D:
    """Swin-UNETR's encoder with new weights."""
    return Swin3D(
        sight,
        feature=config.feature,
        depths=config.depths,
        heads=config.heads,
        window=config.window,
        merging=config.merging,
    )


SMALL = SwinUNETRConfig(
    crop=(64, 64, 64),  # ours
    feature=8,  # ours
    heads=(2, 4, 8, 16),  # ours
    window=(4, 4, 4),  # ours, divides every stage of 64 voxels
)
TINY = SwinUNETRConfig(
    crop=(32, 32, 32),  # ours
    feature=6,  # ours
    depths=(1, 1, 1, 1),  # ours
    heads=(1, 2, 4, 8),  # ours
    window=(4, 4, 4),  # ours
)

METHOD = MethodCard(
    title="Swin-UNETR (scratch)",
    version=1,
    family="scratch",
    paper="arXiv:2201.01266",
    decoder="swin_unetr",
    encoder=build_encoder,
    full=SwinUNETRConfig(),
    small=SMALL,
    tiny=TINY,
    needs=frozenset(),
    dims={3},
    corpus="none",
    variants={"legacy": {"merging": "legacy"}},
    licence="Apache-2.0 (MONAI's blocks)",
)
