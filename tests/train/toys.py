"""A method small enough to be trained in milliseconds that still has everything a training can lose when it is killed.

Noise in the views, in `prepare`, in the loss (dropout and a random mask) and after the step; buffers; momenta.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, PhaseConfig, Shape3, Sight, Spacing
from bench.contracts.method import Arrays, Batch, Losses, Phase, Sample, Turn
from bench.train import seeds
from bench.train.loop import Hardware, Job, Trained, train

CPU = Hardware(device="cpu")
SETTINGS = PhaseConfig(
    steps=12, batch_size=6, lr=1e-2, warmup_steps=3, weight_decay=0.1, grad_clip=1.0, checkpoint_every=4, log_every=3
)
TIMES = ("seconds", "wait_share", "samples_per_s")  # what a log line measures of the machine


class ToyCorpus:
    """Twenty cases of int16 noise, 8 x 8 x 8."""

    cases = tuple(f"case_{i:02d}" for i in range(20))
    sight = Sight(1, (8, 8, 8), (1.0, 1.0, 1.0), Intensity("hu"))

    def shape(self, case: str) -> Shape3:
        return (8, 8, 8)

    def spacing(self, case: str) -> Spacing | None:
        return (1.0, 1.0, 1.0)

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        whole = seeds.generator("toy", case).integers(-1000, 1000, (1, 8, 8, 8), dtype=np.int16)
        box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        return whole[(slice(None), *box)]

    def fields(self, case: str) -> Mapping[str, Any]:
        return {}


def draw(corpus: Any, batch_size: int, step: int, seed: int) -> list[Sample]:
    """Without repetition inside a step; a pure function of its arguments."""
    order = seeds.generator(seed, step).permutation(len(corpus.cases))[:batch_size]
    return [(corpus.cases[i],) for i in order]


def views(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
    start = tuple(int(i) for i in generator.integers(0, 5, 3))
    return {
        "volume": corpus.read(sample[0], start, (4, 4, 4)),
        "noise": generator.standard_normal(8).astype(np.float16),
        "sloppy": np.random.rand(2).astype(np.float32),  # third-party code does this
    }


class Toy(nn.Module):
    """Two layers, dropout, a random mask, a teacher that follows, running statistics."""

    def __init__(self, *, noisy: bool = True) -> None:
        super().__init__()
        seeds.reseed_torch("toy weights")
        self.body = nn.Sequential(nn.Linear(64, 16), nn.LayerNorm(16), nn.GELU())
        self.head = nn.Linear(16, 8)
        self.teacher = nn.Linear(64, 16).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(16))
        self.noisy = noisy

    def prepare(self, batch: Batch) -> Batch:
        batch["volume"] = batch["volume"].float() / 1000.0
        if self.noisy:
            batch["volume"] += 0.1 * torch.randn_like(batch["volume"])
        return batch

    def loss(self, batch: Batch) -> Losses:
        x = batch["volume"].flatten(1)
        features = self.body(x)
        if self.noisy:
            features = nn.functional.dropout(features, 0.2, training=self.training)
            features = features * (torch.rand(len(x), 1, device=x.device) > 0.3)
        if self.training:
            self.seen.lerp_(features.detach().float().mean(0), 0.1)
        target = batch["noise"].float() + batch["sloppy"].float().sum(1, keepdim=True)
        return {
            "rebuild": ((self.head(features) - target) ** 2).mean(),
            "follow": 0.1 * (features - self.teacher(x)).abs().mean(),
        }

    def after_step(self, progress: float) -> None:
        self.teacher.weight.lerp_(self.body[0].weight, 0.05)
        if self.noisy:
            self.teacher.bias.add_(0.01 * progress * torch.randn_like(self.teacher.bias))

    def score(self) -> float:
        """A reproducible evaluation that rises and falls: minus the distance of a weight sum from a moving mark."""
        return -abs(float(self.head.weight.sum()) + float(torch.rand(())))


def phase(config: PhaseConfig, model: Toy, **changes: Any) -> Phase:
    turns = (Turn("all", model.loss),)
    return dataclasses.replace(Phase("toy", config, draw, views, turns), **changes)


def job(folder: Path, model: Toy | None = None, config: PhaseConfig = SETTINGS, **changes: Any) -> Job:
    model = model if model is not None else Toy()
    made = Job("key", phase(config, model), model, ToyCorpus(), folder, model.prepare, model.after_step)
    return dataclasses.replace(made, **changes)


def trained(folder: Path, model: Toy | None = None, config: PhaseConfig = SETTINGS, **changes: Any) -> Trained:
    return train(job(folder, model, config, **changes), CPU)


def lines(folder: Path, *, timed: bool = True) -> list[dict[str, Any]]:
    """The log; without `timed`, only what does not depend on the machine's speed."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return found if timed else [{k: v for k, v in line.items() if k not in TIMES} for line in found]


def undefined_at(model: Toy, steps: set[int]) -> Callable[[Batch], Losses]:
    """The model's loss, turned NaN in the given steps (counted from 0)."""
    calls = iter(range(10_000))

    def loss(batch: Batch) -> Losses:
        losses = model.loss(batch)
        factor = math.nan if next(calls) in steps else 1.0
        return {name: value * factor for name, value in losses.items()}

    return loss


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
