"""Losses that several methods share."""

from __future__ import annotations

from torch import Tensor


def normalise_tokens(target: Tensor) -> Tensor:
    """Each token (last axis) to mean 0 and unit variance: (y - mean) / (unbiased variance + 1e-6)**0.5, in float32.

    Source: He et al., CVPR 2022, Sec. 3 "reconstruction target"; unbiased variance and 1e-6 are the released code's.
    A constant token becomes zeros. Shape (B, N, P) unchanged.
    """
    target = target.float()
    variance = target.var(dim=-1, keepdim=True, unbiased=True)
    return (target - target.mean(dim=-1, keepdim=True)) / (variance + 1e-6).sqrt()


def mean_over_hidden(per_token: Tensor, hidden: Tensor) -> Tensor:
    """The mean of (B, N) over hidden tokens of the whole batch, a scalar; NaN where none is hidden.

    Example: losses [[1, 2], [3, 4]] with hidden [[True, False], [True, True]] give (1 + 3 + 4) / 3.
    """
    return (per_token * hidden).sum() / hidden.sum()


def mean_per_sequence(per_token: Tensor, counted: Tensor) -> Tensor:
    """The mean over each row's counted tokens, then over rows: every sequence weighs the same; a scalar.

    Example: losses [[1, 2], [3, 4]] with counted [[True, False], [True, True]] give (1 + 3.5) / 2.
    """
    return ((per_token * counted).sum(1) / counted.sum(1)).mean()
