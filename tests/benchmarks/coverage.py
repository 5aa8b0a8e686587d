"""How often 95 % intervals hold the true mean: Student's t and BCa over 20, 50 and 200 cases of four kinds of scores.

    python -m tests.benchmarks.coverage [--draws 4000] [--resamples 1999] [--out results/benchmarks/coverage.json]

Each draw is a test set from a source whose mean is known. `normal` is the textbook; `dice` is skewed to the left (Beta(8, 2));
`dice-failures` loses one case in twelve to 0; `distance` is skewed to the right (log-normal, like HD95 in mm).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.atomic import write_json
from bench.stats.intervals import bootstrap_interval, t_interval
from tests.benchmarks.measured import machine

Source = Callable[[np.random.Generator, int], NDArray[np.float64]]
FAILURES = 1 / 12
SIZES = (20, 50, 200)
SCORES: dict[str, tuple[Source, float]] = {
    "normal": (lambda draw, n: draw.normal(0.8, 0.1, n), 0.8),
    "dice": (lambda draw, n: draw.beta(8, 2, n), 0.8),
    "dice-failures": (lambda draw, n: draw.beta(8, 2, n) * (draw.random(n) > FAILURES), 0.8 * (1 - FAILURES)),
    "distance": (lambda draw, n: draw.lognormal(1.0, 0.8, n), math.exp(1.0 + 0.8**2 / 2)),
}


def coverage(scores: str, n: int, *, draws: int, resamples: int, seed: int = 0) -> dict[str, float]:
    """The share of draws whose interval holds the true mean, for t and BCa."""
    source, mean = SCORES[scores]
    draw = np.random.default_rng([seed, n])
    held = {"t": 0, "bca": 0}
    for k in range(draws):
        values = source(draw, n)
        for name, found in (
            ("t", t_interval(values)),
            ("bca", bootstrap_interval(values, seed=k, resamples=resamples)),
        ):
            held[name] += found.low <= mean <= found.high
    return {name: count / draws for name, count in held.items()}


def main() -> None:
    """Simulate, print, and keep where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4_000)
    parser.add_argument("--resamples", type=int, default=1_999)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for scores in SCORES:
        for n in SIZES:
            rows.append({"scores": scores, "n": n, **coverage(scores, n, draws=asked.draws, resamples=asked.resamples)})
            print(f"{scores:<14} n {n:<4} t {rows[-1]['t']:.3f}  BCa {rows[-1]['bca']:.3f}", flush=True)
    kept = {
        "what": "share of 95 % intervals that hold the true mean",
        "command": f"python -m tests.benchmarks.coverage --draws {asked.draws} --resamples {asked.resamples}",
        "standard_error": round(math.sqrt(0.95 * 0.05 / asked.draws), 4),
        "draws": asked.draws,
        "resamples": asked.resamples,
        "rows": rows,
        "machine": machine(("numpy", "scipy")),
    }
    if asked.out:
        write_json(asked.out, kept)


if __name__ == "__main__":
    main()
