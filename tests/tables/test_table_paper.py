"""A paper's table beside our cells: what may stand where, how it compares, what is told of it, and what would fill the rest."""

from __future__ import annotations

import math
import random
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.case_rows import CaseRow
from bench.contracts.errors import SpecError, StoreError
from bench.contracts.record import Cell
from bench.published.layout import Paper, PaperColumn, paper_table, paper_tables
from bench.published.printed import Printed
from bench.store import Store
from bench.table import FORMS, VIEWS, PaperTableModel, paper_model, render_paper, render_table
from bench.tables.paper_cells import Asked, Pool, asked_for
from bench.tables.paper_model import Line, Place
from tests.cells import make_cell, make_rows
from tests.command_line import bench

MIM = {"method": "mim", "task": "btcv", "protocol": "mim", "preset": "full", "ratio": 1.0, "corpus": "mim-1k"}


def mim(dice: float = 0.84, **changes: Any) -> Cell:
    """A run as MiM's Table III asks for it; `classes` names follow from the liver and spleen of `make_cell`."""
    return make_cell(**(MIM | changes), dice=dice)


def no_rows(name: str) -> Sequence[CaseRow]:
    raise StoreError("none")


def model(name: str, cells: Sequence[Cell], view: str = "both", rows_of: Any = no_rows) -> PaperTableModel:
    return paper_model(name, cells, rows_of, view)


def line(made: PaperTableModel, *stub: str) -> Line:
    (found,) = [row for row in made.lines if row.stub == stub]
    return found


def place(made: PaperTableModel, head: str, *stub: str) -> Place:
    (at,) = [j for j, column in enumerate(made.heads) if f"{column.group} {column.head}".strip().endswith(head)]
    return line(made, *stub).places[at]


def average(made: PaperTableModel, *stub: str) -> Place:
    return place(made, "Avg.", *(stub or ("MiM", "mim-1k", "Swin-UNETR")))


def texts(made: PaperTableModel, letters: Sequence[str]) -> list[str]:
    told = dict(made.footnotes)
    return [told[letter] for letter in letters]


def filled(made: PaperTableModel) -> list[tuple[str, ...]]:
    return [row.stub for row in made.lines if row.measured]


# --- what is printed ---


@pytest.mark.parametrize("name", [table.name for table in paper_tables()])
def test_every_printed_digit_stands_in_every_form_that_shows_it(name: str) -> None:
    made = model(name, [], "published")
    for form in FORMS:
        shown = render_paper(made, form, width=100)
        for cell in (p.printed for row in made.lines for p in row.places):
            assert cell is not None and cell.value in shown
            assert cell.std in shown
        assert made.title.partition(":")[0] in shown or form == "csv"


def test_best_and_second_of_a_column_are_those_of_the_printed_numbers() -> None:
    made = model("mg3d:II", [], "published")
    ranks = {row.stub[0]: row.places[2].printed_rank for row in made.lines if row.places[2].printed_rank}
    assert ranks == {"Ours": 1, "M3AE": 2}
    costs = {row.stub[0]: row.places[0].printed_rank for row in model("mim:XI", [], "published").lines}
    assert costs["MAE3D"] == 1 and costs["localMIM"] == 2  # of FLOPs the fewest are best


def test_settings_of_one_method_do_not_compete() -> None:
    assert not any(p.printed_rank for row in model("spad:5", [], "published").lines for p in row.places)


def test_each_view_shows_what_it_is_called_after() -> None:
    cells = [mim()]
    published, measured, both = (average(model("mim:III", cells, view)) for view in VIEWS)
    assert published.printed and not published.measured and not published.comparison
    assert not measured.printed and measured.measured and not measured.comparison
    assert both.printed and both.measured and both.comparison


# --- which run stands where ---


def test_a_run_stands_in_the_row_of_its_method_and_corpus_and_nowhere_else() -> None:
    made = model("mim:III", [mim(), mim(corpus="mim-10k", dice=0.86), make_cell(method="spad")])
    assert filled(made) == [("MiM", "mim-1k", "Swin-UNETR"), ("MiM", "mim-10k", "Swin-UNETR")]
    ours = average(made).measured
    assert ours is not None and ours.mean == pytest.approx(84.0)
    assert texts(made, average(made).measured_letters) == []


