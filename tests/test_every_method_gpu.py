"""Every method on CUDA: it trains in the arithmetic of its paper, no step makes the host wait, and a run ends as on a CPU."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.contracts.configs import phases
from bench.contracts.method import Batch, Method, Phase
from bench.nets.decoders import build_decoder
from bench.train.loop import Hardware, Job, train
from tests.command_line import OWN_MAE, bench
from tests.test_every_method import (
    CARDS,
    PRETRAINED,
    Memory,
    fresh_encoder,
    pre_training_sight,
    start,
    task_sight,
    total,
)
from tests.test_host_never_waits import started

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def papers_precision(name: str, phase: Phase) -> str:
    return phases(CARDS[name].full)[phase.name].precision


def step(name: str, method: Method, phase: Phase, batch: Batch) -> None:
    """One step as the loop takes it, from tensors that lie on the device."""
    precision = papers_precision(name, phase)
    with torch.no_grad():
        shown = method.prepare(batch)
    for turn in phase.turns:
        method.begin_turn(turn.name)
        with torch.autocast("cuda", TYPES[precision], enabled=precision != "fp32"):
            loss = total(turn.counted(turn.loss(shown)))
        loss.backward()
    with torch.no_grad():
        method.after_step(0.5)


@contextlib.contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_host_queues_a_whole_step_without_waiting(name: str) -> None:
    for method, phase, batch in started(name):
        method.cuda()
        there = {key: value.cuda() for key, value in batch.items()}
        step(name, method, phase, there)  # compiles, and builds what is built once
        with waiting_is_an_error():
            step(name, method, phase, there)
        torch.cuda.synchronize()


def test_what_would_wait_is_noticed() -> None:
    x = torch.ones(3, device="cuda")
    with waiting_is_an_error(), pytest.raises(RuntimeError):
        x.sum().item()


@pytest.mark.parametrize("name", PRETRAINED)
def test_every_phase_trains_in_the_arithmetic_of_its_paper(name: str, tmp_path: Path) -> None:
    corpus = Memory(pre_training_sight(name))
    method = start(name)
    method.fit(corpus)
    for phase in method.phases:
        config = replace(phase.config, steps=6, precision=papers_precision(name, phase), workers=1)
        job = Job(
            key=f"{name} {phase.name}",
            phase=replace(phase, config=config),
            model=method,
            corpus=corpus,
            folder=tmp_path / phase.name,
            prepare=method.prepare,
            after_step=method.after_step,
            begin_turn=method.begin_turn,
        )
        trained = train(job, Hardware("cuda"))
        assert trained.device.startswith("cuda:0 ") and trained.steps == 6
        assert trained.skipped_steps <= (
            4 if config.precision == "fp16" else 0
        )  # the scale of fp16 finds its size first
        assert all(bool(value.isfinite().all()) for value in method.state_dict().values())


@pytest.mark.parametrize("name", sorted(CARDS))
def test_an_encoder_and_its_decoder_give_on_the_device_what_they_give_on_the_host(name: str) -> None:
    encoder = fresh_encoder(name, 0).eval()
    decoder = build_decoder(CARDS[name].decoder, encoder=encoder, in_channels=1, classes=3).eval()
    volume = torch.randn(2, 1, *task_sight(name).shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        on_host = decoder(volume, encoder(volume).maps)
        encoder.cuda(), decoder.cuda()
        there = volume.cuda()
        on_device = decoder(there, encoder(there).maps).cpu()
    gap = (on_device - on_host).norm() / on_host.norm()
    assert float(gap) < 1e-4 and math.isfinite(float(gap))


def test_a_run_on_the_device_pre_trains_fine_tunes_and_scores(tmp_path: Path) -> None:
    done = bench("run", *OWN_MAE, "--device", "cuda", "--results", tmp_path, "--json")
    cell = json.loads(Path(done.value["path"]).read_text())
    assert all("cuda" in json.dumps(trained) for trained in cell["training"].values())
    assert math.isfinite(done.value["scores"]["dice"])
