"""Retrieval by pairs: every report meets every volume before the two are compared, and both ranks are told apart (check 13)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.case_rows import CaseRow
from bench.contracts.errors import DataUnsound
from bench.contracts.recipes import RetrievalInference
from bench.contracts.record import Record
from bench.metrics.pooled import pooled
from bench.metrics.retrieval import recall_at
from tasks.kinds import galleries, retrieval
from tasks.kinds.galleries import Answer, digest_of, write_answer
from tests.tasks.test_pair_kinds import RETRIEVAL, Both, Cases, learnt, record, rows_of, setup

FOUR = Cases(["cardiomegaly", "emphysema", "consolidation", "emphysema"])


class Fusing(Both):
    """Volumes as they are told apart in thirds; a report that speaks of one third dims all others in every volume it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.looks, self.meetings = 0, 0

    @property
    def fuses(self) -> bool:
        return True

    def seen(self, volume: Tensor) -> Tensor:
        self.looks += len(volume)
        return self.image_vector(volume)[:, None]

    def informed(self, seen: Tensor, text: str) -> Tensor:
        self.meetings += len(seen)
        return seen[:, 0] * (0.2 + self.describe([text]).abs())


def predicted(folder: Path, made: Any, net: Any, cases: Cases = FOUR) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = [folder / f"{case}.npz" for case in cases.cases]
    done = list(retrieval.predict_cases(made, net, cases, list(zip(cases.cases, files, strict=True))))
    assert tuple(done) == cases.cases
    return files


def scored(records: Sequence[Record], files: Sequence[Path]) -> list[CaseRow]:
    found = retrieval.score_cases(setup(RETRIEVAL), files[0].parent, records, None, files)
    return rows_of(records, found)


def answers(
    folder: Path, by_vectors: np.ndarray[Any, Any], by_pairs: np.ndarray[Any, Any]
) -> tuple[list[Record], list[Path]]:
    """Answers of n cases whose vectors are as alike, and whose pairs are as alike, as the two (n, n) tables say."""
    folder.mkdir(exist_ok=True)
    names = [f"v_{i}" for i in range(len(by_pairs))]
    files = [folder / f"{name}.npz" for name in names]
    own = np.eye(len(names), dtype=np.float32)
    for i, path in enumerate(files):
        row = by_pairs[i].astype(np.float32)
        write_answer(path, Answer(own[i], by_vectors[i].astype(np.float32), row, digest_of(names)))
    return [record(name) for name in names], files


def test_every_pair_is_what_one_report_and_one_volume_give_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made, encoder = setup(RETRIEVAL), Fusing()
    net = retrieval.build_net(made, encoder, "unetr", 0)
    monkeypatch.setattr(retrieval, "PAIRS_AT_ONCE", 3)
    files = predicted(tmp_path, made, net)
    assert (encoder.looks, encoder.meetings) == (4, 16)  # each volume is looked at once, each pair met once
    slow = np.zeros((4, 4))
    for i, asking in enumerate(FOUR.cases):
        for j, asked in enumerate(FOUR.cases):
            volume = torch.from_numpy(FOUR.read(asked, (0, 0, 0), (8, 8, 8))).float()[None] / 2000 + 0.5
            text = FOUR.fields(asking)["report"]
            met = encoder.informed(encoder.seen(volume), text)[0]
            slow[i, j] = torch.nn.functional.cosine_similarity(met, encoder.describe([text])[0], dim=0).item()
    found = galleries.alike([record(case) for case in FOUR.cases], files)[1]
    assert found == pytest.approx(slow, abs=1e-5)


def test_a_run_that_was_cut_short_goes_on_with_the_same_gallery(tmp_path: Path) -> None:
    made = setup(RETRIEVAL)
    net = retrieval.build_net(made, Fusing(), "unetr", 0)
    files = predicted(tmp_path, made, net)
    before = [path.read_bytes() for path in files]
    files[2].unlink()
    predicted(tmp_path, made, net)
    assert [path.read_bytes() for path in files] == before
    looks = net.encoder.looks
    predicted(tmp_path, made, net)
    assert net.encoder.looks == looks  # nothing lacks, nothing is looked at


def test_both_ranks_stand_beside_each_other_under_names_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    by_vectors, by_pairs = (rng.standard_normal((30, 30)) + shift * np.eye(30) for shift in (1.0, 2.0))
    rows = scored(*answers(tmp_path, by_vectors, by_pairs))
    for k in (1, 5, 10):
        assert pooled(f"recall@{k}", rows).value == recall_at(by_vectors.astype(np.float32), k).value
        fused = pooled(f"recall-fused@{k}", rows)
        assert fused.value == recall_at(by_pairs.astype(np.float32), k).value
        assert fused.by_class["chance"] == k / 30 and fused.by_class["unique"] == fused.value
    assert pooled("recall@5", rows).value != pooled("recall-fused@5", rows).value