def test_a_column_per_organ_holds_the_score_of_that_organ() -> None:
    cell = mim(class_scores={"liver": {"dice": 0.9}, "spleen": {"dice": 0.7}})
    made = model("mim:III", [cell])
    stub = ("MiM", "mim-1k", "Swin-UNETR")
    liver, spleen, pancreas = (place(made, head, *stub).measured for head in ("Liv", "Spl", "Pan"))
    assert liver and spleen and (liver.mean, spleen.mean) == (pytest.approx(90.0), pytest.approx(70.0))
    assert pancreas is None


@pytest.mark.parametrize(
    "word", [{"source": "phantom"}, {"ratio": 0.5}, {"task": "la"}, {"target": "organ"}, {"variant": "align_byol"}]
)
def test_phantoms_and_runs_of_another_task_target_ratio_or_variant_stand_nowhere(word: dict[str, Any]) -> None:
    assert filled(model("mim:III", [mim(**word)])) == []


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ({"protocol": "bench"}, "protocol bench in place of mim"),
        ({"preset": "small"}, "preset small: sized by us, not the paper's network and length"),
        ({"corpus": "own"}, "pre-trained on own in place of mim-1k"),
        ({"corpus_volumes": (620, 746)}, "pre-trained on 620 of 746 of the paper's volumes"),
        ({"n": 4}, "not all cases were there: 4 of 6 test cases"),
        ({"excluded": ("img0035",)}, "test cases that pre-training saw were left out"),
        ({"command": "bench run --set mask_ratio=0.75"}, "with mask_ratio=0.75"),
    ],
)
def test_a_run_that_departs_from_the_paper_stands_with_its_departure_and_without_a_verdict(
    word: dict[str, Any], told: str
) -> None:
    made = model("mim:III", [mim(seed=seed, **word) for seed in range(3)])
    found = average(made)
    assert f"ours: {told}" in texts(made, found.measured_letters)
    assert found.comparison and found.comparison.verdict == ""
    assert found.comparison.difference == pytest.approx(84.0 - 84.46)


def test_a_run_on_chaos_gets_no_verdict_for_the_paper_tests_on_other_patients() -> None:
    words = {
        "method": "spad_scratch",
        "protocol": "spad",
        "preset": "full",
        "ratio": 1.0,
        "corpus": "none",
        "dice": 0.9,
    }
    made = model("spad:4", [make_cell(**words, task=task) for task in ("chaos", "btcv")])
    chaos, btcv = (place(made, f"{task} Dice (%)", "TFS") for task in ("CHAOS", "BTCV"))
    assert chaos.measured and chaos.comparison and chaos.comparison.verdict == ""
    (told,) = [text for text in texts(made, chaos.measured_letters) if text.startswith("ours: ")]
    assert "its own test patients are others" in told
    assert btcv.comparison and btcv.comparison.verdict


def test_of_several_runs_the_closest_to_the_paper_stands() -> None:
    cells = [
        mim(0.1, protocol="bench"), mim(0.2, preset="small"), mim(0.3, corpus="own"), mim(0.4, n=4), mim(0.5),
    ]  # fmt: skip
    order = [0.5, 0.4, 0.3, 0.2, 0.1]
    for expected in order:
        found = average(model("mim:III", cells)).measured
        assert found is not None and found.mean == pytest.approx(100 * expected)
        cells = [cell for cell in cells if cell.scores["dice"] != expected]


def test_a_run_is_not_said_to_have_settings_because_another_protocol_or_preset_has_its_own() -> None:
    cells = [
        mim(0.84, config={"finetune": {"steps": 6000, "seed": 0}}),
        mim(0.70, preset="small", config={"finetune": {"steps": 600, "seed": 0}}),
        mim(0.60, protocol="bench", config={"finetune": {"steps": 25000, "seed": 0}}),
    ]
    made = model("mim:III", cells)
    assert texts(made, average(made).measured_letters) == []


