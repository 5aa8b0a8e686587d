"""The same loop on CUDA: every precision trains and resumes, and the host waits for the device once per update."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from bench.train.loader import batches
from bench.train.loop import Hardware, train
from tests.train.toys import SETTINGS, Toy, ToyCorpus, job, lines, phase

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
GPU = Hardware("cuda")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_trains_and_goes_on_after_a_stop(tmp_path: Path, precision: str) -> None:
    config = replace(SETTINGS, precision=precision, micro_batch=4, ema_decay=0.5, workers=1)
    whole, first, second = Toy(), Toy(), Toy()
    expected = train(job(tmp_path / "whole", whole, config, evaluate=whole.score, keep_best=True), GPU)

    def stop(progress: float) -> None:
        first.after_step(progress)
        if progress > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job(tmp_path / "parts", first, config, after_step=stop), GPU)
    found = train(job(tmp_path / "parts", second, config, evaluate=second.score, keep_best=True), GPU)
    assert found.resumed_from == 8
    assert found.device.startswith("cuda:0 ")
    assert found.peak_bytes > 0
    assert found.skipped_steps == expected.skipped_steps
    for name, value in whole.state_dict().items():
        assert torch.allclose(second.state_dict()[name], value, atol=1e-3), name
    assert all(math.isfinite(line["loss"]) for line in lines(tmp_path / "parts") if line.get("loss"))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_host_waits_once_per_update(tmp_path: Path, precision: str) -> None:
    config = replace(SETTINGS, precision=precision, log_every=0, checkpoint_every=0, ema_decay=0.5)
    model, counts = Toy(), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            train(job(tmp_path, model, config, after_step=lambda progress: counts.append(len(caught))), GPU)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [later - earlier for earlier, later in pairwise(counts[3:])]
    assert max(waits) <= 1, [str(warning.message) for warning in caught[counts[3] : counts[4]]]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_arrive_on_the_device_with_the_bits_they_have_on_the_host(workers: int) -> None:
    own, there = phase(SETTINGS, Toy()), torch.device("cuda", 0)
    asked = {"key": "key", "start": 0, "stop": 20, "workers": workers}
    kept = [drawn.batch for drawn in batches(own, ToyCorpus(), device=there, **asked)]
    for brought, drawn in zip(kept, batches(own, ToyCorpus(), **asked), strict=True):
        assert all(tensor.device == there for tensor in brought.values())
        assert all(torch.equal(brought[name].cpu(), tensor) for name, tensor in drawn.batch.items())


def test_a_batch_that_finds_no_room_on_the_device_waits_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.Tensor, "to", full)
    asked = {"key": "key", "start": 0, "stop": 1, "workers": 0, "device": torch.device("cuda", 0)}
    drawn = next(batches(phase(SETTINGS, Toy()), ToyCorpus(), **asked))
    assert all(tensor.is_pinned() for tensor in drawn.batch.values())
