"""What several processes training one model tell each other. With one process nothing here is called."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

LONGEST = timedelta(days=365)  # that a rank waits for what the first has to say
_WORDS = count()  # every rank says and hears the same number of them, in the same order


@torch.no_grad()
def sum_gradients(parameters: Sequence[nn.Parameter], values: Tensor) -> tuple[Tensor, Tensor]:
    """Add up the gradients, in place, and `values` over all ranks, in one message.

    Also returns, per parameter, how many ranks had a gradient; one that nobody had is zero here.
    """
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=values.device)
    message = torch.cat([*(grad.reshape(-1) for grad in grads), present, values.to(grads[0].dtype)])
    torch.distributed.all_reduce(message)  # Fabric's would add a barrier, which waits for the device
    *summed, present, values = torch.split(message, [*(grad.numel() for grad in grads), len(present), len(values)])
    for parameter, flat in zip(parameters, summed, strict=True):
        parameter.grad = flat.view_as(parameter).to(parameter.dtype)
    return values.double(), present.double()


@torch.no_grad()
def share_buffers(model: nn.Module) -> None:
    """Give every rank the buffers of rank 0: running statistics see only a rank's own samples, and would part."""
    kinds: dict[torch.dtype, list[Tensor]] = defaultdict(list)
    for buffer in model.buffers():
        kinds[buffer.dtype].append(buffer)
    for buffers in kinds.values():
        message = torch.cat([buffer.reshape(-1) for buffer in buffers])
        torch.distributed.broadcast(message, 0)
        for buffer, flat in zip(buffers, torch.split(message, [b.numel() for b in buffers]), strict=True):
            buffer.copy_(flat.view_as(buffer))


def gathered(own: Any, world: int) -> list[Any]:
    """The plain value of every rank, by rank; a list of one with one process."""
    everyone: list[Any] = [own] * world
    if world > 1:
        torch.distributed.all_gather_object(everyone, own)
    return everyone


def is_first() -> bool:
    """True in the process that writes files: the only one, or rank 0 of several."""
    return os.environ.get("RANK", "0") == "0"


def meet() -> None:
    """Wait until rank 0 is here, so that what it wrote can be read. Nothing to wait for with one process."""
    first_says(True)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def first_says(found: bool) -> bool:
    """What rank 0 found, on every rank, however long that waited for it: ranks that each looked for themselves might part.

    It goes by the launcher's store, for a barrier takes a training that has begun, and gives up after minutes.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return found
    store, name = _store(), f"bench/{next(_WORDS)}"
    if is_first():
        store.set(name, str(int(found)))
    else:
        store.wait([name], LONGEST)
    return bool(int(store.get(name)))


@cache
def _store() -> Any:
    from torch.distributed.rendezvous import rendezvous

    return next(iter(rendezvous("env://")))[0]
