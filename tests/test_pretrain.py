"""How a pre-training begins and what of a method takes part in it."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.contracts.configs import Intensity, Sight, phases
from bench.contracts.errors import PluginBroken
from bench.contracts.method import Method
from bench.data.atomic import write_json
from bench.data.lock import only_one
from bench.pretrain import pretrain, trained
from bench.train.controls import ShuffledVoxels, WhiteNoise
from bench.train.hardware import Hardware
from bench.train.job import Job, Trained, untrained
from methods.mae3d import METHOD
from tests.train.toys import ToyCorpus

SIGHT = Sight(1, phases(METHOD.tiny)["pretrain"].crop, None, Intensity("hu"))


class Air(ToyCorpus):
    """Cases of nothing, as large as they are asked for."""

    def read(self, case: str, start: Any, size: Any) -> np.ndarray[Any, Any]:
        return np.zeros((1, *size), np.int16)


def made(folder: Path, name: str = "mae3d", **changes: Any) -> dict[str, Any]:
    """What a pre-training told, of no step unless `changes` say otherwise."""
    configs = {phase: replace(config, **{"steps": 0, **changes}) for phase, config in phases(METHOD.tiny).items()}
    pretrain(METHOD, name, configs, Air(), SIGHT, {"pretrain": "key"}, {"pretrain": folder}, Hardware(device="cpu"))
    return trained(folder)


def test_a_pre_training_starts_from_weights_that_the_methods_name_and_the_seed_decide(tmp_path: Path) -> None:
    runs: list[dict[str, Any]] = [{}, {"lr": 0.5}, {"seed": 1}, {"name": "other"}]
    starts = [made(tmp_path / str(number), **words)["initial_sha256"] for number, words in enumerate(runs)]
    assert starts[0] == starts[1] and len(set(starts)) == 3


def test_a_pre_training_announces_each_turn_and_tells_the_method_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    assert METHOD.build is not None
    monkeypatch.setattr(METHOD.build, "begin_turn", lambda self, turn: told.append(turn))
    monkeypatch.setattr(METHOD.build, "after_step", lambda self, progress: told.append(progress))
    made(tmp_path, steps=2)
    assert [word for word in told if isinstance(word, float)] == [0.5, 1.0] == told[1::2]
    assert len(told) == 4 and told[0] == told[2]


@pytest.mark.parametrize(("word", "views"), [("shuffled_voxels", ShuffledVoxels), ("white_noise", WhiteNoise)])
def test_a_control_is_what_is_trained_and_not_its_key_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, views: type
) -> None:
    jobs: list[Job] = []

    def train(job: Job, *_: Any) -> Trained:
        jobs.append(job)
        return untrained(job)

    monkeypatch.setattr("bench.pretrain.train", train)
    made(tmp_path / "plain", steps=1)
    made(tmp_path / "control", steps=1, **{word: True})
    assert [isinstance(job.phase.views, views) for job in jobs] == [False, True]


@pytest.mark.parametrize("lacking", ["encoder", "phases"])
def test_a_method_that_lacks_what_is_taken_of_it_is_refused_before_it_is_trained(lacking: str, tmp_path: Path) -> None:
    """Without `encoder` it was trained to the end, and nothing was handed over."""

    def build(config: Any, sight: Sight) -> Method:
        assert METHOD.build is not None
        method: Method = METHOD.build(config, sight)
        delattr(method, lacking)
        return method

    word = {"encoder": "no Encoder as `encoder`", "phases": r"builds phases \[\]"}[lacking]
    with pytest.raises(PluginBroken, match=word):
        pretrain(
            replace(METHOD, build=build), "mine", phases(METHOD.tiny), Air(), SIGHT, {"pretrain": "key"},
            {"pretrain": tmp_path / "mine"}, Hardware(device="cpu"),
        )  # fmt: skip
    assert not (tmp_path / "mine").exists()


def test_a_second_process_waits_for_the_phase_that_a_first_one_trains_and_takes_what_it_left(tmp_path: Path) -> None:
    """Else both would write one checkpoint, and one log with every line twice."""
    first, shared = tmp_path / "first", tmp_path / "shared"
    left = made(first) | {"device": "another's"}
    with ThreadPoolExecutor(1) as hand:
        with only_one(shared):
            second = hand.submit(made, shared)
            time.sleep(0.5)  # time enough to begin, were it not for the lock
            assert not shared.exists() and not second.done()
            shutil.copytree(first, shared)
            write_json(shared / "trained.json", left)
        assert second.result(60)["device"] == "another's"
