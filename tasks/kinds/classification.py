"""Classification: an encoder with a linear head on its pooled vector, trained on whole volumes or on cubes about candidates.

Predictions are one JSON per case: a probability for each class. A case is scored by the evidence it leaves (`score` and
`truth` rows), from which AUC and accuracy of the whole set are counted.

A little longer than 250 lines because training, predicting and scoring must agree on what is shown of a case.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import DataUnsound, SpecError
from bench.contracts.kind import Scored, Setup
from bench.contracts.method import Batch, Encoder, Losses, Phase, Turn
from bench.contracts.record import Record
from bench.data.atomic import write_json
from bench.metrics.pooled import FINDING, FINDINGS, SCORE, TRUTH, pooled
from bench.nets.intensity import darkest, to_network_range
from bench.nets.shared_batch_norm import SharedBatchNorm, shares_batch, whole_batch
from bench.train.seeds import reseed_torch
from tasks.kinds.class_losses import WHOLE_BATCH, loss_named, probabilities
from tasks.kinds.class_samples import LabelledVolume, ShuffledCases, voxels_of
from tasks.kinds.demand import INFERENCE
from tasks.kinds.disturb import disturbed
from tasks.kinds.vary import turn

suffix = ".json"
MEASURES = ("classification",)
PROBED = True
HALF = 0.5  # MedMNIST's factor for shapes that are not trained on
SELECTING = ("auc", "auc@micro", "acc", "ap")  # what a checkpoint may be chosen by
# a case is shown whole, or as one cube about its place, and judged once
UNUSED = frozenset({"crops_per_volume", "positive_share", *INFERENCE})
Row = tuple[str, str, float]  # class, metric, value


@dataclass(frozen=True)
class _Told:
    """One row of evidence, as `bench.metrics.pooled` reads it."""

    case: str
    class_: str
    metric: str
    value: float


class ClassificationNet(nn.Module):
    """An encoder and a linear layer: volume (B, C, D, H, W) in network range -> logits (B, K).

    `even` brings each feature to mean 0 and variance 1 over the batch first, later to those of the training batches (MAE, arXiv
    2111.06377, App. A.1), so that a probe hears features of any scale.
    """

    def __init__(self, encoder: Encoder, classes: int, *, even: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.even = SharedBatchNorm(encoder.pooled_width, affine=False) if even else nn.Identity()
        self.head = nn.Linear(encoder.pooled_width, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, volume: Tensor) -> Tensor:
        logits: Tensor = self.head(self.even(self.encoder.pooled(volume)))
        return logits


def build_net(setup: Setup, encoder: Encoder, decoder: str, seed: int) -> ClassificationNet:
    """Put a fresh linear head on an encoder. Its start depends on the seed only; of a `decoder` it has the linear probe's
    evened features, where that is its name."""
    reseed_torch("head", setup.task.title, seed)
    return ClassificationNet(encoder, len(setup.task.classes), even=decoder == "linear")


def layers(net: nn.Module) -> list[nn.Module]:
    """Modules from input to output, for layer-wise decay: the encoder's, then the head."""
    assert isinstance(net, ClassificationNet)
    return [*net.encoder.layers(), net.head]


def demand(setup: Setup) -> None:
    """Raises SpecError for a loss that is not there or does not fit the labels, and for a target that asks what the head, which
    has an output for each class of the card, does not answer: classes put together or renamed, or a part of those that exclude
    each other."""
    several, card = _several(setup), setup.task.classes
    loss_named(setup.recipe.loss, multilabel=several)
    asked = dict(setup.task.targets.get(setup.target) or {name: (name,) for name in card})
    alone = all(tuple(members) == (name,) for name, members in asked.items())
    if not alone or not (several or set(asked) == set(card)):
        possible = "some of the card's answers, each by its own name" if several else "all of the card's classes"
        raise SpecError(
            f"The target '{setup.target}' asks for {', '.join(asked)}; one of {'several answers' if several else 'one class'} "
            f"per case asks for {possible}: {', '.join(card)}.",
            case=setup.task.title,
            remedy="Make another card, whose layout tells the classes that are meant.",
        )


def training_phase(setup: Setup, net: nn.Module) -> Phase:
    """The phase that the loop runs: labelled volumes and the recipe's loss. Raises SpecError for a loss that is not one."""
    assert isinstance(net, ClassificationNet)
    recipe = setup.recipe
    measure = loss_named(recipe.loss, multilabel=_several(setup))
    views = LabelledVolume(cube=setup.protocol.patch_voxels, recipe=recipe)

    def loss(batch: Batch) -> Losses:
        return {recipe.loss: measure(net(batch["volume"]), batch["label"])}

    by_sample = recipe.loss not in WHOLE_BATCH
    return Phase(
        "finetune",
        recipe,
        ShuffledCases(recipe.balanced_classes),
        views,
        (Turn("all", loss),),
        splits_batch=by_sample and not whole_batch(net, net.encoder.beside_pooled()),
        gathers=by_sample and shares_batch(net),
    )


def prepare(setup: Setup) -> Callable[[Batch], Batch]:
    """On the device: network range, the network's size, rotation, zoom and bent space, disturbances and factor."""
    low = darkest(setup.sight.intensity)
    turned = any(setup.recipe.rotate_degrees) or setup.recipe.zoom != (1.0, 1.0) or setup.recipe.elastic_probability > 0

    def apply(batch: Batch) -> Batch:
        volume = sized(setup, to_network_range(batch["volume"], setup.sight.intensity))
        if turned:
            nothing = torch.zeros(len(volume), *volume.shape[2:], dtype=torch.uint8, device=volume.device)
            volume, _, _ = turn(volume - low, nothing, nothing, batch["turn"], batch.get("bent"))
            volume = volume + low
        volume = disturbed(volume, batch["gain"], batch["offset"], batch.get("disturb"))
        return {"volume": volume * batch["factor"].view(-1, 1, 1, 1, 1), "label": batch["label"]}

    return apply


