"""Recall and AUC per scan, counted from the rows that cases leave."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.case_rows import CaseRow
from bench.contracts.record import Record
from bench.metrics.pooled import is_pooled, pooled
from bench.metrics.retrieval import recall_at
from tasks.kinds.galleries import ranked as ranked_in_gallery


def ranked(ranks: list[int], way: str = "index") -> list[CaseRow]:
    return [CaseRow(f"case {i}", way, "rank", float(rank)) for i, rank in enumerate(ranks)]


def test_recall_is_the_share_of_ranks_up_to_k_beside_chance() -> None:
    found = pooled("recall@2", [*ranked([1, 2, 3, 4, 5, 9, 2, 1, 7, 10]), *ranked([1, 2, 3, 4], "unique")])
    assert found.value == 0.4 and found.by_class["chance"] == 0.2
    assert found.by_class["unique"] == 0.5 and found.by_class["chance-unique"] == 0.5 and found.undefined == 0


def test_recall_of_more_items_than_the_gallery_holds_is_undefined_and_counted() -> None:
    found = pooled("recall@50", [*ranked([1, 2, 3]), *ranked([1], "unique")])
    assert math.isnan(found.value) and found.undefined == 2 and math.isnan(found.by_class["chance"])


def test_recall_from_ranks_is_recall_from_similarities() -> None:
    similar = np.random.default_rng(0).standard_normal((40, 40)) + np.eye(40)
    own = similar.diagonal()[:, None]
    ranks = (similar >= own).sum(1)
    for k in (1, 5, 10, 40):
        assert pooled(f"recall@{k}", ranked(ranks.tolist())).value == recall_at(similar, k).value


def test_the_auc_of_scans_counts_only_what_scans_left() -> None:
    rows = []
    for case, of_volume, of_scan, truth in (("a", 0.1, 0.9, 1), ("b", 0.2, 0.3, 0), ("c", 0.7, 0.8, 1)):
        rows += [CaseRow(case, "nodule", "score", of_volume), CaseRow(case, "nodule", "truth", truth)]
        rows += [CaseRow(case, "nodule", "score@scan", of_scan), CaseRow(case, "nodule", "truth@scan", truth)]
    rows += [CaseRow("d", "nodule", "score", 0.0), CaseRow("d", "nodule", "truth", 1.0)]
    assert pooled("auc@scan", rows).value == 1 and pooled("auc", rows).value == pytest.approx(1 / 3)
    assert is_pooled("auc@scan") and is_pooled("recall@5") and not is_pooled("dice")


def test_no_chance_is_told_that_drawing_at_random_does_not_give() -> None:
    records = [
        Record(dataset="d", adapter_version="1", case_id=f"{scan}_{k}", patient_id=f"{scan}", group=f"{scan}", images=(),
               meta={"scan": scan, "reconstruction": k})
        for scan in range(100) for k in (0, 1)
    ]  # fmt: skip
    random = np.random.default_rng(0)
    found = []
    for _ in range(20):
        ways = ranked_in_gallery(random.standard_normal((200, 200)), records)
        rows = [
            CaseRow(r.case_id, way, "rank", rank) for r, own in zip(records, ways, strict=True) for way, rank in own
        ]
        found.append(pooled("recall@20", rows).by_class)
    for way in ("index", "scan", "unique"):
        chance = "chance" if way == "index" else f"chance-{way}"
        if chance in found[0]:
            assert np.mean([one[way] for one in found]) == pytest.approx(found[0][chance], abs=0.02), way
