"""SPAD's two phases in the rooms: each has its key and folder, a killed one goes on with the same bits, files decide keys."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.contracts.configs import Intensity, MethodConfig, Sight, phases
from bench.keys import key_of
from bench.pretrain import pretrain, trained
from bench.train.hardware import Hardware
from methods.spad import METHOD
from tests.methods.spad_pool import mixed
from tests.nets.eva02_weights import eva02
from tests.two_at_once import two_at_once

CONFIGS: Mapping[str, MethodConfig] = phases(METHOD.tiny)
SIGHT = Sight(1, CONFIGS["tokenizer"].crop, None, Intensity("percentile"))
KEYS = {"tokenizer": "key of the first", "predict": "key of the second"}


class Killed(Exception):
    """Stands for a process that ends in the middle of a step."""


class Watcher:
    """Dies at a step of a phase; counts updates otherwise."""

    def __init__(self, phase: str = "", step: int = 0) -> None:
        self.dies, self.name, self.done = (phase, step), "", 0
        self.updates: dict[str, int] = {}

    def start(self, name: str, total: int) -> None:
        self.name, self.done = name, 0

    def advance(self, n: int, **shown: float) -> None:
        self.done += n
        self.updates[self.name] = self.updates.get(self.name, 0) + (1 if shown else 0)
        if (self.name, self.done) == self.dies:
            raise Killed

    def finish(self) -> None:
        pass


def run(folder: Path, watcher: Watcher, predicting: str = "predict", **changes: Any) -> Path:
    """Pre-training in a folder; with `changes` its second phase is another one, and lies apart."""
    configs = dict(CONFIGS) | {"predict": dataclasses.replace(CONFIGS["predict"], **changes)}
    folders = {"tokenizer": folder / "tokenizer", "predict": folder / predicting}
    return pretrain(METHOD, "spad", configs, mixed(), SIGHT, KEYS, folders, Hardware(device="cpu"), watcher)


def same(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("undisturbed"), Watcher())


def test_a_finished_pre_training_leaves_two_phases_the_second_of_which_kept_the_tokenizer(undisturbed: Path) -> None:
    first, second = (load_file(undisturbed.parents[1] / phase / "method.safetensors") for phase in CONFIGS)
    moved = {name.split(".")[0] for name in first if not torch.equal(first[name], second[name])}
    assert moved == {"encoder", "mask_token", "head"}
    assert set(load_file(undisturbed)) == {n.removeprefix("encoder.") for n in second if n.startswith("encoder.")}
    logs = [(undisturbed.parents[1] / phase / "log.jsonl").read_text().splitlines() for phase in CONFIGS]
    assert {"generator.rebuild", "discriminator.hinge"} <= set(json.loads(logs[0][-1]))
    assert "predict" in json.loads(logs[1][-1])
    assert (undisturbed.parents[1] / "tokenizer" / "pictures.npz").exists()
    assert any("perceptual" in note for note in trained(undisturbed.parent)["notes"])


@pytest.mark.parametrize(("phase", "step"), [("tokenizer", 3), ("tokenizer", 7), ("predict", 8)])
def test_a_killed_phase_goes_on_and_ends_with_the_bits_of_one_that_was_left_alone(
    undisturbed: Path, tmp_path: Path, phase: str, step: int
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Watcher(phase, step))
    again = Watcher()
    assert same(run(tmp_path, again), undisturbed)
    kept = 5 * (step // 5)
    assert again.updates == ({"tokenizer": 10 - kept} if phase == "tokenizer" else {}) | {
        "predict": 10 - (kept if phase == "predict" else 0)
    }


def test_a_finished_phase_is_read_and_not_run_again(undisturbed: Path) -> None:
    watcher = Watcher()
    assert run(undisturbed.parents[1], watcher) == undisturbed and watcher.updates == {}


@pytest.mark.parametrize("name", ["method.safetensors", "encoder.safetensors"])
def test_weights_that_were_deleted_are_made_again_from_the_checkpoint(
    undisturbed: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(undisturbed.parents[1], tmp_path / "copied")
    (folder / "predict" / name).unlink()
    watcher = Watcher()
    assert same(run(folder, watcher), undisturbed) and watcher.updates == {"predict": 0}
    assert same(folder / "predict" / name, undisturbed.parent / name)


@pytest.mark.parametrize("step", [7, 10])
@pytest.mark.parametrize("start", ["eva02", "deeper"])
def test_a_tokenizer_that_another_run_began_or_finished_leaves_a_transformer_its_own_start_and_size(
    undisturbed: Path, tmp_path: Path, start: str, step: int
) -> None:
    torch.save(eva02(), tmp_path / "eva02.pt")
    changes: dict[str, Any] = {"depth": 6} if start == "deeper" else {"eva02_file": str(tmp_path / "eva02.pt")}
    alone = run(tmp_path / "alone", Watcher(), **changes)
    with pytest.raises(Killed):
        run(tmp_path / "shared", Watcher("tokenizer" if step < 10 else "predict", step))
    again = Watcher()
    assert same(run(tmp_path / "shared", again, "other", **changes), alone) and not same(alone, undisturbed)
    assert again.updates == {"predict": 10} | ({"tokenizer": 5} if step < 10 else {})
    assert not any("EVA-02" in note for note in trained(tmp_path / "shared" / "tokenizer")["notes"])
    assert any("EVA-02" in note for note in trained(tmp_path / "shared" / "other")["notes"]) is (start == "deeper")


def test_a_foreign_file_decides_the_key_of_its_phase_by_content_and_not_by_place(tmp_path: Path) -> None:
    def key(config: Any, path: str) -> str:
        return key_of(config=dataclasses.replace(config, perceptual_file=path))

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_file({"x": torch.ones(3)}, tmp_path / name / "vgg.safetensors")
    config = METHOD.full["tokenizer"]
    none, first, second = (key(config, p) for p in ("", *(str(tmp_path / n / "vgg.safetensors") for n in "ab")))
    assert first == second != none == key_of(config=config)
    save_file({"x": torch.zeros(3)}, tmp_path / "vgg.safetensors")
    assert key(config, str(tmp_path / "vgg.safetensors")) != first


def test_the_gate_hears_the_discriminators_loss_on_all_devices(tmp_path: Path) -> None:
    two = two_at_once("tests/methods/gate_on_two.py", tmp_path)  # of three crops one has two, the other one
    assert two[0]["hinge"] != pytest.approx(two[1]["hinge"], rel=1e-3)
    for rank in two:
        assert rank["last"].item() == pytest.approx((2 * two[0]["hinge"] + two[1]["hinge"]) / 3, rel=1e-5)
