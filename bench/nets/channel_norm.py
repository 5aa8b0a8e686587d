"""LayerNorm over the channels of each voxel of a map (B, C, D, H, W), with weights and without."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each voxel, eps 1e-5."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def norm_channels(x: Tensor) -> Tensor:
    """The same without weights."""
    return F.layer_norm(x.movedim(1, -1), (x.shape[1],)).movedim(-1, 1)
