"""A board holds what may be compared and nothing else; letters, marks and printed rows say what they rest on."""

from __future__ import annotations

import csv
import io
import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from bench.case_columns import read_columns
from bench.case_rows import CaseRow, rows_to_parquet
from bench.data.atomic import write_bytes
from bench.stats.all_pairs import board_letters, pairwise_p
from bench.stats.letters import tie_letters
from bench.store import Store
from bench.table import render_table
from bench.tables.leaderboard import Board, boards
from bench.tables.leaderboard_printed import printed_results
from tests.cells import make_cell
from tests.command_line import bench
from tests.pages import add, hostile_store, small_store


def made(store: Store) -> tuple[Board, ...]:
    cells = store.cells()
    return boards(cells, read_columns(store, [cell.name for cell in cells]))


def test_boards_part_tasks_shares_and_above_all_phantoms_from_real_data(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    add(store, 0.9, method="mim", ratio=1.0)
    add(store, 0.9, method="mim", preset="full")
    found = made(store)
    words = [(b.words.source, b.words.task, b.words.preset, b.words.ratio, len(b.results)) for b in found]
    assert words == [
        ("real", "btcv", "full", 0.25, 1),
        ("real", "btcv", "small", 0.25, 4),
        ("real", "btcv", "small", 1.0, 1),
        ("real", "msd04", "small", 0.25, 2),
        ("phantom", "btcv", "tiny", 0.25, 1),
    ]


def test_a_board_ranks_means_over_seeds_and_letters_tell_the_tie(tmp_path: Path) -> None:
    board = made(small_store(tmp_path))[0]
    assert [(r.method, r.entries["dice"].runs, r.letters) for r in board.results] == [
        ("mim", 2, "a"),
        ("spad", 2, "b"),
        ("mae3d", 2, "b"),
        ("unet3d_scratch", 1, "c"),
    ]
    assert board.tested == 6 and [r.few for r in board.results] == [True] * 4
    best, _, _, partial = board.results
    assert best.entries["dice"].rank == 1 and best.entries["hd95"].rank == 1
    assert best.exposed == 2 and best.exposure == "seen: 2 of 6 by voxels"
    assert partial.entries["dice"].rank == 0 and "partial" in partial.entries["dice"].marks


def test_an_older_record_of_a_scratch_network_was_exposed_to_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0.8, method="unet3d_scratch", corpus="none")
    add(store, 0.9, method="mim")
    told = {result.method: result.exposure for result in made(store)[0].results}
    assert told == {"unet3d_scratch": "nothing is pre-trained", "mim": "not recorded"}


def test_sixty_cases_are_not_few_and_one_result_has_no_letters(tmp_path: Path) -> None:
    found = made(small_store(tmp_path))
    assert not any(result.few for result in found[1].results)
    assert [r.letters for r in found[1].results] == ["a", "b"]
    assert (found[-1].results[0].letters, found[-1].untested) == ("", "one result only")


def test_an_auc_has_no_letters_and_says_what_tests_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method, auc in (("mim", 0.9), ("mae3d", 0.8)):
        add(store, 0.8, method=method, metrics=("auc",), scores={"auc": auc})
    (board,) = made(store)
    assert [r.letters for r in board.results] == ["", ""] and "bench compare" in board.untested


def test_rows_belong_to_the_file_they_lie_in_whatever_they_say(tmp_path: Path) -> None:
    store = Store(tmp_path)
    honest, other = add(store, 0.9, method="mim"), add(store, 0.2, method="mae3d")
    forged = [CaseRow(row.case, row.class_, row.metric, 0.01) for row in store.rows(other.name)]
    write_bytes(store.cases_path(other.name), rows_to_parquet(honest.name, forged))
    columns = read_columns(store, [honest.name, other.name])
    cases, values = columns.means(honest.name, "dice")
    assert len(cases) == 6 and values.min() > 0.8
    assert columns.means(other.name, "dice")[1] == pytest.approx([0.01] * 6)


def test_missing_and_damaged_rows_are_told_and_the_others_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole, torn, gone = (add(store, 0.5, method=method) for method in ("mim", "mae3d", "spad"))
    store.cases_path(torn.name).write_bytes(b"torn")
    store.cases_path(gone.name).unlink()
    columns = read_columns(store, [cell.name for cell in (whole, torn, gone)])
    assert set(columns.unreadable) == {torn.name, gone.name} and set(columns.rows) == {whole.name}
    assert "missing" in columns.unreadable[gone.name]
    assert len(made(store)[0].results) == 3


