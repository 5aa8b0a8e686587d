"""What hiding patches saves in an encoder pass of MAE3D and MiM, measured in one run: `make bench-methods`.

    python -m tests.benchmarks.masked [--out FILE.json] [--rounds 7]

One volume of 96^3 voxels (216 tokens), fp32, forward and backward through the encoder alone. Sizes are reduced so that one
core is done within a minute: a ViT of width 384 and 6 blocks; MiM's hybrid at half its widths, 24-48-96-192, with blocks
1-1-1-11 for 2-2-2-11. Ratios are timed in turn, round by round, and medians compared with ratio 0; FLOPs are counted
(a multiplication and an addition are two). MiM's transformer is timed alone as well, and its whole pass beside the
released code's way at the same ratio: local stages over all voxels, hidden ones multiplied by 0. Nothing fails here; the
JSON says which goal was met.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Sight
from bench.data.atomic import write_json
from bench.flops import cost_of
from bench.nets.conv3d import MaskedConvEncoder
from bench.nets.vit3d import ViT3D
from methods.parts.masks import kept_count, random_hidden
from tests.benchmarks.measured import machine
from tests.nets.masked_maps import lit, tokens_over_all

SIGHT = Sight(1, (96, 96, 96), None, Intensity("hu"))
TOKENS = 216
RATIOS = (0.0, 0.5, 0.6, 0.75, 0.9)
PEER = "mim_over_all_voxels"
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
        PEER: lambda ratio: over_all(hybrid, volume, ratio),
        "mim_transformer": lambda ratio: through(hybrid.stage4, torch.randn(1, kept_count(TOKENS, ratio), 192)),
    }


def passed(encoder: ViT3D | MaskedConvEncoder, volume: Tensor, ratio: float) -> Call:
    """A pass over what is visible at a ratio; which tokens that is was drawn before."""
    keep = ~random_hidden(1, TOKENS, ratio, "cpu")
    return lambda: encoder.tokens(volume, keep=keep, visible=kept_count(TOKENS, ratio))


def over_all(encoder: MaskedConvEncoder, volume: Tensor, ratio: float) -> Call:
    """The same pass as the released code writes it."""
    keep = ~random_hidden(1, TOKENS, ratio, "cpu")
    masks = [lit(keep, encoder.grid, side) for side in (8, 4, 2)]
    return lambda: tokens_over_all(encoder, volume, keep, masks)


def through(blocks: nn.ModuleList, tokens: Tensor) -> Call:
    return lambda: functools.reduce(lambda x, block: block(x), blocks, tokens)


def seconds(call: Call) -> float:
    begin = time.perf_counter()
    call().sum().backward()
    return time.perf_counter() - begin


def flops(call: Call) -> int:
    return cost_of(lambda: call().sum().backward()).flops


def measured(made: Mapping[str, Callable[[float], Call]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """One row per mask ratio, of every pass."""
    calls = {(name, ratio): make(ratio) for name, make in made.items() for ratio in RATIOS}
    taken: dict[tuple[str, float], list[float]] = {each: [] for each in calls}
    for n in range(rounds + 1):
        for each, call in calls.items():
            found = seconds(call)
            taken[each] += [found] if n else []  # the first warms up
    medians = {each: statistics.median(times) for each, times in taken.items()}
    counted = {each: flops(call) for each, call in calls.items()}
    return {
        name: [
            {
                "pass": name,
                "mask_ratio": ratio,
                "visible_tokens": kept_count(TOKENS, ratio),
                "seconds": round(medians[name, ratio], 4),
                "gflops": round(counted[name, ratio] / 1e9, 2),
                "time_ratio": round(medians[name, ratio] / medians[name, 0.0], 3),
                "flop_ratio": round(counted[name, ratio] / counted[name, 0.0], 3),
            }
            for ratio in RATIOS
        ]
        for name in made
    }


def main() -> None:
    """Measure, print the ratios, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds; one more warms up")
    asked = parser.parse_args()
    told = machine(["torch"])
    by_pass = measured(contenders(), asked.rounds)
    rows = [row for found in by_pass.values() for row in found]
    goals = {
        f"{name}: the {what} of a pass falls with every step of the mask ratio": all(
            later[key] < earlier[key] for earlier, later in pairwise(found)
        )
        for name, found in by_pass.items()
        if name != PEER
        for what, key in (("time", "seconds"), ("count of operations", "gflops"))
    }
    against = {
        str(ours["mask_ratio"]): round(ours["seconds"] / theirs["seconds"], 3)
        for ours, theirs in zip(by_pass["mim"], by_pass[PEER], strict=True)
    }
    goals["mim: a pass is faster than the one over all voxels wherever something is hidden"] = all(
        share < 1 for ratio, share in against.items() if float(ratio)
    )
    for row in rows:
        shares = f"{row['time_ratio']} of the time, {row['flop_ratio']} of the FLOPs"
        print(f"{row['pass']} at mask ratio {row['mask_ratio']}: {row['visible_tokens']} tokens, {shares}")
    print(f"mim's pass over one over all voxels, by mask ratio: {against}")
    print(json.dumps(goals, indent=1))
    if asked.out:
        told |= {"threads": torch.get_num_threads()}
        write_json(asked.out, {"machine": told, "rows": rows, "mim_over_peer": against, "goals": goals})


if __name__ == "__main__":
    main()
