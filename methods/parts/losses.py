"""Losses that several methods share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

NOT_HIDDEN = -100  # the label that torch's cross-entropy passes over


def normalise_tokens(target: Tensor) -> Tensor:
    """Each token (last axis) to mean 0 and unit variance: (y - mean) / (unbiased variance + 1e-6)**0.5, in float32.

    Source: He et al., CVPR 2022, Sec. 3 "reconstruction target"; unbiased variance and 1e-6 are the released code's.
    A constant token becomes zeros. Shape (B, N, P) unchanged.
    """
    target = target.float()
    variance = target.var(dim=-1, keepdim=True, unbiased=True)
    return (target - target.mean(dim=-1, keepdim=True)) / (variance + 1e-6).sqrt()


def mean_over_hidden(per_token: Tensor, hidden: Tensor) -> Tensor:
    """The mean of (B, N) over hidden tokens of the whole batch (or of voxels of any shape), a scalar; NaN where none is hidden.

    Example: losses [[1, 2], [3, 4]] with hidden [[True, False], [True, True]] give (1 + 3 + 4) / 3.
    """
    return (per_token * hidden).sum() / hidden.sum()


def mean_per_sequence(per_token: Tensor, counted: Tensor) -> Tensor:
    """The mean over each row's counted tokens, then over rows: every sequence weighs the same; a scalar.

    Example: losses [[1, 2], [3, 4]] with counted [[True, False], [True, True]] give (1 + 3.5) / 2.
    """
    return ((per_token * counted).sum(1) / counted.sum(1)).mean()


def hidden_voxel_error(rebuilt: Tensor, volume: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error of (B, C, D, H, W) over the voxels that are hidden (B, 1, D, H, W) and all their channels, in float32
    (MG-3D Eq. 2, as its code has it)."""
    return mean_over_hidden((rebuilt.float() - volume) ** 2, hidden.expand_as(volume))


def token_mean(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy of (B, M, vocabulary) averaged over the hidden words (B, M) of the batch; 0 where none is hidden."""
    summed = F.cross_entropy(logits.float().flatten(0, 1), words.flatten(), ignore_index=NOT_HIDDEN, reduction="sum")
    return summed / (words != NOT_HIDDEN).sum().clamp(min=1)


def reconstruction_gap(found: Tensor, target: Tensor, shown: Tensor, reduction: str) -> Tensor:
    """1 - cos of every sentence (B, S, E) that is shown, summed or averaged over a report, averaged over reports (MG-3D
    Eq. 6)."""
    gap = (1 - F.cosine_similarity(found.float(), target.float(), dim=-1)) * shown
    each = gap.sum(1) if reduction == "sum" else gap.sum(1) / shown.sum(1).clamp(min=1)
    return each.mean()
