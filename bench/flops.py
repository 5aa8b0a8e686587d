"""Our own count of a method's operations, so that methods can be compared: papers give figures without their convention.

Source   torch's flop counter, on the meta device: a product of n x k and k x m numbers is 2 n k m
Changes  the backward pass of grouped convolutions, which torch counts as if they were not grouped
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.contracts.cards import MethodCard
from bench.contracts.configs import Intensity, Shape3, Sight, phases

CONVENTION = (
    "a multiplication and an addition count as two; matrix products and convolutions only; encoder: one forward pass of "
    "the fine-tuning encoder over one volume of one channel; pretrain_sample: forward and backward pass of every loss of "
    "one sample at the method's own crop"
)
INPUT: Shape3 = (96, 96, 96)  # ours, the same for every method
SPACING = (1.5, 1.5, 2.0)


@dataclass(frozen=True)
class Cost:
    """Operations of a call, and bytes it keeps for its backward pass."""

    flops: int
    saved_bytes: int


def count_flops(card: MethodCard) -> dict[str, Any]:
    """Operations of a method at preset full: `encoder`, `input_voxels`, `convention`, and `pretrain_sample` per phase.

    `pretrain_sample` is there where the method trains and says what one of its samples looks like (`Method.blank`).
    """
    import torch

    config = list(phases(card.full).values())[-1]
    with torch.device("meta"):
        encoder = card.encoder(config, Sight(1, INPUT, SPACING, Intensity("hu")))
        volume = torch.empty(1, 1, *INPUT)
        with torch.no_grad():
            counted: dict[str, Any] = {"encoder": cost_of(lambda: encoder(volume)).flops}
    counted["input_voxels"] = list(INPUT)
    if card.build is not None:
        sight = Sight(1, config.crop, SPACING, Intensity("hu"))
        with torch.device("meta"):
            method = card.build(card.full if isinstance(card.full, dict) else config, sight)
            if has_blank(method):
                counted["pretrain_sample"] = {
                    phase.name: cost_of_sample(method, phase).flops for phase in method.phases
                }
    return {**counted, "convention": CONVENTION}


def has_blank(method: Any) -> bool:
    """Whether a method says what a sample of it looks like."""
    from bench.contracts.method import Method

    return type(method).blank is not Method.blank


def cost_of_sample(method: Any, phase: Any) -> Cost:
    """Every turn of a phase over one blank sample, forward and backward, on the meta device."""
    import torch

    def step() -> None:
        batch = method.blank(phase.name)
        for turn in phase.turns:
            method.begin_turn(turn.name)
            loss = torch.stack(list(turn.counted(turn.loss(batch)).values())).sum()
            moved = turn.parameters() if turn.parameters else method.parameters()
            torch.autograd.grad(loss, [p for p in moved if p.requires_grad], allow_unused=True)

    return cost_of(step)


def cost_of(call: Callable[[], Any]) -> Cost:
    """What a call costs; attention is written out, so that its two products are counted on any device."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    saved: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel() * tensor.element_size())
        return tensor

    own = {torch.ops.aten.convolution_backward: _convolution_backward}
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=own) as counter:
        call()
    return Cost(counter.get_total_flops(), sum(saved))


def _convolution_backward(
    gradient: Sequence[int],
    x: Sequence[int],
    weight: Sequence[int],
    _bias: object,
    _stride: object,
    _padding: object,
    _dilation: object,
    transposed: bool,
    _output_padding: object,
    _groups: int,
    wanted: Sequence[bool],
    **_: object,
) -> int:
    """Each gradient costs what the forward pass does. Torch's own rule forgets that the weight's is grouped too: it counts
    a depth-wise convolution's once for every pair of channels."""
    from torch.utils.flop_counter import conv_flop_count

    return sum(wanted[:2]) * conv_flop_count(list(x), list(weight), list(gradient), transposed=transposed)
