"""Vocabulary prompts: is a volume more like the sentence that affirms a finding, or like the one that denies it?

Zero-shot (target `zero_shot`) takes the towers as pre-training left them; otherwise linear maps behind frozen towers are learnt
on labelled volumes, and with a `fused` recipe the layers by which both sentences of a finding guide a volume (MG-3D's VocabFine).
Predictions are JSON: both cosines per finding and what they are multiplied by.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import DataUnsound, SpecError
from bench.contracts.kind import Scored, Setup
from bench.contracts.method import Arrays, Batch, Corpus, Encoder, Losses, Phase, Sample, Turn
from bench.contracts.recipes import PromptRecipe
from bench.contracts.record import Record
from bench.data.atomic import write_json
from bench.metrics.pooled import SCORE, SCORE_OF_SCAN, TRUTH, TRUTH_OF_SCAN, pooled
from tasks.kinds import pairing
from tasks.kinds.crops import VolumesThenCrops
from tasks.kinds.demand import demand_loss
from tasks.kinds.fused_prompts import FusedNet
from tasks.kinds.pairing import PairNet, ViewOrPlace
from tasks.kinds.scans import first_of_scan, scan_of
from tasks.kinds.whole_view import UNUSED

__all__ = ["UNUSED"]

suffix = ".json"
MEASURES = ("classification",)
ZERO_SHOT = "zero_shot"
LOSSES = ("pair_ce", "pair_mse")
layers, prepare = pairing.layers, pairing.prepare


@dataclass(frozen=True)
class ShownAndAnswers:
    """What is shown of a case, and its answers: `answers` (K,) int64, 1, 0 or -1 (not told)."""

    shown: ViewOrPlace

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        answers = np.asarray(corpus.fields(case)["label"], np.int64)
        return {**self.shown(corpus, sample, rng), "answers": answers}


@dataclass(frozen=True)
class _Row:
    case: str
    class_: str
    metric: str
    value: float


def trains(setup: Setup) -> bool:
    return setup.target != ZERO_SHOT


def recipe_of(setup: Setup) -> PromptRecipe:
    assert isinstance(setup.recipe, PromptRecipe)
    return setup.recipe


def build_net(setup: Setup, encoder: Encoder, decoder: str, seed: int) -> PairNet:
    """Towers with maps behind them, fused where recipe and encoder do, or the bare towers for zero-shot. The method's `decoder`
    is for masks."""
    fused = trains(setup) and recipe_of(setup).fused and encoder.fuses
    of = partial(FusedNet, shown=(setup.sight.channels, *setup.sight.shape)) if fused else PairNet
    return pairing.build(setup, encoder, seed, learnt=trains(setup), of=of)


def told(net: nn.Module) -> tuple[str, ...]:
    """What the record tells of the network."""
    return (*pairing.told(net), *([net.fusion()] if isinstance(net, FusedNet) else ()))


def prompts(setup: Setup) -> list[str]:
    """Two sentences per finding, the affirming one first."""
    recipe = recipe_of(setup)
    names = [name.replace("-", " ").capitalize() for name in setup.classes]
    return [form.format(finding=name) for name in names for form in (recipe.affirm, recipe.deny)]


def pair_loss(likeness: Tensor, scale: Tensor, answers: Tensor, loss: str) -> Tensor:
    """(B, K, 2) cosines against (B, K) answers: mean over the findings told of a volume, then over volumes.

    `pair_ce`: cross-entropy of the right sentence. `pair_mse`: squared gap between the softmax, right sentence first, and
    (1, 0), mean over both entries. A volume of which nothing is told adds 0.
    """
    demand_loss(loss, LOSSES, "prompts")
    right = torch.where(answers == 1, 0, 1)
    told = (answers >= 0).float()
    if loss == "pair_ce":
        each = F.cross_entropy((scale * likeness).flatten(0, 1), right.flatten(), reduction="none").view_as(told)
    else:
        chance = torch.softmax(scale * likeness, dim=-1).gather(-1, right[..., None])[..., 0]
        each = (1 - chance).square()  # both entries of a softmax of two miss by the same
    return ((each * told).sum(1) / told.sum(1).clamp(min=1)).mean()


def fit(setup: Setup, net: nn.Module, cases: Any) -> None:
    """Look once at the training volumes where the image tower is fixed; what fuses learns all the same."""
    assert isinstance(net, PairNet)
    if trains(setup):
        pairing.look_once(setup, net, cases)
    if isinstance(net, FusedNet):
        net.let_fusion_learn()


def demand(setup: Setup) -> None:
    """Raises SpecError for a loss that is none of LOSSES, and for a target with other findings than the card's, in whose order a
    case's answers come."""
    demand_loss(setup.recipe.loss, LOSSES, "prompts")
    if setup.classes != tuple(setup.task.classes):
        raise SpecError(
            f"The target '{setup.target}' asks for {len(setup.classes)} findings, the card tells of {len(setup.task.classes)}.",
            case=setup.task.title,
            remedy="A task of prompts asks for all of its card's findings, in their order; name no others in `targets`.",
        )


