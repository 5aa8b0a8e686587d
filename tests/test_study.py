"""The study: which runs it is made of, what it leaves out, and what its cases say when paired."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import pytest

from bench import study, study_report
from bench.blueprint import blueprint
from bench.case_rows import CaseRow
from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.record import Cell
from bench.figures.courses import draw_courses, mean_course
from bench.run import Place, resolve_at
from bench.spec import RunSpec
from bench.store import Store
from bench.study import HIPPOCAMPUS, SIZES, STARTS, WAYS, arms, chosen_methods, forecast_of, possible, trainable_methods
from bench.study_report import courses, gaps, pretraining_losses, recorded, report, rows_of, write_report
from bench.train.hardware import Hardware
from tests.cells import make_cell
from tests.command_line import bench


def place(folder: Path) -> Place:
    return Place(results=folder, cache=folder / "cache", environ={}, hardware=Hardware(device="cpu"))


def test_a_study_crosses_pools_methods_starts_ways_ratios_and_seeds() -> None:
    full = arms("full", ["mae3d", "mim"])
    assert len(full) == 2 * sum(len(pool.starts) * len(pool.ratios) for pool in SIZES["full"].pools) * len(WAYS) * 3
    assert len({arm.spec for arm in full}) == len(full)
    short = SIZES["short"]
    assert len(arms("short", ["mae3d"])) == sum(len(pool.starts) for pool in short.pools) * len(WAYS)


def test_a_study_that_is_interrupted_has_told_of_everything_once() -> None:
    seeds = [arm.spec.seed for arm in arms("full", ["mae3d", "mim"])]
    assert seeds == sorted(seeds) and len(set(seeds)) == 3


def test_all_seeds_of_a_start_go_on_from_one_pre_training() -> None:
    """`results/README.md` tells it: their spread says nothing of another pre-training."""
    trained = [arm.spec for arm in arms("full", ["mae3d"]) if arm.start == "pre-trained" and not arm.pool.phantom]
    assert len({spec.seed for spec in trained}) == 3
    assert len({blueprint(spec).phases["pretrain"] for spec in trained}) == 1


def test_both_sizes_have_real_volumes_phantoms_and_both_controls() -> None:
    for size in (SIZES["short"], SIZES["full"]):
        assert {pool.phantom for pool in size.pools} == {True, False}
        assert {start for pool in size.pools for start in pool.starts} == set(STARTS) - {"pre-trained longer"}


@pytest.mark.parametrize("method", ["mim", "spad"])
def test_the_long_study_is_part_of_the_full_one_but_for_ten_times_the_steps_of_every_phase(method: str) -> None:
    long, full = arms("long", [method]), {arm.spec for arm in arms("full", [method])}
    longer = [arm for arm in long if arm.start == "pre-trained longer"]
    assert {arm.spec for arm in long} - full == {arm.spec for arm in longer} and len(long) == 3 * len(longer) == 18
    usual = blueprint(next(arm.spec for arm in long if arm.start == "pre-trained")).phases
    for name, config in blueprint(longer[0].spec).phases.items():
        assert config == replace(usual[name], steps=10 * usual[name].steps)


def test_labels_are_permuted_only_where_one_belongs_to_a_whole_case() -> None:
    permuted = [arm for arm in arms("full", ["mae3d"]) if arm.start == "permuted labels"]
    assert {arm.pool.metric for arm in permuted} == {"auc"}
    assert all(blueprint(arm.spec).setup.recipe.permuted_labels for arm in permuted)


def test_scratch_is_the_same_network_without_pre_training_and_the_control_differs_in_its_views_alone() -> None:
    arms_of_one_task = [
        arm for arm in arms("short", ["mae3d"]) if arm.pool.name == HIPPOCAMPUS.name and arm.way == "fine-tuning"
    ]
    plans = {arm.start: blueprint(arm.spec) for arm in arms_of_one_task}
    assert len({plan.setup.recipe for plan in plans.values()}) == 1
    assert plans["shuffled voxels"].phases["pretrain"].shuffled_voxels
    assert not plans["pre-trained"].phases["pretrain"].shuffled_voxels
    assert {arm.spec.corpus for arm in arms("short", ["mae3d"]) if arm.start == "scratch"} == {"none"}


def test_a_probe_reads_frozen_features_by_one_linear_map_whatever_the_kind_of_task() -> None:
    probes = [blueprint(arm.spec) for arm in arms("full", ["mim"]) if arm.way == "linear probe"]
    assert {plan.setup.task.kind for plan in probes} == {"segmentation", "classification"}
    assert all(plan.setup.recipe.frozen_encoder and plan.method.decoder == "linear" for plan in probes)
    tuned = {blueprint(arm.spec).method.decoder for arm in arms("full", ["mim"]) if arm.way == "fine-tuning"}
    assert tuned == {"swin_unetr"}


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(SpecError, match=r"Did you mean 'full'\? Possible: short, full, long.*--size"):
        arms("ful", ["mim"])


def test_a_method_that_is_named_twice_is_studied_once() -> None:
    """Its one seed would pass for two."""
    assert chosen_methods("mim, mae3d,mim") == ("mim", "mae3d")
    assert chosen_methods("all") == trainable_methods()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("mim,unet3d_scratch", "'unet3d_scratch' does not pre-train"),
        ("mimm", "No method 'mimm'"),
        (",", "names nothing"),
    ],
)
def test_a_method_that_does_not_pre_train_is_refused_before_anything_is_run(
    words: str, why: str, tmp_path: Path
) -> None:
    """Both its starts are one run, so that the report of a whole night ended in a refusal to compare it with itself."""
    told = bench("study", "--method", words, "--results", tmp_path, "--yes")
    assert told.code == 2 and why in told.err and not list(tmp_path.iterdir())


def test_a_pool_without_its_data_is_left_out_with_the_reason(tmp_path: Path) -> None:
    real = [arm for arm in arms("short", ["mae3d"]) if not arm.pool.phantom]
    kept, refused = possible(real, place(tmp_path))
    assert kept == [] and len(refused) == 1 and refused[0].startswith("mae3d on real hippocampus: ")


def test_pre_training_is_told_by_the_losses_that_the_cell_carries() -> None:
    told = {"tokenizer": {"losses": [1.5, 5.5]}, "predict": {"steps": 3}, "finetune": {"losses": [2.0, 1.0]}}
    assert pretraining_losses(make_cell(training=told)) == {"tokenizer": [1.5, 5.5]}


def test_runs_are_averaged_over_seeds_and_their_cases_paired_with_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [arm for arm in arms("full", ["mae3d"]) if arm.pool.name == HIPPOCAMPUS.name and arm.spec.ratio == 0.1]
    gains = {"scratch": 0.0, "pre-trained": 0.1, "shuffled voxels": -0.1}
    store, keys = Store(tmp_path), {}
    for arm in kept:
        values = [0.5 + gains[arm.start] * (k + 1) / 10 + 0.01 * arm.spec.seed for k in range(10)]
        cell = make_cell(
            task="msd04",
            seed=arm.spec.seed,
            dice=fmean(values),
            config={"arm": {"start": arm.start, "way": arm.way}},
            training={"tokenizer": {"losses": [1.0, 0.25]}},
        )
        store.write(cell, [CaseRow(f"case{k}", "organ", "dice", value) for k, value in enumerate(values)])
        keys[arm.spec] = cell.key
    monkeypatch.setattr(study_report, "resolve_at", lambda spec, _: SimpleNamespace(key=keys[spec]))
    found = {(line.start, line.way): line for line in report(recorded(kept, place(tmp_path)), store)}
    better = found["pre-trained", "fine-tuning"]
    assert better.seeds == 3 and better.compared is not None
    assert better.compared.difference.mean == pytest.approx(0.055)
    assert better.compared.difference.low > 0 and better.compared.higher == 10 and better.compared.n == 10
    assert found["scratch", "linear probe"].compared is None and found["scratch", "linear probe"].by_seed == {}
    assert better.by_seed == {seed: pytest.approx(0.055) for seed in (0, 1, 2)}
    assert found["scratch", "linear probe"].mean == pytest.approx(0.51)
    assert len(rows_of(list(found.values()))) == 6

    path = write_report(
        tmp_path / "study", "full", list(found.values()), 99, ["mg3d on real hippocampus: no report"], {"cores": 2}
    )
    assert "| real hippocampus | mae3d | fine-tuning | 0.1 | pre-trained | 0.5650 | +0.0550 |" in path.read_text()
    assert path.read_text().count("| tokenizer 1.00 to 0.25 |") == len(found)
    assert "| 10 | 3 | +0.055, +0.055, +0.055 | tokenizer" in path.read_text()
    told = json.loads((tmp_path / "study" / "full.json").read_text())
    assert told["machine"] == {"cores": 2}
    done = sum(line.seeds for line in found.values())
    assert told["runs"] == {"done": done, "planned": 99} and f"So far: {done} of 99 runs." in path.read_text()
    whole = write_report(tmp_path / "whole", "full", list(found.values()), done, [], {})
    assert "So far" not in whole.read_text()


@pytest.mark.parametrize("size", SIZES)
def test_fine_tunings_are_validated_five_times_and_the_full_ones_are_longer(size: str) -> None:
    steps = {}
    for arm in arms(size, ["mae3d"]):
        recipe = blueprint(arm.spec).setup.recipe
        assert recipe.steps == 5 * recipe.evaluate_every and recipe.warmup_steps < recipe.evaluate_every
        steps[arm.pool.name] = recipe.steps
    short = {arm.pool.name: blueprint(arm.spec).setup.recipe.steps for arm in arms("short", ["mae3d"])}
    assert size == "short" or all(updates > short[pool] for pool, updates in steps.items() if pool in short)


def test_the_course_of_each_run_is_read_from_its_cell_and_drawn(tmp_path: Path) -> None:
    kept = [arm for arm in arms("short", ["mae3d"]) if arm.pool.name == HIPPOCAMPUS.name]
    told = [{}, *({"finetune": {"evaluations": [[40, None], [20, 0.25]]}} for _ in kept[1:])]  # the first has no log
    found = courses([(arm, make_cell(training=training)) for arm, training in zip(kept, told, strict=True)])
    assert [(course.method, course.start) for course in found] == [(arm.method, arm.start) for arm in kept[1:]]
    assert {course.panel.splitlines()[-1] for course in found} == set(WAYS)
    assert [step for step, _ in found[0].scores] == [20, 40]
    assert found[0].scores[0][1] == 0.25 and math.isnan(found[0].scores[1][1])
    for suffix in (".svg", ".png"):
        assert draw_courses(found, tmp_path / f"short{suffix}").stat().st_size > 1_000
    drawn = (tmp_path / "short.svg").read_text()
    assert all(word in drawn for word in ("mae3d", "shuffled voxels", "linear probe", "10% of labels"))


def test_a_start_is_set_against_scratch_over_the_seeds_that_both_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 2 of scratch failed to learn and has no fellow yet: it must not make the others look good."""
    tuned = [arm for arm in arms("long", ["mae3d"]) if arm.way == "fine-tuning"]
    scores = {
        ("scratch", 0): 0.8,
        ("scratch", 1): 0.8,
        ("scratch", 2): 0.2,
        ("pre-trained", 0): 0.7,
        ("pre-trained", 1): 0.8,
    }
    store, keys = Store(tmp_path), {arm.spec: f"{number:064x}" for number, arm in enumerate(tuned)}
    for arm in tuned:
        if (arm.start, arm.spec.seed) in scores:
            score = scores[arm.start, arm.spec.seed]
            cell = make_cell(task="msd04", seed=arm.spec.seed, dice=score, config={"arm": {"start": arm.start}})
            store.write(cell, [CaseRow(f"case{k}", "organ", "dice", score + k / 100) for k in range(10)])
            keys[arm.spec] = cell.key
    monkeypatch.setattr(study_report, "resolve_at", lambda spec, _: SimpleNamespace(key=keys[spec]))
    (line,) = [line for line in report(recorded(tuned, place(tmp_path)), store) if line.start == "pre-trained"]
    assert line.compared is not None and line.compared.difference.mean == pytest.approx(-0.05)
    assert line.by_seed == {0: pytest.approx(-0.1), 1: pytest.approx(0.0)}
    assert line.scores == {0: 0.7, 1: 0.8} and line.mean == pytest.approx(0.75)


