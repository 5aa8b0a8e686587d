"""What the loop is asked to do and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.contracts.configs import PhaseConfig
from bench.contracts.counts import how_many
from bench.contracts.errors import PluginBroken, SpecError
from bench.contracts.method import Batch, Corpus, Phase, Turn
from bench.train import log, schedule
from bench.train.checkpoint import sha256_of_weights
from bench.train.hardware import Hardware, demand_precision, described
from bench.train.optimisers import demand_optimiser
from bench.train.standing import Standing


def nothing(_word: object) -> None:
    """What a job without `after_step` does after a step, and one without `begin_turn` before a turn."""


@dataclass(frozen=True)
class Job:
    """A phase to train. `key` names everything that decides the result; `folder` gets log.jsonl and checkpoint.pt.

    `prepare` runs on the device, without gradients, on each micro-batch. `groups` gives a turn's optimiser groups
    ({"params", "lr", "weight_decay"} each); None splits the turn's parameters into decayed and 1-D ones. `evaluate`
    gives a score, higher is better, every `evaluate_every` steps (0: never) and at the end; it runs in eval mode,
    without gradients or autocast, on the averaged weights if there are any, on every rank, and rank 0's score counts.
    `keep_best` ends with the weights of the first best score. `after_step` is called after each update that was not
    left out, with the share of steps done, `begin_turn` with a turn's name before each attempt at its losses. The
    model's parts keep the train or eval mode in which they arrive; its parameters and persistent buffers, not its plain
    attributes, survive a restart, but for the parameters named in `resting`, which keep the values with which they arrive.
    """

    key: str
    phase: Phase
    model: nn.Module
    corpus: Corpus
    folder: Path
    prepare: Callable[[Batch], Batch]
    after_step: Callable[[float], None] = nothing
    begin_turn: Callable[[str], None] = nothing
    groups: Callable[[Turn], list[dict[str, Any]]] | None = None
    evaluate: Callable[[], float] | None = None
    evaluate_every: int = 0
    keep_best: bool = False
    resting: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trained:
    """What became of a training, over all its sittings. `resumed_from` 0 is a fresh start; `best_step` None, no best.

    `data_wait_share` is the share of the steps' time spent waiting for the loader. `seconds` holds evaluations and
    checkpoints too. `losses` are means over the first and the last tenth of the log, `evaluations` (finished steps, score) pairs.
    `peak_bytes` is CUDA's allocated maximum, on a CPU the process's resident one. `final_sha256` is of
    the weights the model now holds: the best, the averaged or the last.
    """

    steps: int
    seconds: float
    samples_seen: int
    skipped_steps: int
    data_wait_share: float
    peak_bytes: int
    micro_batch: int
    effective_batch: int
    losses: tuple[float, float] | None
    evaluations: tuple[tuple[int, float], ...]
    best_step: int | None
    best_score: float
    initial_sha256: str
    final_sha256: str
    device: str
    precision: str
    resumed_from: int
    notes: tuple[str, ...]


def account(
    now: Standing,
    config: PhaseConfig,
    model: nn.Module,
    device: torch.device,
    curve: Path,
    resumed_from: int,
    notes: tuple[str, ...],
) -> Trained:
    """The account of a finished training; `model` holds the weights that count, `curve` is its log."""
    return Trained(
        steps=now.step,
        seconds=now.seconds,
        samples_seen=now.samples_seen,
        skipped_steps=now.skipped,
        data_wait_share=now.wait_s / now.busy_s if now.busy_s > 0 else math.nan,
        peak_bytes=now.peak_bytes,
        micro_batch=now.micro_batch,
        effective_batch=config.batch_size,
        losses=log.ends(curve),
        evaluations=tuple(log.evaluations(curve).items()),
        best_step=now.best_step,
        best_score=now.best_score,
        initial_sha256=now.initial_sha256,
        final_sha256=sha256_of_weights(model),
        device=described(device),
        precision=config.precision,
        resumed_from=resumed_from,
        notes=notes,
    )


def untrained(job: Job) -> Trained:
    """The account of a job in which no step is taken: the network is judged as it was built and loaded."""
    begun = Standing(initial_sha256=sha256_of_weights(job.model))
    notes = ("no step was taken: the network is judged as it was loaded",)
    device = next(job.model.parameters()).device
    return account(begun, job.phase.config, job.model, device, job.folder / "log.jsonl", 0, notes)


def demand_settings(config: PhaseConfig) -> None:
    """Raises SpecError for settings that no training on any machine can follow."""
    schedule.learning_rate(config, 0)
    demand_optimiser(config.optimiser)
    demand_precision(config.precision)
    schedule.demand_layer_decay(getattr(config, "layer_decay", 1.0))
    if not 0.0 <= config.ema_decay < 1.0:
        raise SpecError(f"ema_decay must be in [0, 1), found {config.ema_decay}.", remedy="Choose `--set ema_decay=0`.")
    if not all(0.0 <= beta < 1.0 for beta in config.betas):
        raise SpecError(f"betas must be in [0, 1), found {config.betas}.", remedy="Choose `--set betas=0.9,0.999`.")


def demand_possible(job: Job, hardware: Hardware) -> None:
    """Refuse settings that cannot be before anything is opened: SpecError, or PluginBroken for a job that is no job."""
    config, name = job.phase.config, job.phase.name
    demand_settings(config)
    if config.steps < 1 or config.batch_size < max(hardware.devices, 1):
        raise SpecError(
            f"phase '{name}': {how_many(config.steps, 'step')} of {how_many(config.batch_size, 'sample')} on "
            f"{how_many(hardware.devices, 'device')}.",
            remedy="Ask for at least one step, and one sample per device: `--set steps=N`, `--set batch_size=N`.",
        )
    apart = hardware.devices > 1 and not job.phase.gathers
    whole = math.ceil(config.batch_size / max(hardware.devices, 1))
    if not job.phase.splits_batch and (apart or 0 < config.micro_batch < whole):
        raise SpecError(
            f"the loss of phase '{name}' looks at the whole batch: it cannot be split over {hardware.devices} devices "
            f"or into micro-batches of {config.micro_batch}.",
            remedy="Use one device and `--set micro_batch=0`.",
        )
    if not job.phase.turns:
        raise PluginBroken(f"phase '{name}' has no turn.", remedy="Give it at least one loss.")
    if job.keep_best and job.evaluate is None:
        raise PluginBroken(f"phase '{name}' shall keep its best weights.", remedy="Give the job an `evaluate`.")
