"""LoRA: an encoder stays as pre-training left it, and learns a low-rank change of its attention and pointwise weights.

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
    """Freeze an encoder and give its targets a low-rank change to learn; returns what trains, in words for the record.

    Changes the module: weights become parametrised until `merge`. Raises SpecError for a rank below 1 and for an encoder
    without targets.
    """
    if rank < 1:
        raise SpecError(f"A low-rank change needs a rank of at least 1, found {rank}.", remedy="--set lora_rank=8")
    found = list(targets(encoder))
    if not found:
        raise SpecError(
            "This encoder has no attention and no 1x1x1 convolution that LoRA could change.",
            remedy="Leave lora_rank at 0, or take a method with a transformer.",
        )
    total = sum(p.numel() for p in encoder.parameters())
    encoder.requires_grad_(False)
    for part in found:
        weight = part.weight
        assert isinstance(weight, Tensor)
        parametrize.register_parametrization(part, "weight", LowRank(weight.detach(), rank, scale))
    learns = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    return f"LoRA of rank {rank} in {len(found)} layers: {learns:,} numbers learn beside {total:,} frozen ones of the encoder"


@torch.no_grad()
def merge(encoder: nn.Module) -> None:
    """Add the learnt changes to the weights, so that the encoder is again what its class builds."""
    for part in targets(encoder):
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
