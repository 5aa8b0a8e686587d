"""How far a training has come: everything a checkpoint holds besides the weights' own containers."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from bench.contracts.errors import StoreError
from bench.train.log import Window

FORMAT = 1  # of the checkpoint; a reader refuses others


@dataclass(frozen=True)
class Standing:
    """Where a training stands after `step` finished steps. `seconds` and `window` go on over restarts.

    `micro_batch` is what fits the device; `asked_micro_batch` the setting it began from. `best_state` is kept on the
    CPU, and only if the job keeps the best. `best_score` is NaN, and `best_step` None, before a defined evaluation.
    """

    step: int = 0
    micro_batch: int = 0
    asked_micro_batch: int = 0
    samples_seen: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    overflows_in_a_row: int = 0
    wait_s: float = 0.0
    busy_s: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0
    best_step: int | None = None
    best_score: float = math.nan
    best_state: Mapping[str, Tensor] | None = None
    initial_sha256: str = ""
    notes: tuple[str, ...] = ()
    window: Window = field(default_factory=Window)

    def without_sums(self) -> Standing:
        """This standing where another rank holds the sums of all since the last line."""
        return dataclasses.replace(self, window=dataclasses.replace(self.window, named={}))

    def advanced(self, samples: int, wait_s: float, busy_s: float) -> Standing:
        """The standing one step later."""
        return dataclasses.replace(
            self,
            step=self.step + 1,
            samples_seen=self.samples_seen + samples,
            wait_s=self.wait_s + wait_s,
            busy_s=self.busy_s + busy_s,
            window=self.window.timed(samples, wait_s, busy_s),
        )


def packed(standing: Standing) -> dict[str, Any]:
    """A standing as plain values and tensors. Its window must have been fetched."""
    state = {part.name: getattr(standing, part.name) for part in dataclasses.fields(standing)}
    window = {part.name: getattr(standing.window, part.name) for part in dataclasses.fields(Window)}
    return {**state, "window": window, "notes": list(standing.notes)}


def unpacked(state: Mapping[str, Any]) -> Standing:
    """The standing that `packed` wrote."""
    return Standing(**{**state, "window": Window(**state["window"]), "notes": tuple(state["notes"])})


def demand_own(state: Mapping[str, Any], *, key: str, phase: str, path: Path) -> None:
    """Raise StoreError if a checkpoint's state is of another key, phase or format."""
    if state.get("format") != FORMAT:
        raise StoreError(
            f"checkpoint of format {state.get('format')}, this version reads {FORMAT}.",
            case=str(path),
            remedy="Go on with the version that wrote it, or delete the file to begin anew.",
        )
    if (state["key"], state["phase"]) != (key, phase):
        raise StoreError(
            f"this checkpoint belongs to key {state['key']}, phase '{state['phase']}'; "
            f"asked for key {key}, phase '{phase}'.",
            case=str(path),
            remedy="Choose another folder, or delete the file to begin anew.",
        )


def random_states() -> dict[str, Any]:
    """The states of all global random generators, as plain values and tensors.

    The loop seeds them anew before whatever draws from them, so a resumed training does not lean on these; they are
    kept for what a method may draw outside the loop's calls.
    """
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = cast("tuple[Any, ...]", np.random.get_state(legacy=True))
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.default_generators else [],
        "python": (version, list(words), gauss),
        "numpy": (kind, keys.tolist(), int(position), int(has_gauss), float(cached)),
    }


def restore_random(states: Mapping[str, Any]) -> None:
    """Put `random_states` back; CUDA's only where the number of devices is the same."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available() and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
