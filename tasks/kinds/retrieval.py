"""Report-to-volume retrieval: the rank of a report's own volume among all, by the cosine of their vectors.

As it stands the task judges the space that pre-training made; target `finetune_1000` first learns linear maps behind the frozen
towers. Predictions are two vectors per case, volume and report. Ranks are counted in three ways: `index`, the very volume;
`scan`, any reconstruction of its scan; `unique`, one volume and one report per scan.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.kind import Scored, Setup
from bench.contracts.method import Batch, Encoder, Losses, Phase, Turn
from bench.contracts.record import Record
from bench.data.atomic import write_bytes
from bench.metrics.pooled import INDEX, RANK
from tasks.kinds import pairing
from tasks.kinds.crops import VolumesThenCrops
from tasks.kinds.pairing import PairNet
from tasks.kinds.scans import first_of_scan, scan_of

suffix = ".npy"
TUNED = "finetune_1000"
SCAN, UNIQUE = "scan", "unique"
layers, prepare = pairing.layers, pairing.prepare


class RetrievalNet(PairNet):
    """The pair of towers with the text features of the training reports: `reports` (n, F), case i at row `places[case i]`."""

    reports: Tensor

    def __init__(self, encoder: Encoder, *, learnt: bool, log_scale: float) -> None:
        super().__init__(encoder, learnt=learnt, log_scale=log_scale)
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


def training_phase(setup: Setup, net: nn.Module) -> Phase:
    """The phase that the loop runs: one volume and one report per sample, all of a batch set against each other."""
    assert isinstance(net, RetrievalNet)

    def loss(batch: Batch) -> Losses:
        text = net.text(net.reports[batch["place"]])
        return {"contrast": contrast(net.of_batch(batch), text, net.log_scale.exp())}

    views = pairing.shown(setup, net)
    return Phase("finetune", setup.recipe, VolumesThenCrops(1), views, (Turn("all", loss),), splits_batch=False)


@torch.no_grad()
def evaluate(setup: Setup, net: nn.Module, cases: Any) -> float:
    """Mean over reports of one over the rank of their own volume. Selects a checkpoint."""
    assert isinstance(net, RetrievalNet)
    image = pairing.image_vectors(setup, net, cases, cases.cases)
    text = net.text(net.features_of([cases.fields(case)["report"] for case in cases.cases], image.device))
    alike = (text @ image.T).cpu().numpy()
    return float(np.mean(1 / _ranks(alike, np.arange(len(alike)))))


@torch.no_grad()
def predict_case(setup: Setup, net: nn.Module, cases: Any, case: str, path: Path) -> None:
    """Write a case's two vectors of unit length, (2, E) float32: its volume's, its report's."""
    assert isinstance(net, RetrievalNet)
    report = cases.fields(case).get("report")
    if report is None:
        raise DataMissing("has no report, and a report is what asks for a volume.", case=case, remedy="Leave it out.")
    image = pairing.image_vectors(setup, net, cases, [case])
    text = net.text(net.features_of([report], image.device))
    buffer = io.BytesIO()
    np.save(buffer, torch.cat([image, text]).float().cpu().numpy(), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def score_cases(
    setup: Setup, folder: Path, records: Sequence[Record], cases: Any, files: Sequence[Path]
) -> list[Scored]:
    """The rank of each report's own volume in the three ways of counting."""
    vectors = [_vectors(record, path) for record, path in zip(records, files, strict=True)]
    if len({pair.shape for pair in vectors}) > 1:
        raise DataUnsound(
            f"predictions hold vectors of different lengths: {sorted({pair.shape[1] for pair in vectors})}.",
            case=records[0].case_id,
            remedy=f"Delete {files[0].parent.name} and predict again.",
        )
    image, text = np.stack([pair[0] for pair in vectors]), np.stack([pair[1] for pair in vectors])
    alike = text @ image.T
    ranks = {INDEX: _ranks(alike, np.arange(len(records))), SCAN: _ranks_of_scans(alike, records)}
    speaking = first_of_scan(records)
    chosen = [i for i, record in enumerate(records) if record.case_id in speaking]
    unique = dict(zip(chosen, _ranks(alike[np.ix_(chosen, chosen)], np.arange(len(chosen))), strict=True))
    return [
        Scored(
            (
                *((way, RANK, float(found[i])) for way, found in ranks.items()),
                *([(UNIQUE, RANK, float(unique[i]))] if i in unique else []),
            ),
            {"n_gallery": 1, "n_gallery_unique": int(i in unique)},
        )
        for i in range(len(records))
    ]


def _ranks(alike: NDArray[np.floating[Any]], own: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """(n,) from 1: items as similar as the own one stand before it, so that equal scores find nothing."""
    mine = alike[np.arange(len(alike)), own]
    ranks: NDArray[np.intp] = (alike >= mine[:, None]).sum(axis=1)
    return ranks


def _ranks_of_scans(alike: NDArray[np.floating[Any]], records: Sequence[Record]) -> NDArray[np.intp]:
    """(n,) from 1: where the best reconstruction of the own scan stands; its siblings are not in its way."""
    scans = np.unique([scan_of(record) for record in records], return_inverse=True)[1]
    own = scans[:, None] == scans[None, :]
    best = np.where(own, alike, -np.inf).max(axis=1)
    ranks: NDArray[np.intp] = 1 + ((alike >= best[:, None]) & ~own).sum(axis=1)
    return ranks


def _vectors(record: Record, path: Path) -> NDArray[np.float32]:
    try:
        pair: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _unsound(record, path, f"cannot be read ({error})") from error
    if pair.ndim != 2 or len(pair) != 2 or not np.isfinite(pair).all():
        raise _unsound(record, path, f"holds {pair.shape}, two finite vectors of one length are due")
    return pair


def _unsound(record: Record, path: Path, why: str) -> DataUnsound:
    return DataUnsound(f"the prediction {why}.", case=record.case_id, remedy=f"Delete {path.name} and predict again.")
