"""Prefix attention beside a dense mask and the softmax written out, all measured in one run: `make bench-methods`.

    python -m tests.benchmarks.attention [--out FILE.json] [--rounds 7]

ViT-B's 12 heads of 64 numbers, one sequence, prefix = half, fp32. Every contender starts from the prefix alone: what mask
or table it needs is made inside the call, because it changes with every sample. Contenders are timed in turn, round by
round, and medians compared, because single figures on a shared machine are off by a factor of two; peak memory is the
kernel's high-water mark of a forward call above what was resident. On a CUDA device the same is timed there, in bf16, and
seconds count; on a CPU ratios do. Nothing fails here; the JSON says which goal was met.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.data.atomic import write_json
from bench.nets.prefix_attention import Prefix, prefix_attention
from tests.benchmarks.measured import machine, timed

HEADS, NUMBERS = 12, 64
TOKENS = (514, 2048, 4096)
Way = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def dense(length: int, tokens: int, device: torch.device) -> Tensor:
    """The N x N mask, True = seen."""
    place = torch.arange(tokens, device=device)
    return (place[None] <= place[:, None]) | (place[None] < length)


def with_dense_mask(query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    mask = dense(length, query.shape[2], query.device)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def written_out(query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    seen = dense(length, query.shape[2], query.device)
    logits = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    return logits.masked_fill(~seen, float("-inf")).softmax(-1) @ value


def ours(query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    lengths = torch.tensor([length], device=query.device)
    return prefix_attention(query, key, value, Prefix.of(lengths, query.shape[2]))


WAYS: dict[str, Way] = {"ours": ours, "dense_mask": with_dense_mask, "written_out": written_out}


def drawn(tokens: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    return [torch.randn(1, HEADS, tokens, NUMBERS, generator=source).to(device, dtype) for _ in range(3)]


def seconds(way: Way, given: list[Tensor], *, backward: bool) -> float:
    """One call, with its gradients where asked."""
    inputs = [x.detach().requires_grad_(backward) for x in given]
    begun = time.perf_counter()
    found = way(inputs[0], inputs[1], inputs[2], given[0].shape[2] // 2)
    if backward:
        found.backward(found.detach())
    if given[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def peak_on_host(name: str, tokens: int) -> float:
    """MiB that a forward call needs above its inputs, in a process of its own, whose allocator holds nothing yet."""
    given, way = drawn(tokens, torch.device("cpu"), torch.float32), WAYS[name]
    with torch.no_grad():
        way(*drawn(64, torch.device("cpu"), torch.float32), 32)
        return timed(lambda: way(given[0], given[1], given[2], tokens // 2))[2]


def peak_mib(name: str, given: list[Tensor]) -> float:
    """MiB that a forward call needs above its inputs."""
    way, length = WAYS[name], given[0].shape[2] // 2
    with torch.no_grad():
        if not given[0].is_cuda:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                return fresh.submit(peak_on_host, name, given[0].shape[2]).result()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way(given[0], given[1], given[2], length)
        return (torch.cuda.max_memory_allocated() - before) / 2**20


def at(tokens: int, rounds: int, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Medians of every way at one length, and its largest difference from the softmax written out."""
    given = drawn(tokens, device, dtype)
    times: dict[str, dict[str, list[float]]] = {name: {"forward": [], "both": []} for name in WAYS}
    for turn in range(rounds + 1):
        for name, way in WAYS.items():
            for what, backward in (("forward", False), ("both", True)):
                taken = seconds(way, given, backward=backward)
                if turn:  # the first round warms up and compiles
                    times[name][what].append(taken)
    with torch.no_grad():
        wanted = written_out(*(x.double() for x in given), tokens // 2)
        rows = {
            name: {
                "forward_ms": round(1000 * statistics.median(times[name]["forward"]), 2),
                "forward_and_backward_ms": round(1000 * statistics.median(times[name]["both"]), 2),
                "peak_mib": round(peak_mib(name, given), 1),
                "largest_difference": float((way(*given, tokens // 2).double() - wanted).abs().max()),
            }
            for name, way in WAYS.items()
        }
    mine = rows["ours"]
    ratios = {
        "time_to_dense_mask": mine["forward_ms"] / rows["dense_mask"]["forward_ms"],
        "time_to_dense_mask_with_backward": mine["forward_and_backward_ms"]
        / rows["dense_mask"]["forward_and_backward_ms"],
        "time_to_written_out": mine["forward_ms"] / rows["written_out"]["forward_ms"],
        "memory_to_written_out": mine["peak_mib"] / max(rows["written_out"]["peak_mib"], 0.1),
    }
    return {"tokens": tokens, "ways": rows, "ratios": {name: round(value, 3) for name, value in ratios.items()}}


def goals(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """Which goals this run met."""
    found = {row["tokens"]: row["ratios"] for row in rows}
    return {
        "at 514 tokens no slower than the dense mask": found[514]["time_to_dense_mask"] <= 1,
        "at 514 tokens no slower than the dense mask, gradients too": found[514]["time_to_dense_mask_with_backward"]
        <= 1,
        "at 2048 and 4096 at most 0.8 of the dense mask's time": max(
            found[n]["time_to_dense_mask"] for n in (2048, 4096)
        )
        <= 0.8,
        "at 2048 and 4096 at most 1/20 of the memory written out": max(
            found[n]["memory_to_written_out"] for n in (2048, 4096)
        )
        <= 0.05,
        "equal to the softmax written out to 1e-5": all(
            row["ways"]["ours"]["largest_difference"] <= 1e-5 for row in rows
        ),
    }


def main() -> None:
    """Measure, print the ratios, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds; one more warms up")
    asked = parser.parse_args()
    told = machine(["torch"])
    rows = [at(tokens, asked.rounds, torch.device("cpu"), torch.float32) for tokens in TOKENS]
    result: dict[str, Any] = {"machine": told, "threads": torch.get_num_threads(), "cpu": rows, "goals": goals(rows)}
    if torch.cuda.is_available():
        device = torch.device("cuda")
        result["cuda"] = {
            "device": torch.cuda.get_device_name(),
            "rows": [at(tokens, asked.rounds, device, torch.bfloat16) for tokens in TOKENS],
        }
    for row in rows:
        print(row["tokens"], "tokens:", json.dumps(row["ratios"]))
    print(json.dumps(result["goals"], indent=1))
    if asked.out:
        write_json(asked.out, result)


if __name__ == "__main__":
    main()