def test_a_network_begun_with_weights_from_a_file_is_no_repetition_of_one_from_scratch() -> None:
    """Before, it stood in the row of the network from scratch, in the place of a run from scratch, and had a verdict."""
    row = ("UNETR", "", "UNETR")
    scratch, begun = (mim(dice, method="unetr_scratch", corpus=word) for dice, word in ((0.7, "none"), (0.9, "file")))
    both = average(model("mim:III", [scratch, begun]), *row).measured
    assert both is not None and both.mean == pytest.approx(70.0)
    made = model("mim:III", [begun.model_copy(update={"seed": seed}) for seed in range(3)])
    found = average(made, *row)
    assert "ours: begun with weights from a file" in texts(made, found.measured_letters)
    assert found.comparison and found.comparison.verdict == ""


def test_runs_of_different_settings_are_never_averaged() -> None:
    cells = [mim(0.8), mim(0.9, seed=1, command="bench run --set mask_ratio=0.75")]
    found = average(model("mim:III", cells)).measured
    assert found is not None and (found.mean, found.runs) == (pytest.approx(80.0), 1)


def test_a_network_other_than_the_printed_one_is_told() -> None:
    made = model("mim:VII", [mim(method="mae3d", task="msd01", target="mim_compat")])
    assert filled(made) == [("MAE3D", "mim-1k", "UNETR")]
    wrong = model("mg3d:II", [mim(method="mim", protocol="mg3d", task="msd06", target="tumor")])
    assert filled(wrong) == []  # MG-3D prints no row of MiM
    swin = model("mim:V", [mim(task="msd06", target="tumor"), mim(0.7, variant="unetr", task="msd06", target="tumor")])
    values = {row.stub: row.places[2].measured for row in swin.lines if row.places[2].measured}
    assert {stub: round(entry.mean) for stub, entry in values.items() if entry} == {
        ("MiM", "mim-1k", "UNETR"): 70,
        ("MiM", "mim-1k", "Swin-UNETR"): 84,
    }


def test_a_variant_stands_for_a_printed_network() -> None:
    rows = {row.stub: row.places[0].command for row in model("mg3d:VI", []).lines}
    runs = {stub: re.findall(r"--method (\S+) .*--corpus (\S+)", told) for stub, told in rows.items() if told}
    wanted = {
        ("ctrg-chest-1.4k", "3D Swin-B"): [("mg3d", "ctrg-chest-1.4k")],
        ("ct-rate-47.1k", "3D Swin-B"): [("mg3d", "ct-rate-47.1k")],
        ("ct-rate-47.1k", "3D Swin-L"): [("mg3d@swin_l", "ct-rate-47.1k")],
    }
    assert runs == {stub: wanted[stub] for stub in runs}
    asked = {stub: asked_for(*where(stub)) for stub in wanted}
    assert {stub: [(a.run, a.corpus)] for stub, a in asked.items() if a} == wanted
    large = asked["ct-rate-47.1k", "3D Swin-L"]
    assert large and large.decoder == ""  # the variant settles the network


def where(stub: tuple[str, ...]) -> tuple[Paper, PaperColumn, Printed]:
    """The first place of a row of MG-3D's Table VI, as its paper, column and printed cell."""
    table = paper_table("mg3d:VI")
    (row,) = [row for row in table.rows() if row.stub == stub]
    assert row.cells[0]
    return table.paper, table.columns[0], row.cells[0]


def test_the_decoder_of_a_card_that_differs_from_the_printed_network_is_a_departure() -> None:
    asked = Asked("mim", "", "btcv", "", "mim", 1.0, "mim-1k", "dice", "", "swin_unetr")
    pool = Pool([mim()], no_rows)
    assert (same := pool.closest(asked)) and same.departures == ()
    other = pool.closest(replace(asked, decoder="unet"))
    assert other and other.departures == (
        "our mim is fine-tuned with the decoder swin_unetr, the printed row with unet",
    )


def test_an_msd_run_without_a_target_stands_only_where_its_task_has_one_class() -> None:
    words = {"task": "msd06", "protocol": "ar", "method": "mae3d", "corpus": "ar-corpus"}
    assert filled(model("ar:1", [mim(**words, classes=("lung-tumour",))])) == [("MAE3D",)]
    assert filled(model("ar:1", [mim(**words, classes=("organ", "tumour"))])) == []


