"""Curves over label shares, rank diagrams, the radar and the scaling table: the numbers they draw, and that they draw them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from bench import registry
from bench.case_columns import CaseColumns, read_columns
from bench.contracts.errors import SpecError
from bench.figures.radar import radar_of
from bench.figures.ranks import measured_scores, printed_scores, rank_methods
from bench.figures.ratio_curves import LONGEST_LABEL, ratio_curves
from bench.figures.ratios import draw_ratios
from bench.figures.scaling import scaling_rows
from bench.stats.intervals import bootstrap_interval, t_interval
from bench.store import Store
from bench.tables.leaderboard import Board, boards
from bench.tables.leaderboard_printed import printed_results
from bench.tables.words import apart
from tests.command_line import bench
from tests.pages import add, hostile_store, small_store

PRINTED = printed_results()


def read(store: Store) -> tuple[tuple[Board, ...], CaseColumns]:
    cells = store.cells()
    columns = read_columns(store, [cell.name for cell in cells])
    return boards(cells, columns), columns


def test_a_point_is_the_mean_over_runs_with_an_interval_over_cases_and_its_n(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cells = [
        add(store, quality, cases=60, seed=seed, ratio=ratio)
        for ratio, quality in ((0.1, 0.6), (1.0, 0.8))
        for seed in (0, 1)
    ]
    found = ratio_curves(*read(store), [], "btcv")
    (curve,) = found.curves
    assert [(point.ratio, point.n, len(point.runs)) for point in curve.points] == [(0.1, 60, 2), (1.0, 60, 2)]
    scores = [100 * float(cell.scores["dice"] or 0) for cell in cells[:2]]
    assert curve.points[0].mean == pytest.approx(sum(scores) / 2) and curve.points[0].runs == pytest.approx(scores)
    by_case = [
        np.mean(
            [
                100 * row.value
                for cell in cells[:2]
                for row in store.rows(cell.name)
                if (row.case, row.metric) == (case, "dice")
            ]
        )
        for case in (f"case_{i:03d}" for i in range(60))
    ]
    expected = bootstrap_interval(by_case)
    assert (curve.points[0].low, curve.points[0].high) == pytest.approx((expected.low, expected.high))


def test_an_auc_has_its_interval_over_runs_and_of_one_run_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed, auc in enumerate((0.8, 0.9, 0.85)):
        add(store, 0.5, seed=seed, metrics=("auc",), scores={"auc": auc})
    add(store, 0.5, ratio=1.0, metrics=("auc",), scores={"auc": 0.9})
    few, one = ratio_curves(*read(store), [], "btcv").curves[0].points
    assert (few.low, few.high) == pytest.approx((t_interval([80, 90, 85]).low, t_interval([80, 90, 85]).high))
    assert math.isnan(one.low) and one.mean == pytest.approx(90)


def test_printed_curves_stand_beside_ours_and_phantoms_never_do(tmp_path: Path) -> None:
    found = read(small_store(tmp_path))
    real = ratio_curves(*found, PRINTED, "btcv")
    printed = [curve for curve in real.curves if curve.printed]
    spad = next(curve for curve in printed if curve.key == "spad")
    assert [(point.ratio, point.mean) for point in spad.points] == [
        (0.2, 77.84), (0.4, 81.28), (0.6, 84.87), (0.8, 86.96), (1.0, 87.31)
    ]  # fmt: skip
    assert spad.label == "SPAD (spad-55, SPAD-ViT, printed, spad:5)"
    assert {curve.key for curve in real.curves if not curve.printed} == {"mim", "mae3d", "spad", "unet3d_scratch"}
    phantom = ratio_curves(*found, PRINTED, "btcv", phantom=True)
    assert [curve.printed for curve in phantom.curves] == [False] and phantom.source == "phantom"


def test_distances_in_mm_and_in_voxels_never_share_an_axis(tmp_path: Path) -> None:
    """Before, voxels of SPAD's protocol and of its paper lay on one axis of millimetres with runs of ours."""
    store = Store(tmp_path)
    for ratio in (0.2, 1.0):
        for protocol, unit, assd in (("bench", "mm", 2.0), ("spad", "voxels", 1.1)):
            scores = {"dice": 0.8, "assd": assd, "assd@mm": 2.1}
            add(store, 0.8, ratio=ratio, protocol=protocol, distance_unit=unit, scores=scores, metrics=tuple(scores))
    found = ratio_curves(*read(store), PRINTED, "btcv", "assd")
    assert found.unit == "mm" and found.left_out == ("protocol spad in voxels",)
    assert [point.mean for curve in found.curves for point in curve.points] == [2.0, 2.0]
    assert "voxels" in draw_ratios(found, tmp_path / "assd.svg").read_text()  # told as left out
    in_mm = ratio_curves(*read(store), PRINTED, "btcv", "assd@mm")
    assert len([curve for curve in in_mm.curves if not curve.printed]) == 2 and in_mm.left_out == ()
    printed = ratio_curves(*read(Store(tmp_path / "none")), PRINTED, "btcv", "assd")
    assert printed.unit == "voxels" and {curve.key for curve in printed.curves} >= {"spad", "spad_scratch"}


