"""Run twice at once: each process judges its part of three crops and ends the step as the loop does."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from bench.contracts.configs import Intensity, Sight
from bench.train.ranks import share_buffers
from methods.spad import METHOD, Spad


def main(folder: Path, rank: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.manual_seed(0)
    method = Spad(METHOD.tiny, Sight(1, (1, 1, 1), None, Intensity("percentile")))
    for parameter in method.discriminator.parameters():
        parameter.data.mul_(4)  # so that crops are told apart
    crops = torch.rand(3, 1, 24, 32, 32).expand(-1, 3, -1, -1, -1) * torch.tensor([0.2, 1.0, 0.2]).view(3, 1, 1, 1, 1)
    method.begin_turn("discriminator")
    hinge = method.discriminator_loss({"volume": crops[rank::2]})["hinge"].item()
    share_buffers(method)
    method.after_step(0.5)
    torch.save({"hinge": hinge, "last": method.gate.last}, folder / f"rank_{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