def test_a_run_without_a_target_scores_both_classes_of_a_task_that_is_printed_so() -> None:
    words = {"method": "mae3d", "corpus": "ar-corpus", "classes": ("pancreas", "tumor")}
    found = place(model("ar:1", [mim(task="msd07", protocol="bench", **words)]), "Task07 Pancreas", "MAE3D").measured
    assert found is not None
    assert filled(model("ar:1", [mim(task="msd03", protocol="bench", **words)])) == []


def test_rows_published_under_another_name_find_our_runs() -> None:
    lidc = mim(method="mae3d", task="nodulemnist3d", protocol="ar", corpus="ar-corpus", scores={"auc": 0.9, "acc": 0.8})
    found = place(model("ar:2", [lidc]), "LIDC-IDRI AUC", "MAE3D").measured
    assert found is not None and found.mean == pytest.approx(0.9)  # AR prints fractions
    brats = mim(task="msd01", target="mim_compat", class_scores={"tc": {"dice": 0.8}}, classes=("tc", "wt", "et"))
    assert place(model("mim:VII", [brats]), "TC", "MiM", "mim-1k", "Swin-UNETR").measured


def test_a_method_that_reads_no_text_stands_in_retrieval_with_the_maps_that_it_needs() -> None:
    words = {"task": "ctrate_retrieval", "protocol": "mg3d", "corpus": "ctrg-chest-1.4k", "scores": {"recall@50": 0.03}}
    assert filled(model("mg3d:II", [mim(method="mae3d", **words)])) == []
    learnt = mim(method="mae3d", target="finetune_1000", **words)
    assert [stub[0] for stub in filled(model("mg3d:II", [learnt]))] == ["MAE3D"]
    as_it_is, tuned = (mim(method="mg3d", target=target, **words) for target in ("", "finetune_1000"))
    assert filled(model("mg3d:II", [as_it_is])) != [] and filled(model("mg3d:II", [tuned])) == []


def test_an_nsd_of_another_tolerance_stands_with_a_word_on_it() -> None:
    made = model("mim:VIII", [mim(scores={"dice": 0.8, "nsd@3mm": 0.7})])
    found = place(made, "BTCV NSD", "yes", "yes", "yes", "yes", "yes")
    assert found.measured is not None and found.measured.mean == pytest.approx(70.0)
    assert texts(made, found.measured_letters) == ["ours: nsd@3mm in place of nsd@2mm"]
    two = model("mim:VIII", [mim(scores={"dice": 0.8, "nsd@3mm": 0.7, "nsd@1mm": 0.4})])
    assert place(two, "BTCV NSD", "yes", "yes", "yes", "yes", "yes").measured is None


# --- averages and gains ---

FIVE = ("btcv", "mmwhs", "msd09", "amos22", "flare22")


def fifteen(seeds: Sequence[int]) -> list[Cell]:
    return [
        mim(0.6 + i / 100 + r / 10 + s / 1000, task=task, target="organ" if task == "msd09" else "", ratio=r, seed=s)
        for i, task in enumerate(FIVE)
        for r in (0.25, 0.5, 1.0)
        for s in seeds
    ]


def test_an_average_over_tasks_is_taken_run_by_run() -> None:
    cells = fifteen([0, 1, 2])
    found = average(model("mim:IV", cells), "MiM", "mim-1k").measured
    assert found is not None
    means = [100 * statistics.fmean(c.scores["dice"] or 0 for c in cells if c.seed == s) for s in range(3)]
    assert found.mean == pytest.approx(statistics.fmean(means))
    assert found.sd == pytest.approx(statistics.stdev(means))
    assert found.runs == 3


def test_an_average_takes_the_draws_that_all_its_columns_share_and_none_where_one_is_missing() -> None:
    cells = [*fifteen([0, 1]), mim(0.9, seed=5)]
    found = average(model("mim:IV", cells), "MiM", "mim-1k").measured
    assert found is not None and found.runs == 2
    incomplete = [cell for cell in fifteen([0, 1]) if (cell.task, cell.ratio) != ("btcv", 0.5)]
    assert average(model("mim:IV", incomplete), "MiM", "mim-1k").measured is None