def training_phase(setup: Setup, net: nn.Module) -> Phase:
    """The phase that the loop runs: one volume per sample, all findings at once."""
    assert isinstance(net, PairNet)
    recipe = recipe_of(setup)

    def loss(batch: Batch) -> Losses:
        likeness = net.likeness(net.own_of_batch(batch), prompts(setup))
        return {"pair": pair_loss(likeness, net.log_scale.exp(), batch["answers"], recipe.loss)}

    return Phase(
        "finetune", recipe, VolumesThenCrops(1), ShownAndAnswers(pairing.shown(setup, net)), (Turn("all", loss),)
    )


@torch.no_grad()
def evaluate(setup: Setup, net: nn.Module, cases: Any) -> float:
    """Mean AUC over findings that show both answers among the cases. Selects a checkpoint."""
    assert isinstance(net, PairNet)
    likeness = _likeness(setup, net, cases, cases.cases).numpy()
    rows = [
        _Row(case, name, metric, value)
        for case, of_case in zip(cases.cases, likeness, strict=True)
        for name, pair, answer in zip(setup.classes, of_case, cases.fields(case)["label"], strict=True)
        for metric, value in ((SCORE, float(pair[0] - pair[1])), (TRUTH, _truth(answer)))
    ]
    return pooled("auc", rows).value


def _likeness(setup: Setup, net: PairNet, cases: Any, chosen: Sequence[str]) -> Tensor:
    """(n, K, 2) on the host, a few volumes at a time: pairs of volume and finding may each take a pass."""
    parts = [chosen[first : first + pairing.AT_ONCE] for first in range(0, len(chosen), pairing.AT_ONCE)]
    return torch.cat(
        [net.likeness(pairing.of_tower(setup, net, cases, part), prompts(setup)).float().cpu() for part in parts]
    )


@torch.no_grad()
def predict_case(setup: Setup, net: nn.Module, cases: Any, case: str, path: Path) -> None:
    """Write a case's cosines per finding, affirming sentence first, and the scale before their softmax."""
    assert isinstance(net, PairNet)
    (likeness,) = _likeness(setup, net, cases, [case]).tolist()
    told = {
        "case": case,
        "scale": float(net.log_scale.exp()),
        "cosines": dict(zip(setup.classes, likeness, strict=True)),
    }
    write_json(path, told)


def score_cases(
    setup: Setup, folder: Path, records: Sequence[Record], cases: Any, files: Sequence[Path]
) -> list[Scored]:
    """The chance that each finding is there, and the truth, per volume; and per scan, as the mean over its reconstructions."""
    chances = {r.case_id: _chances(setup, r, path) for r, path in zip(records, files, strict=True)}
    siblings: dict[str, list[str]] = {}
    for record in records:
        siblings.setdefault(scan_of(record), []).append(record.case_id)
    first = first_of_scan(records)
    return [
        Scored(tuple(_rows(setup, record, chances, siblings, first)), {"scans": int(record.case_id in first)})
        for record in records
    ]


def _rows(
    setup: Setup,
    record: Record,
    chances: dict[str, np.ndarray[Any, Any]],
    siblings: dict[str, list[str]],
    first: frozenset[str],
) -> list[tuple[str, str, float]]:
    rows = []
    of_scan = np.mean([chances[case] for case in siblings[scan_of(record)]], axis=0)
    for k, name in enumerate(setup.classes):
        truth = _truth(record.label.values[setup.task.classes.index(name)])
        rows += [(name, SCORE, float(chances[record.case_id][k])), (name, TRUTH, truth)]
        if record.case_id in first:
            rows += [(name, SCORE_OF_SCAN, float(of_scan[k])), (name, TRUTH_OF_SCAN, truth)]
    return rows


def _chances(setup: Setup, record: Record, path: Path) -> np.ndarray[Any, Any]:
    """(K,): softmax of a finding's two cosines, its affirming entry."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        gaps = np.array([told["cosines"][name][0] - told["cosines"][name][1] for name in setup.classes])
        chances: np.ndarray[Any, Any] = 1 / (1 + np.exp(-float(told["scale"]) * gaps))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataUnsound(
            f"the prediction does not hold two cosines for each of {len(setup.classes)} findings ({error!r}).",
            case=record.case_id,
            remedy=f"Delete {path.name} and predict again.",
        ) from error
    return chances


def _truth(answer: int) -> float:
    return math.nan if answer < 0 else float(answer)
