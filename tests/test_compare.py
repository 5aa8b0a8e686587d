"""`bench compare` on stored cells: pairs by case, patterns over seeds, boards with letters, and a printed value."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.case_rows import CaseRow
from bench.cli.compare import OTHER_FILES
from bench.compare import beside_published, board, compare
from bench.compare_sides import ALL, find_side
from bench.contracts.errors import SpecError, StoreError
from bench.contracts.record import Cell
from bench.metrics.pooled import pooled
from bench.stats.equivalence import Sample
from bench.stats.paired import paired
from bench.store import Store
from tests.cells import make_cell
from tests.command_line import bench

CASES = 30


def fill(
    store: Store, level: float, *, seed: int = 0, cases: int = CASES, first_case: int = 0, **changes: object
) -> Cell:
    """A cell whose cases score around `level` in two classes, the same cases hard in every cell; HD95 falls as Dice rises."""
    rows = []
    noise = np.random.default_rng([seed, int(1000 * level)])
    for i in range(first_case, first_case + cases):
        hard = np.random.default_rng(i).normal(0, 0.05)
        for name in ("liver", "spleen"):
            dice = float(level + hard + noise.normal(0, 0.01))
            rows += [CaseRow(f"case_{i}", name, "dice", dice), CaseRow(f"case_{i}", name, "hd95", 20 * (1 - dice))]
    mean = float(np.mean([row.value for row in rows if row.metric == "dice"]))
    return store.write(make_cell(seed=seed, dice=mean, **changes), rows)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A good, a twin of it, and a bad method; the good one in two seeds."""
    store = Store(tmp_path)
    for seed in (0, 1):
        fill(store, 0.80, seed=seed)
    fill(store, 0.802, method="mae3d")
    fill(store, 0.70, method="dino")
    return store


def name_of(store: Store, method: str, seed: int = 0) -> str:
    (name,) = [cell.name for cell in store.cells() if (cell.method, cell.seed) == (method, seed)]
    return name


def test_two_cells_are_paired_by_case_over_the_mean_of_their_classes(store: Store) -> None:
    good, bad = find_side(store, name_of(store, "mim")), find_side(store, name_of(store, "dino"))
    lines = compare([good, bad])
    assert [(line.metric, line.class_) for line in lines] == [("dice", ALL), ("hd95", ALL)]
    one, other = good.values("dice"), bad.values("dice")
    cases = sorted(one)
    assert lines[0].paired == paired([one[c] for c in cases], [other[c] for c in cases])
    first = [row.value for row in store.rows(good.name) if (row.case, row.metric) == ("case_0", "dice")]
    assert one["case_0"] == pytest.approx(sum(first) / 2)


def test_the_better_side_follows_the_direction_of_the_metric(store: Store) -> None:
    good, bad = name_of(store, "mim"), name_of(store, "dino")
    for order in ((good, bad), (bad, good)):
        dice, hd95 = compare([find_side(store, name) for name in order])
        assert dice.better == hd95.better == good
        assert dice.paired.difference.mean * hd95.paired.difference.mean < 0
    assert compare([find_side(store, good), find_side(store, name_of(store, "mae3d"))], "dice")[0].better == ""


def test_the_p_values_of_all_lines_are_corrected_together(store: Store) -> None:
    sides = [find_side(store, name_of(store, "mim")), find_side(store, name_of(store, "dino"))]
    lines = compare(sides, "dice", by_class=True)
    assert [line.class_ for line in lines] == [ALL, "liver", "spleen"]
    raw = [line.paired.p for line in lines]
    assert raw == [0.0002] * 3 and [line.holm_p for line in lines] == pytest.approx([0.0006] * 3)


def test_a_pattern_means_the_runs_of_one_result_and_averages_each_case_over_them(store: Store) -> None:
    side = find_side(store, "mim-btcv-*")
    assert [cell.seed for cell in side.cells] == [0, 1]
    runs = [find_side(store, name_of(store, "mim", seed)).values("dice") for seed in (0, 1)]
    assert side.values("dice")["case_3"] == pytest.approx((runs[0]["case_3"] + runs[1]["case_3"]) / 2)
    spread = side.spread("dice")
    assert (spread.seeds, spread.cases) == (2, CASES) and math.sqrt(spread.case) == pytest.approx(0.05, rel=0.4)
    assert spread.residual < spread.case / 10


