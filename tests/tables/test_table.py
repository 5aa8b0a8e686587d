"""A table averages what may be averaged, parts what may not be compared, and obeys no word of a record."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest

from bench.contracts.errors import SpecError
from bench.contracts.record import CHOSEN_BY_SEED, Cell
from bench.store import Store
from bench.table import FORMS, Entry, TableModel, render, render_table, table, table_as_json, to_rich
from tests.cells import make_cell, make_rows
from tests.hostile_words import HOSTILE, demand_that_none_is_obeyed, tags_of, tex_commands


def seeds(dices: list[float], **words: Any) -> list[Cell]:
    return [make_cell(seed=seed, dice=dice, **words) for seed, dice in enumerate(dices)]


def entries(model: TableModel) -> list[Entry]:
    return [made for section in model.sections for row in section.rows for made in row.entries if made]


def only(cells: list[Cell], metric: str = "dice") -> Entry:
    (made,) = entries(table(cells, metric=metric))
    return made


def test_a_task_without_dice_shows_what_its_protocol_names_first(tmp_path: Path) -> None:
    told = {"metrics": ("recall@50", "recall@5"), "scores": {"recall@5": 0.5, "recall@50": 0.25}, "class_scores": {}}
    store = Store(tmp_path)
    store.write(make_cell(task="ctrate_retrieval", **told), [])
    store.write(make_cell(dice=0.5), [])
    assert table_as_json(tmp_path, "ctrate_retrieval")["metric"] == "recall@50"
    assert table_as_json(tmp_path, "btcv")["metric"] == table_as_json(tmp_path, "all")["metric"] == "dice"


# --- means ---


def test_an_entry_is_the_mean_and_sample_deviation_over_seeds_and_folds_in_percent() -> None:
    cells = [
        make_cell(seed=s, fold=f, dice=d) for (s, f), d in zip([(0, 0), (1, 0), (0, 1)], [0.8, 0.82, 0.84], strict=True)
    ]
    made = only(cells)
    assert made.mean == pytest.approx(82.0)
    assert made.sd == pytest.approx(2.0)
    assert (made.runs, made.marks, made.cases) == (3, (), "")


def test_distances_stay_in_their_unit_and_the_least_is_best() -> None:
    cells = [make_cell(method=m, scores={"hd95": d}) for m, d in (("ar", 3.0), ("mim", 5.0), ("spad", 4.0))]
    model = table(cells, metric="hd95")
    assert model.sections[0].unit == "mm"
    assert not model.higher_is_better
    assert [(made.mean, made.rank) for made in entries(model)] == [(3.0, 1), (5.0, 0), (4.0, 2)]


def test_a_single_run_has_no_deviation_and_a_mark() -> None:
    made = only([make_cell()])
    assert math.isnan(made.sd)
    assert made.marks == ("single",)


def test_only_what_is_defined_is_averaged_and_the_rest_is_marked_counted_and_not_ranked() -> None:
    cells = [
        *seeds([0.9, math.nan], counts={"n_failed": 0, "n_empty_truth": 2, "false_positive_mm3": 9}),
        *seeds([0.8, 0.8], method="ar"),
    ]
    model = table(cells)
    ar, mim = entries(model)
    assert (mim.mean, mim.runs, mim.rank) == (90.0, 2, 0)
    assert mim.marks == ("undefined",)
    assert ar.rank == 0
    assert model.sections[0].notes == ("mim own btcv r0.25: n_empty_truth 4",)


def test_a_score_that_is_nowhere_defined_is_said_to_be_so() -> None:
    made = only([make_cell(dice=math.nan)])
    assert math.isnan(made.mean)
    assert "undefined (1)†¶" in render(table([make_cell(dice=math.nan)]), "md")


def test_what_another_metric_lacks_or_what_only_measures_marks_nothing() -> None:
    scores = {"recall@5": 0.7, "recall@50": math.nan, "recall-fused@5": math.nan}
    cell = make_cell(scores=scores, counts={"n_undefined_recall@50": 3, "gallery": 7, "truncated": 6})
    five, fifty, fused = (table([cell], metric=metric) for metric in scores)
    assert only([cell], "recall@5").marks == ("single",) and five.sections[0].notes == ()
    assert fifty.sections[0].notes == ("mim own btcv r0.25: n_undefined_recall@50 3",)
    assert fused.sections[0].notes == ("mim own btcv r0.25: runs without a value 1",)  # its mark says: see the notes


# --- what may not be mixed ---


@pytest.mark.parametrize(
    "word", [{"source": "phantom"}, {"protocol": "mim"}, {"preset": "full"}, {"average": "case_then_class"}]
)
def test_sources_protocols_presets_and_orders_of_averaging_never_share_a_section(word: dict[str, str]) -> None:
    model = table([make_cell(), make_cell(method="ar", **word)])
    assert len(model.sections) == 2
    assert [made.rank for made in entries(model)] == [0, 0]


def test_millimetres_and_voxels_never_share_a_section_of_distances() -> None:
    cells = [make_cell(), make_cell(method="ar", distance_unit="voxels")]
    assert [section.unit for section in table(cells, metric="hd95").sections] == ["mm", "voxels"]
    assert len(table(cells, metric="dice").sections) == 1


def test_a_distance_that_is_in_mm_by_name_stands_in_mm_whatever_the_run_measures_in() -> None:
    cells = [
        make_cell(scores={"hd@mm": 12.5}, metrics=("hd@mm",), distance_unit="voxels", method=name)
        for name in ("ar", "mim")
    ]
    (section,) = table(cells, metric="hd@mm").sections
    assert section.unit == "mm" and [made.mean for made in entries(table(cells, metric="hd@mm"))] == [12.5, 12.5]


def test_phantoms_come_last_under_their_name_in_every_form() -> None:
    model = table([make_cell(source="phantom"), make_cell()])
    assert [section.source for section in model.sections] == ["real", "phantom"]
    for form in set(FORMS) - {"csv"}:
        assert "PHANTOM DATA" in render(model, form, width=200)
    assert ",phantom," in render(model, "csv")


@pytest.mark.parametrize("word", [{"corpus": "mim-10k"}, {"variant": "align_byol"}, {"partial": "4 cases"}])
def test_corpora_variants_and_partial_sets_have_rows_of_their_own(word: dict[str, str]) -> None:
    model = table([make_cell(), make_cell(**word)])
    assert len(model.sections[0].rows) == 2
    assert len({(row.method, row.corpus, row.setting) for row in model.sections[0].rows}) == 2


def test_runs_on_other_volumes_of_one_corpus_are_not_averaged_and_the_volumes_stand_below() -> None:
    """Before, a pool at hand in part and the whole pool were one row of two runs, and so were two folders."""
    ids = ("mim-10k#aaaaaaaa", "mim-10k#bbbbbbbb")
    volumes = ((7_214, 10_452), (10_452, 10_452))
    cells = [
        make_cell(seed=seed, corpus="mim-10k", corpus_id=one, corpus_volumes=count)
        for one, count in zip(ids, volumes, strict=True)
        for seed in (0, 1)
    ]
    (section,) = table(cells).sections
    assert [(row.setting, row.entries[0] and row.entries[0].runs) for row in section.rows] == [(one, 2) for one in ids]
    assert section.corpora == (f"{ids[0]}, 7,214/10,452 volumes", f"{ids[1]}, 10,452/10,452 volumes")
    for form in ("rich", "md", "latex", "html"):
        assert "7,214/10,452 volumes" in render(table(cells), form)
    older = make_cell(seed=2, corpus="mim-10k")
    assert table([*cells[:2], older]).sections[0].rows[0].setting == ""  # a record that does not tell parts nothing


def test_runs_on_two_files_of_weights_are_not_averaged() -> None:
    cells = [
        make_cell(seed=seed, corpus="file", corpus_id=file, dice=dice)
        for seed, (file, dice) in enumerate((("file#aaaaaaaa", 0.9), ("file#bbbbbbbb", 0.5), ("file#bbbbbbbb", 0.6)))
    ]
    (section,) = table(cells).sections
    told = [(row.setting, made.runs, made.mean) for row in section.rows for made in row.entries if made]
    assert told == [("file#aaaaaaaa", 1, 90.0), ("file#bbbbbbbb", 2, pytest.approx(55.0))] and section.corpora == ()


def test_a_tasks_own_volumes_go_by_the_fold_and_part_no_rows() -> None:
    cells = [make_cell(seed=f, fold=f, corpus="own", corpus_id=f"own#{f}", corpus_volumes=(20, 20)) for f in range(2)]
    (section,) = table(cells).sections
    assert len(section.rows) == 1 and section.corpora == ()


def test_a_setting_of_the_command_line_has_a_row_of_its_own_and_one_without_effect_has_not() -> None:
    words = ["", " --set mask_ratio=0.75", " --set workers=4 --set seed=3"]
    cells = [make_cell(seed=i, command=f"bench run --method mim{word}") for i, word in enumerate(words)]
    rows = table(cells).sections[0].rows
    assert [(row.setting, row.entries[0].runs if row.entries[0] else 0) for row in rows] == [
        ("", 2),
        ("mask_ratio=0.75", 1),
    ]


def test_rows_that_part_at_the_end_of_a_long_setting_can_be_told_apart_in_every_form(tmp_path: Path) -> None:
    alike = (
        "--set finetune.crop=96,96,96 --set finetune.positives=2 --set finetune.warmup=50 --set pretrain.crop=96,96,96"
    )
    store = Store(tmp_path)
    for dice, ratio in ((0.8, 0.6), (0.7, 0.75)):
        config = {"pretrain": {"mask_ratio": ratio}}
        command = f"bench run {alike} --set pretrain.mask_ratio={ratio}"
        store.write(make_cell(dice=dice, config=config, command=command), make_rows(dice))
    for name in ("all", "leaderboard"):
        for form in ("md", "csv"):
            text = render_table(tmp_path, name, form=form)
            assert "ratio=0.6" in text and "ratio=0.75" in text, (name, form)


def test_settings_in_another_order_are_the_same_and_one_with_spaces_is_one() -> None:
    """Before, the order parted two seeds into two rows, and of a quoted value the first word alone was shown."""
    crop = "--set 'pretrain.crop=(64, 64, 64)'"
    words = [f"{crop} --set mask_ratio=0.75", f"--set mask_ratio=0.75 {crop} --set 'workers=4'"]
    cells = [make_cell(seed=i, command=f"bench run --method mim {word}") for i, word in enumerate(words)]
    (row,) = table(cells).sections[0].rows
    assert row.setting == "mask_ratio=0.75, pretrain.crop=64,64,64" and row.entries[0] and row.entries[0].runs == 2


def test_a_value_that_was_spelt_otherwise_is_the_same_and_a_word_stays_as_it_was_typed() -> None:
    words = ("lr=1e-3 --set even=True", "lr=0.0010 --set even=true", "lr=1_0e-4 --set even=TRUE", "lr=0.002")
    cells = [make_cell(seed=i, command=f"bench run --method mim --set {word}") for i, word in enumerate(words)]
    cells += [make_cell(command=f"bench run --method mg3d --set 'affirm={{finding}}, (sure) {i}'") for i in (1, 2)]
    rows = [(row.setting, row.entries[0].runs if row.entries[0] else 0) for row in table(cells).sections[0].rows]
    sure = [(f"affirm={{finding}}, (sure) {i}", 1) for i in (1, 2)]
    assert sorted(rows) == sorted([*sure, ("even=true, lr=0.001", 3), ("lr=0.002", 1)])


def test_configs_that_differ_are_parted_by_what_differs_and_by_nothing_that_decides_no_result() -> None:
    def config(mask_ratio: float, workers: int, seed: int) -> dict[str, dict[str, float]]:
        return {"pretrain": {"mask_ratio": mask_ratio, "workers": workers, "seed": seed}}

    cells = [make_cell(seed=i, config=config(*c)) for i, c in enumerate([(0.6, 0, 0), (0.6, 4, 1), (0.75, 0, 2)])]
    rows = table(cells).sections[0].rows
    assert [row.setting for row in rows] == ["pretrain.mask_ratio=0.6", "pretrain.mask_ratio=0.75"]
    assert [row.entries[0].runs for row in rows if row.entries[0]] == [2, 1]


def test_a_record_from_before_a_field_was_stands_with_those_that_hold_its_default() -> None:
    configs = [{"finetune": {"steps": 500, **more}} for more in ({}, {"lora_rank": 0}, {"lora_rank": 4})]
    rows = table([make_cell(seed=i, config=config) for i, config in enumerate(configs)]).sections[0].rows
    assert [(row.setting, row.entries[0].runs if row.entries[0] else 0) for row in rows] == [
        ("finetune.lora_rank=0", 2),
        ("finetune.lora_rank=4", 1),
    ]


def test_a_part_of_the_test_cases_is_shown_as_n_of_n_and_wins_nothing() -> None:
    model = table([make_cell(n=4, dice=0.99), make_cell(method="ar", dice=0.8), make_cell(method="spad", dice=0.7)])
    ar, mim, spad = entries(model)
    assert mim.cases == "4 of 6"
    assert "partial" in mim.marks
    assert only([make_cell(partial="20 of 30")]).cases == ""
    assert (ar.rank, mim.rank, spad.rank) == (1, 0, 0)
    for form in FORMS:
        assert "4 of 6" in render(model, form, width=200)


@pytest.mark.parametrize("second", [{"seed": 0, "key": "f" * 64}, {"seed": 1, "content_hash": "other"}])
def test_one_seed_twice_or_changed_data_is_marked_and_wins_nothing(second: dict[str, Any]) -> None:
    model = table([make_cell(), make_cell(**second, dice=0.9), make_cell(method="ar", dice=0.1)])
    ar, mim = entries(model)
    assert "mixed" in mim.marks
    assert (ar.rank, mim.rank) == (0, 0)


def test_folds_may_have_data_of_their_own() -> None:
    assert "mixed" not in only([make_cell(fold=0, content_hash="a"), make_cell(fold=1, content_hash="b")]).marks


def test_seeds_that_chose_other_labels_are_no_mixture_and_are_ranked() -> None:
    """Of eight labelled patients or fewer each seed takes others, so that the runs' lists of cases, and their hashes, differ."""
    words: list[dict[str, Any]] = [{"seed": 0, "content_hash": "a"}]
    words += [{"seed": n, "content_hash": f"{n}", "notes": (f"{CHOSEN_BY_SEED}: the order of {n}",)} for n in (1, 2)]
    model = table([*(make_cell(**told) for told in words), make_cell(method="ar", dice=0.1, content_hash="a")])
    ar, mim = entries(model)
    assert mim.marks == () and (ar.rank, mim.rank) == (0, 1)
    changed = {"seed": 4, "content_hash": "other", "notes": words[1]["notes"]}
    assert "mixed" in only([make_cell(**told) for told in (*words, changed)]).marks


