"""Does pre-training help? Each method's `small` preset against the same network from scratch, with controls that must not help.

A study is a list of ordinary runs, so whatever was finished is read and an interrupted study goes on; what is new here is which
runs. Their cases are paired by `bench.compare`.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench import registry
from bench.contracts.configs import phases
from bench.contracts.errors import BenchError, DataMissing, SpecError, nearest
from bench.corpus_words import own_corpus
from bench.grid import chosen
from bench.plan import JobLine, make_plan
from bench.run import Place, resolve_at, run
from bench.spec import RunSpec, make_spec

Start = Literal["scratch", "pre-trained", "pre-trained longer", "shuffled voxels", "permuted labels"]
Way = Literal["fine-tuning", "linear probe"]
STARTS: Mapping[Start, tuple[str, tuple[str, ...]]] = {
    "scratch": ("none", ()),
    "pre-trained": ("", ()),
    "pre-trained longer": ("", ()),
    "shuffled voxels": ("", ("shuffled_voxels=true",)),
    "permuted labels": ("", ("finetune.permuted_labels=true",)),
}
"""How a run starts: the corpus ('' is the pool's own) and the settings. The last two are controls, which must not help; what
is longer depends on the method."""
LONGER = 10  # times the steps of preset `small`
WAYS: tuple[Way, ...] = ("fine-tuning", "linear probe")


@dataclass(frozen=True)
class Pool:
    """Where a study pre-trains and tests: a task, the corpus ('' is each method's own), the metric that is compared, how its
    runs start, with how many updates of fine-tuning and at which label ratios. Labels can be permuted where one belongs to a
    case as a whole."""

    name: str
    task: str
    corpus: str
    metric: str
    phantom: bool
    starts: tuple[Start, ...]
    updates: int
    ratios: tuple[float, ...] = (0.1, 0.25)

    def settings_of(self, way: Way) -> tuple[str, ...]:
        """What makes all runs of a way alike: validated five times, and a probe reads frozen features by one linear map. That
        takes larger steps and more of them, and they are cheap, for the encoder only looks."""
        updates, ways = (self.updates, ()) if way == "fine-tuning" else (PROBE_UPDATES * self.updates, PROBE)
        lengths = {"steps": updates, "evaluate_every": updates // 5, "warmup_steps": updates // 10}
        return (*(f"finetune.{name}={value}" for name, value in lengths.items()), *ways)


PROBE = ("finetune.frozen_encoder=true", "finetune.linear_head=true", "finetune.lr=0.02")
PROBE_UPDATES = 2  # times those of fine-tuning
DOSES: tuple[Start, ...] = ("scratch", "pre-trained", "pre-trained longer")
MASKS: tuple[Start, ...] = ("scratch", "pre-trained", "shuffled voxels")
HIPPOCAMPUS = Pool("real hippocampus", "msd04", "own", "dice", False, MASKS, updates=100)
NODULES = Pool("phantom nodules", "nodulemnist3d", "", "auc", True, (*MASKS, "permuted labels"), updates=400)


@dataclass(frozen=True)
class Size:
    """How much of a study is run."""

    pools: tuple[Pool, ...]
    seeds: tuple[int, ...]


SIZES: Mapping[str, Size] = {
    "short": Size(
        (
            replace(HIPPOCAMPUS, updates=40, ratios=(0.1,)),
            # shuffled volumes would take one more pre-training a method
            replace(NODULES, updates=200, ratios=(0.1,), starts=("scratch", "pre-trained", "permuted labels")),
        ),
        (0,),
    ),
    # a whole fine-tuning takes nine minutes on the hippocampus, and there are hundreds
    "full": Size((HIPPOCAMPUS, NODULES), (0, 1, 2)),
    # is two minutes of pre-training too little? all but the longer ones are runs of the full study too
    "long": Size((replace(HIPPOCAMPUS, starts=DOSES, ratios=(0.1,)),), (0, 1, 2)),
}


@dataclass(frozen=True)
class Arm:
    """One run of a study and its place in it."""

    pool: Pool
    method: str
    start: Start
    way: Way
    spec: RunSpec


def arms(size: str, methods: Sequence[str], *, root: str = "") -> list[Arm]:
    """The runs of a study: every seed, pool, method, start, way and ratio. SpecError for a size that does not exist.

    Seeds come outermost, so that a study which is interrupted has told of everything once.
    """
    if size not in SIZES:
        raise SpecError(
            f"No study '{size}'. {nearest(size, SIZES)}Possible: {', '.join(SIZES)}.",
            case=size,
            remedy="Name one of them with --size.",
        )
    chosen = SIZES[size]
    return [
        Arm(pool, method, start, way, _spec(pool, method, start, way, ratio, seed, root))
        for seed in chosen.seeds
        for pool in chosen.pools
        for method in methods
        for start in pool.starts
        for way in WAYS
        for ratio in pool.ratios
    ]


def _spec(pool: Pool, method: str, start: Start, way: Way, ratio: float, seed: int, root: str) -> RunSpec:
    corpus, control = STARTS[start]
    return make_spec(
        method=method,
        task=pool.task,
        ratio=ratio,
        seed=seed,
        preset="small",
        corpus=corpus or pool.corpus,
        settings=(*pool.settings_of(way), *control, *(_longer(method) if start == "pre-trained longer" else ())),
        phantom=pool.phantom,
        partial=not pool.phantom,
        root="" if pool.phantom else root,
    )


def _longer(method: str) -> tuple[str, ...]:
    """The settings that make each phase of preset `small` LONGER times as long."""
    small = phases(registry.method(method).small)
    return tuple(f"{name}.steps={LONGER * config.steps}" for name, config in small.items())


def trainable_methods() -> tuple[str, ...]:
    """The methods that pre-train."""
    return tuple(name for name in registry.names(registry.METHODS) if registry.method(name).build is not None)


def chosen_methods(words: str) -> tuple[str, ...]:
    """`all` that pre-train, or names joined by commas, each once: a run that stands twice would pass for two seeds.

    Raises SpecError for a name that is not there, and for a method without a pre-training: scratch and pre-trained would be one
    run, which can be set against nothing.
    """
    if words == "all":
        return trainable_methods()
    methods = tuple(dict.fromkeys(chosen(registry.METHODS, words)))
    idle = next((name for name in methods if own_corpus(name) == "none"), None)
    if idle is not None:
        raise SpecError(
            f"The method '{idle}' does not pre-train, and a study asks what pre-training does.",
            case=idle,
            remedy=f"Possible: {', '.join(trainable_methods())}. Their networks from scratch are in it.",
        )
    return methods


def possible(everything: Sequence[Arm], place: Place) -> tuple[list[Arm], list[str]]:
    """The arms whose words and data are sound, in their order, and why the others are left out (each reason once)."""
    left_out: set[tuple[Pool, str]] = set()
    refused: dict[str, None] = {}
    for pool, method in dict.fromkeys((arm.pool, arm.method) for arm in everything):
        group = [arm for arm in everything if (arm.pool, arm.method) == (pool, method)]
        first_of_each_start = {arm.start: arm.spec for arm in reversed(group)}
        try:
            for spec in first_of_each_start.values():
                resolve_at(spec, place)
        except (SpecError, DataMissing) as error:
            refused[f"{method} on {pool.name}: {error.message}"] = None
            left_out.add((pool, method))
    return [arm for arm in everything if (arm.pool, arm.method) not in left_out], list(refused)


def forecast_of(kept: Sequence[Arm], place: Place) -> tuple[list[JobLine], float]:
    """The jobs that are left to do, each with how its run starts and learns, and the hours they may take together."""
    plan = make_plan([arm.spec for arm in kept], place, [f"{arm.start}, {arm.way}" for arm in kept])
    jobs = [job for job in plan if job.state != "done"]
    return jobs, math.fsum(job.forecast.hours or 0.0 for job in jobs)


def run_arms(kept: Sequence[Arm], place: Place, say: Callable[[str], None]) -> None:
    """Run what is not there. A run that fails is told and does not stop the others."""
    for number, arm in enumerate(kept, start=1):
        try:
            cell = run(arm.spec, place)
        except BenchError as error:
            say(f"{number}/{len(kept)} {arm.spec.words()}\n  -> failed: {error.message}")
            continue
        except Exception as error:  # one broken run must not cost a night of others
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            say(f"{number}/{len(kept)} {arm.spec.words()}\n  -> failed: {type(error).__name__}: {error} ({where})")
            continue
        value = cell.scores.get(arm.pool.metric) if cell else None
        say(
            f"{number}/{len(kept)} {arm.spec.words()}\n  -> {arm.pool.metric} {math.nan if value is None else value:.4f}"
        )
