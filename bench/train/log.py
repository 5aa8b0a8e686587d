"""The curve of a training on disk: `log.jsonl`, one object per line, and the sums between two lines.

Every `log_every` steps, and at the end: {"step", "loss", each named loss, "lr", "grad_norm", "wait_share", "seconds",
"samples_per_s"}; per evaluation: {"step", "evaluation"}; per update left out: {"step", "skipped", "in_a_row", "cases"}.
`step` counts finished steps. Losses and the norm are means over the updates since the last such line; `seconds` counts
from the beginning, over all sittings. Undefined numbers are null.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from bench.data.atomic import refused
from bench.train import ranks
from bench.train.checkpoint import whole_or_nothing

Sums = Mapping[str, tuple[Tensor | float, int]]


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line and bring it to the disk, so that no checkpoint is ever ahead of the log. StoreError where the disk refuses."""
    line = json.dumps(defined(record), allow_nan=False) + "\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refused(error, path, "add a line") from error


def cut(path: Path, step: int) -> None:
    """Drop the lines of later steps, and a last line that a kill left unfinished: they will be written again."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _step_of(line) <= step]
    if kept != lines:
        with whole_or_nothing(path) as partial:
            partial.write_text("".join(kept), encoding="utf-8")


def evaluations(path: Path) -> dict[int, float]:
    """Finished steps -> score of each evaluation of a log; the later of two lines of one step holds, {} without a log."""
    return _told(path, "evaluation")


def losses(path: Path) -> dict[int, float]:
    """Finished steps -> mean loss of the updates since the line before; as `evaluations`."""
    return _told(path, "loss")


def ends(path: Path) -> tuple[float, float] | None:
    """Mean losses over the first and the last tenth of a log's lines, for a small batch's loss jumps from line to line; None
    without one."""
    told = [loss for loss in losses(path).values() if math.isfinite(loss)]  # a line may hold no update
    some = max(1, len(told) // 10)
    return (fmean(told[:some]), fmean(told[-some:])) if told else None


def _told(path: Path, name: str) -> dict[int, float]:
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # a last line that a kill left unfinished
        if name in told:
            found[int(told["step"])] = math.nan if told[name] is None else float(told[name])
    return found


def defined(value: Any) -> Any:
    """The value with every NaN and infinity replaced by None, as JSON has no word for them."""
    if isinstance(value, Mapping):
        return {name: defined(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [defined(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


@dataclass(frozen=True)
class Window:
    """Sums since the last line. `named` keeps sum and count per loss, the sums on the device until somebody asks."""

    updates: int = 0
    samples: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    wait_s: float = 0.0
    busy_s: float = 0.0
    named: Sums = field(default_factory=dict)

    def timed(self, samples: int, wait_s: float, busy_s: float) -> Window:
        """This window with one more step's samples and seconds."""
        return replace(self, samples=self.samples + samples, wait_s=self.wait_s + wait_s, busy_s=self.busy_s + busy_s)

    def moved(self, loss: float, grad_norm: float, named: Mapping[str, Tensor]) -> Window:
        """This window with one more update's losses."""
        sums = dict(self.named)
        for name, value in named.items():
            total, count = sums.get(name, (0.0, 0))
            sums[name] = (total + value, count + 1)
        return replace(
            self, updates=self.updates + 1, loss=self.loss + loss, grad_norm=self.grad_norm + grad_norm, named=sums
        )

    def fetched(self, world: int) -> Window:
        """This window with plain numbers, summed over the ranks; waits for the device."""
        totals = [torch.as_tensor(total, dtype=torch.float64) for total, _ in self.named.values()]
        device = next((total.device for total in totals), None)  # fetched together: one wait, not one per loss
        fetched = torch.stack([total.to(device) for total in totals]).tolist() if totals else []
        numbers = {name: (n, count) for n, (name, (_, count)) in zip(fetched, self.named.items(), strict=True)}
        everyone = ranks.gathered(numbers, world)
        sums = {
            name: (sum(other.get(name, (0.0, 0))[0] for other in everyone), count)
            for name, (_, count) in numbers.items()
        }
        return replace(self, named=sums)

    def line(self, step: int, lr: float, seconds: float) -> dict[str, Any]:
        """The record of a fetched window. A loss whose name is a field's own is written as ``loss.<name>``."""
        mean = self.updates or math.nan
        record = {"step": step, "loss": self.loss / mean, "lr": lr, "grad_norm": self.grad_norm / mean}
        record |= {
            "wait_share": self.wait_s / (self.busy_s or math.nan),
            "seconds": round(seconds, 3),
            "samples_per_s": self.samples / (self.busy_s or math.nan),
        }
        named = {name: float(total) / count for name, (total, count) in self.named.items()}
        return record | {f"loss.{name}" if name in record else name: value for name, value in named.items()}
