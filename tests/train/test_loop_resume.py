"""A training killed anywhere and started again ends with the same bits as one that was never disturbed."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.contracts.errors import PluginBroken, StoreError
from bench.contracts.method import Batch, Losses, Turn
from bench.train import checkpoint
from bench.train.job import Job, Trained
from bench.train.loop import train
from tests.train.toys import CPU, SETTINGS, Toy, job, lines, phase, trained, weights

# 12 steps of 6 samples in micro-batches of 4 and 2, with a running average, evaluations and a best one to keep
CONFIG = replace(SETTINGS, micro_batch=4, ema_decay=0.8)


def evaluated(folder: Path, workers: int = 0) -> Job:
    model = Toy()
    config = replace(CONFIG, workers=workers)
    return job(folder, model, config, evaluate=model.score, evaluate_every=5, keep_best=True)


def killed(made: Job, at_update: int) -> None:
    """Run a job in another process that is killed (SIGKILL) inside the given update of that process, counted from 1."""
    child = os.fork()
    if child == 0:  # pragma: no cover - the other process
        try:
            calls = iter(range(1, 1000))

            def after_step(progress: float) -> None:
                if next(calls) == at_update:
                    os.kill(os.getpid(), signal.SIGKILL)
                made.after_step(progress)

            train(replace(made, after_step=after_step), CPU)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def in_another_process(deed: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:  # pragma: no cover - the other process
        try:
            deed()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, list[dict[str, object]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(evaluated(folder), CPU), lines(folder, timed=False)


def agree(folder: Path, found: Trained, undisturbed: tuple[Trained, list[dict[str, object]]]) -> None:
    expected, log = undisturbed
    assert found.final_sha256 == expected.final_sha256
    assert found.initial_sha256 == expected.initial_sha256 != found.final_sha256
    assert (found.best_step, found.best_score) == (expected.best_step, expected.best_score)
    assert found.samples_seen == expected.samples_seen == 72
    assert lines(folder, timed=False) == log


@pytest.mark.parametrize(
    ("first", "second", "resumed"),
    [(1, 4, 0), (6, 5, 8), (5, 8, 8), (12, 1, 8), (9, 4, 8), (7, 6, 8)],
    ids=str,
)
def test_two_kills_and_other_workers_after_each_leave_no_trace(
    tmp_path: Path, undisturbed: tuple[Trained, list[dict[str, object]]], first: int, second: int, resumed: int
) -> None:
    killed(evaluated(tmp_path), first)
    killed(evaluated(tmp_path, workers=1), second)
    found = train(evaluated(tmp_path, workers=2), CPU)
    assert found.resumed_from == resumed
    agree(tmp_path, found, undisturbed)


def test_a_kill_during_the_second_checkpoints_write_falls_back_to_the_first(
    tmp_path: Path, undisturbed: tuple[Trained, list[dict[str, object]]]
) -> None:
    def run_and_die() -> None:
        write, calls = torch.save, iter(range(1, 100))

        def save(state: object, file: object) -> None:
            write(state, file)
            if next(calls) == 2:
                file.truncate(1000)  # type: ignore[attr-defined]
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = save
        train(evaluated(tmp_path), CPU)

    assert in_another_process(run_and_die) == -signal.SIGKILL
    assert (tmp_path / "checkpoint.pt.partial").exists()
    found = train(evaluated(tmp_path), CPU)
    assert found.resumed_from == 4
    agree(tmp_path, found, undisturbed)


def test_a_stop_within_an_evaluation_loses_none_where_a_checkpoint_is_due_at_the_same_step(tmp_path: Path) -> None:
    """Presets validate and keep states at multiples of one number: a state kept first would pass over the evaluation for good."""

    def sitting(folder: Path, *scores: float | None) -> Trained:
        told = iter(scores)

        def evaluate() -> float:
            score = next(told)
            if score is None:
                raise KeyboardInterrupt
            return score

        return train(job(folder, Toy(), CONFIG, evaluate=evaluate, evaluate_every=4, keep_best=True), CPU)

    expected = sitting(tmp_path / "whole", 0.1, 0.9, 0.2)
    with pytest.raises(KeyboardInterrupt):
        sitting(tmp_path / "parts", 0.1, None)
    found = sitting(tmp_path / "parts", 0.9, 0.2)
    assert (found.best_step, found.resumed_from) == (8, 4)
    assert (found.final_sha256, found.evaluations) == (expected.final_sha256, expected.evaluations)


def test_the_seconds_and_the_most_memory_of_a_training_are_those_of_all_its_sittings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = iter([7, 9, 5])  # at steps 4, 8 and, in the second sitting, 12
    monkeypatch.setattr("bench.train.loop.peak_bytes", lambda device: next(peaks))

    def slow(progress: float) -> None:
        time.sleep(0.02)
        if progress > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, after_step=slow)
    found = trained(tmp_path)
    seconds = [line["seconds"] for line in lines(tmp_path)]
    assert found.resumed_from == 8 and seconds == sorted(seconds)
    assert found.seconds >= seconds[-1] > 8 * 0.02
    assert found.peak_bytes == 9


def test_a_finished_training_started_again_runs_no_step_and_ends_the_same(
    tmp_path: Path, undisturbed: tuple[Trained, list[dict[str, object]]]
) -> None:
    train(evaluated(tmp_path), CPU)
    again = train(evaluated(tmp_path), CPU)
    assert again.resumed_from == again.steps == 12
    agree(tmp_path, again, undisturbed)


def test_the_process_of_the_test_and_another_process_agree(
    tmp_path: Path, undisturbed: tuple[Trained, list[dict[str, object]]]
) -> None:
    assert in_another_process(lambda: train(evaluated(tmp_path), CPU)) == 0
    agree(tmp_path, train(evaluated(tmp_path), CPU), undisturbed)


def test_a_checkpoint_holds_every_state(tmp_path: Path) -> None:
    train(evaluated(tmp_path), CPU)
    state = checkpoint.load(tmp_path / "checkpoint.pt")
    assert set(state) == {
        "format", "key", "phase", "standing", "model", "optimisers", "average", "scaler", "random",
    }  # fmt: skip
    assert state["standing"]["best_state"].keys() == state["model"].keys()
    assert set(state["random"]) == {"torch", "cuda", "python", "numpy"}
    assert len(state["optimisers"]) == 1
    assert state["optimisers"][0]["state"][0]["exp_avg"].abs().sum() > 0


def test_a_checkpoint_of_another_key_is_refused_and_its_log_left_alone(tmp_path: Path) -> None:
    trained(tmp_path, config=replace(SETTINGS, steps=4))
    before = (tmp_path / "log.jsonl").read_text()
    with pytest.raises(StoreError, match=r"belongs to key key, phase 'toy'; asked for key other"):
        trained(tmp_path, config=replace(SETTINGS, steps=4), key="other")
    assert (tmp_path / "log.jsonl").read_text() == before


def test_a_damaged_checkpoint_stops_the_start(tmp_path: Path) -> None:
    trained(tmp_path, config=replace(SETTINGS, steps=4))
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(StoreError, match="damaged"):
        trained(tmp_path, config=replace(SETTINGS, steps=4))


def test_a_network_that_has_changed_since_is_told_so(tmp_path: Path) -> None:
    trained(tmp_path, config=replace(SETTINGS, steps=4))
    wider = Toy()
    wider.head = torch.nn.Linear(16, 9)
    with pytest.raises(StoreError, match="do not fit the network"):
        trained(tmp_path, wider, replace(SETTINGS, steps=4))


@pytest.mark.parametrize("width", [2, 4])
def test_what_a_phase_leaves_alone_keeps_the_start_and_size_it_is_resumed_with_under_a_running_average_too(
    tmp_path: Path, width: int
) -> None:
    """The saved average moved it to where another run had begun, and of another size ended in torch's traceback."""

    def made(width: int, start: float) -> Job:
        model, config = Toy(), replace(SETTINGS, ema_decay=0.5)
        model.later = torch.nn.Parameter(torch.full((width,), start))
        turns = (Turn("all", model.loss, lambda: [*model.body.parameters(), *model.head.parameters()]),)
        return job(tmp_path, model, config, phase=phase(config, model, turns=turns), resting=frozenset({"later"}))

    def stop(progress: float) -> None:
        if progress > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(replace(made(2, 1.0), after_step=stop), CPU)
    again = made(width, 5.0)
    assert train(again, CPU).resumed_from == 8
    assert again.model.later.tolist() == [5.0] * width  # type: ignore[operator, union-attr]


