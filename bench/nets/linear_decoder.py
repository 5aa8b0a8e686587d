"""The decoder of a linear probe: what one linear map can read from an encoder's maps, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nets.shared_batch_norm import SharedBatchNorm


class LinearDecoder(nn.Module):
    """One linear map of all maps of an encoder, at every voxel.

    `forward(volume (B, C, D, H, W), maps [(B, channels[i], ...)])` gives logits (B, classes, D, H, W); of the volume it takes
    the grid only. Each channel is first brought to mean 0 and variance 1 over the batch, later to those of the training batches,
    so that no map is heard because of its scale. Maps are reduced to logits on their own grids and then enlarged, so that no map
    is enlarged with all its channels: enlarging is linear too, and the sum is what one 1x1x1 convolution over all enlarged maps
    gives.

    Source: linear evaluation on dense tasks as in DINOv2 (arXiv 2304.07193, Sec. 7.4), BatchNorm without weights before it as in
    MAE (arXiv 2111.06377, App. A.1); several maps and three axes are ours.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.evens = nn.ModuleList(SharedBatchNorm(width, affine=False) for width in channels)
        self.reads = nn.ModuleList(nn.Linear(width, classes, bias=False) for width in channels)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, volume: Tensor, maps: Sequence[Tensor]) -> Tensor:
        logits = self.bias.reshape(1, -1, 1, 1, 1)
        for even, read, found in zip(self.evens, self.reads, maps, strict=True):
            told = read(even(found).movedim(1, -1)).movedim(-1, 1)
            logits = logits + F.interpolate(told, size=volume.shape[2:], mode="trilinear")
        return logits
