"""When a batch does not fit into memory, its losses are no numbers or cannot be compiled: go on as long as that is honest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from bench.contracts.errors import PluginBroken, TrainingStopped
from bench.contracts.method import Phase
from bench.train.hardware import described
from bench.train.standing import Standing

MOST_SKIPPED_IN_A_ROW = 3
MOST_OVERFLOWS_IN_A_ROW = 30  # the fp16 scale starts at 2**16: after so many halvings nothing is left of it


def halved(now: Standing, phase: Phase, device: torch.device, step: int) -> Standing:
    """The standing with half the micro-batch; the effective batch stays. `step` counts from 1.

    Raises TrainingStopped when the batch may not be split or is down to one sample.
    """
    size = now.micro_batch
    if not phase.splits_batch:
        raise TrainingStopped(
            f"a batch of {size} does not fit into the memory of {described(device)}, and the loss of phase "
            f"'{phase.name}' looks at the whole batch, so that it cannot be split.",
            remedy="Set the largest batch that fits with `--set batch_size=N`; it changes the result, hence the key.",
        )
    if size == 1:
        raise TrainingStopped(
            f"not even one sample of phase '{phase.name}' fits into the memory of {described(device)}.",
            remedy="Try `--set precision=bf16`, a smaller crop or network, or a larger device.",
        )
    note = f"out of memory at step {step}: micro-batch halved from {size} to {size // 2}"
    return replace(now, micro_batch=size // 2, notes=(*now.notes, note))


def demand_compiled(error: RuntimeError, turn: str) -> None:
    """Raises TrainingStopped for an error of torch's compiler, such as a machine without gcc; any other passes."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "TorchDynamoException" in kinds:  # by name, for its module takes seconds to import
        raise TrainingStopped(
            f"the loss of turn '{turn}' could not be compiled ({str(error).strip().splitlines()[0]}).",
            remedy="Install a C++ compiler such as gcc, or train uncompiled with `--set compile=false`, which takes longer.",
        ) from error


def skipped(now: Standing, loss: float, *, scaled: bool) -> tuple[Standing, dict[str, object]]:
    """The standing with one more update left out, and its log record without step and cases.

    With a gradient scaler (fp16), a finite loss whose gradients are out of range is the scaler's daily work and no sign
    of bad data: it is counted apart and may happen more often.
    """
    overflow = scaled and math.isfinite(loss)
    after = replace(
        now,
        skipped=now.skipped + 1,
        skipped_in_a_row=now.skipped_in_a_row + (not overflow),
        overflows_in_a_row=now.overflows_in_a_row + overflow,
    )
    what = "gradients" if math.isfinite(loss) else "losses"
    row = after.overflows_in_a_row if overflow else after.skipped_in_a_row
    return after, {"skipped": what, "in_a_row": row}


def demand_hope(now: Standing, phase: Phase, step: int, cases: Sequence[str]) -> None:
    """Raise TrainingStopped, naming the last batch's cases, when too many updates in a row were left out."""
    if now.skipped_in_a_row <= MOST_SKIPPED_IN_A_ROW and now.overflows_in_a_row <= MOST_OVERFLOWS_IN_A_ROW:
        return
    row = max(now.skipped_in_a_row, now.overflows_in_a_row)
    raise TrainingStopped(
        f"phase '{phase.name}': losses or gradients were undefined (NaN or infinite) in {row} steps in a row, up to "
        f"step {step}. Cases of the last batch: {', '.join(cases)}.",
        remedy="Look at these volumes; if they are sound, lower the rate with `--set lr=...` or use "
        "`--set precision=fp32`.",
    )


@torch.no_grad()
def put_back(model: nn.Module, buffers: dict[str, Tensor]) -> None:
    """Undo what a forward pass that does not count did to running statistics and queues."""
    for name, value in model.named_buffers():
        if name in buffers:
            value.copy_(buffers[name])


def plain_numbers(model: nn.Module) -> dict[str, float]:
    """The numbers that modules keep as attributes of their own, by name: no checkpoint holds them."""
    return {
        f"{name}.{key}".lstrip("."): value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, (int, float))
    }


def demand_kept(before: dict[str, float], model: nn.Module) -> None:
    """PluginBroken where `after_step` moved such a number: a training that is resumed would go on from its first value."""
    now = plain_numbers(model)
    moved = next((name for name in now if not _same(before.get(name, now[name]), now[name])), None)
    if moved is not None:
        raise PluginBroken(
            f"`after_step` changes '{moved}', an attribute that no checkpoint holds: a resumed training would end otherwise.",
            remedy=f"Keep it in a buffer: self.register_buffer('{moved.rpartition('.')[2]}', torch.tensor(...)), and fill_() it.",
        )


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
