import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.case_rows import CaseRow
from bench.contracts.errors import DataMissing
from bench.contracts.kind import Scored
from bench.score import mean, score, summarise, undefined_of

NAN = math.nan


def rows(table: dict[str, tuple[float, float]]) -> list[CaseRow]:
    """class -> (value in case 1, value in case 2)"""
    return [CaseRow(f"case{i}", name, "dice", v) for name, pair in table.items() for i, v in enumerate(pair)]


def test_class_first_and_case_first_means_differ_where_a_class_is_undefined() -> None:
    table = rows({"a": (1.0, 0.0), "b": (1.0, NAN)})
    assert summarise(table, "class_then_case", ("dice",))[0] == {"dice": 0.75}
    assert summarise(table, "case_then_class", ("dice",))[0] == {"dice": 0.5}


def test_a_case_counts_with_the_classes_that_it_has_and_one_that_has_none_counts_nowhere() -> None:
    """The cases are worth 0.7 and 0.4, the classes 0.65 and 0.5: what is undefined is no 0."""
    told = {"case0": (0.9, 0.5), "case1": (0.4, NAN), "case2": (NAN, NAN)}
    table = [CaseRow(case, name, "dice", v) for case, pair in told.items() for name, v in zip("ab", pair, strict=True)]
    for average, expected in (("case_then_class", (0.7 + 0.4) / 2), ("class_then_case", (0.65 + 0.5) / 2)):
        means, by_class = summarise(table, average, ("dice",))
        assert means["dice"] == pytest.approx(expected) and by_class["a"]["dice"] == pytest.approx(0.65)
        assert by_class["b"]["dice"] == 0.5


def test_both_orders_agree_where_everything_is_defined() -> None:
    table = rows({"a": (0.2, 0.4), "b": (0.6, 0.9)})
    assert math.isclose(
        summarise(table, "class_then_case", ("dice",))[0]["dice"],
        summarise(table, "case_then_class", ("dice",))[0]["dice"],
    )


def test_a_class_that_no_case_has_is_left_out_and_nothing_defined_is_undefined() -> None:
    means, by_class = summarise(rows({"a": (0.5, 0.7), "b": (NAN, NAN)}), "class_then_case", ("dice",))
    assert math.isclose(means["dice"], 0.6)
    assert math.isnan(by_class["b"]["dice"])
    assert math.isnan(mean([NAN]))


def test_a_metric_is_its_own_name_and_no_other_that_begins_with_it() -> None:
    values = {"dice": 0.4, "dice@brats": 1.0, "hd95": 3.0, "hd95-pooled": 2.0}
    table = [CaseRow("case0", "a", metric, value) for metric, value in values.items()]
    means, by_class = summarise(table, "class_then_case", tuple(values))
    assert means == values and by_class == {"a": values}


def test_what_was_undefined_is_added_up_over_cases_and_what_never_was_is_not_told(tmp_path: Path) -> None:
    for case in ("a", "b"):
        (tmp_path / f"{case}.json").write_text("")
    counts = {"a": {"n_failed": 1, "false_positive_mm3": 5}, "b": {"n_failed": 2}}

    def score_case(setup: Any, folder: Path, record: Any, cases: Any, path: Path) -> Scored:
        return Scored((("liver", "dice", 0.5 if record.case_id == "a" else 0.7),), counts[record.case_id])

    setup: Any = SimpleNamespace(protocol=SimpleNamespace(average="class_then_case", metrics=("dice",)))
    kind: Any = SimpleNamespace(suffix=".json", score_case=score_case)
    records: Any = [SimpleNamespace(case_id=case) for case in ("a", "b")]
    found = score(setup, kind, tmp_path, records, None, tmp_path)
    assert found.counts == {"n_failed": 3, "false_positive_mm3": 5}
    assert found.means == {"dice": pytest.approx(0.6)} and [row.case for row in found.rows] == ["a", "b"]
    records.append(SimpleNamespace(case_id="c"))
    with pytest.raises(DataMissing, match=r"^c: No prediction c\.json"):
        score(setup, kind, tmp_path, records, None, tmp_path)


def test_only_metrics_of_the_whole_set_that_were_undefined_are_counted() -> None:
    told = [
        CaseRow(case, name, metric, value)
        for case, score, truth in (("a", 0.9, 1.0), ("b", 0.2, 0.0))
        for name, metric, value in (("x", "score", score), ("x", "truth", truth))
    ]
    assert undefined_of(told, ("auc", "dice")) == {}
    assert undefined_of(told[:2], ("auc", "dice")) == {"n_undefined_auc": 1}
