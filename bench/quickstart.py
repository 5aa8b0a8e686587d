"""The main job on phantom data: MiM tiny beside a scratch network on two tasks at two label ratios, as a table."""

from __future__ import annotations

import math
import shlex
import shutil
import time
from collections.abc import Callable
from typing import Any

from bench.run import Place, outcome, run
from bench.spec import make_spec
from bench.table import render_table

METHODS = ("mim", "unet3d_scratch")
TASKS = ("msd04", "btcv")
RATIOS = (0.25, 1.0)


def quickstart(place: Place, say: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Run 2 methods x 2 tasks x 2 ratios on smoke phantoms; returns what `bench run --json` would say of each cell."""
    tell = say or (lambda _: None)
    begun = time.monotonic()
    tell("Phantom volumes stand in for real data: these numbers show that the pipe holds, not what a method can do.\n")
    told = []
    for task in TASKS:
        for method in METHODS:
            for ratio in RATIOS:
                corpus = "" if method.endswith("_scratch") else "own"
                spec = make_spec(method=method, task=task, ratio=ratio, preset="tiny", corpus=corpus, phantom=True)
                cell = run(spec, place)
                assert cell is not None  # one process
                told.append(outcome(cell, place.results))
                dice = cell.scores["dice"]
                tell(f"{spec.words()}\n  -> dice {math.nan if dice is None else dice:.3f} over {cell.n} cases")
    tell("")
    tell(render_table(place.results, "all", "dice", "rich"))
    tell(_next_steps(place, time.monotonic() - begun))
    return told


def _next_steps(place: Place, seconds: float) -> str:
    results = place.results
    activate = "" if shutil.which("bench") else "  source .venv/bin/activate\n"
    return f"""Done in {seconds:.0f} s.

Where things are
  {results}/cells/           one JSON per run: config, hashes, versions, scores
  {results}/cases/           one Parquet per run: a row per case, class and metric
  {results}/runs/            encoders, models, logs, curves.png, predictions, overlays

What to type next
{activate}  bench table msd04 --results {shlex.quote(str(results))} --format md
  bench show mim
  bench run --method mim --task msd04 --ratio 0.25 --preset small --corpus own --root DIR   (real data: bench show msd04)
"""
