"""The size of a SPAD-ViT and the encoder that fine-tuning sees of it, for the anisotropy and depth axis of a task's voxels."""

from __future__ import annotations

from dataclasses import dataclass

from bench.contracts.configs import MethodConfig, Shape3, Sight, Spacing, later
from bench.nets.adapted_spad_vit import AdaptedSpadViT
from bench.nets.spad import along_back, degree_of_anisotropy
from methods.parts.lie import lie_of


@dataclass(frozen=True, kw_only=True)
class SpadViTConfig(MethodConfig):
    """Sizes of EVA-02-B, as SPAD takes them (Sec. 4.1)."""

    patch: int = 16  # Sec. 4.1, voxels
    width: int = 768  # EVA-02-B, Sec. 4.1
    depth: int = 12  # EVA-02-B, Sec. 4.1, blocks
    heads: int = 12  # EVA-02-B, Sec. 4.1
    norm_eps: float = 1e-5  # released code, where EVA-02's weights are not taken
    eva02_eps: float = later(1e-6)  # EVA-02-B's own, with its weights; the released code keeps 1e-5
    eva02_class_row: int = later(0)  # ours, the class token's own position; the released code takes row 1, a patch's
    taps: tuple[int, ...] = (4, 6, 8, 12)  # released code, blocks whose outputs segmentation reads
    even_axis: int = 2  # ours, depth axis (x, y, z) where no spacing stands out; the released code keeps 0

    def multiple(self) -> Shape3:
        return (2 * self.patch,) * 3

    def multiple_at(self, shape: Shape3, spacing_mm: Spacing | None) -> Shape3:
        """The coarsest map's stride: twice the patch in-plane, along depth as the task's anisotropy asks."""
        lie = lie_of(shape, spacing_mm, even_axis=self.even_axis)
        depth = max((2 * self.patch) >> degree_of_anisotropy(lie.ratio), 1)
        return along_back((depth, 2 * self.patch, 2 * self.patch), lie.axis)

    def eps(self) -> float:
        """Of every layer norm."""
        return self.norm_eps


def build_encoder(config: SpadViTConfig, sight: Sight) -> AdaptedSpadViT:
    """The encoder that fine-tuning sees (SPAD, Sec. 3.3 and 4). A protocol that keeps native voxels tells it no spacing: it takes
    them for cubes, however thick the slices of single cases are, and whatever degree they have in pre-training."""
    lie = lie_of(sight.shape, sight.spacing_mm, even_axis=config.even_axis)
    return AdaptedSpadViT(
        sight,
        da=degree_of_anisotropy(lie.ratio),
        depth_axis=lie.axis,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        patch=config.patch,
        taps=config.taps,
        norm_eps=config.eps(),
        eva02_eps=config.eva02_eps,
        eva02_class_row=config.eva02_class_row,
    )