def test_rows_of_other_data_are_marked_and_not_ranked_with_each_other() -> None:
    """Cases of one name may be other volumes: of another generator of phantoms, or of a release that the owners mended."""
    words: list[dict[str, Any]] = [
        {"method": "ar", "content_hash": "old"},
        {"method": "mae3d", "content_hash": "new", "dice": 0.7},
        {"method": "mim", "content_hash": "fewer", "n": 4, "dice": 0.99},
        {"method": "spad", "content_hash": "new", "fold": 1, "dice": 0.6},
    ]
    model = table([make_cell(**told) for told in words])
    assert ["apart" in made.marks for made in entries(model)] == [True, True, False, False]
    assert not any(made.rank for made in entries(model))
    for form in FORMS:
        assert "of other files or lists of cases" in " ".join(render(model, form, width=200).split()) or form == "csv"
    alike = entries(table([make_cell(**{**told, "content_hash": "new"}) for told in words[:2]]))
    assert [(made.marks, made.rank) for made in alike] == [(("single",), 1), (("single",), 0)]


# --- ranks ---


def test_of_an_error_that_is_a_fraction_less_is_better_and_the_table_says_so_in_percent() -> None:
    cells = [make_cell(method=m, scores={"ravd": v}) for m, v in (("ar", 0.5), ("mim", 0.05), ("spad", 1.2))]
    model = table(cells, metric="ravd")
    assert [(made.mean, made.rank) for made in entries(model)] == [(50.0, 2), (5.0, 1), (120.0, 0)]
    assert model.caption.startswith("ravd in % (lower is better)")


