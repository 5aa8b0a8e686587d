"""The grid walks pairs, skips what cannot be with its reason, survives a broken pair and goes on where it stopped."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench import grid, registry
from bench.contracts.errors import DataUnsound, PluginBroken, StoreError
from bench.grid import Pair, matrix, read_summary, summary, write_summary
from bench.run import Place
from bench.spec import RunSpec
from bench.store import Store
from bench.train.hardware import Hardware
from tests.command_line import bench


def place(folder: Path) -> Place:
    return Place(results=folder, cache=folder / "cache", environ={}, hardware=Hardware(device="cpu"))


# A fixed sample of the grid: every kind of task, the four papers' methods, the reference and one without pre-training. The
# cheapest pair of each, for the default suite runs them; pairs of one method share its pre-training.
SAMPLE = (
    ("ar", "vesselmnist3d"),  # classification, 3-D
    ("mae3d", "nodulemnist3d"),
    ("mim", "msd09"),  # segmentation
    ("mg3d", "ctrg_report"),  # report generation
    ("mg3d", "ctrate_prompts"),  # prompts
    ("mg3d", "ctrate_retrieval"),  # retrieval
    ("spad", "dermamnist"),  # classification, 2-D
    ("unet3d_scratch", "acdc"),  # segmentation from scratch
)
STORED = Path(__file__).parents[1] / "results" / "benchmarks" / "grid.json"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole sample, so that phantoms, caches and pre-training are made once."""
    return tmp_path_factory.mktemp("grid")


@pytest.mark.parametrize(("method", "task"), SAMPLE)
def test_a_pair_of_the_sample_leaves_an_ordinary_cell_with_its_scores(method: str, task: str, results: Path) -> None:
    (pair,) = grid.walk([method], [task], place(results))
    assert (pair.method, pair.task, pair.state, pair.reason) == (method, task, "ok", "")
    cell = Store(results).read(pair.cell)
    assert (cell.method, cell.task, cell.preset, cell.source) == (method, task, "tiny", "phantom")
    told = [score for score in cell.scores.values() if score is not None]
    assert cell.n >= 2 and told and all(math.isfinite(score) and score >= 0 for score in told)


def test_a_pair_that_was_finished_before_is_read(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = grid.walk(["unet3d_scratch"], ["acdc"], place(results))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("bench.finetune.finetune", never)
    (again,) = grid.walk(["unet3d_scratch"], ["acdc"], place(results))
    assert again.cell == first.cell and (again.state, again.reason) == ("ok", "")


def test_the_stored_grid_has_all_tasks_no_failed_pair_and_a_median_within_eight_seconds() -> None:
    pairs, told = read_summary(STORED), json.loads(STORED.read_text(encoding="utf-8"))
    methods = {pair.method for pair in pairs}
    assert {(pair.method, pair.task) for pair in pairs} == {
        (method, task) for method in methods for task in registry.names(registry.TASKS)
    }
    assert len(pairs) == told["ok"] + told["skipped"] and told["failed"] == 0
    assert all(pair.state == "ok" or (pair.state == "skipped" and pair.reason) for pair in pairs)
    assert summary(pairs)["median_s"] == told["median_s"] <= 8


def test_a_pair_that_cannot_be_is_skipped_with_its_reason_and_neither_run_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(spec: RunSpec, place: Place) -> None:
        raise AssertionError(f"{spec.method} ran on {spec.task}")

    monkeypatch.setattr(grid, "run", never)
    pairs = list(grid.walk(["unet3d_scratch", "mim"], ["dermamnist", "ctrate_retrieval"], place(tmp_path / "results")))
    assert [(pair.method, pair.task, pair.state, pair.cell) for pair in pairs] == [
        ("unet3d_scratch", "dermamnist", "skipped", ""),
        ("unet3d_scratch", "ctrate_retrieval", "skipped", ""),
        ("mim", "dermamnist", "skipped", ""),
        ("mim", "ctrate_retrieval", "skipped", ""),
    ]
    assert pairs[0].reason == "The method 'unet3d_scratch' takes 3-D images, 'dermamnist' holds 2-D ones."
    assert pairs[3].reason.endswith("the encoder of 'mim' reads no text.")
    assert not (tmp_path / "results").exists()


def test_a_broken_pair_does_not_stop_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: RunSpec, place: Place) -> None:
        raise DataUnsound("is cut short.", case="img0001") if spec.task == "btcv" else ZeroDivisionError("no")

    monkeypatch.setattr(grid, "run", broken)
    pairs = list(grid.walk(["unet3d_scratch"], ["btcv", "la"], place(tmp_path)))
    assert [pair.state for pair in pairs] == ["failed", "failed"]
    assert pairs[0].reason == "img0001: is cut short." and pairs[1].reason.startswith(
        "ZeroDivisionError: no (test_grid.py:"
    )