def sized(setup: Setup, volume: Tensor) -> Tensor:
    """A batch (B, C, D, H, W) stretched linearly to what the network sees; untouched where it has that size."""
    if tuple(volume.shape[2:]) == setup.sight.shape:
        return volume
    return F.interpolate(volume, setup.sight.shape, mode="trilinear", align_corners=False)


def evaluate(setup: Setup, net: nn.Module, cases: Any) -> float:
    """The recipe's sum of metrics (AUC by default) over the cases, NaN where one is undefined. Selects a checkpoint."""
    metrics = (setup.recipe.select_by or "auc").split("+")
    wrong = next((name for name in metrics if name not in SELECTING), None)
    if wrong is not None:
        raise SpecError(f"'{wrong}' selects no classifier; {', '.join(SELECTING)} do.", case="select_by")
    told: list[_Told] = []
    for group, found in _predicted(setup, net, cases):
        for case, line in zip(group, found, strict=True):
            label = cases.fields(case)["label"]
            told += [_Told(case, *row) for row in evidence(setup, _answers(setup, label), line)]
    return sum(pooled(name, told).value for name in metrics)


def predict_case(setup: Setup, net: nn.Module, cases: Any, case: str, path: Path) -> None:
    """Write a case's probabilities, one per class of the card."""
    ((_, (line,)),) = _predicted(setup, net, cases.subset([case]))
    _write(setup, case, line, path)


def predict_cases(setup: Setup, net: nn.Module, cases: Any, wanted: Sequence[tuple[str, Path]]) -> Iterator[str]:
    """Write the probabilities of all cases that have none yet, as many at a time as one update takes; gives each one's id.

    Groups are cut from the whole list, so that a prediction that goes on where another stopped gives the same numbers.
    """
    at_once = max(1, setup.recipe.batch_size)
    for first in range(0, len(wanted), at_once):
        group = wanted[first : first + at_once]
        if not all(path.exists() for _, path in group):
            ((_, lines),) = _predicted(setup, net, cases.subset([case for case, _ in group]))
            for (case, path), line in zip(group, lines, strict=True):
                if not path.exists():
                    _write(setup, case, line, path)
        yield from (case for case, _ in group)


def _write(setup: Setup, case: str, line: np.ndarray, path: Path) -> None:
    write_json(path, {"case": case, "scores": dict(zip(setup.task.classes, line.tolist(), strict=True))})


def score_case(setup: Setup, folder: Path, record: Record, cases: Any, prediction: Path) -> Scored:
    """The evidence of a stored prediction. Raises DataUnsound for one that is not of this task."""
    line = _read(setup, record.case_id, prediction)
    label = record.label.value if record.label.kind == "class" else record.label.values
    truth = _answers(setup, label)
    untold = sum(truth[name] < 0 for name in setup.classes)
    rows = (*evidence(setup, truth, line), *_findings(record))
    return Scored(rows, {"n_untold_answers": untold} if untold else {})


def evidence(setup: Setup, truth: dict[str, int], line: np.ndarray) -> Iterable[Row]:
    """Rows (class, metric, value) of one case: a `score` for each scored class, and what is true.

    With one class per case `truth` is told of that class alone; with several answers, of each, NaN where it is not known.
    """
    for name in setup.classes:
        yield name, SCORE, float(line[setup.task.classes.index(name)])
    for name in setup.classes:
        if _several(setup) or truth[name] == 1:
            yield name, TRUTH, float(truth[name]) if truth[name] >= 0 else math.nan


def _findings(record: Record) -> Iterable[Row]:
    """Of a candidate: the number of the annotated finding that it belongs to, and how many its scan has, where that is told."""
    for name in (FINDING, FINDINGS):
        if name in record.meta:
            yield record.scan_id, name, float(record.meta[name])


def _several(setup: Setup) -> bool:
    return bool(getattr(setup.task, "multilabel", False))


def _answers(setup: Setup, label: Any) -> dict[str, int]:
    """Per class of the card 1, 0 or -1 (not told)."""
    if _several(setup):
        return dict(zip(setup.task.classes, (int(value) for value in label), strict=True))
    return {name: int(k == label) for k, name in enumerate(setup.task.classes)}


@torch.no_grad()
def _predicted(setup: Setup, net: nn.Module, cases: Any) -> Iterable[tuple[Sequence[str], np.ndarray]]:
    """Groups of cases with their probabilities (n, K), as many at a time as one update takes."""
    device = next(net.parameters()).device
    at_once = max(1, setup.recipe.batch_size)
    for first in range(0, len(cases.cases), at_once):
        group = cases.cases[first : first + at_once]
        stored = np.stack([voxels_of(cases, case, setup.protocol.patch_voxels) for case in group])
        volume = sized(setup, to_network_range(torch.from_numpy(stored).to(device), setup.sight.intensity))
        volume = volume * HALF if setup.recipe.random_factor else volume
        yield group, probabilities(net(volume), multilabel=_several(setup)).cpu().numpy()


def _read(setup: Setup, case: str, path: Path) -> np.ndarray:
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
        line = np.asarray([float(scores[name]) for name in setup.task.classes])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataUnsound(
            f"'{path.name}' is no prediction of this task: it must give a score for each of "
            f"{', '.join(setup.task.classes)} ({error!r}).",
            case=case,
            remedy=f"Delete {path.name} and predict again.",
        ) from error
    if not np.isfinite(line).all():
        raise DataUnsound(
            f"'{path.name}' holds scores that are no numbers.", case=case, remedy="Delete it and predict again."
        )
    return line
