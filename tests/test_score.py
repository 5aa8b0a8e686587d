import math

from bench.case_rows import CaseRow
from bench.score import mean, summarise

NAN = math.nan


def rows(table: dict[str, tuple[float, float]]) -> list[CaseRow]:
    """class -> (value in case 1, value in case 2)"""
    return [CaseRow(f"case{i}", name, "dice", v) for name, pair in table.items() for i, v in enumerate(pair)]


def test_class_first_and_case_first_means_differ_where_a_class_is_undefined() -> None:
    table = rows({"a": (1.0, 0.0), "b": (1.0, NAN)})
    assert summarise(table, "class_then_case", ("dice",))[0] == {"dice": 0.75}
    assert summarise(table, "case_then_class", ("dice",))[0] == {"dice": 0.5}


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