def test_what_is_equal_as_shown_is_equal_in_rank() -> None:
    cells = [make_cell(method=m, dice=d) for m, d in (("a", 0.80001), ("b", 0.80002), ("c", 0.7), ("d", 0.6))]
    assert [made.rank for made in entries(table(cells))] == [1, 1, 2, 0]


def test_one_alone_is_not_the_best_and_of_two_none_is_second() -> None:
    assert only([make_cell()]).rank == 0
    assert [made.rank for made in entries(table([make_cell(), make_cell(method="ar", dice=0.1)]))] == [0, 1]


def test_each_task_and_ratio_has_its_own_best() -> None:
    words = itertools.product(("ar", "mim"), ("btcv", "msd04"), (0.25, 1.0))
    best = {("ar", "btcv", 0.25), ("mim", "btcv", 1.0), ("mim", "msd04", 0.25), ("ar", "msd04", 1.0)}
    cells = [make_cell(method=m, task=t, ratio=r, dice=0.9 if (m, t, r) in best else 0.5) for m, t, r in words]
    section = table(cells).sections[0]
    won = {
        (row.method, column.task, column.ratio)
        for row in section.rows
        for column, made in zip(section.columns, row.entries, strict=True)
        if made and made.rank == 1
    }
    assert won == best


def test_a_method_that_misses_organs_does_not_win_by_distance() -> None:
    cells = [
        make_cell(method="ar", scores={"hd95": 1.0}, counts={"n_failed": 1}),
        make_cell(method="mim", scores={"hd95": 3.0}),
        make_cell(method="spad", scores={"hd95": 4.0}),
    ]
    assert [made.rank for made in entries(table(cells, metric="hd95"))] == [0, 1, 0]