def test_the_average_of_ar_leaves_the_left_atrium_out() -> None:
    targets = {
        "msd03": "organ",
        "msd06": "tumor",
        "msd07": "both",
        "msd08": "both",
        "msd09": "organ",
        "msd10": "tumor",
        "la": "",
    }
    words = {"method": "mae3d", "protocol": "ar", "corpus": "ar-corpus"}
    cells = [mim(0.1 if task == "la" else 0.7, task=task, target=target, **words) for task, target in targets.items()]
    found = average(model("ar:1", cells), "MAE3D").measured
    assert found is not None and found.mean == pytest.approx(0.7)


def test_a_gain_is_positive_where_the_first_method_is_better_also_for_distances() -> None:
    words = {"task": "btcv", "protocol": "spad", "distance_unit": "voxels", "ratio": 0.2}
    cells = [
        mim(method="spad", corpus="spad-55", scores={"dice": 0.8, "assd": 2.0, "hd": 20.0}, **words),
        mim(method="spad_scratch", corpus="none", scores={"dice": 0.7, "assd": 5.0, "hd": 50.0}, **words),
    ]
    made = model("spad:5", cells)
    gains = [place(made, f"{group} Delta", "20%").measured for group in ("Dice (%)", "ASSD", "HD")]
    assert [round(gain.mean, 6) for gain in gains if gain] == [10.0, 3.0, 30.0]
    assert all(p.comparison and p.comparison.verdict == "" for p in [place(made, "HD Delta", "20%")])


# --- verdicts ---


def test_runs_with_a_spread_are_compared_by_it() -> None:
    near = [mim(d, seed=s) for s, d in enumerate((0.842, 0.845, 0.848))]
    far = [mim(d, seed=s) for s, d in enumerate((0.742, 0.745, 0.748))]
    for cells, verdict in ((near, "within"), (far, "below")):
        found = average(model("mim:III", cells))
        assert found.comparison and (found.comparison.basis, found.comparison.verdict) == ("runs", verdict)
        assert texts(model("mim:III", cells), found.comparison_letters) == [
            "tolerance: the printed run against the spread of ours"
        ]
    # by hand: t(2) = 4.3027, sd = 0.3, factor sqrt(4/3), half of the last digit 0.005
    found = average(model("mim:III", near))
    assert found.comparison and found.comparison.half_width == pytest.approx(
        4.3027 * 0.3 * math.sqrt(4 / 3) + 0.005, abs=1e-3
    )


def test_one_run_is_compared_by_its_cases_each_the_mean_of_its_organs() -> None:
    organs = (("liver", 0.9), ("spleen", 0.8))
    rows = [CaseRow(f"c{i}", name, "dice", dice + i / 100) for i in range(6) for name, dice in organs]
    made = model("mim:III", [mim()], rows_of=lambda name: rows)
    found = average(made).comparison
    sd = 100 * statistics.stdev(0.85 + i / 100 for i in range(6))
    assert found and found.basis == "cases"
    assert found.half_width == pytest.approx(2.5706 * sd * math.sqrt(2 / 6) + 0.005, abs=1e-3)
    liver = place(made, "Liv", "MiM", "mim-1k", "Swin-UNETR").comparison
    assert liver and liver.half_width == pytest.approx(2.5706 * sd * math.sqrt(2 / 6) + 0.005, abs=1e-3)


def test_without_rows_the_number_of_cases_bounds_a_mean_and_nothing_bounds_an_auc() -> None:
    found = average(model("mim:III", [mim()])).comparison
    assert found and found.basis == "bound"
    assert found.half_width == pytest.approx(2.5706 * math.sqrt(84 * 16) * math.sqrt(2 / 6) + 0.005, abs=1e-2)
    made = model("mim:VI", [mim(task="ccccii", scores={"acc": 0.93, "auc@micro": 0.99}, n=400, n_listed=400)])
    acc, auc = (place(made, head, "MiM", "mim-1k", "Swin-ViT").comparison for head in ("ACC", "AUC"))
    assert acc and auc and (acc.basis, auc.basis, auc.verdict) == ("bound", "none", "")