def test_gaps_are_taken_seed_by_seed_where_both_sides_have_a_score() -> None:
    ours = [make_cell(seed=2, dice=0.5), make_cell(seed=0, dice=0.7), make_cell(seed=1, dice=0.6)]
    theirs = [make_cell(seed=0, dice=0.6), make_cell(seed=2, dice=0.75)]
    assert list(gaps(ours, theirs, "dice").items()) == [(0, pytest.approx(0.1)), (2, pytest.approx(-0.25))]
    assert gaps(ours, theirs, "froc") == {}


def test_the_mean_of_several_seeds_ends_where_the_first_of_them_stands() -> None:
    assert mean_course([[(20, 0.2), (40, 0.4)], [(20, 0.4)]]) == [(20, pytest.approx(0.3))]


def test_no_two_lines_of_a_forecast_are_alike(tmp_path: Path) -> None:
    kept = [
        replace(arm, spec=replace(arm.spec, preset="tiny", phantom=True, partial=False))
        for arm in arms("short", ["mae3d"])
        if arm.pool.name == HIPPOCAMPUS.name
    ]
    lines = [(job.room, job.what) for job in forecast_of(kept, place(tmp_path))[0]]
    assert len(set(lines)) == len(lines) == 2 * 6 + 2  # six runs, and volumes as they are or shuffled
    assert ("finetune", "mae3d tiny msd04 bench r0.1 s0, pre-trained, linear probe") in lines
    assert ("pretrain:pretrain", "mae3d tiny on own (msd04), shuffled_voxels=true") in lines


