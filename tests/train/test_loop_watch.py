"""What a training says of itself: its log, its evaluations, its progress, and the steps it left out."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts.errors import SpecError, StoreError, TrainingStopped
from bench.contracts.method import Arrays, Sample, Turn
from bench.train import log, seeds
from bench.train.loop import train
from bench.train.progress import PlainLines, Silent
from tests.train.toys import CPU, SETTINGS, Toy, draw, job, lines, phase, trained, undefined_at, views, weights


def test_the_log_has_a_line_per_interval_and_one_at_the_end(tmp_path: Path) -> None:
    found = trained(tmp_path, config=replace(SETTINGS, steps=8))
    log_lines = lines(tmp_path)
    assert [line["step"] for line in log_lines] == [3, 6, 8]
    assert set(log_lines[0]) == {
        "step", "loss", "lr", "grad_norm", "wait_share", "seconds", "samples_per_s", "rebuild", "follow",
    }  # fmt: skip
    assert log_lines[0]["lr"] == pytest.approx(1e-2)
    assert 0.0 < log_lines[0]["wait_share"] < 1.0
    assert log_lines[0]["samples_per_s"] > 0.0
    assert [line["seconds"] for line in log_lines] == sorted(line["seconds"] for line in log_lines)
    assert 0.0 < found.data_wait_share < 1.0
    assert found.peak_bytes > 2**20
    assert found.samples_seen == 48
    assert found.device.startswith("cpu")


def test_a_line_tells_the_rate_of_the_interval_s_last_update(tmp_path: Path) -> None:
    """Three of 12 updates warm up; update 6 is number 5 from 0, two ninths down the cosine."""
    trained(tmp_path)
    rates = {line["step"]: line["lr"] for line in lines(tmp_path)}
    assert rates[6] == pytest.approx(1e-2 * 0.5 * (1 + math.cos(math.pi * 2 / 9)))
    assert rates[12] == pytest.approx(1e-2 * 0.5 * (1 + math.cos(math.pi * 8 / 9)))


def test_the_last_step_is_evaluated_and_kept_whatever_the_intervals(tmp_path: Path) -> None:
    config = replace(SETTINGS, steps=7)
    made = job(tmp_path, Toy(), config, evaluate=lambda: 0.0, evaluate_every=3)
    train(made, CPU)
    assert [line["step"] for line in lines(tmp_path) if "evaluation" in line] == [3, 6, 7]
    assert train(replace(made, model=Toy()), CPU).resumed_from == 7  # checkpoints at 4 and 7


def test_a_training_is_told_by_the_first_and_the_last_tenth_of_its_log(tmp_path: Path) -> None:
    found = trained(tmp_path, config=replace(SETTINGS, steps=25, log_every=1))
    told = [line["loss"] for line in lines(tmp_path)]
    assert found.losses == (pytest.approx(sum(told[:2]) / 2), pytest.approx(sum(told[-2:]) / 2))
    assert found.losses[1] < found.losses[0] and found.evaluations == ()


def test_the_course_of_its_evaluations_is_told_and_the_later_of_two_lines_holds(tmp_path: Path) -> None:
    scores = iter([0.3, math.nan, 0.2])
    made = job(tmp_path, Toy(), replace(SETTINGS, steps=9), evaluate=lambda: next(scores), evaluate_every=3)
    first, undefined, last = train(made, CPU).evaluations
    assert (first, undefined[0], last) == ((3, 0.3), 6, (9, 0.2)) and math.isnan(undefined[1])
    curve = tmp_path / "written.jsonl"
    curve.write_text('{"step": 3, "evaluation": 0.3}\n{"step": 3, "evaluation": 0.4}\n{"step": 6, "eval')
    assert log.evaluations(curve) == {3: 0.4} and log.ends(curve) is None


def test_a_line_is_the_mean_over_its_interval(tmp_path: Path) -> None:
    trained(tmp_path / "each", config=replace(SETTINGS, log_every=1))
    trained(tmp_path / "third", config=SETTINGS)
    each, third = lines(tmp_path / "each"), lines(tmp_path / "third")
    for index, line in enumerate(third):
        part = each[3 * index : 3 * index + 3]
        for name in ("loss", "rebuild", "grad_norm"):
            assert line[name] == pytest.approx(sum(one[name] for one in part) / 3, rel=1e-6)


def test_what_is_watched_stands_in_the_log_and_moves_nothing(tmp_path: Path) -> None:
    def told(model: Toy, *, more: bool) -> Turn:
        def loss(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return model.loss(batch) | ({"mean": torch.tensor(7.0)} if more else {})

        return Turn("all", loss, watched=frozenset({"mean"}))

    ends = []
    for more in (False, True):
        model = Toy()
        trained(tmp_path / str(more), model, phase=phase(SETTINGS, model, turns=(told(model, more=more),)))
        ends.append(weights(model))
    assert all(torch.equal(ends[0][name], value) for name, value in ends[1].items())
    bare, watched = (lines(tmp_path / str(more), timed=False) for more in (False, True))
    assert [line.pop("mean") for line in watched] == [7.0] * len(bare) and watched == bare


def test_undefined_losses_leave_the_step_out_and_training_goes_on(tmp_path: Path) -> None:
    model, after = Toy(), []
    turns = (Turn("all", undefined_at(model, {0, 1, 2, 4, 5})),)
    start = weights(model)
    moments: list[bool] = []

    def after_step(progress: float) -> None:
        after.append(progress)
        moments.append(torch.equal(model.body[0].weight, start["body.0.weight"]))

    found = trained(tmp_path, model, phase=phase(SETTINGS, model, turns=turns), after_step=after_step)
    assert found.skipped_steps == 5
    assert found.steps == 12
    assert after == [step / 12 for step in (4, 7, 8, 9, 10, 11, 12)]
    records = [line for line in lines(tmp_path) if "skipped" in line]
    assert [(r["step"], r["skipped"], r["in_a_row"]) for r in records] == [
        (1, "losses", 1), (2, "losses", 2), (3, "losses", 3), (5, "losses", 1), (6, "losses", 2),
    ]  # fmt: skip
    assert all(len(r["cases"]) == 6 and r["cases"][0].startswith("case_") for r in records)
    first = next(line for line in lines(tmp_path) if "loss" in line)
    assert first["step"] == 3
    assert first["loss"] is None
    assert first["grad_norm"] is None
    assert all(math.isfinite(float(value.sum())) for value in weights(model).values())


def always(corpus: Any, size: int, step: int, seed: int) -> list[Sample]:
    return draw(corpus, size, 0, seed)


def alike(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
    return views(corpus, sample, seeds.generator(*sample)) | {"sloppy": np.zeros(2, np.float32)}


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_a_step_whose_last_turn_is_undefined_is_as_if_it_had_not_been(tmp_path: Path, ema_decay: float) -> None:
    """Every step shows the same batch, so that a step left out is seen by what it leaves alone: it was the next step's start."""

    def ended(folder: Path, steps: int, undefined: set[int]) -> dict[str, torch.Tensor]:
        model = Toy(noisy=False)
        config = replace(SETTINGS, steps=steps, ema_decay=ema_decay, warmup_steps=0, schedule="constant")
        turns = (
            Turn("one", model.loss, model.body[0].parameters),
            Turn("two", model.loss, model.body[1].parameters),
            Turn("three", undefined_at(model, undefined), model.head.parameters),
        )
        found = trained(
            folder,
            model,
            config,
            phase=phase(config, model, draw=always, views=alike, turns=turns),
        )
        assert found.skipped_steps == len(undefined)
        return weights(model)

    before = weights(Toy(noisy=False))
    for at, (steps, undefined) in enumerate(((2, {0, 1}), (2, {0}), (3, {1}), (3, {0, 2}))):
        found, moved = ended(tmp_path / f"{at}", steps, undefined), steps - len(undefined)
        expected = ended(tmp_path / f"{at} whole", moved, set()) if moved else before
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_line_without_an_update_does_not_undo_what_the_log_tells(tmp_path: Path) -> None:
    model, config = Toy(), replace(SETTINGS, log_every=1)
    turn = Turn("all", undefined_at(model, {11}))
    losses = trained(tmp_path, model, config, phase=phase(config, model, turns=(turn,))).losses
    assert losses is not None and all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize(
    "change", [{"micro_batch": -1}, {"workers": -1}, {"lr_every": 0}, {"lr": -1e-2}, {"warmup_steps": -5}]
)
def test_a_setting_below_its_least_value_is_refused_in_words(change: dict[str, Any]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(SpecError, match=f"{name} must be [01] or more, found {value}"):
        replace(SETTINGS, **change)


def test_a_step_left_out_moves_neither_weights_nor_buffers_nor_average(tmp_path: Path) -> None:
    model = Toy()
    config = replace(SETTINGS, steps=3, ema_decay=0.5)
    turns = (Turn("all", undefined_at(model, {0, 1, 2})),)
    before = weights(model)
    trained(tmp_path, model, config, phase=phase(config, model, turns=turns))
    assert all(torch.equal(before[name], value) for name, value in weights(model).items())


def test_undefined_gradients_of_a_finite_loss_leave_the_step_out_too(tmp_path: Path) -> None:
    model = Toy()
    config = replace(SETTINGS, steps=2)

    def loss(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"root": torch.sqrt((model.head.weight - model.head.weight.detach()).abs()).sum()}  # 0, slope 0 * inf

    found = trained(tmp_path, model, config, phase=phase(config, model, turns=(Turn("all", loss),)))
    assert found.skipped_steps == 2
    assert [line["skipped"] for line in lines(tmp_path) if "skipped" in line] == ["gradients"] * 2


def test_the_fourth_undefined_step_in_a_row_stops_and_names_the_cases(tmp_path: Path) -> None:
    model = Toy()
    turns = (Turn("all", undefined_at(model, set(range(5, 12)))),)
    with pytest.raises(TrainingStopped, match=r"4 steps in a row, up to step 9\. Cases of the last batch: case_") as e:
        trained(tmp_path, model, phase=phase(SETTINGS, model, turns=turns))
    last = lines(tmp_path)[-1]
    assert last["in_a_row"] == 4
    assert ", ".join(last["cases"]) in str(e.value)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_first_best_is_kept_and_nan_is_never_best(tmp_path: Path, ema_decay: float) -> None:
    """With a running average it is the averaged weights that were judged, and so they that are kept."""
    model = Toy()
    scores = iter([math.nan, 0.5, 0.9, 0.9, math.nan, 0.2])
    seen: list[dict[str, torch.Tensor]] = []

    def evaluate() -> float:
        assert not model.training
        assert not torch.is_grad_enabled()
        seen.append(weights(model))
        return next(scores)

    config = replace(SETTINGS, ema_decay=ema_decay)
    found = trained(tmp_path, model, config, evaluate=evaluate, evaluate_every=2, keep_best=True)
    assert (found.best_step, found.best_score) == (6, 0.9)
    assert all(torch.equal(seen[2][name], value) for name, value in weights(model).items())
    assert model.training
    evaluations = [line for line in lines(tmp_path) if "evaluation" in line]
    assert [line["step"] for line in evaluations] == [2, 4, 6, 8, 10, 12]
    assert [line["evaluation"] for line in evaluations] == [None, 0.5, 0.9, 0.9, None, 0.2]


def test_without_a_defined_evaluation_the_last_weights_stay_and_a_note_says_so(tmp_path: Path) -> None:
    model, plain = Toy(), Toy()
    found = trained(tmp_path / "a", model, evaluate=lambda: math.nan, keep_best=True)
    expected = trained(tmp_path / "b", plain)
    assert found.best_step is None
    assert math.isnan(found.best_score)
    assert found.notes == ("no evaluation gave a number: the last weights are kept",)
    assert found.final_sha256 == expected.final_sha256


def test_evaluations_that_draw_random_numbers_do_not_change_the_training(tmp_path: Path) -> None:
    def draws() -> float:
        return float(torch.rand(100).sum())

    often = trained(tmp_path / "often", evaluate=draws, evaluate_every=1)
    never = trained(tmp_path / "never")
    assert often.final_sha256 == never.final_sha256


def test_evaluation_sees_the_averaged_weights_and_training_goes_on_with_its_own(tmp_path: Path) -> None:
    config = replace(SETTINGS, steps=4, ema_decay=0.9)
    model, own, averaged = Toy(), [], []

    def after_step(progress: float) -> None:
        own.append(model.head.weight.detach().clone())

    def evaluate() -> float:
        averaged.append(model.head.weight.detach().clone())
        return 0.0

    start = model.head.weight.detach().clone()
    trained(tmp_path, model, config, after_step=after_step, evaluate=evaluate, evaluate_every=1)
    assert torch.allclose(averaged[0], 0.9 * start + 0.1 * own[0], atol=1e-6)
    assert torch.allclose(averaged[1], 0.9 * averaged[0] + 0.1 * own[1], atol=1e-6)
    assert torch.equal(model.head.weight, averaged[3])


class Watcher(Silent):
    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def start(self, name: str, total: int) -> None:
        self.said.append(("start", name, total))

    def advance(self, n: int, **shown: float) -> None:
        self.said.append(("advance", n, *shown))

    def finish(self) -> None:
        self.said.append(("finish",))


def test_a_watcher_is_told_start_each_step_and_end_also_of_a_failure(tmp_path: Path) -> None:
    watcher = Watcher()
    config = replace(SETTINGS, steps=2)
    train(job(tmp_path, config=config), CPU, watcher)
    step = ("advance", 1, "loss")
    assert watcher.said == [("start", "toy", 2), ("advance", 0), step, step, ("finish",)]

    def fails(progress: float) -> None:
        raise ValueError

    watcher = Watcher()
    with pytest.raises(ValueError):
        train(job(tmp_path / "again", config=config, after_step=fails), CPU, watcher)
    assert watcher.said[-1] == ("finish",)


def test_plain_lines_tell_name_count_and_numbers() -> None:
    stream = io.StringIO()
    watcher = PlainLines(stream, every_s=0.0)
    watcher.start("toy", 2)
    watcher.advance(1, loss=0.25)
    watcher.finish()
    assert stream.getvalue().splitlines() == ["toy: start", "toy: 1/2 loss=0.25", "toy: 1/2 end loss=0.25"]


def test_numbers_that_are_none_become_null_and_a_torn_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log.append(path, {"step": 1, "loss": math.nan, "deep": {"a": [math.inf, 1.0]}})
    log.append(path, {"step": 2, "loss": 1.0})
    assert json.loads(path.read_text().splitlines()[0]) == {"step": 1, "loss": None, "deep": {"a": [None, 1.0]}}
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    log.cut(path, 2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]
    log.cut(path, 0)
    assert path.read_text() == ""
    log.cut(tmp_path / "absent", 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_at_a_line_of_the_log_is_told_in_words(tmp_path: Path) -> None:
    """Of a training's files the log is written most often: there a full disk ended in a traceback."""
    for path, why in ((Path("/dev/full"), "No space left"), (tmp_path / "gone" / "log.jsonl", "No such file")):
        with pytest.raises(StoreError, match=f"{path}: could not add a line: {why}.*earlier results are intact"):
            log.append(path, {"step": 1, "loss": 1.0})


def test_a_loss_named_like_a_field_of_the_line_keeps_its_number(tmp_path: Path) -> None:
    model = Toy()

    def loss(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": (model.head.weight**2).sum(), "seconds": (model.head.bias**2).sum()}

    trained(tmp_path, model, phase=phase(SETTINGS, model, turns=(Turn("all", loss),)))
    line = lines(tmp_path)[0]
    assert line["loss"] == pytest.approx(line["loss.loss"] + line["loss.seconds"])