def mg3d(dice: float, **changes: Any) -> Cell:
    words = {
        "method": "swin_unetr",
        "task": "msd06",
        "target": "tumor",
        "protocol": "mg3d",
        "corpus": "ctrg-chest-1.4k",
    }
    return mim(dice, **(words | changes))


def test_a_printed_spread_is_used_and_one_that_is_hard_to_read_is_not() -> None:
    found = place(model("mg3d:II", [mg3d(0.6)]), "MSD Task06 Dice", "SwinUNETR", "3D Swin-B").comparison
    assert found and found.basis == "published"
    assert found.half_width == pytest.approx(4.3027 * 1.44 * math.sqrt(4 / 3) + 0.005, abs=1e-3)
    both = [mg3d(d, seed=s) for s, d in enumerate((0.59, 0.60, 0.61))]
    found = place(model("mg3d:II", both), "MSD Task06 Dice", "SwinUNETR", "3D Swin-B").comparison
    assert found and found.basis == "both"
    unsure = place(model("mg3d:II", [mg3d(0.5, method="mae3d")]), "MSD Task06 Dice", "MAE3D", "3D ViT-B").comparison
    assert unsure and unsure.basis == "bound"
    made = model("mg3d:II", [], "published")
    (told,) = texts(made, place(made, "MSD Task06 Dice", "MAE3D", "3D ViT-B").printed_letters)
    assert "standard deviation is a best reading" in told


def test_an_uncertain_value_has_no_verdict() -> None:
    cell = mg3d(
        0.5, method="ct_clip", variant="official", task="ctrate_retrieval", target="", scores={"recall@50": 0.0322}
    )
    found = place(model("mg3d:VIII", [cell]), "CT-RATE R@50", "CT-CLIP")
    assert found.comparison and found.comparison.verdict == ""
    assert found.comparison.difference == pytest.approx(-0.01)
    assert (
        "the scan is damaged: the value is a best reading and gets no verdict"
        in dict(model("mg3d:VIII", []).footnotes).values()
    )


def test_an_undefined_score_is_shown_as_such_and_has_no_verdict() -> None:
    made = model("mim:III", [mim(math.nan)])
    found = average(made)
    assert found.measured and math.isnan(found.measured.mean)
    assert found.comparison and found.comparison.verdict == ""
    assert "undefined (1)" in render_paper(made, "md")


def test_one_seed_twice_takes_the_verdict_away() -> None:
    made = model("mim:III", [mim(0.84), mim(0.85, key="f" * 64), mim(0.86, seed=1)])
    found = average(made)
    assert found.comparison and found.comparison.verdict == ""
    assert any("data or versions differ" in text for text in texts(made, found.measured_letters))


# --- ranks of ours ---


def test_our_best_is_bold_among_runs_of_one_protocol_and_preset_only() -> None:
    cells = [mim(0.84), mim(0.80, method="mae3d"), mim(0.7, method="unetr_scratch", corpus="none")]
    made = model("mim:III", cells)
    assert [average(made, *stub).measured_rank for stub in filled(made)] == [0, 2, 1]
    mixed = model("mim:III", [*cells[:2], mim(0.7, method="unetr_scratch", corpus="none", preset="small")])
    assert [average(mixed, *stub).measured_rank for stub in filled(mixed)] == [0, 0, 0]


# --- what is told ---


def test_test_sets_that_pre_training_has_seen_are_marked_on_both_sides() -> None:
    words = {"method": "spad", "protocol": "spad", "corpus": "spad-55"}
    made = model("spad:4", [mim(**words)])
    found = place(made, "BTCV Dice (%)", "Ours")
    for letters in (found.printed_letters, found.measured_letters):
        assert any(text.startswith("exposed test set (spad-55, btcv)") for text in texts(made, letters))
    clean = place(made, "BTCV Dice (%)", "TFS")
    assert clean.printed_letters == ()


def test_what_a_record_says_of_its_exposure_stands_before_what_is_known_of_the_corpus() -> None:
    told = "9 of 9 test cases were seen in pre-training"
    words = {"method": "spad", "protocol": "spad", "corpus": "spad-55"}
    made = model("spad:4", [mim(**words, exposed={"img0029": "the same voxels"}, exposure=told)])
    found = place(made, "BTCV Dice (%)", "Ours")
    assert texts(made, found.measured_letters) == [f"exposed test set, by the record of the run: {told}"]