def test_a_cell_goes_by_its_key_or_by_its_file_which_is_read_where_it_lies(store: Store, tmp_path: Path) -> None:
    """Before, the results folder's cells of the same names were compared in place of the files that were named."""
    other = Store(tmp_path / "other")
    files = [str(other.path(fill(other, level, method=method).name)) for level, method in ((0.6, "mim"), (0.9, "dino"))]
    here = name_of(store, "mim")
    assert find_side(store, files[0]).values("dice")["case_0"] < find_side(store, here).values("dice")["case_0"]
    told = bench("compare", *files, "--metric", "dice", "--results", store.folder, "--json").value
    assert told["lines"][0]["difference"] == pytest.approx(-0.3, abs=0.01)
    assert find_side(store, store.read(here).key).name == here


def test_a_pattern_that_mixes_results_is_refused(store: Store) -> None:
    with pytest.raises(SpecError, match="3 kinds: method is"):
        find_side(store, "*-btcv-*")
    with pytest.raises(SpecError, match="No cell fits"):
        find_side(store, "zzz*")
    with pytest.raises(StoreError, match="No cell 'mim'"):
        find_side(store, "mim")


def test_only_cases_of_both_are_compared_and_undefined_pairs_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, bad = fill(store, 0.8), fill(store, 0.7, method="dino", first_case=10)
    rows = [
        CaseRow(r.case, r.class_, r.metric, math.nan if r.case == "case_12" else r.value) for r in store.rows(bad.name)
    ]
    holes = store.write(make_cell(method="rot"), rows)
    (line, *_) = compare([find_side(store, good.name), find_side(store, bad.name)])
    assert line.paired.n == CASES - 10 and line.few
    (line, *_) = compare([find_side(store, good.name), find_side(store, holes.name)])
    assert (line.paired.n, line.paired.undefined) == (CASES - 11, 1)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"task": "msd04"}, "of task 'msd04'"),
        ({"protocol": "mim"}, "of protocol 'mim'"),
        ({"source": "phantom"}, "of source 'phantom'"),
        ({"target": "liver"}, "of target 'liver'"),
    ],
)
def test_results_of_two_test_sets_are_refused(store: Store, change: dict[str, str], part: str) -> None:
    other = fill(store, 0.8, seed=7, **change)
    with pytest.raises(SpecError, match=part):
        compare([find_side(store, name_of(store, "mim")), find_side(store, other.name)])


def test_a_result_is_not_compared_with_itself_and_cases_must_overlap(store: Store) -> None:
    side = find_side(store, name_of(store, "mim"))
    with pytest.raises(SpecError, match="different results"):
        compare([side, side])
    far = fill(store, 0.8, method="rot", first_case=100)
    with pytest.raises(SpecError, match="no test case in common"):
        compare([side, find_side(store, far.name)])


def classified(
    store: Store, shift: float, *, seed: int = 0, metrics: tuple[str, ...] = ("auc", "acc"), **changes: object
) -> Cell:
    """A cell of a task of two classes: scores that rise with the true class by `shift`, the same cases hard in every cell."""
    rows = []
    for i in range(60):
        hard, draw = np.random.default_rng(i).normal(), np.random.default_rng([seed, i, int(100 * shift)])
        right = i % 3 == 0
        chance = float(1 / (1 + np.exp(-(shift * (right - 0.5) + hard + draw.normal(0, 0.3)))))
        rows += [CaseRow(f"case_{i}", "no", "score", 1 - chance), CaseRow(f"case_{i}", "yes", "score", chance)]
        rows.append(CaseRow(f"case_{i}", "yes" if right else "no", "truth", 1.0))
    scores = {metric: pooled(metric, rows).value for metric in metrics}
    fields = {
        "task": "ricord",
        "metrics": metrics,
        "classes": ("no", "yes"),
        "scores": scores,
        "class_scores": {},
        "seed": seed,
    }
    return store.write(make_cell(**{**fields, **changes}), rows)


