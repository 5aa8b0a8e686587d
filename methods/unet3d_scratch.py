"""3D UNet from scratch: the U-Net of Models Genesis, trained on labels alone.

Source   Zhou et al., Medical Image Analysis 2021 (arXiv 2004.07882), released PyTorch network
Changes  batch normalisation keeps running statistics; the released network takes the batch's own in evaluation
         too (`ref_code`)
Shapes   volume (B, C, D, H, W) -> maps of 64, 128, 256, 512 channels at strides 1, 2, 4, 8
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight
from bench.nets.unet3d import Norm, UNet3D


@dataclass(frozen=True, kw_only=True)
class UNet3DConfig(MethodConfig):
    widths: tuple[int, ...] = (64, 128, 256, 512)  # released network, channels at strides 1, 2, 4, 8
    norm: Norm = "batch"  # released network; batch | batch_statistics | instance
    stem_stride: int = 1  # released network, step of the first convolution

    def multiple(self) -> Shape3:
        """The stem's step, then every max-pool halves."""
        side = self.stem_stride * 2 ** (len(self.widths) - 1)
        return (side, side, side)


def build_encoder(config: UNet3DConfig, sight: Sight) -> UNet3D:
    """The contracting half of the U-Net with new weights."""
    return UNet3D(sight, widths=config.widths, norm=config.norm, stem_stride=config.stem_stride)


SMALL = UNet3DConfig(
    crop=(48, 64, 48),  # ours
    widths=(32, 64, 128, 256),  # ours
    stem_stride=2,  # ours, full resolution costs a CPU five times as much
    norm="instance",  # ours, batches of four are too few for statistics
)
TINY = UNet3DConfig(
    crop=(32, 32, 32),  # ours
    widths=(4, 8, 16, 32),  # ours
    norm="instance",  # ours
)

METHOD = MethodCard(
    title="3D UNet (scratch)",
    version=1,
    family="scratch",
    paper="arXiv:2004.07882",
    decoder="unet",
    encoder=build_encoder,
    full=UNet3DConfig(),
    small=SMALL,
    tiny=TINY,
    ref_code=replace(UNet3DConfig(), norm="batch_statistics"),
    needs=frozenset(),
    dims={3},
    corpus="none",
    finetune={
        "small": {"lr": 4e-3},  # ours, it learns to segment twice as fast as with the 2e-3 of all small recipes
        "small classification": {"lr": 1e-4},  # ours, that of all small classifiers
    },
)
