"""Run by `test_loop_ranks.py` as a command of its own: Fabric starts it a second time, and both processes train together.

Trains three times in the folder it is given (undisturbed; undefined losses and little memory on rank 1 alone; resumed)
and leaves, per rank, the final states.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from bench.contracts.method import Batch, Losses, Turn
from bench.train.loop import Hardware, train
from tests.train.toys import SETTINGS, Toy, job, phase, weights

CONFIG = replace(SETTINGS, batch_size=5, ema_decay=0.5)
TWO = Hardware("cpu", devices=2, strategy="ddp")


def on_rank_1(model: Toy, room: int, undefined: tuple[int, ...]) -> Turn:
    """A loss that, on rank 1 alone, holds at most `room` samples, is NaN in the given calls that fit and moves `apart`."""
    calls = iter(range(1000))

    def loss(batch: Batch) -> Losses:
        losses = model.loss(batch)
        if torch.distributed.get_rank() == 0:
            return losses
        if len(batch["volume"]) > room:
            raise torch.cuda.OutOfMemoryError
        losses["follow"] = losses["follow"] + model.apart.sum()
        factor = float("nan") if next(calls) in undefined else 1.0
        return {name: value * factor for name, value in losses.items()}

    return Turn("all", loss)


def noted(batch: Batch, drawn: list[list[float]]) -> Batch:
    """The batch, and a note of the numbers that are drawn next."""
    drawn.append(torch.rand(2).tolist())
    return batch


class Stopped(Exception):
    """The first half is over."""


def resumed(folder: Path) -> tuple[Toy, int]:
    """A training that ends after its second checkpoint and a step, and goes on with a new model."""

    def stop(progress: float) -> None:
        if progress > 8.5 / 12:
            raise Stopped

    try:
        train(job(folder, Toy(noisy=False), CONFIG, after_step=stop), TWO)
    except Stopped:
        torch.distributed.barrier()
    model = Toy(noisy=False)
    return model, train(job(folder, model, CONFIG, after_step=lambda progress: None), TWO).resumed_from


def main(folder: Path) -> None:
    plain, shaken = Toy(noisy=False), Toy(noisy=False)
    drawn: list[list[float]] = []
    plain.idle = torch.nn.Parameter(torch.ones(2, 2))  # that no rank has a gradient of
    turn, config = Turn("all", lambda batch: plain.loss(noted(batch, drawn))), replace(CONFIG, micro_batch=1)
    asked = job(folder / "plain", plain, config, phase=phase(config, plain, turns=(turn,)))
    found = train(
        replace(
            asked,
            prepare=lambda batch: plain.prepare(noted(batch, drawn)),
            evaluate=lambda: plain.score() + torch.distributed.get_rank(),
        ),
        TWO,
    )
    shaken.apart = torch.nn.Parameter(torch.ones(2))
    turns = (on_rank_1(shaken, 1, (4,)),)
    trouble = train(job(folder / "shaken", shaken, CONFIG, phase=phase(CONFIG, shaken, turns=turns)), TWO)
    again, resumed_from = resumed(folder / "resumed")
    states: dict[str, dict[str, Tensor]] = {
        "plain": weights(plain),
        "shaken": weights(shaken),
        "resumed": weights(again),
    }
    facts = {"plain": asdict(found), "shaken": asdict(trouble), "resumed_from": resumed_from, "drawn": drawn}
    torch.save({"states": states, "facts": facts}, folder / f"rank_{torch.distributed.get_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
