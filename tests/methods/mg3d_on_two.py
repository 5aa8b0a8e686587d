"""Run by `test_mg3d_devices.py`, twice at once: each process holds its part of one batch and leaves the summed gradients."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from bench.contracts.method import Batch
from bench.train.ranks import sum_gradients
from methods.mg3d import MG3D
from tests.methods.volumes_with_reports import Reported, batch_of, made

SAMPLES = 3  # of which the first process takes two
Gradients = dict[str, Tensor]


def method_and_batch() -> tuple[MG3D, Batch, Tensor]:
    """The same in every process: weights, samples, and which blocks of each are hidden."""
    corpus = Reported()
    method = made(corpus=corpus)
    batch = {name: part[:SAMPLES] for name, part in batch_of(method, corpus).items()}
    torch.manual_seed(7)
    return method, batch, method.hide(SAMPLES, torch.device("cpu"))


def gradients(
    method: MG3D, batch: Batch, hidden: Tensor, share: float
) -> tuple[dict[str, float], dict[str, Gradients]]:
    """Value and gradient of each term of the loss, weighed as the loop weighs a device."""
    method.hide = lambda *_: hidden  # type: ignore[method-assign]
    named = [(name, p) for name, p in method.named_parameters() if p.requires_grad]
    counted = method.phases[0].turns[0].counted(method.loss(batch))
    found: dict[str, Gradients] = {}
    for term, value in counted.items():
        given = torch.autograd.grad(
            value * share, [p for _, p in named], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        found[term] = {name: grad for (name, _), grad in zip(named, given, strict=True)}
    return {term: float(value.detach()) * share for term, value in counted.items()}, found


def main(folder: Path, rank: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    method, batch, hidden = method_and_batch()
    part = {name: values[rank::2] for name, values in batch.items()}
    own, found = gradients(method, part, hidden[rank::2], len(part["words"]) / SAMPLES)
    values, summed = {}, {}
    for term, of_term in found.items():
        parameters = [torch.nn.Parameter(torch.zeros_like(grad)) for grad in of_term.values()]
        for parameter, grad in zip(parameters, of_term.values(), strict=True):
            parameter.grad = grad
        total, _ = sum_gradients(parameters, torch.tensor([own[term]]))
        values[term], summed[term] = float(total), {n: p.grad for n, p in zip(of_term, parameters, strict=True)}
    torch.save({"values": values, "gradients": summed}, folder / f"rank_{rank}.pt")
    torch.distributed.destroy_process_group()  # or its threads may end the process with a signal


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