@pytest.mark.parametrize("error", [PluginBroken("cannot be imported.", case="mine"), NameError("no")])
def test_a_method_that_cannot_be_imported_does_not_stop_the_walk(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(spec: RunSpec) -> None:
        raise error

    monkeypatch.setattr(grid, "blueprint", broken)
    pairs = list(grid.walk(["unet3d_scratch"], ["btcv", "la"], place(tmp_path)))
    assert [pair.state for pair in pairs] == ["failed", "failed"] and str(error) in pairs[0].reason


def test_the_matrix_numbers_each_reason_once() -> None:
    pairs = [
        Pair("a", "x", "ok", 2.0, cell="c"),
        Pair("a", "y", "skipped", 0.0, "The method 'a' takes 3-D images, 'y' holds 2-D ones."),
        Pair("b", "y", "skipped", 0.0, "The method 'b' takes 3-D images, 'y' holds 2-D ones."),
        Pair("b", "x", "failed", 1.0, "boom"),
    ]
    columns, rows, reasons = matrix(pairs)
    assert columns == ["task", "a", "b"]
    assert rows == [["x", "2.0", "FAILED [1]"], ["y", "- [2]", "- [2]"]]
    assert reasons == ["[1] boom", "[2] The method takes 3-D images, the task holds 2-D ones."]


def test_a_summary_counts_what_ran_and_is_read_as_written(tmp_path: Path) -> None:
    pairs = [
        Pair("a", "x", "ok", 2.0, cell="c"),
        Pair("a", "z", "ok", 6.0, cell="d"),
        Pair("a", "y", "skipped", 0.1, "no"),
    ]
    found = summary(pairs)
    assert (found["ok"], found["skipped"], found["failed"], found["median_s"]) == (2, 1, 0, 4.0)
    write_summary(tmp_path / "grid.json", pairs)
    assert read_summary(tmp_path / "grid.json") == pairs
    write_summary(tmp_path / "grid.json", [Pair("a", "z", "failed", 1.0, "boom")])  # a walk over one pair
    assert read_summary(tmp_path / "grid.json") == [pairs[0], pairs[2], Pair("a", "z", "failed", 1.0, "boom")]
    assert summary([])["median_s"] is None


def test_a_file_that_is_no_summary_is_told_and_stays(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match=r"holds no summary of a walk: KeyError") as told:
        write_summary(tmp_path / "grid.json", [])
    assert "Move" in told.value.remedy and (tmp_path / "grid.json").read_text(encoding="utf-8") == "{}"


def test_the_command_refuses_a_name_that_is_not_there() -> None:
    told = bench("grid", "--method", "mim,mae3", "--json").error
    assert "Did you mean 'mae3d'" in told["message"]


@pytest.mark.parametrize("command", ["grid", "study"])
def test_a_walk_over_nothing_is_refused_and_passes_for_none_in_which_all_went_well(
    command: str, tmp_path: Path
) -> None:
    answer = bench(command, "--method", " ,", "--results", tmp_path)
    assert answer.code == 2 and "' ,' names nothing." in answer.err