# --- names ---


def test_a_table_is_named_by_a_task_a_method_or_all() -> None:
    cells = [make_cell(), make_cell(method="ar", variant="no_contrast"), make_cell(task="msd07", target="organ")]
    counts = {
        name: len(entries(table(cells, name))) for name in ("all", "btcv", "mim", "msd07@organ", "ar@no_contrast")
    }
    assert counts == {"all": 3, "btcv": 2, "mim": 2, "msd07@organ": 1, "ar@no_contrast": 1}


def test_an_unknown_name_metric_form_or_an_empty_store_is_told_with_what_is_possible() -> None:
    with pytest.raises(SpecError, match="Did you mean 'btcv'"):
        table([make_cell()], "btvc")
    with pytest.raises(SpecError, match="Found: dice, hd95"):
        table([make_cell()], metric="auc")
    with pytest.raises(SpecError, match="Possible: rich, md, latex, html, csv"):
        render(table([make_cell()]), "pdf")
    with pytest.raises(SpecError, match="no results yet"):
        table([])


# --- forms ---

GRID = [
    make_cell(method=m, task=t, ratio=r, seed=s, dice=0.7 + i / 50 + s / 200)
    for i, (m, t, r) in enumerate(itertools.product(("ar", "mim", "spad"), ("btcv", "msd04"), (0.1, 0.25, 1.0)))
    for s in range(2)
]


