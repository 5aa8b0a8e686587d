"""What a job would cost, worked out by hand: hours from FLOPs or from a log, memory and disk from parameters and samples."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import forecast as room
from bench.contracts.configs import FineTuneConfig
from bench.forecast import Forecast, forecast
from bench.train.hardware import Hardware

PARAMETERS, FLOPS, SAVED_BYTES, CACHE_BYTES, RATE = 2**26, 6e12, 2.0**28, 2.0**30, 1e13


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network, a machine and a cache whose figures are known; the machine is twice as fast in 16 bits."""
    monkeypatch.setattr(room, "_cost", lambda chain, phase: (PARAMETERS, FLOPS, SAVED_BYTES))
    monkeypatch.setattr(room, "_rate", lambda device, short: 2 * RATE if short else RATE)
    monkeypatch.setattr(room, "_cache_bytes", lambda chain, phase: CACHE_BYTES)


def found(folder: Path, state: str = "to do", **recipe: Any) -> Forecast:
    words = {"steps": 100, "batch_size": 4, "precision": "fp32", **recipe}
    plan = SimpleNamespace(phases={}, setup=SimpleNamespace(recipe=FineTuneConfig(**words)))
    chain: Any = SimpleNamespace(blueprint=plan, keys={"finetune": "f" * 64})
    place = SimpleNamespace(hardware=Hardware(device="cpu"), folder=lambda kind, key: folder)
    return forecast(chain, "finetune", state, place)


@pytest.mark.usefixtures("counted")
def test_hours_are_the_samples_flops_over_half_of_the_fp32_speed_of_a_cpu_whatever_the_precision(
    tmp_path: Path,
) -> None:
    seconds = 6e12 * 100 * 4 / (0.5 * 1e13)  # 480
    assert found(tmp_path).hours == found(tmp_path, precision="bf16").hours == pytest.approx(seconds / 3600)
    assert found(tmp_path).basis == "counted FLOPs, 50 % of this machine's fp32 matrix speed"
    assert found(tmp_path, state="done") == Forecast(0.0, None, None, "done")


@pytest.mark.usefixtures("counted")
def test_other_devices_reach_three_tenths_of_their_speed_at_the_precision() -> None:
    assert room._reached("cuda", "bf16") == (0.3 * 2 * RATE, "30 % of this machine's matrix speed")
    assert room._reached("cuda", "fp32")[0] == 0.3 * RATE


@pytest.mark.usefixtures("counted")
def test_memory_is_sixteen_bytes_a_parameter_and_what_the_samples_of_one_pass_save(tmp_path: Path) -> None:
    assert found(tmp_path).memory_gib == 1.0 + 4 * 0.25
    assert found(tmp_path, micro_batch=2).memory_gib == 1.0 + 2 * 0.25


@pytest.mark.usefixtures("counted")
def test_disk_is_five_copies_of_the_weights_and_the_cache(tmp_path: Path) -> None:
    assert found(tmp_path).disk_gib == 5 * 0.25 + 1.0


@pytest.mark.usefixtures("counted")
def test_a_started_job_is_told_by_the_last_speed_in_its_log(tmp_path: Path) -> None:
    lines = [{"step": 10, "samples_per_s": 1.0}, {"step": 40, "samples_per_s": 8.0}, {"step": 40, "evaluation": 0.5}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 60, "sam')
    assert found(tmp_path).hours == pytest.approx(60 * 4 / 8.0 / 3600)
    assert found(tmp_path).basis == "its own log, 60 steps left"
    assert found(tmp_path, steps=30).hours == 0.0  # a job that was made shorter since


def test_the_cache_takes_each_file_once_all_slices_of_a_folder_all_contrasts_and_in_pre_training_the_corpus(
    tmp_path: Path,
) -> None:
    """An archive of all cases was counted once a case, a series as the entry of its folder, of four contrasts the first alone."""
    files = {
        "all.npz": 1000,
        "series/1.dcm": 10,
        "series/2.dcm": 20,
        "t1.nii": 100,
        "t2.nii": 200,
        "ct.mhd": 1,
        "ct.raw": 300,
    }
    for name, size in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))

    def taken(*cases: tuple[str, ...], phase: str = "") -> float:
        records = tuple(SimpleNamespace(images=[SimpleNamespace(path=path) for path in paths]) for paths in cases)
        here = SimpleNamespace(train=records, val=(), test=())
        tested = SimpleNamespace(folder=tmp_path, here=here, pick=tuple)
        corpus = SimpleNamespace(members=((tmp_path, (SimpleNamespace(images=[SimpleNamespace(path="t2.nii")]),)),))
        words: Any = SimpleNamespace(words=SimpleNamespace(cases=tested, corpus=corpus))
        return room._cache_bytes(words, phase)

    assert taken(("all.npz",), ("all.npz",)) == 1000
    assert taken(("series",)) == 30
    assert taken(("t1.nii", "t2.nii")) == 300
    assert taken(("ct.mhd",)) == 301
    assert taken(("t1.nii",), phase="pretrain") == 200
