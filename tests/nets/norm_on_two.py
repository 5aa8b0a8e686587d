"""Run by `test_shared_batch_norm.py`, twice at once: each process holds its part of one batch and leaves what came of it."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.nets.shared_batch_norm import SharedBatchNorm
from bench.train.ranks import sum_gradients

SAMPLES, CHANNELS, STEPS = 5, 3, 2  # of the samples the first process takes three


def batch(step: int) -> tuple[Tensor, Tensor]:
    """Input (5, 3, 2, 3, 2), far from mean 0, and what each number of the output counts in the loss; the same in every process."""
    generator = torch.Generator().manual_seed(step)
    x, weight = torch.randn(2, SAMPLES, CHANNELS, 2, 3, 2, generator=generator)
    return 3 * x + torch.tensor([50.0, -2.0, 0.0]).view(1, -1, 1, 1, 1), weight


def taught(norm: nn.Module, parts: slice, share: float) -> dict[str, Tensor]:
    """Two passes forward and one back: the output, the gradients (weighed as the loop weighs a device) and the buffers."""
    with torch.no_grad():
        for number, parameter in enumerate(norm.parameters()):
            parameter.copy_(torch.tensor([0.5, 1.0, 2.0]) + number)
    for step in range(STEPS):
        x, weight = (whole[parts].clone() for whole in batch(step))
        x.requires_grad_()
        out = norm(x)
    ((out * weight).square().mean() * share).backward()
    assert x.grad is not None
    found = {"out": out.detach(), "input": x.grad, **{name: value.clone() for name, value in norm.named_buffers()}}
    return found | {f"{name}.grad": p.grad for name, p in norm.named_parameters() if p.grad is not None}


def main(folder: Path, rank: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    parts = slice(rank, None, 2)
    norm = SharedBatchNorm(CHANNELS)
    found = taught(norm, parts, len(batch(0)[0][parts]) / SAMPLES)
    sum_gradients(list(norm.parameters()), torch.zeros(1))
    torch.save(found | {f"{n}.grad": p.grad for n, p in norm.named_parameters()}, folder / f"rank_{rank}.pt")
    torch.distributed.destroy_process_group()  # or its threads may end the process with a signal


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