def test_the_same_store_gives_the_same_bytes_in_any_order(tmp_path: Any) -> None:
    shuffled = random.Random(0).sample(GRID, len(GRID))
    for cell in shuffled:
        Store(tmp_path).write(cell, make_rows(cases=1))
    for form in FORMS:
        texts = {render(table(cells), form) for cells in (GRID, shuffled)} | {render_table(tmp_path, form=form)}
        assert len(texts) == 1


def test_a_program_gets_the_table_as_plain_values(tmp_path: Any) -> None:
    Store(tmp_path).write(make_cell(), make_rows())
    told = json.loads(json.dumps(table_as_json(tmp_path, "mim"), allow_nan=False))
    (made,) = told["sections"][0]["rows"][0]["entries"]
    assert (made["mean"], made["sd"], made["runs"], made["marks"]) == (80.0, None, 1, ["single"])
    assert told["sections"][0]["columns"] == [{"task": "btcv", "ratio": 0.25}]
    assert told["sections"][0]["source"] == "real"


@pytest.mark.parametrize("form", FORMS)
def test_every_entry_stands_in_every_form(form: str) -> None:
    model = table(GRID)
    shown = render(model, form, width=80)
    for made in entries(model):
        assert (f"{made.mean:.10g}" if form == "csv" else f"{made.mean:.2f}") in shown