def test_a_case_counts_with_the_mean_over_its_defined_classes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = add(store, 0.5)
    rows = [CaseRow("b", "liver", "dice", 0.2), CaseRow("a", "liver", "dice", 0.4), CaseRow("a", "spleen", "dice", 0.8)]
    rows += [
        CaseRow("b", "spleen", "dice", math.nan),
        CaseRow("c", "liver", "dice", math.nan),
        CaseRow("a", "liver", "hd", 9.0),
    ]
    write_bytes(store.cases_path(cell.name), rows_to_parquet(cell.name, rows))
    columns = read_columns(store, [cell.name])
    cases, values = columns.means(cell.name, "dice")
    assert [columns.cases[at] for at in cases] == ["a", "b", "c"]
    np.testing.assert_allclose(values, [0.6, 0.2, math.nan])
    assert columns.means(cell.name, "assd")[0].size == 0


def test_all_pairs_are_tested_as_scipy_tests_each() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 12))
    values[1, :3] = math.nan
    p = pairwise_p(values)
    for a, b in itertools.combinations(range(5), 2):
        expected = ttest_rel(values[a], values[b], nan_policy="omit").pvalue
        assert p[a, b] == p[b, a] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(np.diag(p)).all()
    assert pairwise_p(np.array([[3.0, 5, 8], [2, 3, 5]]))[0, 1] == pytest.approx(0.0742, abs=5e-5)


def test_equal_results_tie_and_a_constant_difference_tells_apart() -> None:
    p = pairwise_p(np.array([[1.0, 2, 3], [1, 2, 3], [0, 1, 2]]))
    assert (p[0, 1], p[0, 2]) == (1.0, 0.0)
    assert math.isnan(pairwise_p(np.array([[1.0], [2.0]]))[0, 1])
    assert board_letters("xyz", np.array([[1.0, 2, 3], [1, 2, 3], [0, 1, 2]])) == {"x": "a", "y": "a", "z": "b"}


def test_many_results_can_still_be_told_apart() -> None:
    """Among 40 results 780 pairs are tested; random changes of sign could call none of them different."""
    rng = np.random.default_rng(1)
    values = np.arange(40)[::-1, None] + rng.normal(scale=0.1, size=(40, 30))
    letters = board_letters(range(40), values)
    assert len(set(letters.values())) == 40


def test_two_share_a_letter_exactly_where_no_test_tells_them_apart() -> None:
    for seed in range(60):
        draw = random.Random(seed)
        names = [f"m{i}" for i in range(draw.randint(0, 9))]
        share = draw.random()
        differ = {frozenset(pair) for pair in itertools.combinations(names, 2) if draw.random() < share}
        letters = tie_letters(names, differ)
        for pair in itertools.combinations(names, 2):
            assert bool(set(letters[pair[0]]) & set(letters[pair[1]])) == (frozenset(pair) not in differ)
        assert set(letters) == set(names) and all(letters.values())


def test_printed_rows_keep_their_digits_and_carry_our_names() -> None:
    found = printed_results()
    spleen = [r for r in found if r.table == "mim:III" and r.key == "unetr_scratch" and r.method == "UNETR"]
    assert spleen[0].regions["spleen"]["dice"].value == "93.02"
    assert (spleen[0].task, spleen[0].protocol, spleen[0].ratio) == ("btcv", "mim", 1.0)
    assert not any("avg" in result.task or result.task == "pretrain_cost" for result in found)
    exposed = next(r for r in found if r.table == "ar:1" and r.key == "ar" and r.task == "msd09@organ")
    assert "AbdomenCT" in exposed.exposure
    assert all(result.scores or result.regions for result in found)


def test_a_printed_distance_has_the_unit_of_the_protocol_that_follows_its_papers_code(tmp_path: Path) -> None:
    words = ("table", "leaderboard", "--results", tmp_path, "--view", "published", "--metric")
    units = {
        title.partition(",")[0]: (sheet["unit"], title)
        for metric in ("hd", "assd")
        for sheet in bench(*words, metric, "--json").value["boards"]
        if "protocol spad" in (title := sheet["title"])
    }
    assert units["btcv"][0] == "voxels" and "in voxels (printed" in units["btcv"][1] and units["chaos"][0] == "mm"


def test_a_file_is_written_and_its_values_are_printed_where_both_are_asked(tmp_path: Path) -> None:
    small_store(tmp_path)
    for words in (("table", "leaderboard"), ("audit",)):
        out = tmp_path / f"{words[0]}.md"
        form = ("--format", "md") if words[0] == "table" else ()
        assert bench(*words, "--results", tmp_path, *form, "--out", out, "--json").value is not None
        assert out.read_text().startswith(("#", "|"))


