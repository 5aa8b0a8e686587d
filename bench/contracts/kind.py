"""What a kind of task must offer so that the rooms can fine-tune, predict and score without knowing what the task asks.

A kind is a module `tasks/kinds/NAME.py` with the functions of `Kind`. It sees an `Encoder`, never a `Method`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from torch import nn

from bench.contracts.cards import TaskCard
from bench.contracts.configs import FineTuneConfig, Inference, Shape3, Sight, Spacing
from bench.contracts.errors import PluginBroken, nearest
from bench.contracts.method import Batch, Encoder, Phase
from bench.contracts.protocols import Protocol
from bench.contracts.record import Record


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A task as one run sees it: target, protocol and sizes resolved. `values` maps a stored label to a class index.

    `classes` are those that are scored. A segmentation's stored labels start at 1, those of every other kind at 0.

    Where the target's classes overlap (`overlapping`), `values` maps a stored label to the sum of 2**k over its classes
    k = 0, 1, ..., and each class is a yes or no of its own.

    A checkpoint is chosen by the protocol's own inference (`selecting`), whatever the run predicts with: runs that differ in their
    inference alone share one model.
    """

    task: TaskCard
    target: str
    protocol: Protocol
    recipe: FineTuneConfig
    inference: Inference
    selecting: Inference
    sight: Sight
    classes: tuple[str, ...]
    values: Mapping[int, int]
    overlapping: bool = False


@dataclass(frozen=True)
class Scored:
    """The scores of one case: rows (class, metric id, value) and counts by name. A name in `n_` counts undefined values, which a
    table marks; any other (`gallery`, `truncated`) is told in the record alone."""

    rows: tuple[tuple[str, str, float], ...]
    counts: Mapping[str, int]


class Kind(Interface):
    """The functions a kind's module holds. `cases` is `bench.data.cache.CachedCases`. What a network that `build_net` gives
    computes of volumes (B, C, D, H, W) when it is called is what a forecast counts.

    Six more are called where a module has them. `demand(setup)`: raises SpecError for a recipe that this kind cannot follow, before
    anything is trained. `fit(setup, net, cases)`: before the first step, learn from the training
    cases what the network needs besides its weights (a vocabulary), into its buffers, so that the weight file holds it; or
    work out once what never changes (features of texts). `trains(setup) -> bool`: False leaves the network as it was built
    and no step is taken. `score_cases(setup, folder, records, cases, files) -> list[Scored]`, one per record: takes
    the place of `score_case` where a case is scored among all others (a rank in a gallery). `predict_cases(setup, net, cases,
    wanted)` gives the ids of all (case, path) in `wanted` as they are done, and writes those that are not there: for cases so
    small that a network takes many at once. What it groups must depend on `wanted` alone, not on what is there. `told(net)` gives
    words for the record, of what the network is made of and the config does not say.

    `suffix` ends the name of a prediction's file; `MEASURES` are the kinds of metrics (`bench.metrics`) that its cases leave
    evidence for. A module may name, besides, what a checkpoint can be chosen by (`SELECTING`, metric ids), that a linear head can
    answer (`PROBED`), and the fields of a recipe and of inference that it never asks (`UNUSED`; `UNUSED_WHOLE` where a protocol
    shows whole volumes, too): `--set` refuses those, or a record would tell of what never happened.
    """

    suffix: str
    MEASURES: tuple[str, ...]

    def build_net(self, setup: Setup, encoder: Encoder, decoder: str, seed: int) -> nn.Module: ...
    def layers(self, net: nn.Module) -> list[nn.Module]: ...
    def training_phase(self, setup: Setup, net: nn.Module) -> Phase: ...
    def prepare(self, setup: Setup) -> Callable[[Batch], Batch]: ...
    def evaluate(self, setup: Setup, net: nn.Module, cases: Any) -> float: ...
    def predict_case(self, setup: Setup, net: nn.Module, cases: Any, case: str, path: Path) -> None: ...
    def case_images(
        self, setup: Setup, folder: Path, record: Record, cases: Any, prediction: Path
    ) -> tuple[Any, Any, Any, Spacing | None]: ...
    def score_case(self, setup: Setup, folder: Path, record: Record, cases: Any, prediction: Path) -> Scored: ...


def make_setup(
    task: TaskCard,
    target: str,
    protocol: Protocol,
    *,
    preset: str,
    recipe: FineTuneConfig,
    inference: Inference,
    multiple: Shape3,
) -> Setup:
    """Resolve a target's classes and the shape that the network sees: the protocol's, smaller at small presets, rounded up
    to what the encoder needs."""
    merged = task.targets.get(target) or {name: (name,) for name in task.classes}
    first = 1 if task.kind == "segmentation" else 0
    owners: dict[str, list[int]] = {}
    for index, members in enumerate(merged.values(), start=first):
        for member in members:
            owners.setdefault(member, []).append(index)
    strange = next((name for name in owners if name not in task.classes), None)
    if strange is not None:
        raise PluginBroken(
            f"The target '{target}' names '{strange}', which is no class of the card. {nearest(strange, task.classes)}".strip(),
            case=task.title,
            remedy=f"Correct `targets` on the task's card; its classes are {', '.join(task.classes)}.",
        )
    overlapping = any(len(indices) > 1 for indices in owners.values())
    values = {
        task.classes.index(member) + first: sum(1 << (k - first) for k in indices) if overlapping else indices[0]
        for member, indices in owners.items()
    }
    shape = network_shape(protocol, preset, multiple, resizes=task.kind == "classification")
    sight = Sight(task.channels, shape, protocol.voxels_mm(recipe.slice_mm), protocol.intensity)
    return Setup(
        task=task,
        target=target,
        protocol=protocol,
        recipe=recipe,
        inference=inference,
        selecting=replace(protocol.inference.sized(preset), window_batch=inference.window_batch),
        sight=sight,
        classes=tuple(merged),
        values=values,
        overlapping=overlapping,
    )


MOST_VOXELS = {"small": 64, "tiny": 32}
"""Voxels a side that a network sees at the presets for a CPU."""


def network_shape(protocol: Protocol, preset: str, multiple: Sequence[int], *, resizes: bool = False) -> Shape3:
    """Voxels per axis that the network sees.

    Whole volumes keep the protocol's shape, unless they can be resized: then, as crops, they are at most 64 voxels a side at
    preset `small` and 32 at `tiny`, and no more than the images of a set have. Each side is then rounded up to a multiple of
    what the encoder needs; the one slice of a 2-D image stays one.
    """
    wanted = list(protocol.patch_voxels)
    if preset in MOST_VOXELS and (resizes or not protocol.whole_volume):
        held = protocol.image_voxels or protocol.patch_voxels
        wanted = [min(side, image, MOST_VOXELS[preset]) for side, image in zip(wanted, held, strict=True)]
    d, h, w = (side if side == 1 else -(-side // step) * step for side, step in zip(wanted, multiple, strict=True))
    return d, h, w
