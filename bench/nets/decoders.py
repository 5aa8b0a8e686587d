"""Decoders by name: what turns an encoder's maps into a segmentation."""

from __future__ import annotations

from torch import nn

from bench.contracts.errors import SpecError, nearest
from bench.contracts.method import Encoder

DECODERS = ("unetr", "swin_unetr", "unet", "spad", "linear")


def unetr_feature(width: int) -> int:
    """Channels of UNETR's decoder at full resolution: the paper's 16 at width 768, else width / 48 >= 8 (ours)."""
    return max(8, width // 48)


def build_decoder(name: str, *, encoder: Encoder, in_channels: int, classes: int) -> nn.Module:
    """The decoder `name` for an encoder's maps, newly initialised.

    Its `forward(volume (B, C, D, H, W), maps)` gives logits (B, classes, D, H, W) on the volume's grid. `classes`
    counts the background. Raises SpecError for an unknown name and for maps that the decoder cannot read.
    """
    channels, strides = encoder.channels, encoder.strides
    if name == "unetr":
        from bench.nets.unetr import UNETRDecoder

        _one_stride(encoder)
        feature = unetr_feature(channels[-1])
        return UNETRDecoder(channels, strides[0], in_channels=in_channels, classes=classes, feature=feature)
    if name == "swin_unetr":
        from bench.nets.unetr import SwinUNETRDecoder

        return SwinUNETRDecoder(channels, strides, in_channels=in_channels, classes=classes)
    if name == "unet":
        from bench.nets.unet3d import Norm, UNet3D, UNetDecoder

        own = (part.norm for part in encoder.modules() if isinstance(part, UNet3D))  # it may lie beside a text encoder
        norm: Norm = next(own, "instance")
        return UNetDecoder(channels, strides, in_channels=in_channels, classes=classes, norm=norm)
    if name == "spad":
        from bench.nets.adapted_spad_vit import AdaptedSpadViT
        from bench.nets.spad_decoder import SpadDecoder

        if not isinstance(encoder, AdaptedSpadViT):
            raise SpecError("The decoder 'spad' reads the maps of SPAD's encoder only.", remedy="Choose decoder unet.")
        return SpadDecoder(encoder, in_channels=in_channels, classes=classes)
    if name == "linear":
        from bench.nets.linear_decoder import LinearDecoder

        return LinearDecoder(channels, classes)
    raise SpecError(
        f"No decoder '{name}'. {nearest(name, DECODERS)}Possible: {', '.join(DECODERS)}.",
        remedy="Correct `decoder` on the method's card.",
    )


def _one_stride(encoder: Encoder) -> None:
    if len(set(encoder.strides)) != 1:
        raise SpecError(
            f"A UNETR decoder reads maps of one stride, found {encoder.strides}.",
            remedy="Choose decoder swin_unetr or unet for this encoder.",
        )