def test_what_a_cell_was_committed_of_is_not_asked_for_again_but_what_others_need_is(tmp_path: Path) -> None:
    kept = [
        replace(arm, spec=replace(arm.spec, preset="tiny", phantom=True, partial=False))
        for arm in arms("short", ["mae3d"])
        if arm.pool.name == HIPPOCAMPUS.name and arm.start == "pre-trained"
    ]
    here = place(tmp_path)
    tuned, probed = (resolve_at(arm.spec, here) for arm in kept)
    Store(tmp_path).write(make_cell(key=tuned.key), [])
    assert {job.key for job in forecast_of(kept, here)[0]} == {
        *(probed.keys[room] for room in ("pretrain:pretrain", "finetune")),
        probed.key,
    }
    Store(tmp_path).write(make_cell(key=probed.key, seed=1), [])
    assert forecast_of(kept, here) == ([], 0.0)


@pytest.mark.parametrize("error", [RuntimeError("shape '[2]' is invalid"), DataMissing("no case")])
def test_a_run_that_fails_is_told_and_does_not_stop_the_others(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch raises, too: a method that is being written broke off the study of all others."""
    first, second = arms("short", ["mae3d"])[:2]

    def run(spec: RunSpec, _: Place) -> Cell:
        if spec == first.spec:
            raise error
        return make_cell(dice=0.5)

    monkeypatch.setattr(study, "run", run)
    told: list[str] = []
    study.run_arms([first, second], place(tmp_path), told.append)
    assert len(told) == 2 and "failed: " in told[0] and str(error.args[0]) in told[0]
    assert told[1].endswith("-> dice 0.5000")


@pytest.mark.parametrize("way", ["--forecast", "--report"])
def test_a_study_says_first_that_phantoms_are_drawn_and_what_is_left_out(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "possible", lambda asked, _: ([], ["mae3d on real hippocampus: no data."]))
    Store(tmp_path).write(make_cell(), [])  # of another run
    told = bench("study", "--method", "mae3d", way, "--results", tmp_path)
    assert told.out.startswith(
        "Finding the data of 12 runs; phantoms that are not there yet are drawn first.\n"
        "left out: mae3d on real hippocampus: no data.\n"
    )


def test_a_folder_without_cells_has_no_report_for_which_phantoms_would_be_drawn(tmp_path: Path) -> None:
    told = bench("study", "--method", "mae3d", "--report", "--results", tmp_path)
    assert told.code == 2 and told.out == "" and "None of the 12 runs of the study 'short' is there." in told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_forecast_comes_first_and_can_be_all_and_there_is_no_report_of_nothing(tmp_path: Path) -> None:
    words = ("study", "--method", "mae3d", "--results", tmp_path / "runs", "--out", tmp_path / "out", "--device", "cpu")
    told = bench(*words, "--forecast")
    assert told.code == 0, told.err
    assert "Forecast: about" in told.out and not (tmp_path / "out").exists()
    refused = bench(*words, "--report")
    assert refused.code != 0 and "None of the" in refused.err and "Traceback" not in refused.err


def test_a_start_that_was_run_on_another_processor_than_scratch_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study goes on from cells wherever they were made, and the report named the machine that wrote it alone."""
    tuned = [arm for arm in arms("long", ["mae3d"]) if arm.way == "fine-tuning" and arm.spec.seed == 0]
    made_on = {"scratch": "AMD EPYC", "pre-trained": "AMD EPYC", "pre-trained longer": "Intel Xeon"}
    store, keys = Store(tmp_path), {}
    for arm in tuned:
        told = {"config": {"arm": {"start": arm.start}}, "provenance": {"processor": made_on[arm.start]}}
        cell = make_cell(task="msd04", **told)
        store.write(cell, [CaseRow(f"case{k}", "organ", "dice", 0.5 + k / 100) for k in range(3)])
        keys[arm.spec] = cell.key
    monkeypatch.setattr(study_report, "resolve_at", lambda spec, _: SimpleNamespace(key=keys[spec]))
    lines = report(recorded(tuned, place(tmp_path)), store)
    assert {line.start: line.processors for line in lines}["pre-trained longer"] == ("AMD EPYC", "Intel Xeon")
    text = write_report(tmp_path / "out", "long", lines, len(lines), [], {"processor": "AMD EPYC"}).read_text()
    *_, head, last = text.strip().splitlines()
    assert head.startswith("Of runs on several processors (AMD EPYC, Intel Xeon), which")
    assert last == "- real hippocampus, mae3d, fine-tuning, 0.1, pre-trained longer"
