"""A contrast over the whole batch where several devices each hold a part of it.

Source   MG-3D's released code (arXiv 2412.05876): features of all devices, a gradient into one's own slice alone
Changes  the gradient has weight 1, not 1 / devices, so that all devices together give the gradient of one process
Shapes   b samples here, B on all devices, F features
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.parts.alignment import batch_contrast

Contrast = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class BatchContrast:
    """`batch_contrast` over the samples of all devices, from one's own (b, F) of each side; cosines over `temperature`."""

    temperature: float

    def one_way(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        """Each anchor is to find its own among all candidates."""
        return over_devices(self._whole, anchors, candidates)

    def both_ways(self, left: Tensor, right: Tensor) -> Tensor:
        """The mean of each side among the other's."""
        return over_devices(lambda x, y: (self._whole(x, y) + self._whole(y, x)) / 2, left, right)

    def _whole(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        return batch_contrast(anchors, candidates, temperature=self.temperature)


def over_devices(contrast: Contrast, left: Tensor, right: Tensor) -> Tensor:
    """`contrast` of everyone's (B, F) features, from one's own (b, F) of each side.

    The value is the whole batch's. Others' features are constants here; the loop weighs a device by b / B, so the gradient
    counts B / b times: added up over devices it is then exactly that of one process that holds all B samples.
    """
    everyone = [_gathered(side) for side in (left, right)]
    loss = contrast(*everyone)
    if everyone[0] is left:
        return loss
    weight = len(everyone[0]) / len(left)
    return loss.detach() + weight * (loss - loss.detach())


def _gathered(own: Tensor) -> Tensor:
    """(b, F) -> (B, F) in the order of devices, whose parts may differ in length; one's own rows alone carry a gradient."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    if world == 1:
        return own
    counts = [torch.zeros(1, dtype=torch.long, device=own.device) for _ in range(world)]
    torch.distributed.all_gather(counts, torch.tensor([len(own)], device=own.device))
    lengths = [int(count) for count in counts]
    padded = own.new_zeros(max(lengths), *own.shape[1:])  # a message has one length for all
    padded[: len(own)] = own.detach()
    parts = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([own if at == rank else part[:n] for at, (part, n) in enumerate(zip(parts, lengths, strict=True))])
