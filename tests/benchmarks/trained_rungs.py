"""Rungs of the phantoms' ladder that train a network: the small U-Net, and what pre-training gives at few labels.

Every training is an ordinary run, so that what was finished is read from the results folder.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench import registry
from bench.blueprint import blueprint
from bench.contracts.record import Cell
from bench.run import Place, run
from bench.spec import RunSpec, make_spec

RATIOS = (0.25, 1.0)
FEWER_LABELS = 0.06
NETWORK: Mapping[str, tuple[float, float]] = {"dice": (0.75, 0.88), "auc": (0.80, 0.92)}

SEEDS, FEW, ALLOWED_SE, HELPS_SE = range(5), 0.25, 3.0, 2.0
PRETRAINING = ("pretrain.steps=3000", "pretrain.batch_size=16")
"""Longer than the two minutes of preset `small`, in which a masked autoencoder stays where all tokens say the same."""
STARTS: Mapping[str, tuple[str, ...]] = {
    "scratch": (),
    "pre-trained": PRETRAINING,
    "shuffled voxels": (*PRETRAINING, "shuffled_voxels=true"),
    "white noise": (*PRETRAINING, "white_noise=true"),
    "permuted labels": (*PRETRAINING, "finetune.permuted_labels=true"),
}
"""What a run of the reference sets, by its start; all but the first pre-train on the pool, labels unseen."""


@dataclass(frozen=True)
class Climb:
    """Where runs go, on what the reference pre-trains (`own`: all training images of the task), and how many runs go at once."""

    place: Place
    pool: str = "own"
    processes: int = 1


def network(task: str, steps: int, climb: Climb) -> dict[str, Any]:
    """The small network from scratch at both ratios; `steps` 0 keeps the preset's."""
    metric = metric_of(task)
    specs = [_spec("unet3d_scratch", task, ratio, 0, "none", length_of(steps)) for ratio in RATIOS]
    cells = dict(zip(RATIOS, _cells(specs, climb), strict=True))
    scores = {ratio: cell.scores[metric] or 0.0 for ratio, cell in cells.items()}
    low, high = NETWORK[metric]
    return {
        "task": task,
        "metric": metric,
        "steps": cells[1.0].training["finetune"]["steps"],
        "scores": {str(ratio): round(value, 4) for ratio, value in scores.items()},
        "in_band": {
            "all labels": low <= scores[1.0] <= high,
            "a quarter is lower": scores[0.25] <= scores[1.0] - FEWER_LABELS,
        },
    }


def pretrained(task: str, steps: int, climb: Climb) -> dict[str, Any]:
    """The reference masked autoencoder at few labels, from each start and for each seed of fine-tuning; a gain over scratch is
    paired by seed. Pre-training sees the shape that fine-tuning sees. Labels are permuted where one belongs to a case."""
    metric = metric_of(task)
    plan = blueprint(make_spec(method="mae3d", task=task, preset="small", corpus="none"))
    crop = f"pretrain.crop={','.join(map(str, plan.setup.sight.shape))}"
    specs = {
        (start, seed): _spec(
            "mae3d",
            task,
            FEW,
            seed,
            climb.pool if changes else "none",
            (*length_of(steps), *changes, *((crop,) if changes else ())),
        )
        for start, changes in STARTS.items()
        if start != "permuted labels" or metric == "auc"
        for seed in SEEDS
    }
    cells = dict(zip(specs, _cells(list(specs.values()), climb), strict=True))
    scores: dict[str, list[float]] = {}
    for (start, _), cell in cells.items():
        scores.setdefault(start, []).append(cell.scores[metric] or math.nan)
    some = cells["pre-trained", 0]
    return {
        "task": task,
        "metric": metric,
        "pool": climb.pool,
        "device": some.training["finetune"]["device"],
        "steps": some.training["finetune"]["steps"],
        "test_cases": some.n,
        "scores": {start: [round(value, 4) for value in found] for start, found in scores.items()},
        **judged(scores, some.n),
    }


def judged(scores: Mapping[str, Sequence[float]], test_cases: int) -> dict[str, Any]:
    """Gains over scratch and which bands hold. Permuted labels are held against chance, all others against scratch."""
    gains = {
        s: gain(found, scores["scratch"]) for s, found in scores.items() if s not in ("scratch", "permuted labels")
    }
    bands = {f"{start} helps not": told["in_se"] <= HELPS_SE for start, told in gains.items() if start != "pre-trained"}
    bands["pre-trained helps"] = gains["pre-trained"]["in_se"] > HELPS_SE
    if found := scores.get("permuted labels"):
        bands["permuted labels are chance"] = abs(statistics.fmean(found) - 0.5) <= ALLOWED_SE * chance_se(test_cases)
    return {"gain": gains, "in_band": bands}


def gain(found: Sequence[float], scratch: Sequence[float]) -> dict[str, float]:
    """Mean of the differences by seed, its standard error, and the one in units of the other (NaN where that is 0)."""
    differences = [ours - theirs for ours, theirs in zip(found, scratch, strict=True)]
    mean, se = statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))
    return {"mean": round(mean, 4), "se": round(se, 4), "in_se": round(mean / se, 2) if se else math.nan}


def chance_se(cases: int) -> float:
    """Standard error of the AUC of scores that tell nothing of two classes of equal size (Mann-Whitney)."""
    return math.sqrt((cases + 1) / 3) / cases


def metric_of(task: str) -> str:
    """What a rung compares on a task."""
    return "dice" if registry.task(task).kind == "segmentation" else "auc"


def length_of(steps: int) -> tuple[str, ...]:
    """The setting of so many updates of fine-tuning; none for 0."""
    return (f"finetune.steps={steps}",) if steps else ()


def _spec(method: str, task: str, ratio: float, seed: int, corpus: str, settings: tuple[str, ...]) -> RunSpec:
    words = {"method": method, "task": task, "ratio": ratio, "seed": seed, "preset": "small", "corpus": corpus}
    return make_spec(**words, settings=settings, phantom=True)


def _cells(specs: Sequence[RunSpec], climb: Climb) -> list[Cell]:
    """The records of runs, in order. Several processes take one run each; those that share a pre-training wait for it."""
    if climb.processes == 1:
        return [_cell(spec, climb.place) for spec in specs]
    with ProcessPoolExecutor(climb.processes, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_cell, specs, itertools.repeat(climb.place)))


def _cell(spec: RunSpec, place: Place) -> Cell:
    cell = run(spec, place)
    assert cell is not None  # one process a run
    return cell
