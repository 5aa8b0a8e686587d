"""What is one draw of a mean, which entries compete, and what no board or unit may mix."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bench.case_columns import read_columns
from bench.case_rows import CaseRow
from bench.store import Store
from bench.tables.entries import entry, ranks, unit_of
from bench.tables.leaderboard import boards, case_values
from bench.tables.leaderboard_printed import in_table_unit, printed_results
from bench.tables.leaderboard_sheets import sheets
from bench.tables.model import table
from tests.cells import make_cell
from tests.pages import add
from tests.published.printed_rows import make_cell as printed

# Draws ------------------------------------------------------------------------------------------------


def test_one_seed_on_two_pre_trainings_is_two_draws_and_no_mixture() -> None:
    twice = [make_cell(pretrain_seed=seed, dice=dice) for seed, dice in ((0, 0.8), (1, 0.82))]
    made = entry(twice, "dice")
    assert made.marks == () and made.mean == pytest.approx(81) and made.sd == pytest.approx(2**0.5)
    assert "mixed" in entry([twice[0], twice[0]], "dice").marks


def test_of_distances_what_is_undefined_counts_by_run() -> None:
    """Each run of each row has missed one organ: two runs have missed no more than one."""
    words: dict[str, Any] = {"counts": {"n_failed": 1}}
    column = {
        "two runs": [make_cell(seed=seed, scores={"hd95": 1.0}, **words) for seed in (0, 1)],
        "one run": [make_cell(method="ar", scores={"hd95": 3.0}, **words)],
        "another": [make_cell(method="spad", scores={"hd95": 4.0}, **words)],
    }
    assert ranks(column, "hd95") == {"two runs": 1, "one run": 2}


def test_an_entry_is_marked_where_any_run_lacked_cases_or_values() -> None:
    assert "partial" in entry([make_cell(partial="20 of 30")], "dice").marks  # though every test case was there
    some = entry([make_cell(n=4), make_cell(seed=1)], "dice")
    assert "partial" in some.marks and some.cases == "4-6 of 6"
    missed = entry([make_cell(counts={"n_failed": 1}), make_cell(seed=1)], "hd95")
    assert "undefined" in missed.marks and missed.mean == 4.0


def test_two_targets_of_one_task_stand_in_two_columns() -> None:
    (section,) = table([make_cell(dice=0.8), make_cell(target="organ", dice=0.6)]).sections
    assert [column.task for column in section.columns] == ["btcv", "btcv@organ"]
    assert [made.mean for made in section.rows[0].entries if made] == pytest.approx([80, 60])


def test_a_distance_named_in_mm_is_in_mm_and_others_are_in_the_runs_unit() -> None:
    assert [unit_of(metric, "voxels") for metric in ("hd", "hd@mm", "dice", "ravd")] == ["voxels", "mm", "%", "%"]


# Boards -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [{"average": "case_then_class"}, {"distance_unit": "voxels"}, {"target": "organ"}, {"protocol": "mim"}],
    ids=lambda word: next(iter(word)),
)
def test_what_may_not_be_compared_never_shares_a_board(word: dict[str, str], tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0.8)
    add(store, 0.9, method="ar", **word)
    cells = store.cells()
    found = boards(cells, read_columns(store, [cell.name for cell in cells]))
    assert [len(board.results) for board in found] == [1, 1] and len({board.words for board in found}) == 2


def test_results_of_other_data_share_no_letters_and_the_board_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0.8, content_hash="old")
    add(store, 0.9, method="ar", content_hash="new")
    cells = store.cells()
    (found,) = boards(cells, read_columns(store, [cell.name for cell in cells]))
    assert found.tested == 0 and "other files or lists" in found.untested
    assert all(not result.letters and "apart" in result.entries["dice"].marks for result in found.results)


def test_a_result_of_several_runs_has_the_fewest_cases_and_the_most_exposed_of_any(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0.8, cases=60, seed=0)
    add(store, 0.8, cases=40, seed=1, exposed={"case_000": "voxels"})
    cells = store.cells()
    (board,) = boards(cells, read_columns(store, [cell.name for cell in cells]))
    assert [(r.n, r.few, r.exposed) for r in board.results] == [(40, True, 1)]


def test_a_case_of_two_runs_counts_with_the_mean_of_those_that_define_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed, values in enumerate(((0.5, math.nan), (0.7, 0.9))):
        rows = [CaseRow(f"case_{k}", "liver", "dice", value) for k, value in enumerate(values)]
        store.write(make_cell(seed=seed), rows)
    cells = store.cells()
    columns = read_columns(store, [cell.name for cell in cells])
    (board,) = boards(cells, columns)
    found = case_values(board.results[0], "dice", columns)
    assert {columns.cases[at]: value for at, value in found.items()} == pytest.approx({"case_0": 0.6, "case_1": 0.9})


def test_a_metric_that_one_run_of_a_result_lacks_is_none_of_the_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0.8, seed=0)
    add(store, 0.8, seed=1, scores={"dice": 0.8})
    cells = store.cells()
    (board,) = boards(cells, read_columns(store, [cell.name for cell in cells]))
    assert [set(result.entries) for result in board.results] == [{"dice"}]


# Printed rows -----------------------------------------------------------------------------------------


def test_a_printed_fraction_is_told_in_percent_and_no_digit_is_lost_or_won() -> None:
    assert in_table_unit("dice", printed(unit="fraction", value="0.9285", std="0.0102")) == ("92.85", "1.02")
    assert in_table_unit("dice", printed(unit="percent", value="84.50")) == ("84.50", "")
    assert in_table_unit("hd", printed(unit="mm", metric="hd", value="4.20", std="0.30")) == ("4.20", "0.30")


@pytest.mark.parametrize(
    ("word", "stands"),
    [({}, True), ({"source": "phantom"}, False), ({"ratio": 0.5}, False), ({"protocol": "bench"}, False)],
    ids=str,
)
def test_printed_rows_stand_beside_real_results_of_their_protocol_and_share_of_labels_and_beside_no_phantom(
    word: dict[str, Any], stands: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    add(store, 0.9, **{"method": "mim", "ratio": 1.0, "protocol": "mim", "preset": "full", **word})
    cells = store.cells()
    found = boards(cells, read_columns(store, [cell.name for cell in cells]))
    three = [result for result in printed_results() if result.table == "mim:III"]
    measured = next(sheet for sheet in sheets(found, three, view="both") if sheet.measured)
    assert bool(measured.printed) is stands


def test_printed_distances_stand_in_their_protocols_unit_from_the_least_up() -> None:
    spad = [result for result in printed_results() if result.table == "spad:4" and result.task == "btcv"]
    (sheet,) = sheets((), spad, metric="assd", view="published")
    values = [float(line.score) for line in sheet.printed]
    assert "assd in voxels" in sheet.title and len(values) > 3 and values == sorted(values)


def test_two_networks_of_one_printed_row_are_two_results_and_weights_of_others_keep_their_name() -> None:
    found = printed_results()
    fifth = [result for result in found if (result.table, result.ratio) == ("spad:5", 0.2)]
    assert {result.setting.partition(",")[0] for result in fifth} == {"plain ViT", "SPAD-ViT"}
    assert len({result.scores["dice"].value for result in fifth}) == 2
    assert any(result.corpus == "official-weights" for result in found if result.table == "mg3d:VII")


def test_a_missed_organ_is_a_dice_of_nothing_and_no_undefined_value() -> None:
    cell = make_cell(counts={"n_failed": 1}, scores={"dice": 0.8, "nsd@2mm": 0.7, "ravd": 0.1, "hd95": 4.0})
    assert [entry([cell], metric).marks for metric in ("dice", "nsd@2mm", "ravd")] == [("single",)] * 3
    assert "undefined" in entry([cell], "hd95").marks
    brats = make_cell(counts={"n_empty_truth": 3}, scores={"dice@brats": 0.8, "dice": 0.7})
    assert entry([brats], "dice@brats").marks == ("single",) and "undefined" in entry([brats], "dice").marks


def test_a_question_that_is_not_asked_of_a_case_leaves_nothing_undefined_but_one_without_a_value_is() -> None:
    words: dict[str, Any] = {"metrics": ("auc",), "class_scores": {}, "counts": {"n_untold_answers": 280}}
    assert entry([make_cell(scores={"auc": 0.8}, **words)], "auc").marks == ("single",)
    assert "undefined" in entry([make_cell(scores={"auc": math.nan}, **words)], "auc").marks
