"""What hiding patches saves in an encoder pass of MAE3D and MiM, measured in one run: `make bench-methods`.

    python -m tests.benchmarks.masked [--out FILE.json] [--rounds 7]

One volume of 96^3 voxels (216 tokens), fp32, forward and backward through the encoder alone. Sizes are reduced so that one
core is done within a minute: a ViT of width 384 and 6 blocks; MiM's hybrid at half its widths, 24-48-96-192, with blocks
1-1-1-11 for 2-2-2-11. Ratios are timed in turn, round by round, and medians compared with ratio 0; FLOPs are counted
(a multiplication and an addition are two). MiM's three convolution stages run over all voxels, hidden ones too, which keep a
residual stream; only its transformer, timed alone as well, leaves hidden tokens out, so that the whole falls to a floor.
Nothing fails here; the JSON says which goal was met.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts.cards import Intensity, Sight
from bench.data.atomic import write_json
from bench.flops import cost_of
from bench.nets.conv3d import MaskedConvEncoder
from bench.nets.vit3d import ViT3D
from methods.parts.masks import kept_count, random_hidden
from tests.benchmarks.measured import machine

SIGHT = Sight(1, (96, 96, 96), None, Intensity("hu"))
TOKENS = 216
RATIOS = (0.0, 0.5, 0.75, 0.9)
Call = Callable[[], Tensor]


def contenders() -> dict[str, Callable[[float], Call]]:
    """What is timed, given a mask ratio: the encoder of each method, and of MiM's the transformer alone."""
    torch.manual_seed(0)
    vit = ViT3D(SIGHT, width=384, depth=6, heads=6, patch=(16, 16, 16), skips=(6,))
    hybrid = MaskedConvEncoder(SIGHT, widths=(24, 48, 96, 192), depths=(1, 1, 1, 11), heads=6)
    volume = torch.randn(1, 1, *SIGHT.shape)
    return {
        "mae3d": lambda ratio: passed(vit, volume, ratio),
        "mim": lambda ratio: passed(hybrid, volume, ratio),
        "mim_transformer": lambda ratio: through(hybrid.stage4, torch.randn(1, kept_count(TOKENS, ratio), 192)),
    }


def passed(encoder: ViT3D | MaskedConvEncoder, volume: Tensor, ratio: float) -> Call:
    """A pass over what is visible at a ratio; which tokens that is was drawn before."""
    keep = ~random_hidden(1, TOKENS, ratio, "cpu")
    return lambda: encoder.tokens(volume, keep=keep, visible=kept_count(TOKENS, ratio))


def through(blocks: nn.ModuleList, tokens: Tensor) -> Call:
    return lambda: functools.reduce(lambda x, block: block(x), blocks, tokens)


def seconds(call: Call) -> float:
    begin = time.perf_counter()
    call().sum().backward()
    return time.perf_counter() - begin


def flops(call: Call) -> int:
    return cost_of(lambda: call().sum().backward()).flops


def measured(name: str, made: Callable[[float], Call], rounds: int) -> list[dict[str, Any]]:
    """One row per mask ratio."""
    calls = {ratio: made(ratio) for ratio in RATIOS}
    taken: dict[float, list[float]] = {ratio: [] for ratio in RATIOS}
    for n in range(rounds + 1):
        for ratio, call in calls.items():
            found = seconds(call)
            taken[ratio] += [found] if n else []  # the first warms up
    medians = {ratio: statistics.median(times) for ratio, times in taken.items()}
    counted = {ratio: flops(call) for ratio, call in calls.items()}
    return [
        {
            "pass": name,
            "mask_ratio": ratio,
            "visible_tokens": kept_count(TOKENS, ratio),
            "seconds": round(medians[ratio], 4),
            "gflops": round(counted[ratio] / 1e9, 2),
            "time_ratio": round(medians[ratio] / medians[0.0], 3),
            "flop_ratio": round(counted[ratio] / counted[0.0], 3),
        }
        for ratio in RATIOS
    ]


def main() -> None:
    """Measure, print the ratios, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds; one more warms up")
    asked = parser.parse_args()
    told = machine(["torch"])
    by_pass = {name: measured(name, made, asked.rounds) for name, made in contenders().items()}
    rows = [row for found in by_pass.values() for row in found]
    goals = {
        f"{name}: the {what} of a pass falls with every step of the mask ratio": all(
            later[key] < earlier[key] for earlier, later in pairwise(found)
        )
        for name, found in by_pass.items()
        for what, key in (("time", "seconds"), ("count of operations", "gflops"))
    }
    for row in rows:
        shares = f"{row['time_ratio']} of the time, {row['flop_ratio']} of the FLOPs"
        print(f"{row['pass']} at mask ratio {row['mask_ratio']}: {row['visible_tokens']} tokens, {shares}")
    print(json.dumps(goals, indent=1))
    if asked.out:
        write_json(asked.out, {"machine": told, "threads": torch.get_num_threads(), "rows": rows, "goals": goals})


if __name__ == "__main__":
    main()
