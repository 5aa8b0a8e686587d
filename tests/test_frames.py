"""A results folder as pandas tables: every run once, every scored case once, undefined numbers as NaN."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.case_rows import CaseRow
from bench.frames import cases_frame, cells_frame
from bench.store import Store
from tests.cells import make_cell, make_rows


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    store.write(make_cell(seed=0, dice=0.8), make_rows(0.8))
    store.write(
        make_cell(seed=1, scores={"dice": None}, partial="4 of 6"), [CaseRow("case_9", "liver", "dice", math.nan)]
    )
    return tmp_path


def test_each_run_is_one_row_with_its_words_and_a_column_per_metric(results: Path) -> None:
    frame = cells_frame(results)
    assert list(frame["cell"]) == [cell.name for cell in Store(results).cells()]
    assert list(frame.columns[-2:]) == ["dice", "hd95"]
    by_seed = frame.set_index("seed")
    assert by_seed.loc[0, "dice"] == 0.8 and by_seed.loc[0, "hd95"] == 4.0 and by_seed.loc[0, "partial"] == ""
    assert by_seed.loc[1, "partial"] == "4 of 6" and by_seed.loc[1, ["dice", "hd95"]].isna().all()
    assert frame.dtypes["dice"] == "float64" and set(frame["method"]) == {"mim"} and set(frame["ratio"]) == {0.25}


def test_each_scored_case_is_one_row_that_knows_its_run(results: Path) -> None:
    frame = cases_frame(results)
    assert len(frame) == 7 and list(frame.columns[-4:]) == ["case", "class", "metric", "value"]
    first = frame[frame["seed"] == 0]
    assert first.groupby("class")["value"].mean().to_dict() == pytest.approx({"liver": 0.81, "spleen": 0.81})
    assert frame[frame["seed"] == 1]["value"].isna().all() and set(frame["task"]) == {"btcv"}


def test_named_runs_alone_are_read(results: Path) -> None:
    name = Store(results).cells()[1].name
    assert set(cases_frame(results, [name])["cell"]) == {name}


def test_an_empty_folder_gives_empty_tables_with_their_columns(tmp_path: Path) -> None:
    assert len(cells_frame(tmp_path)) == 0 and "method" in cells_frame(tmp_path)
    assert len(cases_frame(tmp_path)) == 0 and "value" in cases_frame(tmp_path)
