"""The grid walks pairs, skips what cannot be with its reason, survives a broken pair and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import grid
from bench.contracts.errors import DataUnsound
from bench.grid import Pair, matrix, read_summary, summary, write_summary
from bench.run import Place
from bench.spec import RunSpec
from bench.store import Store
from bench.train.hardware import Hardware
from tests.command_line import bench


@pytest.fixture(autouse=True)
def _no_data_of_ones_own() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BENCH_DATA", "BENCH_CACHE", "nnUNet_raw"):
            patch.delenv(name, raising=False)
        yield


def place(folder: Path) -> Place:
    return Place(results=folder, cache=folder / "cache", environ={}, hardware=Hardware(device="cpu"))


def test_a_pair_runs_once_is_read_again_and_leaves_an_ordinary_cell(tmp_path: Path) -> None:
    (first,) = grid.walk(["unet3d_scratch"], ["msd04"], place(tmp_path))
    assert (first.state, first.reason) == ("ok", "")
    assert Store(tmp_path).read(first.cell).source == "phantom"
    (again,) = grid.walk(["unet3d_scratch"], ["msd04"], place(tmp_path))
    assert again.cell == first.cell and again.seconds < first.seconds


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
    assert summary([])["median_s"] is None


def test_the_command_refuses_a_name_that_is_not_there() -> None:
    told = bench("grid", "--method", "mim,mae3", "--json").error
    assert "Did you mean 'mae3d'" in told["message"]
