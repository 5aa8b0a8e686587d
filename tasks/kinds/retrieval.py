"""Report-to-volume retrieval: the rank of a report's own volume among all, by the cosine of their vectors.

As it stands the task judges the space that pre-training made; target `finetune_1000` first learns linear maps behind the frozen
towers. Where the encoder fuses, each report also meets each volume before the two are compared, and both ranks are told, under
names of their own. Ranks are counted in three ways: `index`, the very volume; `scan`, any reconstruction of its scan; `unique`,
one volume and one report per scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import DataMissing
from bench.contracts.kind import Scored, Setup
from bench.contracts.method import Batch, Encoder, Losses, Phase, Turn
from bench.contracts.recipes import RetrievalInference
from bench.contracts.record import Record
from bench.metrics.pooled import RANK, RANK_FUSED
from bench.nets.text_tower import TextTower
from tasks.kinds import galleries, pairing
from tasks.kinds.crops import VolumesThenCrops
from tasks.kinds.demand import demand_loss
from tasks.kinds.galleries import Answer
from tasks.kinds.pairing import PairNet
from tasks.kinds.whole_view import UNUSED

__all__ = ["UNUSED"]

suffix = ".npz"
MEASURES = ("retrieval",)
TUNED = "finetune_1000"
PAIRS_AT_ONCE = 64  # volumes that one report meets in one pass
layers, prepare, told = pairing.layers, pairing.prepare, pairing.told


class RetrievalNet(PairNet):
    """The pair of towers with the text features of the training reports: `reports` (n, F), case i at row `places[case i]`."""

    reports: Tensor

    def __init__(self, encoder: Encoder, *, learnt: bool, log_scale: float, reader: TextTower | None = None) -> None:
        super().__init__(encoder, learnt=learnt, log_scale=log_scale, reader=reader)
        self.register_buffer("reports", torch.zeros(0), persistent=False)


def trains(setup: Setup) -> bool:
    return setup.target == TUNED


def build_net(setup: Setup, encoder: Encoder, decoder: str, seed: int) -> RetrievalNet:
    """The bare towers, or for `finetune_1000` towers with maps behind them. The method's `decoder` is for masks."""
    net = pairing.build(setup, encoder, seed, learnt=trains(setup), of=RetrievalNet)
    assert isinstance(net, RetrievalNet)
    return net


def fit(setup: Setup, net: nn.Module, cases: Any) -> None:
    """Work out once what never changes: the text features of the training reports, and what a fixed image tower says."""
    assert isinstance(net, RetrievalNet)
    if trains(setup):
        net.reports = net.features_of([cases.fields(case)["report"] for case in cases.cases], net.log_scale.device)
        pairing.look_once(setup, net, cases)


def contrast(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of (B, E) unit vectors: each volume against all reports of the batch, and each report against all
    volumes, halves added."""
    scores = scale * image @ text.T
    own = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def demand(setup: Setup) -> None:
    """Raises SpecError for a loss that is not the one this kind has."""
    demand_loss(setup.recipe.loss, ("infonce",), "retrieval")


def training_phase(setup: Setup, net: nn.Module) -> Phase:
    """The phase that the loop runs: one volume and one report per sample, all of a batch set against each other."""
    assert isinstance(net, RetrievalNet)

    def loss(batch: Batch) -> Losses:
        text = net.text(net.reports[batch["place"]])
        return {"contrast": contrast(net.image(net.own_of_batch(batch)), text, net.log_scale.exp())}

    views = pairing.shown(setup, net)
    return Phase("finetune", setup.recipe, VolumesThenCrops(1), views, (Turn("all", loss),), splits_batch=False)


@torch.no_grad()
def evaluate(setup: Setup, net: nn.Module, cases: Any) -> float:
    """Mean over reports of one over the rank of their own volume. Selects a checkpoint."""
    assert isinstance(net, RetrievalNet)
    image = pairing.image_vectors(setup, net, cases, cases.cases)
    text = net.text(net.features_of([cases.fields(case)["report"] for case in cases.cases], image.device))
    alike = (text @ image.T).cpu().numpy()
    return float(np.mean(1 / galleries.ranks(alike, np.arange(len(alike)))))


@dataclass(frozen=True)
class Paired:
    """The volumes that every report meets: `seen` (n, N, W), and the digest of their names in that order."""

    seen: Tensor
    gallery: str


@torch.no_grad()
def predict_cases(setup: Setup, net: nn.Module, cases: Any, wanted: Sequence[tuple[str, Path]]) -> Iterator[str]:
    """Write the answers that lack; each volume is looked at once for all reports that will meet it."""
    assert isinstance(net, RetrievalNet)
    names, lacking = [case for case, _ in wanted], any(not path.exists() for _, path in wanted)
    paired = None
    if lacking and fuses(setup, net):
        paired = Paired(pairing.seen_volumes(setup, net, cases, names), galleries.digest_of(names))
    for case, path in wanted:
        if not path.exists():
            galleries.write_answer(path, _answer(setup, net, cases, case, paired))
        yield case


def predict_case(setup: Setup, net: nn.Module, cases: Any, case: str, path: Path) -> None:
    """The answer of a case that is alone in its gallery."""
    for _ in predict_cases(setup, net, cases, [(case, path)]):
        pass


def fuses(setup: Setup, net: PairNet) -> bool:
    """Whether reports meet volumes here: the encoder can, and n * n passes are not left out."""
    assert isinstance(setup.inference, RetrievalInference)
    return setup.inference.fused and net.encoder.fuses


def _answer(setup: Setup, net: PairNet, cases: Any, case: str, paired: Paired | None) -> Answer:
    report = cases.fields(case).get("report")
    if report is None:
        raise DataMissing("has no report, and a report is what asks for a volume.", case=case, remedy="Leave it out.")
    image = pairing.image_vectors(setup, net, cases, [case])
    text = net.text(net.features_of([report], image.device))
    answer = Answer(image[0].float().cpu().numpy(), text[0].float().cpu().numpy())
    if paired is None:
        return answer
    met = fused_row(net, paired.seen, report, text[0])
    return replace(answer, fused=met.cpu().numpy(), gallery=paired.gallery)


@torch.no_grad()
def fused_row(net: PairNet, seen: Tensor, report: str, text: Tensor) -> Tensor:
    """(n,): the cosine of a report's vector `text` (E,) with that of every volume (n, N, W) once the report has guided it."""
    met = [net.image(net.encoder.informed(some, report).float()) @ text for some in torch.split(seen, PAIRS_AT_ONCE)]
    return torch.cat(met).float()


def score_cases(
    setup: Setup, folder: Path, records: Sequence[Record], cases: Any, files: Sequence[Path]
) -> list[Scored]:
    """The rank of each report's own volume in the three ways of counting, by vectors and where there are any by pairs."""
    by_vectors, by_pairs = galleries.alike(records, files)
    rows = [[(way, RANK, rank) for way, rank in ways] for ways in galleries.ranked(by_vectors, records)]
    if by_pairs is not None:
        for own, ways in zip(rows, galleries.ranked(by_pairs, records), strict=True):
            own += [(way, RANK_FUSED, rank) for way, rank in ways]
    unique = [int(any(way == galleries.UNIQUE for way, *_ in own)) for own in rows]
    return [
        Scored(tuple(own), {"gallery": 1, "gallery_unique": first}) for own, first in zip(rows, unique, strict=True)
    ]