def test_areas_are_compared_by_delong_and_accuracies_case_by_case(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, bad = classified(store, 4.0), classified(store, 0.5, method="dino")
    area, accuracy = compare([find_side(store, good.name), find_side(store, bad.name)])
    assert (area.metric, area.paired.test, area.better) == ("auc", "DeLong", good.name)
    assert (accuracy.metric, accuracy.paired.test, accuracy.better) == ("acc", "permutation", good.name)
    assert (area.paired.first, accuracy.paired.first) == pytest.approx((good.scores["auc"], good.scores["acc"]))
    assert (area.paired.second, accuracy.paired.second) == pytest.approx((bad.scores["auc"], bad.scores["acc"]))
    assert area.paired.difference.low < area.paired.difference.mean < area.paired.difference.high
    assert math.isnan(area.paired.wilcoxon_p)


def test_areas_of_several_runs_are_averaged_and_ranked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [classified(store, 2.0, seed=seed) for seed in (0, 1)]
    others = [classified(store, shift, method=method) for shift, method in ((2.05, "rot"), (0.2, "dino"))]
    sides = [find_side(store, word) for word in ("mim-ricord-*", *(cell.name for cell in others))]
    ranking = board(sides, "auc")
    assert {place.name: place.letters for place in ranking.places}[others[1].name] == "b"
    mean = next(place.interval.mean for place in ranking.places if place.name == "mim-ricord-*")
    assert mean == pytest.approx(np.mean([cell.scores["auc"] for cell in runs]))
    told = bench("compare", "mim-ricord-*", others[1].name, "--results", tmp_path)
    assert told.code == 0 and "DeLong" in told.out


def test_a_metric_of_the_whole_set_without_shares_of_cases_is_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cells = [classified(store, shift, method=m, metrics=("auc@micro",)) for m, shift in (("mim", 2.0), ("dino", 1.0))]
    sides = [find_side(store, cell.name) for cell in cells]
    with pytest.raises(SpecError, match="Possible: none"):
        compare(sides)
    with pytest.raises(SpecError, match="whole set"):
        compare(sides, "auc@micro")
    told = beside_published(sides[0], "auc@micro", Sample(cells[0].scores["auc@micro"] or 0.0), 0.01)
    assert told.basis == "tolerance" and told.equivalent


def test_a_board_ranks_results_and_gives_ties_a_letter(store: Store) -> None:
    names = [name_of(store, method) for method in ("dino", "mim", "mae3d")]
    ranking = board([find_side(store, name) for name in names], "dice")
    letters = {place.name: place.letters for place in ranking.places}
    assert ranking.places[-1].name == names[0]
    assert letters[names[1]] == letters[names[2]] == "a" and letters[names[0]] == "b"
    raw = sorted(line.paired.p for _, _, line in ranking.lines)
    assert min(line.holm_p for _, _, line in ranking.lines) == pytest.approx(3 * raw[0])  # one of three questions
    assert len(ranking.lines) == 3 and all(place.interval.low < place.interval.mean for place in ranking.places)
    distances = board([find_side(store, name) for name in names], "hd95")
    assert distances.places[-1].name == names[0]  # the largest distance is the worst


def test_a_printed_value_is_compared_with_the_spread_over_runs_or_over_cases(store: Store) -> None:
    runs = find_side(store, "mim-btcv-*")
    scores = [cell.scores["dice"] for cell in runs.cells]
    told = beside_published(runs, "dice", Sample(0.80), 0.02)
    assert told.difference == pytest.approx(np.mean(scores) - 0.80) and told.basis == "one"
    one = beside_published(find_side(store, name_of(store, "mim")), "dice", Sample(0.80), 0.05)
    assert one.equivalent and one.basis == "one"
    both = beside_published(runs, "dice", Sample(0.80, 0.01, 3), 0.05)
    assert both.basis == "welch"


# The command


def test_two_results_are_told_as_json(store: Store) -> None:
    words = ("compare", "mim-btcv-*", name_of(store, "dino"), "--results", store.folder)
    told = bench(*words, "--json").value
    assert len(told["first"]) == 2 and told["second"] == [name_of(store, "dino")]
    (dice, hd95) = told["lines"]
    assert dice["better"] == hd95["better"] == "mim-btcv-*" and dice["n"] == CASES and dice["few"]
    assert dice["low"] < dice["difference"] < dice["high"] and dice["level"] == 0.95
    assert told["spread"]["mim-btcv-*"]["split"] is None
    assert bench(*words, "--json").out == bench(*words, "--json").out


def test_a_person_sees_the_differences_the_mark_and_the_spread(store: Store) -> None:
    told = bench("compare", "mim-btcv-*", name_of(store, "dino"), "--results", store.folder)
    assert told.code == 0 and f"{CASES}*" in told.out and "fewer than 50 cases" in told.out
    heads, dice = (next(line for line in told.out.splitlines() if line.startswith(word)) for word in ("metric", "dice"))
    assert heads.count("┃") == dice.count("│") == 11 and dice.split("│")[-1].strip() == "A"
    assert "Standard deviations of A's dice by source: case" in told.out


def test_three_results_are_a_board_and_one_needs_a_printed_value(store: Store) -> None:
    names = [name_of(store, method) for method in ("dino", "mim", "mae3d")]
    told = bench("compare", *names, "--results", store.folder, "--json").value
    assert [place["letters"] for place in told["places"]] == ["a", "a", "b"] and len(told["pairs"]) == 3
    assert "letters" in bench("compare", *names, "--results", store.folder).out
    printed = ("--published", "80", "--tolerance", "5", "--results", store.folder)
    found = bench("compare", names[1], *printed, "--json").value
    assert found["equivalent"] is True and found["tolerance"] == 5.0 and abs(found["difference"]) < 5
    assert "equivalent" in bench("compare", names[1], *printed).out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("mim*",), "no comparison"),
        (("mim*", "dino*", "--published", "80"), "one result"),
        (("mim*", "--published", "80", "--tolerance", "0"), "above 0"),
        (("mim*", "dino*", "--metric", "nsd"), "Possible: dice, hd95"),
        (("mim*", "dino*", "mae3d*", "--by-class"), "two results"),
        (("mim*", "absent"), "No cell 'absent'"),
    ],
)
def test_words_that_make_no_comparison_are_refused_in_one_line(store: Store, words: tuple[str, ...], part: str) -> None:
    assert part in bench("compare", *words, "--results", store.folder, "--json").error["message"]


