"""Splits: the hash rule, published lists as they are, nesting, disjointness, and what a half download may not change."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts.errors import DataUnsound, SpecError
from bench.contracts.protocols import SplitRule
from bench.data.roster import Roster
from bench.data.splits import (
    SALTS,
    Parts,
    beside_published_test,
    check_hygiene,
    divided,
    every_fold,
    lists,
    nested,
    order_of,
    present,
    rank,
    read_list,
    stratified,
)

SPLITS = Path(__file__).parents[2] / "tasks" / "splits"
UNITS = st.lists(st.text("abcdef0123456789_", min_size=1, max_size=8), min_size=1, max_size=60, unique=True)
RATIOS = st.sampled_from([0.01, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
steady = settings(derandomize=True, max_examples=60, deadline=None)


def rule(file: str, key: str, **words: object) -> SplitRule:
    return SplitRule(file=file, key=key, origin="test", **words)  # type: ignore[arg-type]


def proposed(file: str) -> dict[str, dict[str, list[object]]]:
    content = json.loads((SPLITS / file).read_text())
    return {key: value for key, value in content.items() if isinstance(value, dict)}


# The rule -----------------------------------------------------------------------------------------


def test_the_hash_rule_gives_the_check_value_of_the_plan() -> None:
    assert hashlib.sha256(b"split-v1|msd04|hippocampus_001").hexdigest().startswith("a527c220add13502")
    ranked = rank("msd04", ["hippocampus_001", *(f"case_{i}" for i in range(200))])
    smaller = [u for u in ranked if hashlib.sha256(f"split-v1|msd04|{u}".encode()).hexdigest() < "a527c220add13502"]
    assert ranked.index("hippocampus_001") == len(smaller)


@steady
@given(UNITS)
def test_rank_does_not_depend_on_the_order_of_what_it_ranks(units: list[str]) -> None:
    assert rank("la", units) == rank("la", reversed(units)) == rank("la", sorted(units))


def test_a_file_of_one_task_hashes_by_the_word_before_its_underscore() -> None:
    train = lists(rule("msd09_folds.json", "folds", by_fold=True), SPLITS).train
    assert len(train) == 32 and train == rank("msd09", train)


def test_another_salt_gives_another_order_of_the_same_units() -> None:
    units = [f"u{i}" for i in range(40)]
    assert rank("la", units) != rank("la", units, "split-v1-b")
    assert set(rank("la", units)) == set(rank("la", units, "split-v1-b"))


@steady
@given(UNITS)
def test_our_rule_puts_every_unit_into_exactly_one_part(units: list[str]) -> None:
    parts = divided("la", units)
    assert sorted((*parts.train, *parts.val, *parts.test)) == sorted(units)
    assert len(parts.test) == round(0.2 * len(units)) and len(parts.val) == round(0.1 * len(units))


@pytest.mark.parametrize("task", ["msd03", "msd04", "msd06", "msd07", "msd08", "msd09", "msd10"])
def test_the_proposed_decathlon_lists_follow_from_the_rule(task: str) -> None:
    told = proposed("msd_712_proposed.json")[task]
    found = divided(task, [str(u) for part in ("train", "val", "test") for u in told[part]])
    assert list(found.train) == told["train"] and list(found.val) == told["val"] and list(found.test) == told["test"]


def test_however_few_stand_beside_a_published_test_one_of_them_is_val() -> None:
    parts = beside_published_test("la", ["a", "b", "c"], ["c"])
    assert (len(parts.train), len(parts.val), parts.test) == (1, 1, ("c",))


@pytest.mark.parametrize("task", sorted(set(proposed("bench_proposed.json")) - {"la", "chaos", "acdc"}))
def test_the_lists_beside_a_published_test_follow_from_the_rule(task: str) -> None:
    told = {
        part: [str(u) for u in units] for part, units in proposed("bench_proposed.json")[task].items() if part != "n"
    }
    everything = [unit for part in ("train", "val", "test") for unit in told[part]]
    found = beside_published_test(task, everything, told["test"])
    assert list(found.train) == told["train"] and list(found.val) == told["val"]


def test_the_left_atrium_takes_its_val_from_the_end_of_the_published_train_list() -> None:
    parts = lists(rule("bench_proposed.json", "la"), SPLITS)
    published = read_list(SPLITS, "la_train.txt")
    assert set(parts.val) == set(published[-8:]) and parts.train == rank("la", published[:72])
    assert set(parts.test) == set(read_list(SPLITS, "la_test.txt"))


# Published lists ----------------------------------------------------------------------------------


def test_two_text_lists_keep_their_published_order_and_select_on_test() -> None:
    parts = lists(rule("la_train.txt+la_test.txt", "la", order="published", count="int"), SPLITS)
    assert parts.train[:2] == ("06SR5RBREL16DQ6M8LWS", "0RZDK210BSMWAA6467LU") and len(parts.train) == 80
    assert parts.selects_on_test and len(parts.test) == 20


def test_fold_zero_of_btcv_is_the_published_24_6_list() -> None:
    parts = lists(rule("btcv.json", "monai_folds", by_fold=True, order="published"), SPLITS)
    assert parts.train == read_list(SPLITS, "btcv.json", "monai_24_6/train")
    assert parts.test == parts.val == read_list(SPLITS, "btcv.json", "monai_24_6/val")


def test_the_five_folds_of_btcv_test_every_labelled_case_once() -> None:
    folds = [lists(rule("btcv.json", "monai_folds", by_fold=True, order="published"), SPLITS, k) for k in range(5)]
    tested = [case for parts in folds for case in parts.test]
    assert len(tested) == len(set(tested)) == 30
    assert all(set(parts.train) | set(parts.test) == set(tested) for parts in folds)


@pytest.mark.parametrize(("ratio", "key"), [(0.25, "0.25"), (0.5, "0.5")])
def test_the_published_btcv_subsets_are_what_a_prefix_of_the_list_gives(ratio: float, key: str) -> None:
    own = {ratio: f"monai_24_6_label_subsets/{key}"}
    told = lists(rule("btcv.json", "monai_24_6", order="published", subsets=own), SPLITS)
    assert nested(told.train, ratio) == nested(told.train, ratio, subsets=told.subsets) == told.subsets[ratio]


def test_the_authors_subsets_are_of_their_first_fold_and_of_no_other() -> None:
    """Fold 1 tests on cases that the subsets of fold 0 train on."""
    own = rule(
        "btcv.json", "monai_folds", by_fold=True, order="published", subsets={0.25: "monai_24_6_label_subsets/0.25"}
    )
    assert set(lists(own, SPLITS, 0).subsets) == {0.25}
    other = lists(own, SPLITS, 1)
    assert other.subsets == {} and set(nested(other.train, 0.25, subsets=other.subsets)) <= set(other.train)


def test_without_val_the_cases_of_val_follow_those_of_train_and_the_weights_are_chosen_on_test(tmp_path: Path) -> None:
    (tmp_path / "bench_proposed.json").write_text(json.dumps({"t": {"train": ["b", "c"], "val": ["a"], "test": ["d"]}}))
    parts = lists(rule("bench_proposed.json", "t", order="published", with_val=False, straddles=True), tmp_path)
    assert (parts.train, parts.val, parts.test) == (("b", "c", "a"), ("d",), ("d",)) and parts.selects_on_test
    assert parts.straddles  # as the rule says of its list
    assert not Parts(("a",), (), ()).selects_on_test  # nothing is reported


def test_a_published_subset_of_patients_is_taken_with_all_their_cases(tmp_path: Path) -> None:
    content = {"train": ["p1", "p2", "p3", "p4"], "val": ["p5"], "test": ["p6"], "half": ["p4", "p2"]}
    (tmp_path / "hearts.json").write_text(json.dumps(content))
    own = rule(str(tmp_path / "hearts.json"), "", order="published", unit="group", subsets={0.5: "half"})
    known = Roster(cases_of={f"p{k}": (f"p{k}_ed", f"p{k}_es") for k in range(1, 6)})
    parts = lists(own, SPLITS, roster=known)
    assert nested(parts.train, 0.5, subsets=parts.subsets, unit_of=parts.unit_of) == (
        "p4_ed",
        "p4_es",
        "p2_ed",
        "p2_es",
    )
    assert parts.grouped and parts.test == ("p6",)  # nothing of it is on disk


def test_a_published_subset_that_is_no_prefix_is_taken_as_it_is() -> None:
    told = lists(
        rule("btcv.json", "monai_24_6", order="published", subsets={0.125: "monai_24_6_label_subsets/3cases"}), SPLITS
    )
    assert nested(told.train, 0.125, subsets=told.subsets) == ("0002", "0003", "0005")


def test_spads_list_keeps_its_sizes_in_our_nested_order() -> None:
    parts = lists(rule("btcv.json", "smit_21_9", order="hash", count="int"), SPLITS)
    assert parts.train == rank("btcv", read_list(SPLITS, "btcv.json", "smit_21_9/train"))
    assert [len(nested(parts.train, r, "int")) for r in (0.2, 0.4, 0.6, 0.8, 1.0)] == [4, 8, 12, 16, 21]


def test_corpus_lists_have_the_sizes_that_mim_prints() -> None:
    assert len(read_list(SPLITS, "corpus_tcia_covid19.json", "train")) == 722
    assert (
        len(read_list(SPLITS, "corpus_luna16.json", "T")) == 843
        and len(read_list(SPLITS, "corpus_luna16.json", "V")) == 45
    )
    assert len(read_list(SPLITS, "stoic_ids.txt")) == 2_000


# Ratios -------------------------------------------------------------------------------------------


@steady
@given(UNITS, RATIOS, RATIOS, st.sampled_from(["ceil", "int"]))
def test_a_smaller_ratio_is_contained_in_a_larger_one(units: list[str], one: float, two: float, count: str) -> None:
    small, large = (nested(units, ratio, count) for ratio in sorted((one, two)))  # type: ignore[arg-type]
    assert large[: len(small)] == small


@steady
@given(UNITS, RATIOS)
def test_a_ratio_takes_exactly_as_many_units_as_its_rule_says(units: list[str], ratio: float) -> None:
    exact = Fraction(str(ratio)) * len(units)
    assert len(nested(units, ratio)) == max(1, math.ceil(exact))
    assert len(nested(units, ratio, "int")) == max(1, math.floor(exact))


def test_a_rounding_error_of_floats_takes_no_case_more_or_less() -> None:
    units = [str(number) for number in range(100)]
    assert 0.55 * 100 > 55 and len(nested(units, 0.55)) == 55
    assert 0.29 * 100 < 29 and len(nested(units, 0.29, "int")) == 29


def test_the_ratios_of_msd04_give_the_counts_of_the_plan() -> None:
    train = lists(rule("msd_712_proposed.json", "msd04"), SPLITS).train
    assert [len(nested(train, r)) for r in (0.1, 0.25, 0.5, 1.0)] == [19, 46, 91, 182]


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, math.nan, math.inf])
def test_a_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(SpecError, match=r"\(0, 1\]"):
        nested(["a", "b"], ratio)


def test_the_name_of_a_subset_in_place_of_its_cases_is_a_bug_and_says_so() -> None:
    with pytest.raises(TypeError, match="subsets of lists"):
        nested(["a", "b"], 0.5, subsets={0.5: "some/key"})


# Half downloads -----------------------------------------------------------------------------------


@steady
@given(UNITS, st.sets(st.integers(0, 59)))
def test_missing_cases_move_no_other_case(units: list[str], gone: set[int]) -> None:
    parts = divided("msd04", units)
    on_disk = [unit for i, unit in enumerate(units) if i not in gone]
    here, missing = present(parts, on_disk)
    assert set(missing) == set(units) - set(on_disk)
    for whole, cut in ((parts.train, here.train), (parts.val, here.val), (parts.test, here.test)):
        assert cut == tuple(case for case in whole if case in on_disk)


def test_a_published_subset_is_cut_down_to_what_is_there_like_every_part() -> None:
    here, missing = present(Parts(("a", "b", "c"), (), ("d",), subsets={0.5: ("c", "a")}), ["a", "b", "d"])
    assert here.subsets == {0.5: ("a",)} and missing == ("c",)


def test_cases_on_disk_that_no_list_names_enter_no_part() -> None:
    here, missing = present(Parts(("a",), ("b",), ("c",)), ["a", "b", "c", "stray"])
    assert here == Parts(("a",), ("b",), ("c",)) and missing == ()


# Hygiene ------------------------------------------------------------------------------------------


def test_a_case_listed_twice_in_one_part_is_refused_by_name() -> None:
    with pytest.raises(DataUnsound, match=r"^a2: .*twice in the part 'train'"):
        check_hygiene(Parts(("a1", "a2", "a2"), ("b",), ("c",)), {})


@pytest.mark.parametrize(
    "parts",
    [Parts(("x", "a"), ("b",), ("x",)), Parts(("x",), ("x", "b"), ("c",)), Parts(("a",), ("x", "b"), ("x", "c"))],
)
def test_a_case_in_two_parts_is_refused_by_name(parts: Parts) -> None:
    with pytest.raises(DataUnsound, match=r"^x: .*two parts"):
        check_hygiene(parts, {})


def test_two_scans_of_one_patient_in_two_parts_are_refused_by_the_patients_name() -> None:
    groups = {"scan1": "patient7", "scan2": "patient7"}
    with pytest.raises(DataUnsound, match=r"^patient7: .*scan1.*scan2"):
        check_hygiene(Parts(("scan1",), (), ("scan2",)), groups)
    check_hygiene(Parts(("scan1", "scan2"), (), ("scan3",)), groups)
    check_hygiene(Parts(("scan1",), (), ("scan2",), straddles=True), groups)  # as the authors' list knowingly does
    with pytest.raises(DataUnsound, match=r"^scan1: "):
        check_hygiene(Parts(("scan1",), (), ("scan1", "scan2"), straddles=True), groups)


def test_selecting_on_the_reported_cases_is_no_leak_of_training_cases() -> None:
    check_hygiene(Parts(("a",), ("b", "c"), ("b", "c")), {})
    with pytest.raises(DataUnsound, match=r"^b: "):
        check_hygiene(Parts(("a", "b"), ("b", "c"), ("b", "c")), {})


def test_a_list_of_ours_that_contradicts_itself_is_refused_with_its_files_name(tmp_path: Path) -> None:
    (tmp_path / "bench_proposed.json").write_text(json.dumps({"t": {"train": ["a", "b"], "val": ["c"], "test": ["a"]}}))
    with pytest.raises(DataUnsound, match=r"^a: .*bench_proposed\.json"):
        lists(rule("bench_proposed.json", "t"), tmp_path)


# What cannot be -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (rule("btvc.json", "monai_24_6"), r"Did you mean 'btcv\.json'"),
        (rule("btcv.json", "monai_24_7"), "monai_24_6"),
        (rule("btcv.json", "test_unlabelled"), "no train with val or test"),
    ],
)
def test_an_unknown_list_is_refused_with_those_that_are_there(asked: SplitRule, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        lists(asked, SPLITS)


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match="No fold 5"):
        lists(rule("btcv.json", "monai_folds", by_fold=True), SPLITS, 5)
    with pytest.raises(SpecError, match="one split and no fold 1"):
        lists(rule("msd_712_proposed.json", "msd04"), SPLITS, 1)


def test_a_damaged_list_is_told_apart_from_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "btcv.json").write_text("{")
    with pytest.raises(DataUnsound, match="no JSON"):
        lists(rule("btcv.json", "x"), tmp_path)
    with pytest.raises(SpecError, match="no list of cases"):
        read_list(SPLITS, "btcv.json", "monai_24_6")


def test_every_fold_of_a_list_is_given_and_each_tests_on_other_cases() -> None:
    rule = SplitRule(file="msd09_folds.json", key="folds", origin="", by_fold=True, order="published")
    folds = every_fold(rule, SPLITS)
    assert [len(parts.test) for parts in folds] == [9, 8, 8, 8, 8]
    assert len({case for parts in folds for case in parts.test}) == 41
    assert all(set(parts.train) | set(parts.test) == set(folds[0].everything()) for parts in folds)


@pytest.mark.parametrize("divides", ["all", "strata"])
def test_each_fold_of_our_rule_divides_all_units_by_a_salt_of_its_own(divides: Literal["all", "strata"]) -> None:
    own = rule("stoic_ids.txt", "stoic", by_fold=True, divides=divides)
    units = read_list(SPLITS, own.file, own.key)
    class_of = {unit: str(int(unit) % 3) for unit in units}
    folds = every_fold(own, SPLITS, Roster(class_of=class_of))
    assert len(folds) == len(SALTS) == 3
    for parts, salt in zip(folds, SALTS, strict=True):
        expected = divided("stoic", units, salt) if divides == "all" else stratified("stoic", class_of, salt)
        assert (parts.val, parts.test) == (expected.val, expected.test)
        assert sorted(parts.train) == sorted(expected.train)
    assert len({frozenset(parts.test) for parts in folds}) == len({frozenset(parts.val) for parts in folds}) == 3


def test_a_list_that_a_task_brings_from_elsewhere_is_ordered_alike_wherever_it_lies(tmp_path: Path) -> None:
    content = json.dumps({"split": {"train": [f"case_{i}" for i in range(20)], "val": ["v"], "test": ["t"]}})
    orders = []
    for folder in (tmp_path / "a", tmp_path / "b_c.d"):
        folder.mkdir()
        (folder / "balls.json").write_text(content)
        orders.append(lists(rule(str(folder / "balls.json"), "split"), SPLITS).train)
    assert orders[0] == orders[1] == rank("balls", [f"case_{i}" for i in range(20)])


# Few labels ---------------------------------------------------------------------------------------


def test_with_eight_labelled_units_or_fewer_seeds_go_round_three_orders_of_train_and_no_other_part_moves() -> None:
    own = rule("bench_proposed.json", "btcv")
    orders = [lists(own, SPLITS, order=k) for k in range(3)]
    assert len({parts.train for parts in orders}) == len({parts.train[:3] for parts in orders}) == 3
    assert len({(frozenset(parts.train), parts.val, parts.test) for parts in orders}) == 1
    assert orders[1].train == rank("btcv", orders[0].train, "split-v1-b")
    few, many = 0.1, 0.5  # of 22
    assert [order_of(own, orders[0], few, seed) for seed in range(5)] == [0, 1, 2, 0, 1]
    assert [order_of(own, orders[0], ratio, 1) for ratio in (many, 1.0)] == [0, 0]
    assert [order_of(own, orders[0], ratio, 1) for ratio in (8 / 22, 9 / 22)] == [1, 0]  # eight are few, nine are not


def test_a_published_order_and_a_published_subset_are_the_authors_whatever_the_seed() -> None:
    own = rule("bench_proposed.json", "btcv")
    parts = lists(own, SPLITS)
    assert order_of(replace(own, order="published"), parts, 0.1, 1) == 0
    assert order_of(own, replace(parts, train=parts.train[:8]), 1.0, 1) == 0  # of all there is nothing to choose
    assert order_of(own, replace(parts, subsets={0.1: parts.train[:3]}), 0.1, 1) == 0


def test_patients_are_counted_not_their_scans() -> None:
    own = rule("bench_proposed.json", "btcv")
    parts = lists(own, SPLITS)
    pairs = replace(
        parts, unit_of={case: str(k // 2) for k, case in enumerate(parts.train)}
    )  # 11 patients of two scans
    assert order_of(own, parts, 0.5, 1) == 0 and order_of(own, pairs, 0.5, 1) == 1  # 11 scans; 6 patients
