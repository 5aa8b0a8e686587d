"""A training step of our networks beside the same network built by MONAI, measured in one run: `make bench-methods`.

    python -m tests.benchmarks.networks [--out FILE.json] [--rounds 15] [--side 64]

Three pairs at their papers' sizes, batch 1, one channel, fp32, forward and backward without an optimiser: UNETR with ViT-B and
features of 16, Swin-UNETR with features of 48 (14 classes each), and a masked autoencoder with ViT-B, 75 % hidden, and a decoder of
8 blocks of width 384. Contenders are timed in turn, round by round, and medians compared; peak memory is the kernel's high-water
mark of a step above what was resident, each in a process of its own. Goals (ours): at most 1.05 times MONAI's
time and memory. Nothing fails here; the JSON says which goal was met.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.masked_autoencoder_vit import MaskedAutoEncoderViT
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unetr import UNETR
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Sight
from bench.data.atomic import write_json
from bench.nets.decoders import build_decoder
from methods.mae3d import MAE3D, MAE3DConfig
from methods.swin_unetr_scratch import SwinUNETRConfig
from methods.swin_unetr_scratch import build_encoder as build_swin
from methods.unetr_scratch import UNETRConfig, build_encoder
from tasks.kinds.segmentation import SegmentationNet
from tests.benchmarks.measured import machine, timed

CLASSES, FEATURE, MOST = 14, 16, 1.05
Step = Callable[[], Tensor]


def our_unetr(side: int) -> Step:
    encoder = build_encoder(UNETRConfig(), _sight(side))
    net = SegmentationNet(encoder, build_decoder("unetr", encoder=encoder, in_channels=1, classes=CLASSES))
    return _squared(net, side)


def monai_unetr(side: int) -> Step:
    net = UNETR(1, CLASSES, (side,) * 3, feature_size=FEATURE, norm_name="instance", res_block=True)
    return _squared(net, side)


def our_swin_unetr(side: int) -> Step:
    encoder = build_swin(SwinUNETRConfig(), _sight(side))
    return _squared(
        SegmentationNet(encoder, build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=CLASSES)), side
    )


def monai_swin_unetr(side: int) -> Step:
    return _squared(SwinUNETR(1, CLASSES, feature_size=48, downsample="mergingv2"), side)


def our_mae(side: int) -> Step:
    method = MAE3D(MAE3DConfig(crop=(side,) * 3), _sight(side))
    batch = {"volume": _volume(side)}
    return lambda: method.loss(batch)["rebuild"]


def monai_mae(side: int) -> Step:
    net = MaskedAutoEncoderViT(
        1,
        (side,) * 3,
        16,
        num_layers=12,
        mlp_dim=3072,
        masking_ratio=0.75,
        decoder_hidden_size=384,
        decoder_mlp_dim=1536,
        decoder_num_layers=8,
        decoder_num_heads=12,
    )
    volume = _volume(side)

    def step() -> Tensor:
        rebuilt, hidden = net(volume)  # (1, N, P), (1, N) 1 = hidden
        error: Tensor = ((rebuilt - rebuilt.detach().mean()).square().mean(-1) * hidden).sum() / hidden.sum()
        return error

    return step


PAIRS: dict[str, tuple[Callable[[int], Step], Callable[[int], Step]]] = {
    "unetr": (our_unetr, monai_unetr),
    "swin-unetr": (our_swin_unetr, monai_swin_unetr),
    "masked autoencoder": (our_mae, monai_mae),
}


def _sight(side: int) -> Sight:
    return Sight(1, (side,) * 3, None, Intensity("hu"))


def _volume(side: int) -> Tensor:
    return torch.rand(1, 1, side, side, side, generator=torch.Generator().manual_seed(0))


def _squared(net: nn.Module, side: int) -> Step:
    volume = _volume(side)
    return lambda: net(volume).square().mean()


def taken(step: Step) -> float:
    begun = time.perf_counter()
    step().backward()
    return time.perf_counter() - begun


def peak_mib(pair: str, whose: int, side: int) -> float:
    """What a step needs above the network that is already there."""
    step = PAIRS[pair][whose](side)
    return timed(lambda: step().backward())[2]


def compared(pair: str, side: int, rounds: int) -> dict[str, Any]:
    """Medians of both, their memory, and ours over theirs."""
    torch.manual_seed(0)
    steps = [make(side) for make in PAIRS[pair]]
    times: list[list[float]] = [[], []]
    for turn in range(rounds + 1):
        for kept, step in zip(times, steps, strict=True):
            seconds = taken(step)
            if turn:  # the first round warms up
                kept.append(seconds)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as fresh:
        memory = [fresh.submit(peak_mib, pair, whose, side).result() for whose in (0, 1)]
    ours, theirs = (statistics.median(kept) for kept in times)
    return {
        "network": pair,
        "seconds": {"ours": round(ours, 3), "monai": round(theirs, 3)},
        "peak_mib": {"ours": round(memory[0]), "monai": round(memory[1])},
        "time_ratio": round(ours / theirs, 3),
        "memory_ratio": round(memory[0] / memory[1], 3),
    }


def main() -> None:
    """Measure, print the ratios, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds; one more warms up")
    parser.add_argument("--side", type=int, default=64, help="voxels a side, a multiple of 16")
    asked = parser.parse_args()
    told = machine(["torch", "monai"]) | {"threads": torch.get_num_threads()}
    rows = [compared(pair, asked.side, asked.rounds) for pair in PAIRS]
    goals = {
        f"{row['network']}: at most {MOST} of MONAI's {what}": row[f"{what}_ratio"] <= MOST
        for row in rows
        for what in ("time", "memory")
    }
    for row in rows:
        print(json.dumps(row))
    print(json.dumps(goals, indent=1))
    if asked.out:
        write_json(asked.out, {"machine": told, "side": asked.side, "rows": rows, "goals": goals})


if __name__ == "__main__":
    main()
