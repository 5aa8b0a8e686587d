"""What a job would cost before it is run: from counted FLOPs, or from its own log once it was started. Says which."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.chain import Chain
from bench.contracts.counts import how_many
from bench.flops import cost_of, cost_of_sample, has_blank
from bench.train.hardware import torch_device

SHARE_OF_PEAK = 0.3
"""Ours: what part of a large matrix product's speed a training step reaches; performance differs by network."""
CPU_SHARE_OF_FP32 = 0.5
"""The same on a CPU, of its fp32 products whatever the precision: the networks that are trained there are too small for what its
matrix units reach in 16 bits. Trainings at preset `small` in bf16 ran at 0.36 to 0.90 of them, 0.04 to 0.09 of 16 bits' (two cores
of an Intel Xeon with AMX)."""


@dataclass(frozen=True)
class Forecast:
    """Hours, memory and disk of a job; None where nothing can be said. `basis` tells how it was found."""

    hours: float | None
    memory_gib: float | None
    disk_gib: float | None
    basis: str


def forecast(chain: Chain, room: str, state: str, place: Any) -> Forecast:
    """Forecast one training job: what is left of a started one at the speed of its log, else by counting."""
    if state == "done":
        return Forecast(0.0, None, None, "done")
    plan = chain.blueprint
    phase = room.partition(":")[2]
    config = plan.phases[phase] if phase else plan.setup.recipe
    parameters, flops, saved = _cost(chain, phase)
    disk = (parameters * 4 * 5 + _cache_bytes(chain, phase)) / 2**30
    micro = config.micro_batch or config.batch_size
    memory = (parameters * 16 + saved * micro) / 2**30
    log = place.folder(room.partition(":")[0], chain.keys[room]) / "log.jsonl"
    speed, step = _measured_speed(log)
    if speed:
        left = max(0, config.steps - step)
        return Forecast(
            left * config.batch_size / speed / 3600, memory, disk, f"its own log, {how_many(left, 'step')} left"
        )
    rate, basis = _reached(torch_device(place.hardware).type, config.precision)
    return Forecast(flops * config.steps * config.batch_size / rate / 3600, memory, disk, f"counted FLOPs, {basis}")


def _reached(device: str, precision: str) -> tuple[float, str]:
    """FLOP/s that a training step is taken to reach, and that in words."""
    at_cpu = device == "cpu"
    share, kind = (CPU_SHARE_OF_FP32, "fp32 matrix speed") if at_cpu else (SHARE_OF_PEAK, "matrix speed")
    rate = _rate(device, precision != "fp32" and not at_cpu)
    return rate * share, f"{100 * share:.0f} % of this machine's {kind}"


@cache
def _rate(device: str, short: bool) -> float:
    """FLOP/s of a large matrix product on this machine, in 16 bits or 32, the best of a moment."""
    import time

    import torch

    dtype, side = torch.bfloat16 if short else torch.float32, 8192 if device == "cuda" else 1024
    a = torch.ones(side, side, device=device, dtype=dtype)
    float((a @ a)[0, 0])
    fastest = math.inf  # of several rounds: others on the machine only ever slow one down
    for _ in range(5):
        start = time.perf_counter()
        b = a @ a
        float(b[0, 0])
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest


def _cost(chain: Chain, phase: str) -> tuple[int, float, float]:
    """Parameters, forward and backward FLOPs and bytes saved for backward of one sample, counted on the meta device.

    Pre-training counts a sample's losses where the method says what a sample looks like, else one pass of the encoder
    over one crop, a lower bound. A backward pass of such a network is taken as two forward passes. '' is fine-tuning.
    """
    import torch

    from bench import registry

    plan = chain.blueprint
    sight = chain.sight if phase and chain.sight else plan.setup.sight
    with torch.device("meta"):
        if phase and plan.method.build is not None and plan.phases[phase].steps:
            method = plan.method.build(plan.phases if len(plan.phases) > 1 else plan.phases[phase], sight)
            if has_blank(method):
                sample = cost_of_sample(method, next(known for known in method.phases if known.name == phase))
                return _parameters(method), float(sample.flops), float(sample.saved_bytes)
        kind: Any = registry.kind(chain.words.task.kind)
        encoder = plan.method.encoder(plan.architecture, sight)
        net = encoder if phase else kind.build_net(plan.setup, encoder, plan.method.decoder, 0)
        # two, for a norm over the batch can't take one where its map is a voxel
        volumes = torch.empty(2, sight.channels, *sight.shape)
        both = cost_of(lambda: net(volumes))
    return _parameters(net), 3.0 * both.flops / 2, both.saved_bytes / 2


def _parameters(net: Any) -> int:
    return sum(p.numel() for p in net.parameters())


def _measured_speed(log: Path) -> tuple[float, int]:
    """Samples per second of a log's last line that has them, and its step; (0, 0) when there is none."""
    if not log.exists():
        return 0.0, 0
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip().endswith("}")]
    last: dict[str, Any] = next((line for line in reversed(lines) if line.get("samples_per_s")), {})
    return float(last.get("samples_per_s", 0.0)), int(last.get("step", 0))


def _cache_bytes(chain: Chain, phase: str) -> float:
    """About what the cache of a job's volumes takes, of a corpus in its pre-training: files on disk are a fair guess, both are
    compressed. A file of many cases counts once, a folder of slices with what lies in it."""
    corpus, cases = chain.words.corpus, chain.words.cases
    if phase and corpus is not None:
        members = corpus.members
    else:
        members = ((cases.folder, tuple(cases.pick((*cases.here.train, *cases.here.val, *cases.here.test)))),)
    paths = {folder / image.path for folder, records in members for record in records for image in record.images}
    return float(sum(_bytes(path) for path in paths))


def _bytes(path: Path) -> int:
    """Bytes of an image's files: of one file, of all in a folder, of a MetaImage's header and the voxels beside it."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    beside = (path.with_suffix(end) for end in (".raw", ".zraw")) if path.suffix == ".mhd" else ()
    return path.stat().st_size + sum(file.stat().st_size for file in beside if file.is_file())