def test_ratio_curves_say_what_is_not_there(tmp_path: Path) -> None:
    found = read(small_store(tmp_path))
    with pytest.raises(SpecError, match="Did you mean 'btcv'"):
        ratio_curves(*found, PRINTED, "btcw")
    with pytest.raises(SpecError, match="Found: dice"):
        ratio_curves(*found, PRINTED, "msd04", "dise")
    with pytest.raises(SpecError, match="several targets"):
        ratio_curves(*found, PRINTED, "msd07")
    with pytest.raises(SpecError, match="no paper prints it at two shares") as caught:
        ratio_curves(*found, PRINTED, "acdc")  # MG-3D prints all of its labels, and nothing else does
    assert "--task acdc" in caught.value.remedy
    store = Store(tmp_path / "drawn")
    add(store, 0.8, task="msd09", source="phantom")
    with pytest.raises(SpecError, match="'msd09' is of real data, some are of phantoms") as caught:
        ratio_curves(*read(store), (), "msd09")
    assert caught.value.remedy == "Add --phantom."


@pytest.mark.parametrize("task", registry.names(registry.TASKS))
def test_without_a_result_of_ours_a_task_has_printed_curves_or_says_why_not(task: str, tmp_path: Path) -> None:
    try:
        found = ratio_curves(*read(Store(tmp_path)), PRINTED, task)
    except SpecError as error:
        assert error.remedy
    else:
        assert found.curves and all(len(curve.points) > 1 for curve in found.curves)


def test_ranks_are_taken_over_the_largest_full_grid(tmp_path: Path) -> None:
    scores = {
        "one": {"a": 3.0, "b": 2.0, "c": 1.0},
        "two": {"a": 2.0, "b": 3.0, "c": 1.0},
        "three": {"a": 1.0, "d": 2.0},
    }
    found, methods, left = rank_methods(scores)
    assert (found.names, found.ranks, methods, left) == (("a", "b", "c"), (1.5, 1.5, 3.0), 1, 1)
    with pytest.raises(SpecError, match="three methods on two boards"):
        rank_methods(measured_scores(read(small_store(tmp_path))[0]))


def test_methods_that_meet_are_ranked_though_another_stands_on_more_boards_without_them() -> None:
    """Before, the one that met nobody was asked for on every board, and three methods on two boards were said not to be there."""
    scores = {
        "one": {"a": 3.0, "b": 2.0, "c": 1.0},
        "two": {"a": 2.0, "b": 3.0, "c": 1.0, "e": 2.5},
        **{f"alone {n}": {"d": 1.0} for n in range(3)},
    }
    found, methods, left = rank_methods(scores)
    assert (found.names, found.n, methods, left) == (("a", "b", "c"), 2, 2, 3)


def test_ranks_of_a_printed_table_count_every_column_and_turn_distances_round() -> None:
    scores = printed_scores("mim:IV", PRINTED)
    found, methods, left = rank_methods(scores)
    assert (found.n, methods, left) == (15, 0, 0) and found.names[0] == "MiM (mim-10k)" and found.p < 1e-9
    assert {"Swin-UNETR", "Swin-UNETR (mim-1k)"} <= set(found.names)  # a network that is the method is not told twice
    organs = printed_scores("mim:III", PRINTED)
    assert len(organs) == 13 and "spleen dice" in organs
    spad = printed_scores("spad:4", PRINTED)
    assert all(value < 0 for place, held in spad.items() if place.endswith((" hd", " assd")) for value in held.values())