def test_the_leaderboard_is_printed_in_every_form_with_places_letters_and_marks(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    told = bench("table", "leaderboard", "--results", tmp_path, "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(told.out)))
    first = [line for line in lines if line["source"] == "real" and line["task"] == "btcv"]
    assert [(line["place"], line["method"], line["ties"]) for line in first] == [
        ("1", "mim", "a"),
        ("2", "spad", "b"),
        ("3", "mae3d", "b"),
        ("4", "unet3d_scratch", "c"),
    ]
    assert first[0]["notes"] == "exposed 2 of 6, n < 50" and "partial" in first[3]["notes"]
    assert first[3]["cases"] == "6 of 7" and first[3]["corpus"] == ""
    texts = {form: render_table(tmp_path, "leaderboard", form=form) for form in ("rich", "md", "latex", "html")}
    assert all("PHANTOM DATA" in text and "Holm" in text for text in texts.values())
    assert "**" in texts["rich"] and r"\textbf" in texts["latex"] and "<b>" in texts["html"]
    distances = bench("table", "leaderboard", "--results", tmp_path, "--metric", "hd95", "--json").value["boards"][0]
    assert [line["ties"] for line in distances["measured"]] == ["", "", "", ""]
    assert len(store.cells()) == 10


def test_what_may_not_be_ranked_has_no_place_before_what_may(tmp_path: Path) -> None:
    """Before, the first place went to a result of half of the cases, and by distance to one that missed most organs."""
    store = Store(tmp_path)
    add(store, 0.9, cases=3, method="ar", n_listed=6)
    add(store, 0.8, method="mim")
    add(store, 0.7, method="spad")
    store.write(make_cell(method="mae3d", scores={"dice": 0.3, "hd95": 1.0}, counts={"n_failed": 4}), [])
    expected = {"dice": ["mim", "spad", "mae3d", "ar"], "hd95": ["mim", "spad", "mae3d", "ar"]}
    for metric, order in expected.items():
        (sheet,) = bench("table", "leaderboard", "--results", tmp_path, "--metric", metric, "--json").value["boards"]
        assert [line["method"] for line in sheet["measured"]] == order
    assert [result.method for result in made(store)[0].results] == expected["dice"]


def test_of_an_error_that_is_a_fraction_the_least_comes_first_in_percent(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method, value in (("ar", 0.5), ("mim", 0.05), ("spad", 1.2)):
        store.write(make_cell(method=method, metrics=("ravd",), scores={"ravd": value}, class_scores={}), [])
    assert [result.method for result in made(store)[0].results] == ["mim", "ar", "spad"]
    (sheet,) = bench("table", "leaderboard", "--results", tmp_path, "--metric", "ravd", "--json").value["boards"]
    assert [line["method"] for line in sheet["measured"]] == ["mim", "ar", "spad"] and sheet["unit"] == "%"


def test_printed_rows_follow_measured_ones_and_are_not_ranked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0.9, method="mim", ratio=1.0, protocol="mim", preset="full")
    (board, *others) = bench("table", "leaderboard", "--results", tmp_path, "--view", "both", "--json").value["boards"]
    assert [line["place"] for line in board["measured"]] == ["1"] and len(board["printed"]) > 20
    assert {line["rank"] for line in board["printed"]} == {0} and {line["place"] for line in board["printed"]} == {""}
    values = [float(line["score"].split()[0]) for line in board["printed"]]
    assert values == sorted(values, reverse=True)
    assert not any(sheet["measured"] for sheet in others)
    published = bench("table", "leaderboard", "--results", tmp_path / "none", "--view", "published", "--json").value
    assert len(published["boards"]) == len(others) + 1


def test_hostile_words_are_shown_in_every_form_of_the_leaderboard(tmp_path: Path) -> None:
    hostile_store(tmp_path)
    html = render_table(tmp_path, "leaderboard", form="html")
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
    latex = render_table(tmp_path, "leaderboard", form="latex")
    assert r"\input" not in latex and r"\textbackslash{}input" in latex
    assert "'=cmd" in render_table(tmp_path, "leaderboard", form="csv")


def test_a_leaderboard_without_results_says_what_to_do(tmp_path: Path) -> None:
    assert "bench run" in bench("table", "leaderboard", "--results", tmp_path, "--json").error["remedy"]
    small_store(tmp_path)
    assert "dice" in bench("table", "leaderboard", "--results", tmp_path, "--metric", "dise", "--json").error["message"]
    assert "both" in bench("table", "leaderboard", "--results", tmp_path, "--view", "bth", "--json").error["message"]
