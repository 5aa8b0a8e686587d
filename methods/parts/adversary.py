"""A discriminator's part in training a tokenizer: hinge losses, what it was shown, and the gate that lets it speak.

Source   SPAD's released code; the paper says "the objective of VQGAN" and means no adaptive weight
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.nets.shared_batch_norm import several

START = 0.1  # of the running mean


def hinge(real: Tensor, made: Tensor) -> Tensor:
    """1/2 (E relu(1 - D(x)) + E relu(1 + D(x'))): 1 for a discriminator that says 0 throughout, 0 for a perfect one."""
    return 0.5 * (F.relu(1 - real.float()).mean() + F.relu(1 + made.float()).mean())


class Gate(nn.Module):
    """Open where the discriminator nearly separates perfectly: the larger of its last loss and of their running mean is at
    most `at`. Losses of a step's parts are averaged by samples; `close` ends the step."""

    mean: Tensor
    last: Tensor
    total: Tensor
    samples: Tensor

    def __init__(self, at: float, decay: float) -> None:
        super().__init__()
        self.at, self.decay = at, decay
        for name, value in (("mean", START), ("last", START), ("total", 0.0), ("samples", 0.0)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self) -> Tensor:
        """1 where open, else 0; a scalar on the device."""
        return (torch.maximum(self.mean, self.last) <= self.at).float()

    @torch.no_grad()
    def add(self, loss: Tensor, samples: int) -> None:
        """The discriminator's loss over some samples of this step, those on other devices too."""
        told = torch.stack([loss.detach().float() * samples, loss.new_full((), samples, dtype=torch.float32)])
        if several():
            torch.distributed.all_reduce(told)
        self.total += told[0]
        self.samples += told[1]

    @torch.no_grad()
    def close(self) -> None:
        """After a step: take over its loss, if the discriminator had one."""
        had = self.samples > 0
        last = self.total / self.samples.clamp_min(1.0)
        self.mean.copy_(torch.where(had, self.decay * self.mean + (1 - self.decay) * last, self.mean))
        self.last.copy_(torch.where(had, last, self.last))
        self.total.zero_()
        self.samples.zero_()


class Rebuilt:
    """The generator's outputs of one step, kept for the discriminator, which is to judge what the generator was judged for."""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []
        self._given = 0

    def begin(self, *, making: bool) -> None:
        """A turn begins: the generator's drops what was kept, the discriminator's takes it from the start."""
        if making:
            self._kept = []
        self._given = 0

    def keep(self, made: Tensor) -> None:
        self._kept.append(made.detach())

    def take(self, count: int) -> Tensor | None:
        """The next `count` samples in the order in which they were made; None where so many were not kept."""
        parts, first, last = [], self._given, self._given + count
        place = 0
        for made in self._kept:
            low, high = max(first - place, 0), min(last - place, len(made))
            if low < high:
                parts.append(made[low:high])
            place += len(made)
        self._given = last
        found = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else None
        return found if found is not None and len(found) == count else None