def test_partial_results_and_phantoms_take_no_part_in_ranks(tmp_path: Path) -> None:
    found = measured_scores(read(small_store(tmp_path))[0])
    assert {name for held in found.values() for name in held} == {
        "mim (own)",
        "mae3d (own)",
        "spad (own)",
        "unet3d_scratch",
    }
    (btcv,) = (held for place, held in found.items() if place.startswith("btcv"))
    assert "unet3d_scratch" not in btcv


def alike(store: Store, quality: float, masked: float, **words: Any) -> None:
    """A result whose setting parts from others' behind the first hundred letters."""
    before = (
        "--set finetune.crop=96,96,96 --set finetune.positives=2 --set finetune.warmup=50 --set pretrain.crop=96,96,96"
    )
    config = {"pretrain": {"mask_ratio": masked}}
    add(store, quality, config=config, command=f"bench run {before} --set pretrain.mask_ratio={masked}", **words)


def test_results_whose_long_settings_begin_alike_all_take_part_in_ranks(tmp_path: Path) -> None:
    """Before, the second stood in the place of the first, which was the best."""
    store = Store(tmp_path)
    for task in ("btcv", "msd04"):
        alike(store, 0.9, 0.6, task=task)
        alike(store, 0.7, 0.75, task=task)
        add(store, 0.8, method="spad", task=task)
    found, _, _ = rank_methods(measured_scores(read(store)[0]))
    assert [name.partition(" ")[0] for name in found.names] == ["mim", "spad", "mim"]
    assert found.ranks == (1.0, 2.0, 3.0) and "mask_ratio=0.6" in found.names[0]
    assert len(set(apart(found.names, 34))) == 3


def test_results_whose_long_settings_begin_alike_are_lines_and_curves_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for task, target in (("acdc", ""), ("covid1920", ""), ("msd06", "tumor")):
        for quality, masked in ((0.9, 0.6), (0.7, 0.75)):
            words = {"method": "mg3d", "protocol": "mg3d", "ratio": 1.0, "preset": "full"}
            alike(store, quality, masked, task=task, target=target, **words)
    boards_ = read(store)
    assert [round(np.nanmean(values)) for values in radar_of(boards_[0], PRINTED).measured.values()] == [90, 70]
    labels = [curve.label for curve in ratio_curves(*boards_, [], "acdc").curves]
    assert len(set(labels)) == 2 and all(len(label) <= LONGEST_LABEL for label in labels)


def test_the_radar_holds_mg3d_first_and_what_the_tables_print(tmp_path: Path) -> None:
    found = radar_of((), PRINTED)
    assert next(iter(found.printed)) == "MG-3D" and len(found.printed) == 6 and len(found.axes) == 9
    held = dict(zip(found.axes, found.printed["MG-3D"], strict=True))
    assert (
        held["msd06@tumor", "dice"] == 62.15 and held["ccccii", "acc"] == 91.90
    )  # the Swin row, not the U-Net's 95.05
    chosen = radar_of((), PRINTED, ["mg3d", "m3ae"])
    assert list(chosen.printed) == ["MG-3D", "M3AE"]
    with pytest.raises(SpecError, match="Did you mean 'm3ae'"):
        radar_of((), PRINTED, ["m3aee"])
    store = Store(tmp_path)
    for task, target in (("acdc", ""), ("covid1920", ""), ("msd06", "tumor")):
        add(store, 0.7, method="mg3d", task=task, target=target, protocol="mg3d", ratio=1.0, preset="full")
    assert list(radar_of(read(store)[0], PRINTED).measured) == ["mg3d"]


