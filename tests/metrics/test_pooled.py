"""Metrics of a whole test set, counted from the evidence that cases leave."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from bench.metrics.pooled import is_pooled, pooled


@dataclass(frozen=True)
class Row:
    case: str
    class_: str
    metric: str
    value: float


def single(scores: np.ndarray, truths: Sequence[int]) -> list[Row]:
    """Evidence of a task with one label per case; classes are a, b, c, ..."""
    rows = []
    for i, (line, truth) in enumerate(zip(scores, truths, strict=True)):
        rows += [Row(f"case{i}", "abcdef"[truth], "truth", 1.0)]
        rows += [Row(f"case{i}", "abcdef"[k], "score", value) for k, value in enumerate(line)]
    return rows


def several(scores: np.ndarray, truths: np.ndarray) -> list[Row]:
    """Evidence of a multi-label task."""
    return [
        Row(f"case{i}", "abcdef"[k], metric, table[i, k])
        for metric, table in (("truth", truths), ("score", scores))
        for i in range(len(scores))
        for k in range(scores.shape[1])
    ]


def test_the_example_of_the_docstring_holds() -> None:
    rows = single(np.array([[0.1, 0.9], [0.6, 0.4], [0.4, 0.6]]), [1, 1, 0])
    assert pooled("auc", rows).value == 0.5
    assert pooled("acc", rows).value == pytest.approx(1 / 3)


def test_a_multi_class_auc_is_the_mean_of_one_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    scores, truths = rng.dirichlet(np.ones(3), 40), np.arange(40) % 3
    found = pooled("auc", single(scores, truths.tolist()))
    expected = {name: roc_auc_score(truths == k, scores[:, k]) for k, name in enumerate("abc")}
    assert dict(found.by_class) == pytest.approx(expected)
    assert found.value == pytest.approx(np.mean(list(expected.values())))
    assert pooled("auc@micro", single(scores, truths.tolist())).value == pytest.approx(
        roc_auc_score(np.eye(3)[truths].ravel(), scores.ravel())
    )
    assert pooled("acc", single(scores, truths.tolist())).value == accuracy_score(truths, scores.argmax(1))


def test_a_class_without_cases_leaves_auc_undefined_and_counted() -> None:
    found = pooled("auc", single(np.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]]), [2, 0]))
    assert math.isnan(found.value) and math.isnan(found.by_class["b"])
    assert found.undefined == 1


def test_a_micro_auc_of_one_class_alone_is_undefined_and_counted() -> None:
    found = pooled("auc@micro", single(np.array([[0.9, 0.1], [0.8, 0.2]]), [0, 0]))
    assert math.isnan(found.value) and found.undefined == 1


def test_a_finding_with_one_answer_drops_out_of_the_multi_label_mean_and_is_counted() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.7], [0.6, 0.3]])
    truths = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = pooled("auc", several(scores, truths))
    assert found.value == 1.0 and math.isnan(found.by_class["b"]) and found.undefined == 1


def test_an_answer_that_is_not_told_is_left_out_of_its_class() -> None:
    scores = np.array([[0.9], [0.2], [0.95]])
    truths = np.array([[1.0], [0.0], [math.nan]])
    assert pooled("auc", several(scores, truths)).value == 1.0
    assert pooled("acc", several(scores, truths)).value == 1.0


def test_among_all_cases_an_answer_that_is_not_told_counts_as_no() -> None:
    scores, truths = np.array([[0.9], [0.2], [0.95], [0.1]]), np.array([[1.0], [0.0], [math.nan], [math.nan]])
    assert pooled("auc@all", several(scores, truths)).value == pytest.approx(2 / 3)  # above 0.2 and 0.1, below 0.95
    assert pooled("auc", several(scores, truths)).value == 1.0


def test_answers_all_alike_but_for_those_not_told_leave_a_finding_undefined() -> None:
    found = pooled("auc", several(np.array([[0.9], [0.2]]), np.array([[1.0], [math.nan]])))
    assert math.isnan(found.value) and found.undefined == 1


def test_a_finding_that_no_case_tells_has_no_accuracy_and_enters_no_mean() -> None:
    truths = np.array([[1.0, math.nan], [0.0, math.nan], [1.0, math.nan]])
    found = pooled("acc", several(np.array([[0.9, 0.9], [0.2, 0.1], [0.4, 0.6]]), truths))
    assert found.value == pytest.approx(2 / 3) and math.isnan(found.by_class["b"]) and found.undefined == 1


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    rows = single(rng.dirichlet(np.ones(3), 12), (np.arange(12) % 3).tolist())
    shuffled = [*rows[::-2], *rows[-2::-2]]
    assert len(shuffled) == len(rows)
    assert pooled("auc", shuffled).value == pytest.approx(pooled("auc", rows).value)


def test_metrics_of_single_cases_are_not_pooled() -> None:
    assert not any(is_pooled(name) for name in ("dice", "nsd@2mm", "hd95"))


def test_the_average_precision_of_two_classes_is_that_of_the_last() -> None:
    rows = single(np.array([[0.1, 0.9], [0.6, 0.4], [0.4, 0.6]]), [1, 1, 0])
    found = pooled("ap", rows)
    assert found.value == found.by_class["b"] == pytest.approx(5 / 6) and set(found.by_class) == {"a", "b"}
    lone = pooled("ap", single(np.array([[0.1, 0.9], [0.6, 0.4]]), [0, 0]))
    assert math.isnan(lone.value) and lone.undefined == 1


def test_of_two_classes_only_the_last_needs_a_case_for_an_average_precision_and_of_three_each_does() -> None:
    all_of_the_last = pooled("ap", single(np.array([[0.1, 0.9], [0.6, 0.4]]), [1, 1]))
    assert all_of_the_last.value == 1.0 and all_of_the_last.undefined == 0 and math.isnan(all_of_the_last.by_class["a"])
    none_of_the_second = pooled("ap", single(np.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]]), [2, 0]))
    assert math.isnan(none_of_the_second.value) and none_of_the_second.undefined == 1


def test_the_average_precision_of_answers_is_the_mean_over_classes_that_have_one() -> None:
    scores, truths = np.array([[0.9, 0.2], [0.4, 0.6], [0.6, 0.1]]), np.array([[1, 0], [1, 0], [0, 0]])
    found = pooled("ap", several(scores, truths))
    assert found.value == found.by_class["a"] == pytest.approx(5 / 6)
    assert math.isnan(found.by_class["b"]) and found.undefined == 1


def of_candidates(scan: str, findings: int, drawn: Sequence[tuple[float, int | None]]) -> list[Row]:
    """Evidence of one scan's candidates, each a score and the number of its finding (None: it is none)."""
    scores = np.array([[1 - score, score] for score, _ in drawn])
    rows = single(scores, [int(finding is not None) for _, finding in drawn])
    rows = [Row(f"{scan}#{row.case}", row.class_, row.metric, row.value) for row in rows]
    told = [Row(f"{scan}#case{i}", scan, "finding", k) for i, (_, k) in enumerate(drawn) if k is not None]
    return [*rows, *told, Row(f"{scan}#case0", scan, "findings", findings)]


