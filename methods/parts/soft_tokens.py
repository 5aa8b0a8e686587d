"""Soft tokens: their entropies, the regulariser that wants all words used and each token sure, the loss against them, their health.

Source   SPAD, Sec. 3.2 and Eq. 3 (whose minus sign the paper lost); how means over devices carry gradients is its code's
Shapes   q (..., V) probabilities over V words; entropies in nats
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def entropy(q: Tensor) -> Tensor:
    """-sum q ln q over the last axis, in at least float32; 0 ln 0 is 0. Example: uniform over 1024 is 6.9315."""
    q = q.to(torch.promote_types(q.dtype, torch.float32))
    return -torch.special.xlogy(q, q.clamp_min(torch.finfo(q.dtype).tiny)).sum(-1)


def mean_usage(q: Tensor) -> Tensor:
    """q averaged over all tokens of all devices, (V,): the value is the whole batch's, the gradient this device's own part.

    The gradient has weight 1, not 1 / devices: the loop weighs devices by their samples, which then gives exactly the
    gradient of one process. Devices are stacked on an axis of their own, so that one alone is no special case.
    """
    own = q.reshape(-1, q.shape[-1]).mean(0)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    count = own.new_full((1,), float(q.numel() // q.shape[-1]))
    message = torch.cat([own.detach() * count, count])
    everyone = torch.stack([torch.empty_like(message) for _ in range(torch.distributed.get_world_size())])
    torch.distributed.all_gather(list(everyone.unbind(0)), message)
    total = everyone.sum(0)
    return own + (total[:-1] / total[-1] - own).detach()


def dual_prior(q: Tensor) -> tuple[Tensor, Tensor]:
    """(-H(mean usage), mean H(q)): the first is least when all words are used alike, the second when each token is sure."""
    return -entropy(mean_usage(q)), entropy(q).mean()


def soft_cross_entropy(logits: Tensor, q: Tensor) -> Tensor:
    """Mean over tokens of -sum q ln softmax(logits); equal to the mean entropy of q where the prediction is q."""
    return -(q * logits.float().log_softmax(-1)).sum(-1).mean()


@dataclass(frozen=True)
class TokenUse:
    """How a tokenizer uses its V words, added up over `tokens`: `usage` (V,) is the sum of q, `unsure` that of H(q) in nats.

    Healthy tokens are sure, and together they use all words: `doubt` is small beside `breadth`, which is near ln V. A
    tokenizer has collapsed where every token is sure of one and the same word: both are near 0 (SPAD's specification).
    """

    usage: Tensor
    unsure: float
    tokens: int

    def __add__(self, other: TokenUse) -> TokenUse:
        return TokenUse(self.usage + other.usage, self.unsure + other.unsure, self.tokens + other.tokens)

    @property
    def doubt(self) -> float:
        """E[H(q)], nats."""
        return self.unsure / self.tokens

    @property
    def divergence(self) -> float:
        """E[KL(q || uniform)] = ln V - E[H(q)], nats; the paper reports 2.791 of 6.931."""
        return math.log(len(self.usage)) - self.doubt

    @property
    def breadth(self) -> float:
        """H(mean q), nats."""
        return float(entropy(self.usage / self.tokens))

    @property
    def spread(self) -> float:
        """The largest use of a word over the least; infinite where a word is never used."""
        return float(self.usage.max() / self.usage.min())


@torch.no_grad()
def token_use(q: Tensor) -> TokenUse:
    """Count the tokens of q. Example: one-hot rows that name all of four words once have divergence ln 4 and spread 1."""
    return TokenUse(q.reshape(-1, q.shape[-1]).sum(0).double().cpu(), float(entropy(q).sum()), q.numel() // q.shape[-1])