def test_best_is_bold_and_second_underlined_in_each_form_that_can() -> None:
    model = table([make_cell(method=m, dice=d) for m, d in (("a", 0.8), ("b", 0.7), ("c", 0.6))])
    assert "**80.00**" in render(model, "md")
    assert "<u>70.00</u>" in render(model, "md")
    assert r"\textbf{80.00}" in render(model, "latex")
    assert r"\underline{70.00}" in render(model, "latex")
    assert "<b>80.00</b>" in render(model, "html")
    assert "<u>70.00</u>" in render(model, "html")
    assert "**80.00** (1)†" in render(model, "rich")
    assert " _70.00_ (1)†" in render(model, "rich")
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=100)
    console.print(to_rich(model, 100))
    assert isinstance(console.file, io.StringIO)
    assert "\x1b[1m80.00" in console.file.getvalue()
    assert "\x1b[4m70.00" in console.file.getvalue()


def test_a_terminal_is_never_written_over_its_edge() -> None:
    for width in (80, 100, 160):
        assert max(map(len, render(table(GRID), "rich", width=width).splitlines())) <= width


def test_csv_holds_numbers_that_can_be_read_back() -> None:
    lines = list(csv.DictReader(io.StringIO(render(table(GRID, "mim"), "csv"))))
    assert len(lines) == 6
    first = next(line for line in lines if (line["task"], line["ratio"]) == ("btcv", "0.1"))
    dices = [c.scores["dice"] or 0 for c in GRID if (c.method, c.task, c.ratio) == ("mim", "btcv", 0.1)]
    assert float(first["mean"]) == pytest.approx(50 * sum(dices))
    assert float(first["sd"]) == pytest.approx(100 * abs(dices[0] - dices[1]) / math.sqrt(2))
    assert (first["runs"], first["unit"], first["source"]) == ("2", "%", "real")


# --- hostile words ---


FIELDS = ("method", "variant", "task", "target", "protocol", "preset", "corpus", "partial", "average")


def poisoned(word: str) -> TableModel:
    changes: dict[str, Any] = dict.fromkeys(FIELDS, word) | {"scores": {word: 0.5}, "counts": {f"n_{word}": 3}}
    changes["command"] = f"bench run --set {word}=1"
    cells = [make_cell(seed=seed, **changes, config={"p": {word: word if seed else 1}}) for seed in range(3)]
    return table(cells, metric=word)


PLAIN = tags_of(render(table([*seeds([0.1, 0.2]), make_cell(seed=7, config={}, counts={"n_x": 1})]), "html"))


def test_a_person_is_told_which_cells_the_shown_metric_leaves_out_and_a_file_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_cell(), make_rows())
    assert "Not shown" not in render_table(tmp_path)
    auc = make_cell(task="stoic", metrics=("acc", "auc"), scores={"auc": 0.7}, classes=("yes",), class_scores={})
    store.write(auc, [])
    told = render_table(tmp_path)
    assert "Not shown, without dice: 1 cells of stoic." in told
    assert "bench table all --metric auc, or bench table leaderboard" in told
    assert "Not shown" not in render_table(tmp_path, form="md")


COMMANDS = tex_commands(render(table(seeds([0.1, 0.2])), "latex"))


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_a_record_is_obeyed(word: str) -> None:
    model = poisoned(word)
    shown = {form: render(model, form, width=200) for form in FORMS}
    demand_that_none_is_obeyed(
        shown, tags=PLAIN, commands=COMMANDS, formula=r"\$\\pm\$", markdown_tag="u", most_letters=20_000
    )
    rows = shown["latex"].partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    assert len(rows) == 2 and {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}
    lines = list(csv.reader(io.StringIO(shown["csv"])))
    assert {len(line) for line in lines} == {18}
    assert not [text for line in lines for text in line if re.match(r"\s*[=+@-]", text)]