def test_exposure_by_inference_says_that_nobody_compared_the_images() -> None:
    made = model("ar:1", [], "published")
    (seen,) = texts(made, place(made, "Task03 Liver", "Ours").printed_letters)
    assert "AbdomenCT-1K" in seen and "inferred" in seen
    assert place(made, "Task03 Liver", "MAE3D").printed_letters == ()  # its corpus is not stated


def test_what_a_task_does_otherwise_stands_on_its_head() -> None:
    made = model("mim:VIII", [], "published")
    btcv = next(head for head in made.heads if head.group == "BTCV")
    assert any("24/6 split" in text for text in texts(made, btcv.group_letters))
    assert any("NSD tolerance" in text for text in texts(made, btcv.group_letters))
    assert not any("NSD" in text for _, text in model("mim:III", [], "published").footnotes)


def test_what_the_records_say_of_themselves_is_told_once() -> None:
    made = model("mim:III", [mim(seed=s, differs=("the batch was halved",)) for s in range(2)])
    assert made.notes.count("Told by runs of ours: the batch was halved") == 1


def test_every_letter_of_a_table_has_its_text_and_every_text_a_place() -> None:
    for table in paper_tables():
        made = model(table.name, [mim(), mim(protocol="bench", method="mae3d")])
        used = {letter for head in made.heads for letter in (*head.group_letters, *head.letters)}
        for row in made.lines:
            used |= set(row.letters)
            for p in row.places:
                used |= {*p.printed_letters, *p.measured_letters, *p.comparison_letters}
        assert used == {letter for letter, _ in made.footnotes}


# --- what would fill the blanks ---


def test_a_blank_place_has_the_command_that_fills_it_and_a_filled_one_none() -> None:
    made = model("mim:III", [mim()])
    assert average(made).command == ""
    missing = average(made, "MiM", "mim-10k", "Swin-UNETR")
    assert missing.command == "bench run --method mim --task btcv --protocol mim --corpus mim-10k"
    scratch = average(made, "UNETR", "", "UNETR")
    assert scratch.command == "bench run --method unetr_scratch --task btcv --protocol mim"


def test_commands_that_form_a_grid_are_joined_and_fill_exactly_what_is_missing() -> None:
    made = model("mim:IV", [])
    assert "bench run --method unetr_scratch,swin_unetr_scratch" in made.commands[0]
    wanted = {p.command for row in made.lines for p in row.places if p.command}
    told = {one for command in made.commands for one in expanded(command)}
    assert told == wanted


def expanded(command: str) -> list[str]:
    """A joined command as the single ones it stands for."""
    words = dict(re.findall(r"--(\S+) (\S+)", command))
    return [
        f"bench run --method {method} --task {task} --protocol {words['protocol']}"
        + (f" --ratio {ratio}" if ratio != "1" else "")
        + (f" --corpus {words['corpus']}" if "corpus" in words else "")
        for method in words["method"].split(",")
        for task in words["task"].split(",")
        for ratio in words.get("ratio", "1").split(",")
    ]