def distances(store: Store, method: str, values: list[float]) -> str:
    rows = [CaseRow(f"case_{i:02}", "liver", "hd95", value) for i, value in enumerate(values)]
    return store.write(make_cell(method=method, metrics=("hd95",), scores={"hd95": 1.0}), rows).name


def test_a_pattern_over_runs_of_several_settings_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in (0, 1):
        fill(store, 0.8, seed=seed)
    probe = {"finetune": {"steps": 500, "linear_head": True}}
    fill(store, 0.4, config=probe, command="bench run --method mim --task btcv --set finetune.linear_head=true")
    with pytest.raises(SpecError, match="linear_head=true"):
        find_side(store, "mim-btcv-*")


def test_a_board_does_not_put_a_result_first_because_it_failed_on_the_hard_cases(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole = [1 + i / 100 for i in range(10)] + [30.0 + i for i in range(10)]
    fails = [value + 0.5 for value in whole[:10]] + [math.nan] * 10
    names = [distances(store, method, values) for method, values in (("ar", fails), ("mim", whole))]
    made = board([find_side(store, name) for name in names], "hd95")
    assert made.lines[0][2].better == names[1]
    assert [place.name for place in made.places] == [names[1], names[0]]
    assert [place.interval.n for place in made.places] == [10, 10]


def test_a_result_without_a_defined_value_comes_last_and_leaves_the_order_of_the_others(tmp_path: Path) -> None:
    store = Store(tmp_path)
    held = {"ar": [1.0, 2, 3, 4, 5, 6], "mim": [math.nan] * 6, "spad": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]}
    names = {method: distances(store, method, values) for method, values in held.items()}
    made = board([find_side(store, name) for name in names.values()], "hd95")
    assert [place.name for place in made.places] == [names[method] for method in ("spad", "ar", "mim")]


def test_a_comparison_says_where_results_hold_other_files_under_the_same_names(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method, content in (("mim", "old"), ("mae3d", "new"), ("dino", "new")):
        fill(store, 0.8, method=method, content_hash=content)
    names = {method: name_of(store, method) for method in ("mim", "mae3d", "dino")}
    for asked, other in ((("mim", "mae3d"), True), (("dino", "mae3d"), False), (("mim", "mae3d", "dino"), True)):
        words = ["compare", *(names[method] for method in asked), "--metric", "dice", "--results", str(tmp_path)]
        assert (OTHER_FILES in " ".join(bench(*words).out.split())) == other
        assert bench(*words, "--json").value["other_files"] == other
