"""First layers for tasks with more channels than pre-training had: weights are repeated, not divided.

Source: MiM's released fine-tuning code for four MR channels. Channel i takes the weights of channel i mod C.
"""

from __future__ import annotations

import torch
from torch import Tensor


def repeat_conv_channels(found: Tensor, wanted: Tensor) -> Tensor | None:
    """A convolution's weight (out, C, d, h, w) brought to the wanted input channels; None if it does not fit."""
    if found.ndim != wanted.ndim or found.shape[0] != wanted.shape[0] or found.shape[2:] != wanted.shape[2:]:
        return None
    if wanted.shape[1] < found.shape[1]:
        return None
    return found[:, torch.arange(wanted.shape[1]) % found.shape[1]]


def repeat_patch_channels(found: Tensor, wanted: Tensor, voxels: int) -> Tensor | None:
    """A patch embedding (width, voxels*C), channel fastest, brought to the wanted channels; None if it does not fit."""
    channels = found.shape[1] // voxels
    if channels * voxels != found.shape[1] or wanted.shape[1] % voxels or wanted.shape[1] < found.shape[1]:
        return None
    source = torch.arange(wanted.shape[1] // voxels) % channels
    return found.reshape(len(found), voxels, channels)[:, :, source].reshape(len(found), -1)