def test_identity_finds_all_and_chance_finds_k_of_n_by_either_way(tmp_path: Path) -> None:
    """Check 13."""
    n, rng = 400, np.random.default_rng(1)
    rows = scored(*answers(tmp_path / "identity", np.eye(n), np.eye(n)))
    assert pooled("recall@1", rows).value == pooled("recall-fused@1", rows).value == 1
    random = [rng.standard_normal((n, n)) for _ in range(2)]
    rows = scored(*answers(tmp_path / "random", *random))
    for name in ("recall@50", "recall-fused@50"):
        found = pooled(name, rows)
        assert found.by_class["chance"] == 50 / n
        assert found.value == pytest.approx(50 / n, abs=4 * math.sqrt(0.125 * 0.875 / n))
    same = scored(*answers(tmp_path / "same", np.ones((9, 9)), np.ones((9, 9))))
    assert pooled("recall@8", same).value == pooled("recall-fused@8", same).value == 0


def test_a_report_owns_its_own_volume_alone_in_whatever_order_the_gallery_stands(tmp_path: Path) -> None:
    """Check 13: the same cases in another order leave every report's ranks as they were, by either way."""
    made = setup(RETRIEVAL)
    net = retrieval.build_net(made, Fusing(), "unetr", 0)
    mixed = Cases([])
    mixed.names = {case: FOUR.names[case] for case in (FOUR.cases[i] for i in (2, 0, 3, 1))}
    mixed.cases = tuple(mixed.names)
    ranks = []
    for place, cases in (("a", FOUR), ("b", mixed)):
        files = predicted(tmp_path / place, made, net, cases)
        rows = scored([record(case) for case in cases.cases], files)
        ranks.append({(row.case, row.class_, row.metric): row.value for row in rows})
    assert ranks[0] == ranks[1]
    assert {metric for *_, metric in ranks[0]} == {"rank", "rank-fused"}
    (other,) = {row.value for row in rows if row.case == FOUR.cases[0] and row.metric == "rank-fused"}
    assert other == 1  # the one volume that shows what this report says


def test_the_passes_of_all_pairs_can_be_left_out(tmp_path: Path) -> None:
    made = dataclasses.replace(setup(RETRIEVAL), inference=RetrievalInference(fused=False))
    net = retrieval.build_net(made, Fusing(), "unetr", 0)
    files = predicted(tmp_path, made, net)
    rows = scored([record(case) for case in FOUR.cases], files)
    assert net.encoder.meetings == 0 and {row.metric for row in rows} == {"rank"}


def test_the_maps_that_training_learns_stand_behind_informed_volumes_too(tmp_path: Path) -> None:
    made = setup(RETRIEVAL, "finetune_1000")
    net = retrieval.build_net(made, Fusing(), "unetr", 0)
    three = Cases(["cardiomegaly", "emphysema", "consolidation"])
    learnt(retrieval, made, net, three, steps=5)
    found = galleries.alike([record(case) for case in three.cases], predicted(tmp_path, made, net, three))[1]
    text = three.fields(three.cases[1])["report"]
    seen = net.encoder.seen(
        torch.from_numpy(three.read(three.cases[0], (0, 0, 0), (8, 8, 8))).float()[None] / 2000 + 0.5
    )
    with torch.no_grad():
        met, said = net.image_map(net.encoder.informed(seen, text))[0], net.text_map(net.encoder.describe([text]))[0]
    assert found is not None
    assert found[1, 0] == pytest.approx(torch.nn.functional.cosine_similarity(met, said, dim=0).item(), abs=1e-5)


def test_answers_of_another_gallery_are_refused(tmp_path: Path) -> None:
    records, files = answers(tmp_path, np.eye(4), np.eye(4))
    write_answer(files[2], Answer(np.eye(4, dtype=np.float32)[2], np.ones(4, np.float32)))
    with pytest.raises(
        DataUnsound, match=r"v_2: predictions 1 of 4 were not paired with the 4 volumes that are scored"
    ):
        galleries.alike(records, files)
    records, files = answers(tmp_path, np.eye(4), np.eye(4))
    with pytest.raises(DataUnsound, match="4 of 4 were not paired"):
        galleries.alike(records[::-1], files[::-1])
    write_answer(files[1], Answer(np.ones(4, np.float32), np.ones(4, np.float32), np.full(4, np.nan, np.float32), ""))
    with pytest.raises(DataUnsound, match=r"v_1: the prediction holds .*Delete v_1.npz"):
        galleries.alike(records, files)
