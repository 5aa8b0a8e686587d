"""Lists that tell classes, patients and strata: published counts, nested ratios by patient, our rule inside classes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts.errors import SpecError
from bench.contracts.protocols import SplitRule
from bench.data.roster import Roster
from bench.data.splits import SALTS, divided, every_fold, interleaved, lists, nested, rank, read_list, stratified

SPLITS = Path(__file__).parents[2] / "tasks" / "splits"
RICORD = "ricord_train.txt+ricord_val.txt+ricord_test.txt"


def rule(file: str, key: str = "", **words: Any) -> SplitRule:
    return SplitRule(file=file, key=key, origin="test", **words)


def sizes(parts: Any) -> tuple[int, int, int]:
    return len(parts.train), len(parts.val), len(parts.test)


def test_the_example_of_interleaving_is_as_its_docstring_says() -> None:
    found = interleaved(["a1", "a2", "a3", "a4", "b1", "b2"], {u: u[0] for u in ("a1", "a2", "a3", "a4", "b1", "b2")})
    assert found == ("a1", "b1", "a2", "a3", "b2", "a4")


def test_of_two_units_at_one_place_of_their_classes_the_lower_class_comes_first_in_whatever_order_they_stand() -> None:
    for units in (["b1", "a1", "b2", "a2"], ["a1", "b1", "a2", "b2"]):
        assert interleaved(units, {u: u[0] for u in units}) == ("a1", "b1", "a2", "b2")


@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=60))
def test_every_prefix_of_an_interleaved_order_holds_each_class_in_its_share_to_within_one(classes: list[str]) -> None:
    class_of = {f"{name}{i:02d}": name for i, name in enumerate(classes)}
    order = interleaved(list(class_of), class_of)
    assert sorted(order) == sorted(class_of)
    for taken in range(1, len(order) + 1):
        for name in set(classes):
            share = taken * classes.count(name) / len(classes)
            held = sum(class_of[unit] == name for unit in order[:taken])
            assert share - len(set(classes)) < held < share + len(set(classes))
    assert {class_of[unit] for unit in order[: len(set(classes))]} == set(classes)


@pytest.mark.parametrize(("flag", "counts"), [("organmnist3d", (971, 161, 610)), ("retinamnist", (1080, 120, 400))])
def test_medmnist_lists_are_the_places_in_its_file(flag: str, counts: tuple[int, int, int]) -> None:
    parts = lists(rule("medmnist.json", flag, order="published"), SPLITS)
    assert sizes(parts) == counts and parts.train[0] == f"{flag}/train/000000"
    assert parts.test[-1] == f"{flag}/test/{counts[2] - 1:06d}"


@pytest.mark.parametrize(
    ("file", "flag"), [("medmnist.json", "retinamnist"), ("medmnist_corrected.json", "dermamnist_c")]
)
def test_a_stratified_order_whose_classes_nobody_told_stays_as_it_is_listed(file: str, flag: str) -> None:
    asked = rule(file, flag, stratified=True)
    bare = lists(asked, SPLITS).train
    assert list(bare) == sorted(bare)
    told = Roster(class_of={case: str(i % 5) for i, case in enumerate(bare)})
    ordered = lists(asked, SPLITS, 0, told).train
    assert {told.class_of[case] for case in ordered[:5]} == set("01234")
    of_one = [case for case in ordered if told.class_of[case] == "3"]
    assert of_one == list(rank(flag, of_one))


def test_ricord_has_the_published_series_and_patients_and_no_patient_stands_in_two_parts() -> None:
    parts = lists(rule(RICORD, "ricord", stratified=True), SPLITS)
    assert sizes(parts) == (194, 52, 84)
    patients = [{case.partition("_date")[0] for case in part} for part in (parts.train, parts.val, parts.test)]
    assert [len(p) for p in patients] == [137, 45, 45]
    assert not any(one & two for one, two in itertools.combinations(patients, 2))
    assert parts.train[0].startswith("MIDRC-RICORD-1") and " " not in parts.train[0]


def test_a_label_ratio_of_ricord_takes_whole_patients_of_both_classes() -> None:
    parts = lists(rule(RICORD, "ricord", stratified=True), SPLITS)
    taken = {r: nested(parts.train, r, "ceil", None, parts.unit_of) for r in (0.1, 0.25, 0.5, 1.0)}
    units = {r: {parts.unit_of[case] for case in cases} for r, cases in taken.items()}
    assert {r: len(found) for r, found in units.items()} == {0.1: 14, 0.25: 35, 0.5: 69, 1.0: 137}
    for r, cases in taken.items():
        assert set(cases) == {case for case in parts.train if parts.unit_of[case] in units[r]}
    assert {unit.partition("/")[0][-2:] for unit in units[0.1]} == {"1A", "1B"}
    assert all(set(taken[a]) <= set(taken[b]) for a, b in itertools.pairwise(taken))


def test_ccccii_has_the_papers_folds_and_a_hold_out_that_no_fold_trains_on() -> None:
    folds = every_fold(rule("ccccii_folds.csv", "folds", by_fold=True, order="published"), SPLITS)
    assert [sizes(parts)[::2] for parts in folds] == [(2514, 1664), (2515, 1663), (2517, 1661)]
    assert all(parts.selects_on_test for parts in folds)
    held = lists(rule("ccccii_folds.csv", "holdout", by_fold=True), SPLITS)
    assert sizes(held) == (2514, 1259, 405) and set(held.test) == set.intersection(*(set(p.test) for p in folds))


def test_luna_parts_are_the_owners_folders() -> None:
    parts = lists(rule("corpus_luna16.json", "0-5/6/7-9", unit="group"), SPLITS)
    assert sizes(parts) == (534, 89, 265)
    assert all(case.startswith("1.3.6.1.4.1.14519.5.2.1.6279.6001.") for case in parts.everything())
    assert parts.train == rank("luna16", parts.train)


def test_groups_become_their_cases_and_those_that_hold_none_go_and_those_not_on_disk_stay() -> None:
    asked = rule("corpus_luna16.json", "0-5/6/7-9", unit="group")
    first, second, third = lists(asked, SPLITS).train[:3]
    roster = Roster(cases_of={first: (f"{first}#1", f"{first}#2"), second: ()})
    parts = lists(asked, SPLITS, 0, roster)
    assert parts.train[:3] == (f"{first}#1", f"{first}#2", third)
    assert parts.unit_of[f"{first}#1"] == parts.unit_of[f"{first}#2"] == first


def test_our_rule_inside_strata_is_the_rule_of_each_stratum_joined() -> None:
    strata = {f"{i:03d}": "ab"[i % 2] for i in range(40)}
    parts = stratified("stoic", strata)
    for name in "ab":
        alone = divided("stoic", [unit for unit in strata if strata[unit] == name])
        assert [u for u in parts.test if strata[u] == name] == list(alone.test)
        assert [u for u in parts.val if strata[u] == name] == list(alone.val)
    assert sizes(parts) == (28, 4, 8)


def test_repeats_of_our_rule_over_all_units_are_its_three_salts() -> None:
    units = read_list(SPLITS, "stoic_ids.txt")
    folds = every_fold(rule("stoic_ids.txt", "", divides="all", by_fold=True), SPLITS)
    assert [parts.test for parts in folds] == [divided("stoic", units, salt).test for salt in SALTS]
    assert len({parts.test for parts in folds}) == 3


def test_strata_are_joined_in_their_own_order_whichever_is_told_first() -> None:
    told = {f"{i}": "ba"[i % 2] for i in range(20)}
    parts = stratified("stoic", told)
    assert [told[unit] for unit in parts.test] == ["a", "a", "b", "b"]
    assert parts == stratified("stoic", dict(reversed(told.items())))


def test_strata_must_be_told_for_every_unit_and_repeats_differ_by_their_salt() -> None:
    asked = rule("stoic_ids.txt", "", divides="strata", by_fold=True)
    with pytest.raises(SpecError, match="unknown is that of 2,000 of 2,000 units"):
        lists(asked, SPLITS)
    ids = (SPLITS / "stoic_ids.txt").read_text().split()
    roster = Roster(class_of={unit: "no" if int(unit) % 3 else "yes" for unit in ids})
    folds = every_fold(asked, SPLITS, roster)
    assert len(folds) == len(SALTS) == 3 and {sizes(p) for p in folds} == {(1400, 200, 400)}
    assert len({p.test for p in folds}) == 3
    unvalidated = lists(rule("stoic_ids.txt", "", divides="strata", with_val=False), SPLITS, 0, roster)
    assert sizes(unvalidated) == (1600, 400, 400) and unvalidated.selects_on_test
    with pytest.raises(SpecError, match="No repeat 3"):
        lists(asked, SPLITS, 3, roster)
