"""Batch normalisation of a batch that several devices share: all take the mean and variance of the whole batch.

Source   Ioffe and Szegedy, "Batch Normalization" (arXiv 1502.03167), Alg. 1; MiM's released code has torch's synchronised norm
Shapes   b samples here, B on all devices; input (b, C, ...)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ANY = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class SharedBatchNorm(nn.SyncBatchNorm):
    """torch's synchronised norm, which in one process is plain batch normalisation, for several processes on CPUs too.

    Devices may hold parts of unlike size; each must pass through it as often as the others.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        if self.training and several():
            return self._over_processes(x)
        return super(nn.SyncBatchNorm, self).forward(x)  # plain: torch's synchronised one refuses CPUs

    def _over_processes(self, x: Tensor) -> Tensor:
        axes, wide = [0, *range(2, x.ndim)], x.float()
        count = _summed(torch.tensor(float(x.numel() // x.shape[1])))
        mean = _summed(wide.sum(axes)) / count
        away = wide - _along(mean, x)
        variance = _summed((away**2).sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        found = away * _along((variance + self.eps).rsqrt(), x)
        if self.affine:
            found = found * _along(self.weight, x) + _along(self.bias, x)
        return found.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def whole_batch(net: nn.Module, but: Iterable[nn.Module] = ()) -> bool:
    """True where a network normalises over the batch, so that a sample's output depends on the others; `but` names modules that the
    output does not depend on."""
    spared = {part for one in but for part in one.modules()}
    return any(isinstance(part, ANY) and part not in spared for part in net.modules())


def shares_batch(net: nn.Module) -> bool:
    """True where every such norm asks all devices, so that they can share a batch."""
    return all(isinstance(part, SharedBatchNorm) for part in net.modules() if isinstance(part, ANY))


def several() -> bool:
    """True where more than one process trains."""
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _summed(own: Tensor) -> Tensor:
    """Over all processes; the gradient is summed likewise."""
    # imported here, for not every build of torch has it, and one process needs none
    from torch.distributed.nn.functional import all_reduce

    total: Tensor = all_reduce(own)  # type: ignore[no-untyped-call]
    return total


def _along(values: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), one axis for each of `x`."""
    return values.view(1, -1, *[1] * (x.ndim - 2))
