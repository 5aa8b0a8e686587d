"""SPAD-ViT: a plain ViT whose patch kernel adapts to the anisotropy of its input; its static form for a task is adapted_spad_vit.

Source   SPAD, Sec. 3.3 and App. A, B; EVA-02 blocks
Shapes   volume (B, C, D, H, W), depth first. N tokens of P in-plane voxels, width W
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.contracts.configs import Shape3
from bench.contracts.method import Encoder
from bench.nets.eva02 import Eva02Block
from bench.nets.inflated_eva02 import inflated_eva02
from bench.nets.patches import as_tokens
from bench.nets.rope import rotary_tables
from bench.nets.spad import Grid, SpadDown, resample_grid


class SpadViT(Encoder):
    """The transformer that is pre-trained: any degree of anisotropy, any whole number of patches, three channels.

    `table` is the grid of learned positions; other grids take it resampled. The class token has no place of its own.
    """

    undecayed = ("positions", "cls_token")
    embed: nn.Module

    def __init__(
        self, *, channels: int, width: int, depth: int, heads: int, patch: int, table: Shape3, norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.width, self.heads, self.patch = width, heads, patch
        self.embed = self._patch_layer(channels)
        self.cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(width, *table), std=0.02))
        self.blocks = nn.ModuleList(Eva02Block(width, heads, norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        for block in self.blocks:
            assert isinstance(block, Eva02Block)
            nn.init.zeros_(block.attention.q.bias)
            nn.init.zeros_(block.attention.v.bias)
        self.channels, self.strides, self.pooled_width = (width,), ((patch,) * 3,), width

    def _patch_layer(self, channels: int) -> nn.Module:
        return SpadDown(channels, self.width, self.patch)

    def embedded(self, volume: Tensor, da: int) -> tuple[Tensor, Shape3]:
        """Depth-first (B, C, D, H, W) -> tokens with positions (B, N, W), depth outermost, and their grid."""
        cells, _ = self.embed(volume, Grid(da))
        return self._placed(cells)

    def _placed(self, cells: Tensor) -> tuple[Tensor, Shape3]:
        d, h, w = cells.shape[2:]
        return as_tokens(cells) + self.place_table((d, h, w)), (d, h, w)

    def place_table(self, grid: Shape3) -> Tensor:
        """Learned positions on a grid of tokens, (N, W)."""
        return resample_grid(self.positions, grid).flatten(1).T

    def encoded(self, tokens: Tensor, grid: Shape3, taps: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
        """All tokens (B, 1 + N, W) after the last block and the final norm, the class token first; and, not normed, those
        after the blocks `taps` (counted from 1)."""
        with tokens.device:
            cos, sin = rotary_tables(grid, self.width // self.heads)
        x = torch.cat((self.cls_token.to(tokens.dtype).expand(len(tokens), 1, -1), tokens), 1)
        kept: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, cos, sin)
            if number in taps:
                kept.append(x)
        return self.norm(x), kept

    def layers(self) -> list[nn.Module]:
        return [self.embed, *self.blocks, self.norm]

    def adopt_eva02(self, weights: Mapping[str, Tensor], *, cls_row: int = 0) -> dict[str, Tensor]:
        """Take over EVA-02-B's released weights (App. B); returns those that have no place here, by our names.

        The class token takes the row of its own position (`cls_row` 0; the released code takes the first patch's, 1).
        Raises EncoderMismatch for other sizes.
        """
        converted, rest = self._from_eva02(weights, cls_row)
        Encoder.adopt(self, converted)
        return rest

    def _from_eva02(self, weights: Mapping[str, Tensor], cls_row: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        d, h, w = self.positions.shape[1:]
        return inflated_eva02(weights, width=self.width, patch=self.patch, table=(d, h, w), cls_row=cls_row)