@pytest.mark.parametrize("name", [table.name for table in paper_tables()])
def test_the_command_line_takes_every_command_that_would_fill_a_blank(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any data each ends in the word that data are missing: every name, ratio and protocol was taken."""
    monkeypatch.chdir(tmp_path)
    for root in ("BENCH_DATA", "nnUNet_raw"):
        monkeypatch.delenv(root, raising=False)
    for command in model(name, []).commands:
        assert bench(*command.split()[1:], "--json").error["error"] == "DataMissing", command


def test_what_this_version_cannot_run_is_told_and_given_no_command() -> None:
    made = model("spad:3", [])
    assert not any("automl_vision" in command for command in made.commands)
    (lack,) = [text for text in made.lacking if text.startswith("methods")]
    assert "auto_sklearn" in model("spad:2", []).lacking[0] and "automl_vision" in lack
    assert average(model("mim:III", []), "DINO", "mim-1k", "UNETR").command == ""


def test_costs_and_averages_ask_for_no_run() -> None:
    made = model("mim:XI", [])
    assert all(row.places[0].command == row.places[1].command == "" for row in made.lines)
    assert all(average(model("mim:IV", []), *row.stub).command == "" for row in model("mim:IV", []).lines)
    assert not any("minus" in text for text in model("spad:5", []).lacking)  # nor does a difference of two methods


# --- names, bytes, command line ---


def test_an_unknown_table_view_or_form_is_told_with_what_is_possible() -> None:
    with pytest.raises(SpecError, match="Did you mean 'mim:III'"):
        model("mim:IIII", [])
    with pytest.raises(SpecError, match="Possible: published, measured, both"):
        model("mim:III", [], "printed")
    with pytest.raises(SpecError, match="Possible: rich, md, latex, html, csv"):
        render_paper(model("mim:III", []), "pdf")


def test_the_same_store_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    cells = [*fifteen([0, 1]), mim(0.5, protocol="bench", seed=9), mim(0.9, corpus="own", seed=8)]
    for cell in random.Random(1).sample(cells, len(cells)):
        Store(tmp_path).write(cell, make_rows(cases=2))
    store = Store(tmp_path)
    for form in FORMS:
        orders = (cells, random.Random(2).sample(cells, len(cells)))
        shown = {render_paper(paper_model("mim:IV", order, store.rows), form) for order in orders}
        assert shown == {render_table(tmp_path, "mim:IV", form=form)}


def test_a_terminal_is_never_written_over_its_edge() -> None:
    for name in ("mim:III", "mg3d:VI", "spad:5"):
        for width in (80, 120):
            text = render_paper(model(name, [mim()]), "rich", width=width)
            assert max(len(row) for row in text.splitlines() if "bench run" not in row) <= width


def test_the_command_line_lists_and_renders_the_tables(tmp_path: Path) -> None:
    names = [row["name"] for row in bench("list", "tables", "--json").value]
    assert names[:28] == [table.name for table in paper_tables()] and "btcv" in names
    Store(tmp_path).write(mim(), make_rows())
    told = bench("table", "mim:III", "--results", tmp_path, "--json").value
    assert (told["name"], told["view"], len(told["lines"])) == ("mim:III", "both", 25)
    shown = bench("table", "mim:iii", "--view", "measured", "--format", "csv", "--results", tmp_path)
    assert "mim:III,3D Medical SSL,MiM,mim-1k,Swin-UNETR" in shown.out and "published" not in shown.out.splitlines()[0]
    out = tmp_path / "table.md"
    assert bench("table", "mim:III", "--format", "md", "--results", tmp_path, "--out", out).code == 0
    assert out.read_text() == render_table(tmp_path, "mim:III", form="md")


def test_options_of_the_other_kind_of_table_are_refused(tmp_path: Path) -> None:
    Store(tmp_path).write(mim(), make_rows())
    assert "no paper's table" not in bench("table", "btcv", "--results", tmp_path).out
    assert (
        "--view belongs" in bench("table", "btcv", "--view", "both", "--results", tmp_path, "--json").error["message"]
    )
    assert "metrics of their own" in bench("table", "mim:III", "--metric", "dice", "--json").error["message"]


def test_entries_of_a_papers_table_that_are_equal_as_shown_share_a_rank() -> None:
    words = {
        "task": "nodulemnist3d",
        "protocol": "spad",
        "preset": "full",
        "ratio": 1.0,
        "corpus": "none",
        "classes": ("a", "b"),
    }
    scores = {"resnet50_3d": 0.8534, "resnet50_acs": 0.8531, "auto_sklearn": 0.80}
    cells = [
        make_cell(method=m, scores={"auc": s}, metrics=("auc",), class_scores={}, **words) for m, s in scores.items()
    ]
    places = [
        p for line in paper_model("spad:2", cells, lambda _: [], "measured").lines for p in line.places if p.measured
    ]
    assert [(f"{p.measured.mean:.1f}", p.measured_rank) for p in places if p.measured] == [
        ("85.3", 1),
        ("85.3", 1),
        ("80.0", 2),
    ]
