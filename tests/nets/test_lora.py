"""LoRA changes what it should, starts as no change, and leaves no trace of itself in merged weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bench.contracts.configs import Intensity, Sight
from bench.contracts.errors import SpecError
from bench.nets.conv3d import HybridEncoder
from bench.nets.freeze import freeze
from bench.nets.lora import adapt, merge, targets
from bench.nets.sequence_vit import SequenceViT
from bench.nets.spad_vit import SpadViT
from bench.nets.swin3d import Swin3D
from bench.nets.vit3d import ViT3D

SIGHT = Sight(1, (32, 32, 32), None, Intensity("zscore"))


def vit() -> ViT3D:
    torch.manual_seed(0)
    encoder = ViT3D(SIGHT, width=48, depth=2, heads=2, patch=(8, 8, 8), skips=(1, 2))
    freeze(encoder)
    return encoder


def volumes() -> torch.Tensor:
    return torch.randn(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_an_untrained_change_is_none() -> None:
    encoder = vit().eval()
    before = encoder(volumes()).pooled
    adapt(encoder, 4, 2.0)
    assert torch.equal(encoder(volumes()).pooled, before)


def test_only_the_low_rank_matrices_learn_and_there_are_as_many_as_counted_by_hand() -> None:
    encoder = vit()
    told = adapt(encoder, 4, 2.0)
    learn = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert all(name.endswith(("down", "up")) for name in learn)
    # per block: qkv 48 -> 144 and proj 48 -> 48, rank 4; two blocks
    assert sum(p.numel() for p in learn.values()) == 2 * (4 * (48 + 144) + 4 * (48 + 48))
    assert "rank 4 in 4 layers of the encoder: 2,304 numbers" in told


def test_a_changed_weight_is_w_plus_scale_b_a() -> None:
    encoder = vit()
    layer = encoder.blocks[0].attention.qkv  # type: ignore[union-attr]
    start = layer.weight.detach().clone()
    adapt(encoder, 3, 2.0)
    change = layer.parametrizations.weight[0]
    with torch.no_grad():
        change.up.normal_()
    assert torch.allclose(layer.weight, start + 2.0 * change.up @ change.down)


def test_the_changes_first_matrix_starts_uniform_up_to_one_over_the_root_of_its_inputs() -> None:
    encoder = vit()
    adapt(encoder, 16, 2.0)
    change = encoder.blocks[0].attention.qkv.parametrizations.weight[0]  # type: ignore[union-attr]
    bound = 48**-0.5  # Kaiming-uniform with a = sqrt(5), as LoRA's authors and every linear layer start
    assert 0.95 * bound < change.down.abs().max() <= bound and not change.up.any()
    assert change.down.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_frozen_weights_stay_as_they_were_through_an_update_and_merging_keeps_the_output() -> None:
    encoder = vit()
    before = copy.deepcopy(encoder.state_dict())
    adapt(encoder, 4, 2.0)
    optimiser = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):  # at first B is 0, so A has no gradient; the second update moves both
        optimiser.zero_grad()
        encoder(volumes()).pooled.square().sum().backward()
        optimiser.step()
    learnt = encoder(volumes()).pooled
    merge(encoder)
    after = encoder.state_dict()
    assert set(after) == set(before)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"blocks.{b}.attention.{part}.weight" for b in (0, 1) for part in ("qkv", "proj")}
    assert torch.allclose(encoder(volumes()).pooled, learnt, atol=1e-5)


def test_convolutions_of_one_voxel_are_targets_and_larger_or_depth_wise_ones_are_not() -> None:
    encoder = HybridEncoder(SIGHT, widths=(6, 12, 24, 48), depths=(1, 1, 1, 1), heads=2)
    found = list(targets(encoder))
    convolutions = [part for part in found if isinstance(part, nn.Conv3d)]
    assert len(convolutions) == 3 * 4  # three stages of one block: W1, W2 and the two layers of its MLP
    assert len(found) == 12 + 2  # and the last stage's qkv and proj


def test_every_projection_of_attention_is_a_target_whatever_an_encoder_calls_it_and_no_other_layer() -> None:
    """Query, key, value and output apart in two encoders (four a block), the first three as one in the third (two a block)."""
    found = [
        [part for part in targets(encoder) if isinstance(part, nn.Linear)]
        for encoder in (
            SequenceViT(SIGHT, width=24, depth=3, heads=2, patch=(8, 8, 8), skips=(3,)),
            SpadViT(channels=3, width=24, depth=3, heads=2, patch=8, table=(2, 2, 2)),
            Swin3D(SIGHT, feature=6, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=(4, 4, 4)),
        )
    ]
    assert [len(parts) for parts in found] == [4 * 3, 4 * 3, 2 * 4]
    assert {(part.in_features, part.out_features) for part in found[0] + found[1]} == {(24, 24)}


def test_an_encoder_without_targets_and_a_rank_below_one_are_refused() -> None:
    with pytest.raises(SpecError, match="no frozen attention"):
        adapt(nn.Sequential(nn.Conv3d(1, 2, 3)), 4, 2.0)
    with pytest.raises(SpecError, match="no frozen attention"):
        adapt(vit().requires_grad_(True), 4, 2.0)  # a weight that learns as a whole needs no change beside it
    with pytest.raises(SpecError, match="rank of at least 1"):
        adapt(vit(), 0, 2.0)