class Scheduled(Toy):
    """A toy whose teacher follows by a number that grows, in an attribute or in a buffer."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.kept, self.momentum = kept, 0.0
        self.register_buffer("kept_momentum", torch.zeros(()))

    def after_step(self, progress: float) -> None:
        self.teacher.weight.lerp_(self.body[0].weight, float(self.kept_momentum) if self.kept else self.momentum)
        if self.kept:
            self.kept_momentum.fill_(progress)
        else:
            self.momentum = progress


def test_a_number_that_a_method_moves_after_a_step_is_in_the_checkpoint_or_refused(tmp_path: Path) -> None:
    """An attribute went back to its first value where a training was resumed, which then ended with other weights."""
    with pytest.raises(PluginBroken, match=r"`after_step` changes 'momentum'.*register_buffer"):
        trained(tmp_path / "lost", Scheduled(kept=False))
    assert trained(tmp_path / "kept", Scheduled(kept=True)).steps == SETTINGS.steps


def test_an_attribute_that_is_nan_is_moved_where_it_becomes_a_number_and_not_where_it_stays(tmp_path: Path) -> None:
    """NaN equals not even itself: a method that held one unmoved was refused after its first step."""
    still, moving = Toy(), Scheduled(kept=False)
    still.mark = moving.momentum = math.nan
    assert trained(tmp_path / "still", still, replace(SETTINGS, steps=2)).steps == 2
    with pytest.raises(PluginBroken, match="changes 'momentum'"):
        trained(tmp_path / "moving", moving)


def test_whatever_is_drawn_anywhere_in_a_step_is_drawn_anew_in_each_step_of_each_run(tmp_path: Path) -> None:
    """Two runs that differ in their seed alone have other keys: a number that both draw would make them one run."""
    drawn: dict[str, list[tuple[float, float, float]]] = defaultdict(list)

    def draw(place: str) -> None:
        drawn[place].append((random.random(), np.random.rand(), torch.rand(()).item()))

    for key in ("one", "other"):
        model = Toy()

        def prepare(batch: Batch, model: Toy = model) -> Batch:
            draw("prepare")
            return model.prepare(batch)

        def loss(batch: Batch, model: Toy = model) -> Losses:
            draw("loss")
            return model.loss(batch)

        def score() -> float:
            draw("evaluate")
            return 0.0

        config = replace(SETTINGS, steps=3)
        trained(
            tmp_path / key,
            model,
            config,
            key=key,
            phase=phase(config, model, turns=(Turn("all", loss),)),
            prepare=prepare,
            after_step=lambda progress: draw("after_step"),
            evaluate=score,
            evaluate_every=1,
        )
    assert {place: len(numbers) for place, numbers in drawn.items()} == dict.fromkeys(drawn, 6) and len(drawn) == 4
    everything = [numbers for found in drawn.values() for numbers in found]
    assert all(len(set(numbers)) == len(everything) for numbers in zip(*everything, strict=True))


def test_another_key_gives_another_training(tmp_path: Path) -> None:
    one, other = Toy(), Toy()
    trained(tmp_path / "one", one)
    trained(tmp_path / "other", other, key="other")
    assert any(not torch.equal(a, b) for a, b in zip(weights(one).values(), weights(other).values(), strict=True))
