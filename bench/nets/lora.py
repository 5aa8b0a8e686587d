"""LoRA: a frozen encoder learns a low-rank change of its attention and pointwise weights.

Source   Hu et al., ICLR 2022 (arXiv 2106.09685), Sec. 4.1; MiM Tables XIII and XIV use ranks 4, 8 and 16 and name neither
         scale nor layers
Changes  targets are the projections of attention and 1x1x1 convolutions, alpha = 2 r (ours, where MiM is silent)
Shapes   a weight (O, I, ...) flattened to O x I learns B A with A (r, I), B (O, r)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bench.contracts.errors import SpecError

PROJECTIONS = frozenset({"qkv", "proj", "q", "k", "v", "query", "key", "value", "out", "out_proj", "output"})


class LowRank(nn.Module):
    """W -> W + scale * B A. A starts Kaiming-uniform, B at 0, so that an untrained change is none (Sec. 4.1)."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        inputs = weight[0].numel()
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(len(weight), rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def targets(encoder: nn.Module) -> Iterator[nn.Module]:
    """The layers that learn: linear projections of attention, by name, and convolutions of one voxel."""
    for name, part in encoder.named_modules():
        attention = isinstance(part, nn.Linear) and name.rpartition(".")[2] in PROJECTIONS
        pointwise = isinstance(part, nn.Conv3d) and math.prod(part.kernel_size) == 1 and part.groups == 1
        if attention or pointwise:
            yield part


def adapt(encoder: nn.Module, rank: int, scale: float) -> str:
    """Give each frozen target of an encoder a low-rank change to learn; returns what was added, in words for the record.

    What is frozen is for `bench.nets.freeze` to say, before; a weight that learns as a whole needs no change beside it. Alters
    the module: weights become parametrised until `merge`. Raises SpecError for a rank below 1 and for an encoder without
    frozen targets.
    """
    if rank < 1:
        raise SpecError(f"A low-rank change needs a rank of at least 1, found {rank}.", remedy="--set lora_rank=8")
    found = [(part, weight) for part in targets(encoder) if not (weight := _weight(part)).requires_grad]
    if not found:
        raise SpecError(
            "This encoder has no frozen attention and no frozen 1x1x1 convolution that LoRA could change.",
            remedy="Leave lora_rank at 0, or take a method with a transformer.",
        )
    changes = [LowRank(weight.detach(), rank, scale) for _, weight in found]
    for (part, _), change in zip(found, changes, strict=True):
        parametrize.register_parametrization(part, "weight", change)
    learns = sum(p.numel() for change in changes for p in change.parameters())
    return f"LoRA of rank {rank} in {len(found)} layers of the encoder: {learns:,} numbers"


def _weight(part: nn.Module) -> Tensor:
    weight = part.weight
    assert isinstance(weight, Tensor)
    return weight


@torch.no_grad()
def merge(encoder: nn.Module) -> None:
    """Add the learnt changes to the weights, so that the encoder is again what its class builds."""
    for part in targets(encoder):
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