def test_two_corpora_of_one_method_are_two_lines_of_the_radar(tmp_path: Path) -> None:
    """Before, they were one line, and on each axis the worse of them stood."""
    store = Store(tmp_path)
    for task, target in (("acdc", ""), ("covid1920", ""), ("msd06", "tumor")):
        for corpus, quality in (("ct-rate", 0.9), ("ctrg-chest-1.4k", 0.7)):
            words = {"method": "mg3d", "protocol": "mg3d", "ratio": 1.0, "preset": "full", "corpus": corpus}
            add(store, quality, task=task, target=target, **words)
    measured = radar_of(read(store)[0], PRINTED).measured
    assert {name: round(np.nanmean(values)) for name, values in measured.items()} == {
        "mg3d (ct-rate)": 90,
        "mg3d (ctrg-chest-1.4k)": 70,
    }


def test_the_scaling_table_holds_sizes_as_the_papers_count_them() -> None:
    rows = scaling_rows(PRINTED)
    grown = [(row.volumes, row.value) for row in rows if row.table == "mg3d:V"]
    assert grown == [(1400, "64.82"), (2800, "65.12"), (10000, "67.57"), (47149, "68.62")]
    sizes = {row.network for row in rows if row.table == "mg3d:VI"}
    assert sizes == {"3D Swin-B", "3D Swin-L"}
    assert {row.volumes for row in rows if row.table.startswith("mim:")} == {746, 10502}


@pytest.mark.parametrize(
    "words",
    [("ratios", "btcv"), ("ratios", "btcv", "--phantom"), ("ranks", "--table", "mim:V"), ("radar",), ("scaling",)],
)
def test_every_figure_is_drawn_as_png_and_svg_and_the_svg_keeps_its_words(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    small_store(tmp_path / "results")
    told = bench("figure", *words, "--results", tmp_path / "results", "--out", tmp_path / "figures", "--json").value
    png, svg = (Path(path) for path in told["files"])
    assert imread(png).std() > 0.01 and ElementTree.parse(svg).getroot().tag.endswith("svg")
    text = svg.read_text()
    assert "<dc:date>" not in text and len(re.findall("<text", text)) > 5
    assert ("PHANTOM" in text) == ("--phantom" in words)
    again = bench("figure", *words, "--results", tmp_path / "results", "--out", tmp_path / "again", "--json").value
    assert [Path(path).read_bytes() for path in again["files"]] == [png.read_bytes(), svg.read_bytes()]


def test_hostile_words_are_drawn_as_they_are(tmp_path: Path) -> None:
    store = hostile_store(tmp_path / "results")
    found = ratio_curves(*read(store), [], store.cells()[0].task)
    svg = draw_ratios(found, tmp_path / "ratios.svg").read_text()
    assert "<script" not in svg and "&lt;script&gt;" in svg
    ElementTree.fromstring(svg)


def test_two_curves_of_one_method_share_a_colour_and_no_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: dict[str, tuple[str, str]] = {}

    def keep(figure: Figure, out: Path) -> None:
        looks.update({str(one.get_label()): (one.get_color(), one.get_marker()) for one in figure.axes[0].get_lines()})

    monkeypatch.setattr("bench.figures.ratios.save", keep)
    draw_ratios(ratio_curves(*read(small_store(tmp_path / "results")), PRINTED, "btcv", "dice"), tmp_path / "btcv.png")
    (small,) = [look for label, look in looks.items() if "mim-1k, printed, mim:IV" in label and label.startswith("MiM")]
    (large,) = [
        look for label, look in looks.items() if "mim-10k, printed, mim:IV" in label and label.startswith("MiM")
    ]
    assert small[0] == large[0] and small[1] != large[1]


def test_a_figure_in_no_known_format_is_refused(tmp_path: Path) -> None:
    assert "png, svg" in bench("figure", "radar", "--results", tmp_path, "--format", "pgn", "--json").error["message"]


def test_a_figure_can_be_asked_for_as_one_file_and_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    words = ("figure", "scaling", "--results", tmp_path, "--json")
    assert bench(*words, "--out", tmp_path / "mine.svg").value["files"] == [str(tmp_path / "mine.svg")]
    (tmp_path / "notes.txt").write_text("kept")
    refused = bench(*words, "--out", tmp_path / "notes.txt").error
    assert "notes.txt" in refused["message"] and "folder" in refused["remedy"]
    assert (tmp_path / "notes.txt").read_text() == "kept"
