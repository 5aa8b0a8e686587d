"""Stochastic depth: leave out a residual branch for some samples while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a whole branch with probability `rate`, per sample, and scale the others so that the mean stays.

    Source: Huang et al., ECCV 2016, Sec. 3. Shape unchanged; axis 0 holds the samples. Idle in `eval` and at rate 0.
    Draws from torch's default generator of the device, which the loop reseeds every step.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        kept = torch.rand((len(x),) + (1,) * (x.ndim - 1), device=x.device) >= self.rate
        return x * kept.to(x.dtype) / (1.0 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
