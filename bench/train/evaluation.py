"""Looking at a model in training without leaving a trace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from bench.train import standing
from bench.train.average import Average


@contextmanager
def evaluating(model: nn.Module, average: Average | None) -> Iterator[None]:
    """Inside: eval mode, no gradients, averaged weights. Afterwards modes, weights and random states are as before."""
    modes = {module: module.training for module in model.modules()}
    states = standing.random_states()
    model.eval()
    try:
        with torch.no_grad():
            if average is None:
                yield
            else:
                with average.in_place():
                    yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        standing.restore_random(states)


def is_better(score: float, best: float) -> bool:
    """True for a score above the best so far; the first of equals stays, NaN is never better, any number beats NaN."""
    return not math.isnan(score) and (math.isnan(best) or score > best)
