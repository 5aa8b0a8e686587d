"""SPAD's reduced kernels beside the base network on anisotropic input, measured in one run: `make bench-methods`.

    python -m tests.benchmarks.anisotropy [--out FILE.json] [--rounds 5]

A crop of 64 / 2^DA slices of 128 x 128 voxels, one sample, fp32, forward and backward. Without adaptation a network needs
voxels as deep as wide to make the same tokens: the base network (the same weights, unreduced) gets every slice 2^DA times.
Contenders are the whole tokenizer and the transformer's patch embedding at width 768; and one 3 x 3 x 3 convolution of 128
channels on one and the same map, reduced and not. They are timed in turn, round by round, and medians compared; FLOPs are
counted by torch (a multiplication and an addition are two). Nothing fails here; the JSON says which goal was met.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.data.atomic import write_json
from bench.nets.spad import Grid, SpadConv, SpadDown
from bench.nets.spad_vt import SpadTokenizer
from tests.benchmarks.measured import machine

SIDE, DEPTH = 128, 64
DEGREES = (1, 2, 3, 4)
Call = Callable[[], Tensor]


def networks() -> dict[str, Callable[[Tensor, int], Tensor]]:
    """Name -> network of a depth-first crop (1, 3, D, H, W) and its degree of anisotropy."""
    torch.manual_seed(0)
    tokenizer, embed, conv = SpadTokenizer(), SpadDown(3, 768, 16), SpadConv(128, 128)
    return {
        "tokenizer": lambda x, da: tokenizer(x, da)[0],
        "patch_embedding": lambda x, da: embed(x, Grid(da))[0],
        "one_convolution": lambda x, da: conv(x, Grid(da))[0],
    }


def crops(name: str, da: int) -> tuple[Tensor, Tensor]:
    """What the reduced and what the base network is shown."""
    if name == "one_convolution":
        x = torch.randn(1, 128, DEPTH >> da, SIDE // 4, SIDE // 4)
        return x, x
    x = torch.randn(1, 3, DEPTH >> da, SIDE, SIDE)
    return x, x.repeat_interleave(2**da, 2)


def seconds(call: Call) -> float:
    begin = time.perf_counter()
    call().sum().backward()
    return time.perf_counter() - begin


def flops(call: Call) -> int:
    with FlopCounterMode(display=False) as counter:
        call().sum().backward()
    return counter.get_total_flops()


def at(name: str, network: Callable[[Tensor, int], Tensor], da: int, rounds: int) -> dict[str, Any]:
    """Times and FLOPs of one network at one degree of anisotropy."""
    own, base = crops(name, da)
    calls: dict[str, Call] = {"reduced": lambda: network(own, da), "base": lambda: network(base, 0)}
    taken: dict[str, list[float]] = {way: [] for way in calls}
    for n in range(rounds + 1):
        for way, call in calls.items():
            found = seconds(call)
            taken[way] += [found] if n else []  # the first warms up
    counted = {way: flops(call) for way, call in calls.items()}
    medians = {way: statistics.median(times) for way, times in taken.items()}
    return {
        "network": name,
        "da": da,
        "seconds": {way: round(value, 4) for way, value in medians.items()},
        "gflops": {way: round(value / 1e9, 2) for way, value in counted.items()},
        "time_ratio": round(medians["reduced"] / medians["base"], 3),
        "flop_ratio": round(counted["reduced"] / counted["base"], 3),
    }


def main() -> None:
    """Measure, print the ratios, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds; one more warms up")
    asked = parser.parse_args()
    told = machine(["torch"])
    rows = [at(name, network, da, asked.rounds) for name, network in networks().items() for da in DEGREES]
    goals = {
        "reduced kernels are cheaper than the base network at every anisotropy": all(r["time_ratio"] < 1 for r in rows),
        "they take fewer FLOPs": all(r["flop_ratio"] < 1 for r in rows),
    }
    for row in rows:
        print(f"{row['network']} at DA {row['da']}: {row['time_ratio']} of the time, {row['flop_ratio']} of the FLOPs")
    print(json.dumps(goals, indent=1))
    if asked.out:
        write_json(asked.out, {"machine": told, "threads": torch.get_num_threads(), "rows": rows, "goals": goals})


if __name__ == "__main__":
    main()
