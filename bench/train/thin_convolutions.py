"""A guard against a fault of torch on CPUs: bfloat16 gradients of convolutions over volumes thinner than their kernel.

Measured with torch 2.13 on an x86-64 CPU: where the first spatial axis has fewer voxels than the kernel (2 at a kernel of 3,
up to 4 at one of 5), the gradient of a 3-D convolution's bfloat16 weights is uninitialised memory, and writes beyond its own
now and then. Outputs and gradients of inputs are right. Such calls are computed in float32; all others are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def sound_convolutions(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context in which a loss is computed on a device: the guard on a CPU in bf16, nothing elsewhere."""
    return _ThinInFloat32() if device.type == "cpu" and precision == "bf16" else nullcontext()


class _ThinInFloat32(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv3d and is_thin(args[0], args[1]):
            with torch.autocast("cpu", enabled=False):
                volume, weight, *rest = args
                bias, *others = rest or [None]
                exact = None if bias is None else bias.float()
                return func(volume.float(), weight.float(), exact, *others, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def is_thin(volume: Tensor, weight: Tensor) -> bool:
    """Whether the first spatial axis of a volume (B, C, D, H, W) has fewer voxels than the kernel of (O, I, D, H, W)."""
    return volume.shape[-3] < weight.shape[2]