def test_froc_counts_each_scans_findings_once_and_those_that_no_candidate_hits() -> None:
    first = of_candidates("one", 2, [(0.9, 0), (0.8, 0), (0.7, None)])  # the second finding is never proposed
    second = of_candidates("two", 1, [(0.6, 0), (0.5, None), (0.4, None)])
    empty = of_candidates("three", 0, [(0.1, None)])
    found = pooled("froc", [*first, *second, *empty])
    # three scans, three findings: 1/3 until the false positive at 1/3 per scan, 2/3 from there on
    assert dict(found.by_class) == pytest.approx(
        {**{f"fp-{rate}": 1 / 3 for rate in (0.125, 0.25)}, **{f"fp-{rate}": 2 / 3 for rate in (0.5, 1, 2, 4, 8)}}
    )
    assert found.value == pytest.approx((2 * 1 / 3 + 5 * 2 / 3) / 7) and found.undefined == 0


def test_a_scan_without_a_finding_thins_the_false_positives_of_the_others() -> None:
    """Two scans: the false positive above the one finding lies at 1/2 per scan, and at 1 if the empty scan were forgotten."""
    found = pooled("froc", [*of_candidates("one", 1, [(0.9, None), (0.8, 0)]), *of_candidates("two", 0, [(0.1, None)])])
    assert found.by_class["fp-0.25"] == 0 and found.by_class["fp-0.5"] == 1 and found.value == pytest.approx(5 / 7)


def test_froc_is_undefined_where_findings_are_not_told() -> None:
    rows = of_candidates("one", 1, [(0.9, 0), (0.7, None)])
    for lost in ("finding", "findings"):
        found = pooled("froc", [row for row in rows if row.metric != lost])
        assert math.isnan(found.value) and found.undefined == 1
    none = pooled("froc", of_candidates("one", 0, [(0.9, None), (0.7, None)]))
    assert math.isnan(none.value) and none.undefined == 1
