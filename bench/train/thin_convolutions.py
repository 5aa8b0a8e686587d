"""A guard against a fault of torch on CPUs: bfloat16 gradients of convolutions over volumes thinner than their kernel.

Measured with torch 2.13 on an x86-64 CPU: where the first spatial axis has fewer voxels than the kernel (2 at a kernel of 3,
up to 4 at one of 5), the gradient of a 3-D convolution's bfloat16 weights is uninitialised memory, and writes beyond its own
now and then. So it is where the last axis is no longer than kernel or step and a padded kernel moves along it by more than one
voxel. Outputs and gradients of inputs are right. Such calls are computed in float32; all others are left as they are.
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
        if func is torch.conv3d and is_thin(args[0], args[1], *_along_last(*args[3:5], **(kwargs or {}))):
            with torch.autocast("cpu", enabled=False):
                volume, weight, *rest = args
                bias, *others = rest or [None]
                exact = None if bias is None else bias.float()
                return func(volume.float(), weight.float(), exact, *others, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def is_thin(volume: Tensor, weight: Tensor, step: int = 1, padding: int = 0) -> bool:
    """Whether a volume (B, C, D, H, W) is too thin for bfloat16 gradients of a kernel (O, I, D, H, W), whose step and padding are
    those along the last axis."""
    last = step > 1 and padding > 0 and volume.shape[-1] <= max(weight.shape[-1], step)
    return volume.shape[-3] < weight.shape[2] or last


def _along_last(stride: Any = 1, padding: Any = 0, **_: Any) -> tuple[int, int]:
    """Step and padding along the last axis. A padding in words comes with a step of 1 alone, or pads nothing."""
    step, pad = (value if isinstance(value, int | str) else value[-1] for value in (stride, padding))
    return int(step), 0 if isinstance(pad, str) else int(pad)
