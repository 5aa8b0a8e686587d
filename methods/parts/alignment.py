"""Losses that tie vectors which belong together: a child volume to its place in the parent, a volume to its report.

Source   MiM (arXiv 2404.15580), Eq. 4-7, and its released code; MG-3D (arXiv 2412.05876), Eq. 7, 8 and 13
Shapes   B parents, G children each, K candidate places per parent, F features; every cosine is taken in float32
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bench.nets.without_autocast import without_autocast


def cosines(contexts: Tensor, candidates: Tensor) -> Tensor:
    """s_ij = cos(c_i, p_j) (Eq. 4): (B, G, F), (B, K, F) -> (B, G, K)."""
    with without_autocast(contexts.device):
        left, right = (functional.normalize(x.float(), dim=-1) for x in (contexts, candidates))
        return left @ right.transpose(1, 2)


def info_nce(
    contexts: Tensor,
    candidates: Tensor,
    place: Tensor,
    *,
    temperature: float = 1.0,
    positive_in_denominator: bool = True,
    negatives: Tensor | None = None,
) -> Tensor:
    """Mean over children of -log exp(s_positive / tau) / sum_k exp(s_k / tau) (Eq. 5 with one positive per child).

    place (B, G) is the candidate each child was cut from. `negatives` (B, K), True = may serve as a negative; None is
    all of them. The sum runs over the negatives, and over the positive unless `positive_in_denominator` is False.
    Undefined (infinite) where a child has no negative and its positive is left out.
    """
    scores = cosines(contexts, candidates) / temperature
    positive = scores.gather(2, place[..., None]).squeeze(2)
    own = functional.one_hot(place, scores.shape[2]).bool()
    others = ~own if negatives is None else negatives[:, None] & ~own
    summed = others | own if positive_in_denominator else others
    return (scores.masked_fill(~summed, float("-inf")).logsumexp(2) - positive).mean()


def cosine_gap(left: Tensor, right: Tensor) -> Tensor:
    """Mean of 2 - 2 cos over all leading axes, which broadcast (Table X, "BYOL-style": no negatives)."""
    return (2 - 2 * functional.cosine_similarity(left.float(), right.float(), dim=-1)).mean()


def batch_contrast(anchors: Tensor, candidates: Tensor, *, temperature: float) -> Tensor:
    """Mean over the batch of -log exp(s_ii / tau) / sum_j exp(s_ij / tau), s_ij = cos(anchor_i, candidate_j); (B, F) each.

    Example: equal vectors everywhere give log B.
    """
    scores = cosines(anchors[None], candidates[None])[0] / temperature
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
