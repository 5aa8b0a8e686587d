"""The running average of a model's weights, which is often better than the weights themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of the trained parameters.

    After each update, average = d * average + (1 - d) * weight. It starts as a copy of the first
    weights. Buffers, frozen parameters and those named in `resting` are not averaged: the model's own serve.
    """

    def __init__(self, model: nn.Module, decay: float, resting: Collection[str] = ()) -> None:
        self.decay = decay
        self._parameters = [p for name, p in model.named_parameters() if p.requires_grad and name not in resting]
        self.values = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights into the average."""
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self._parameters], 1.0 - self.decay)

    @torch.no_grad()
    def load(self, values: Sequence[Tensor]) -> None:
        """Go on from a saved average."""
        for own, saved in zip(self.values, values, strict=True):
            own.copy_(saved)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model holds the averaged weights; afterwards its own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for index, parameter in enumerate(self._parameters):
            parameter.data, self.values[index] = self.values[index], parameter.data

    @torch.no_grad()
    def settle(self) -> None:
        """Copy the average into the model for good."""
        for parameter, value in zip(self._parameters, self.values, strict=True):
            parameter.copy_(value)
