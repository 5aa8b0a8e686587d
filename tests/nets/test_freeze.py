"""A frozen encoder keeps what pre-training brings to it, in weights and in statistics; what is new in it learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bench.contracts.configs import FineTuneConfig, Intensity, Sight
from bench.contracts.method import Encoder, Features
from bench.nets.adapted_spad_vit import AdaptedSpadViT
from bench.nets.conv3d import HybridEncoder
from bench.nets.freeze import freeze, in_words, still, unbrought
from bench.nets.lora import adapt
from bench.train.schedule import layer_groups

SIGHT = Sight(1, (64, 32, 32), None, Intensity("asis"))
NEW = ("down.", "stage4.0.table", "stage4.0.gamma", "norms.", "twice.", "once.")


def hybrid() -> HybridEncoder:
    torch.manual_seed(0)
    return HybridEncoder(SIGHT, widths=(6, 12, 24, 48), depths=(1, 1, 1, 1), heads=2, drop_path=0.9)


def spad() -> AdaptedSpadViT:
    torch.manual_seed(0)
    return AdaptedSpadViT(SIGHT, da=0, depth_axis=0, width=48, depth=4, heads=4, patch=8, taps=(1, 2, 3, 4))


def volumes() -> torch.Tensor:
    return torch.randn(2, 1, *SIGHT.shape, generator=torch.Generator().manual_seed(1))


class Normed(Encoder):
    """A BatchNorm that pre-training brings, one that it does not, and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.old, self.drop, self.new = nn.BatchNorm3d(1), nn.Dropout(0.5), nn.BatchNorm3d(1)

    def forward(self, volume: torch.Tensor) -> Features:
        found = self.new(self.drop(self.old(volume)))
        return Features([found], found.mean((2, 3, 4)))

    def layers(self) -> list[nn.Module]:
        return [self.old, self.new]

    def declared(self) -> frozenset[str]:
        return frozenset(name for name in self.state_dict() if name.startswith("old."))


@pytest.mark.parametrize("make", [hybrid, spad])
def test_what_pre_training_brings_is_frozen_and_the_rest_is_what_the_optimiser_moves(make: type[Encoder]) -> None:
    encoder = make()
    freeze(encoder)
    learns = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert learns == {name for name, _ in encoder.named_parameters() if name.startswith(NEW)}
    assert learns <= unbrought(encoder)
    groups = layer_groups([*encoder.layers(), nn.Identity()], encoder, FineTuneConfig(weight_decay=0.1), 0.5)
    assert {id(p) for group in groups for p in group["params"]} == {
        id(p) for name, p in encoder.named_parameters() if name in learns
    }


@pytest.mark.parametrize("quiet", [False, True])
def test_brought_statistics_stay_new_ones_move_and_only_a_still_encoder_drops_nothing(quiet: bool) -> None:
    encoder = Normed().train()
    freeze(encoder)
    if quiet:
        still(encoder)
    before = copy.deepcopy(encoder.state_dict())
    encoder(volumes())
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"new.running_mean", "new.running_var", "new.num_batches_tracked"}
    assert encoder.drop.training is not quiet


def test_a_still_hybrid_gives_the_same_twice_and_its_down_block_gathers_statistics() -> None:
    encoder = hybrid().train()
    freeze(encoder)
    still(encoder)
    first, second = encoder(volumes()), encoder(volumes())
    assert torch.equal(first.pooled, second.pooled) and torch.equal(first.maps[-1], second.maps[-1])
    assert int(encoder.down[1].num_batches_tracked) == 2
    assert {part.training for part in encoder.modules() if isinstance(part, nn.GELU)} == {False}


def test_spads_pooled_vector_passes_no_new_tensor_and_the_hybrids_passes_those_that_start_as_no_change() -> None:
    reached = {}
    for make in (hybrid, spad):
        encoder = make().train()
        freeze(encoder)
        still(encoder)
        encoder.requires_grad_(True)
        encoder.pooled(volumes()).square().sum().backward()
        reached[make] = {n for n, p in encoder.named_parameters() if p.grad is not None} & unbrought(encoder)
    assert not reached[spad]
    assert reached[hybrid] == {"stage4.0.table", "stage4.0.gamma1", "stage4.0.gamma2"}
    start = hybrid().state_dict()
    assert not start["stage4.0.table"].any() and bool((start["stage4.0.gamma1"] == 1).all())


@pytest.mark.parametrize("rank", [4, 8, 16])
def test_mim_at_full_size_keeps_the_numbers_that_its_pre_training_hands_over(rank: int) -> None:
    with torch.device("meta"):
        encoder = HybridEncoder(
            Sight(1, (96, 96, 96), None, Intensity("asis")),
            widths=(48, 96, 192, 384),
            depths=(2, 2, 2, 11),
            heads=12,
        )
        freeze(encoder)
        told = adapt(encoder, rank, 2.0)
    # a block of S4: qkv 384 -> 1152 and proj 384 -> 384; one of S1 to S3: W1, W2 (c -> c) and an MLP c -> 4c -> c
    low_rank = rank * (11 * (384 + 1152 + 2 * 384) + 2 * (48 + 96 + 192) * (2 + 2 + 5 + 5))
    assert f"rank {rank} in 46 layers of the encoder: {low_rank:,} numbers" in told
    new = 24_132_060 - 21_586_320  # what the backbone has and what of it is loaded, in the released code
    assert "frozen: 235 tensors of the encoder (21,586,320 numbers)" in in_words(encoder)
    assert in_words(encoder).endswith(f"({low_rank + new:,} numbers)")
