"""AR against its specification: order, leakage, prefix, targets, both reductions, who gets a gradient, sizes, presets.

Numbers were executed on the reduced setting that `reduced` builds: 2 blocks, 4 x 4 x 4 tokens of 4^3 voxels, N = 64.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.catalogue import sourced
from bench.contracts.configs import Intensity, Sight
from bench.contracts.errors import SpecError
from bench.nets.decoders import build_decoder
from bench.nets.patches import patchify
from bench.train.schedule import even_groups, learning_rate
from methods.ar import AR, METHOD, ARConfig, moved_on, token_order
from methods.parts.families import SequenceDraw
from methods.parts.losses import normalise_tokens
from methods.parts.slabs import SlabSequence, overlapping
from tasks.kinds.classification import ClassificationNet
from tasks.kinds.segmentation import SegmentationNet
from tests.nets.patches_back import unpatchify

N = 64
SIGHT = Sight(1, (16, 16, 16), None, Intensity("asis"))


def reduced(**changes: Any) -> AR:
    torch.manual_seed(0)
    config = dataclasses.replace(
        METHOD.tiny, crop=(16, 16, 16), patch=(4, 4, 4), width=24, depth=2, heads=2, skips=(1, 2), bf16_voxels=False
    )
    return AR(dataclasses.replace(config, **changes), SIGHT)


def batch(prefixes: tuple[int, ...] = (20, 20), seed: int = 1) -> dict[str, Tensor]:
    volume = torch.rand(len(prefixes), 1, 16, 16, 16, generator=torch.Generator().manual_seed(seed))
    return {"volume": volume, "prefix": torch.tensor(prefixes)}


def predictions(net: AR, volume: Tensor, prefix: int) -> Tensor:
    """What places 0 .. N - 1 of the sequence predict: (N, V)."""
    with torch.no_grad():
        states = net.encoder.sequence(volume, net.order, torch.tensor([prefix + 1] * len(volume)))
        return net.predict(states[:, :-2])[0]


def perturbed(net: AR, volume: Tensor, token: int) -> Tensor:
    """The volume with other voxels in the token at a place of the sequence."""
    rows = patchify(volume, net.config.patch).clone()
    rows[:, int(net.order[token])] += 1.0
    return unpatchify(rows, net.config.patch, net.encoder.grid, 1)


def changed(net: AR, prefix: int, token: int) -> list[int]:
    x = batch((prefix,))["volume"]
    before, after = predictions(net, x, prefix), predictions(net, perturbed(net, x, token), prefix)
    return [place for place in range(N) if not torch.equal(before[place], after[place])]


# What may be seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["raster", "patch_major"])
@pytest.mark.parametrize("token", [21, 40, 63])
def test_a_token_behind_the_prefix_changes_later_predictions_and_no_bit_of_earlier_ones(order: str, token: int) -> None:
    """Check 2: at P = 20 token 21 changes 22..63, token 40 changes 41..63, token 63 none."""
    assert changed(reduced(token_order=order), 20, token) == list(range(token + 1, N))


@pytest.mark.parametrize("token", [0, 5, 19])
def test_a_token_of_the_prefix_changes_every_prediction(token: int) -> None:
    """Check 3."""
    assert changed(reduced(), 20, token) == list(range(N))


def test_the_first_token_behind_the_prefix_changes_only_what_follows_it() -> None:
    """Check 3: perturbing t = P."""
    assert changed(reduced(), 20, 20) == list(range(21, N))


# What counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [0, 20, 63])
def test_only_predictions_behind_the_prefix_get_a_gradient(prefix: int) -> None:
    """Check 4: N - P tokens count; with P = N - 1 exactly one."""
    net, outputs = reduced(), []
    net.predict.register_forward_hook(lambda _m, _i, out: (out.retain_grad(), outputs.append(out))[1])
    net.loss(batch((prefix,)))["next_token"].backward()
    touched = outputs[0].grad[0].abs().amax(-1) > 0
    assert touched.nonzero().flatten().tolist() == list(range(prefix, N))


def test_predictions_inside_the_prefix_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check 4: altering the head's output for t < P leaves the loss as it is, altering t = P does not."""
    net, given = reduced(), batch((20,))
    wanted = net.loss(given)["next_token"]

    def altered(place: int) -> Tensor:
        hook = net.predict.register_forward_hook(
            lambda _m, _i, out: torch.where(torch.arange(N)[:, None] == place, out + 7.0, out)
        )
        found = net.loss(given)["next_token"]
        hook.remove()
        return found

    assert torch.equal(altered(19), wanted)
    assert altered(20) > wanted + 0.01


def test_end_unused_rows_and_the_last_tokens_voxels_get_exactly_no_gradient() -> None:
    """Check 5: rows 0, 2 (END) and 3 of the table, and token N - 1; START and prefix tokens do get one."""
    net, given = reduced(), batch((20, 5))
    given["volume"].requires_grad_()
    states = net.encoder.sequence(given["volume"], net.order, given["prefix"] + 1)
    net.predict(states[:, :-2]).square().mean().backward()
    table = net.encoder.entry.special_tokens.grad.abs().amax(1)
    assert (table > 0).tolist() == [False, True, False, False]
    voxels = patchify(given["volume"].grad, (4, 4, 4))[:, net.order].abs().amax(-1)
    assert not voxels[:, -1].any() and bool((voxels[:, :-1] > 0).all())


def test_every_other_parameter_is_trained() -> None:
    net = reduced()
    net.loss(batch())["next_token"].backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


# The loss -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["raster", "patch_major"])
@pytest.mark.parametrize("reduction", ["per_sequence", "pooled"])
def test_the_loss_is_equation_2_restated_in_slow_lines(order: str, reduction: str) -> None:
    net, given = reduced(token_order=order, reduction=reduction), batch((3, 50))
    sequences = []
    for b, prefix in enumerate(given["prefix"].tolist()):
        predicted = predictions(net, given["volume"][b : b + 1], prefix)
        losses = []
        for t in range(prefix, N):
            place = int(net.order[t])
            x, y, z = (4 * (place // 16), 4 * (place // 4 % 4), 4 * (place % 4))
            v = given["volume"][b, 0, x : x + 4, y : y + 4, z : z + 4].flatten()
            target = (v - v.mean()) / (v.var(unbiased=True) + 1e-6) ** 0.5
            losses.append(((predicted[t] - target) ** 2).mean())
        assert len(losses) == N - prefix
        sequences.append(torch.stack(losses))
    wanted = (
        torch.stack([losses.mean() for losses in sequences]).mean()
        if reduction == "per_sequence"
        else torch.cat(sequences).mean()
    )
    torch.testing.assert_close(net.loss(given)["next_token"], wanted)


@pytest.mark.parametrize("reduction", ["per_sequence", "pooled"])
def test_the_loss_does_not_depend_on_the_order_of_the_sequences(reduction: str) -> None:
    net, given, order = reduced(reduction=reduction), batch((3, 50, 20)), [2, 0, 1]
    turned = {name: values[order] for name, values in given.items()}
    torch.testing.assert_close(net.loss(turned)["next_token"], net.loss(given)["next_token"])


def test_a_pooled_batch_weighs_tokens_and_a_batch_per_sequence_weighs_sequences() -> None:
    """Check 12: P = 0 with losses 1 and P = 511 with losses 3 are 515/513 = 1.0039 pooled and 2.0 per sequence."""
    error = torch.tensor([[1.0], [3.0]]).expand(2, 512)
    counted = torch.arange(512) >= torch.tensor([[0], [511]])
    assert reduced().reduced(error, counted).item() == pytest.approx(2.0)
    assert reduced(reduction="pooled").reduced(error, counted).item() == pytest.approx(1.0039, abs=5e-5)
    one_each = reduced(reduction="pooled", pooled_sequences=1).reduced(error, counted)
    assert one_each.item() == pytest.approx(2.0)  # a device with one sequence each pools nothing


def test_a_pooled_loss_looks_at_the_whole_batch_and_one_per_sequence_may_be_split() -> None:
    assert reduced().phases[0].splits_batch and not reduced(reduction="pooled").phases[0].splits_batch


def test_targets_have_mean_zero_and_the_biased_variance_of_4095_in_4096() -> None:
    """Check 6; and predicting 0 scores about 0.9998 on textured voxels."""
    noise = torch.rand(4, 50, 4096, generator=torch.Generator().manual_seed(0))
    target = normalise_tokens(noise)
    torch.testing.assert_close(target.mean(-1), torch.zeros(4, 50), atol=1e-5, rtol=0)
    variance = target.var(-1, unbiased=False)
    assert variance.mean().item() == pytest.approx(0.999756, abs=3e-5)
    assert target.square().mean().item() == pytest.approx(0.9997, abs=1e-4)
    flat = normalise_tokens(torch.full((1, 3, 4096), 0.3))
    assert flat.abs().max() <= 3e-5


def test_voxels_are_rounded_to_bfloat16_before_targets_are_made() -> None:
    """Targets are then 3e-3 off those of float32 voxels (uniform noise); 5e-3 with the code's bfloat16 arithmetic."""
    given = {"volume": torch.rand(1, 1, 128, 128, 128), "prefix": torch.tensor([0])}
    rounded = reduced(bf16_voxels=True).prepare(given)["volume"]
    assert rounded.dtype == torch.float32 and torch.equal(rounded, given["volume"].bfloat16().float())
    wanted, short = (
        normalise_tokens(patchify(given["volume"], (16, 16, 16))),
        patchify(rounded, (16, 16, 16)).bfloat16(),
    )
    theirs = (short - short.mean(-1, keepdim=True)) / (short.var(-1, keepdim=True) + 1e-6).sqrt()

    def off(target: Tensor) -> float:
        return (target.float() - wanted).square().mean().sqrt().item()

    assert off(normalise_tokens(short)) == pytest.approx(3e-3, rel=0.1)
    assert off(theirs) == pytest.approx(5e-3, rel=0.1)


# Order and tokens ---------------------------------------------------------------------------------


def test_patches_return_to_their_volume() -> None:
    """Check 7."""
    x = torch.rand(2, 1, 16, 8, 16)
    assert torch.equal(unpatchify(patchify(x, (4, 4, 4)), (4, 4, 4), (4, 2, 4), 1), x)


def test_raster_interleaves_the_images_in_every_column_and_patch_major_does_not() -> None:
    """Check 8: slab ids of the first ten raster tokens, and 128 of each image in a row."""
    raster, major = (token_order((8, 8, 8), 4, order) for order in ("raster", "patch_major"))
    slab = raster % 8 // 2
    assert slab[:10].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 0]
    assert (major % 8 // 2).tolist() == [0] * 128 + [1] * 128 + [2] * 128 + [3] * 128
    for place, token in enumerate(major.tolist()):
        x, y, z = token // 64, token // 8 % 8, token % 8
        assert place == 128 * (z // 2) + 16 * x + 2 * y + z % 2


def test_both_orders_hold_the_same_tokens_with_the_same_positions() -> None:
    """Check 8: permutations that move a token's voxels and its position code together."""
    x, entered = batch((0,))["volume"], []
    for order in ("raster", "patch_major"):
        net = reduced(token_order=order)
        assert sorted(net.order.tolist()) == list(range(N))
        rows = net.encoder.embedded(x)[0, net.order]
        entered.append(rows[net.order.argsort()])
    assert torch.equal(*entered)


# Sizes and presets --------------------------------------------------------------------------------


def test_the_full_network_has_the_parameters_counted_from_the_code() -> None:
    """Check 11."""
    with torch.device("meta"):
        net = AR(METHOD.full, dataclasses.replace(SIGHT, shape=METHOD.full.crop))
    assert sum(p.numel() for p in net.encoder.parameters()) == 88_177_920
    assert sum(p.numel() for p in net.predict.parameters()) == 3_149_824
    assert sum(p.numel() for p in net.parameters()) == 91_327_744


def test_the_head_starts_as_a_linear_layer_of_torch_does_and_not_as_the_encoders() -> None:
    """Sec. 2: weights and biases uniform in +-1 / sqrt(width); the encoder's are Xavier-uniform without bias."""
    head = reduced(width=96, patch=(8, 8, 8), crop=(32, 32, 32)).predict
    reach = 1 / math.sqrt(96)
    for values in (head.weight, head.bias):
        assert values.abs().max() <= reach and values.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.1)


def test_a_step_takes_the_operations_counted_by_hand() -> None:
    """Forward of one sequence, multiply and add counted as two: linear layers, attention (QK and AV), embedding, head."""
    width, depth, tokens, voxels = 24, 2, N + 2, 64
    linear = depth * tokens * 24 * width**2
    attention = depth * 4 * tokens**2 * width
    ends = 2 * N * voxels * width * 2  # patches in, voxels out
    net = reduced()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        net.loss(batch((0,)))
    assert counter.get_total_flops() == pytest.approx(linear + attention + ends, rel=0.02)


def test_no_number_of_pre_training_is_said_to_be_another_papers() -> None:
    told = sourced(METHOD.full, "full")
    assert [name for name, value in told.items() if "MiM" in value["source"]] == []
    assert told["weight_decay"]["source"].startswith("released code") and "exempt" not in told["weight_decay"]["source"]


def test_the_rate_falls_by_half_a_cosine_without_warm_up_and_everything_decays() -> None:
    full = METHOD.full
    for step in (0, 1, 50_000, 99_999):
        assert learning_rate(full, step) == pytest.approx(0.5 * (1 + math.cos(math.pi * step / 100_000)))
    net = reduced(weight_decay=0.01)
    groups = even_groups(net.parameters(), net, net.config)
    assert {group["weight_decay"] for group in groups} == {0.01}


@pytest.mark.parametrize("family", ["spatial", "contrast", "semantic"])
def test_variants_leave_one_family_out(family: str) -> None:
    assert set(METHOD.full.families) - set(METHOD.variants[f"no_{family}"]["families"]) == {family}


def test_every_variant_builds_at_every_size() -> None:
    for changes in METHOD.variants.values():
        for preset in (METHOD.tiny, METHOD.small, METHOD.full):
            with torch.device("meta"):
                AR(dataclasses.replace(preset, **changes), SIGHT)


def test_no_random_startup_is_plain_causal_and_no_patch_sequences_takes_one_crop() -> None:
    still = reduced(**METHOD.variants["no_random_startup"]).phases[0].views
    single = reduced(**METHOD.variants["no_patch_sequences"]).phases[0].views
    assert not still.random_prefix and not single.in_slabs  # type: ignore[attr-defined]


def test_draw_and_views_take_every_number_from_the_settings() -> None:
    """Crops of 32 slices: a stride of 32 of 128 is 8 of 32; 2 x 4 x 8 tokens."""
    phase = reduced(
        crop=(8, 16, 32),
        stride=32,
        crops_per_volume=7,
        crops_per_group=9,
        sequences_per_category=11,
        held_out_every=13,
        exclude_overlap=True,
        families=("spatial",),
    ).phases[0]
    drawn, shown = phase.draw, phase.views
    assert isinstance(drawn, SequenceDraw) and isinstance(shown, SlabSequence)
    assert (drawn.depth, drawn.slabs, drawn.families, drawn.exclude_overlap) == (32, 4, ("spatial",), True)
    assert (drawn.crops_per_volume, drawn.crops_per_group, drawn.sequences_per_category) == (7, 9, 11)
    assert (drawn.held_out_every, drawn.in_slabs) == (13, True)
    assert (shown.shape, shown.slabs, shown.stride, shown.tokens) == ((8, 16, 32), 4, 8, 64)
    assert (shown.crops_per_volume, shown.crops_per_group, shown.random_prefix) == (7, 9, True)


def test_strides_are_those_of_128_slices_scaled_to_smaller_crops() -> None:
    strides = [METHOD.variants["stride_4"]["stride"], METHOD.full.stride, METHOD.variants["stride_12"]["stride"]]
    assert [moved_on(dataclasses.replace(METHOD.full, stride=s)) for s in strides] == [4, 8, 12]
    assert [moved_on(dataclasses.replace(METHOD.tiny, stride=s)) for s in strides] == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"crop": (16, 16, 20)}, "cannot be shared among 4 images"),
        ({"stride": 40}, "span 19 of 16 slices"),
        ({"families": ("spatial", "temporal")}, "possible are spatial"),
        ({"families": ()}, "possible are spatial"),
        ({"sequences": False}, "no order of images"),
        ({"held_out_every": 1}, "holds every entry out"),
        ({"held_out_every": -2}, "must be 0 or more"),
        ({"pooled_sequences": -1}, "must be 0 or more"),
        ({"slabs": 0}, "must be 1 or more"),
        ({"crops_per_volume": -5}, "must be 1 or more"),
        ({"crops_per_group": 0}, "must be 1 or more"),
        ({"sequences_per_category": 0}, "must be 1 or more"),
    ],
)
def test_settings_that_cannot_stand_together_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        reduced(**changes)


def test_the_head_stays_behind_and_the_encoder_goes_on_as_it_is() -> None:
    """Check 13: no missing and no unexpected tensor, on the grid of fine-tuning, with four channels too."""
    net = reduced()
    for shape, channels, reshaped in (((24, 16, 8), 1, ()), ((16, 16, 16), 4, ("entry.embed.weight",))):
        encoder = METHOD.encoder(net.config, Sight(channels, shape, None, Intensity("asis")))
        adopted = encoder.adopt(net.encoder.state_dict())
        assert (adopted.new, adopted.dropped, adopted.reshaped) == ((), (), reshaped)
        assert not any("predict" in name for name in adopted.matched)


@pytest.mark.parametrize("head", ["unetr", "linear"])
def test_pre_trained_weights_go_through_the_disk_into_both_heads_of_the_paper(head: str, tmp_path: Path) -> None:
    """UNETR with skips after three blocks for segmentation, one linear layer on the mean token for classification."""
    sight = Sight(1, (32, 16, 16), None, Intensity("asis"))
    config = dataclasses.replace(METHOD.tiny, width=24, depth=3, heads=2, skips=(1, 2, 3))
    torch.manual_seed(0)
    net = AR(config, SIGHT)
    save_file(net.encoder.state_dict(), tmp_path / "encoder.safetensors")
    volume, outputs = torch.rand(2, 1, 32, 16, 16), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        encoder = METHOD.encoder(config, sight)
        assert encoder.adopt(load_file(tmp_path / "encoder.safetensors")).new == ()
        torch.manual_seed(3)
        decoder = build_decoder(METHOD.decoder, encoder=encoder, in_channels=1, classes=3)
        whole = SegmentationNet(encoder, decoder) if head == "unetr" else ClassificationNet(encoder, 2)
        outputs.append(whole.eval()(volume))
    assert outputs[0].shape == ((2, 3, 32, 16, 16) if head == "unetr" else (2, 2))
    assert torch.equal(*outputs)


def test_a_linear_layer_on_every_token_then_the_mean_is_one_on_the_mean_token() -> None:
    """The released classification head, as against `pooled`."""
    encoder, x, layer = reduced().encoder, batch((0, 0))["volume"], torch.nn.Linear(24, 2, bias=False)
    features = encoder(x)
    tokens = features.maps[-1].flatten(2).transpose(1, 2)
    torch.testing.assert_close(layer(tokens).mean(1), layer(features.pooled))


def test_the_pretraining_network_reads_one_channel_whatever_the_corpus_has() -> None:
    net = AR(reduced().config, dataclasses.replace(SIGHT, channels=4))
    assert net.encoder.entry.embed.in_features == 64


# Learning -----------------------------------------------------------------------------------------


def learnt(stride: int, steps: int, *, fixed: bool) -> tuple[float, list[float]]:
    """Loss and mean error by place in a column after training on white noise in raster order: fresh, or 8 fixed crops."""
    net = reduced(crop=(8, 8, 32), width=96, token_order="raster")
    optimiser, rng = torch.optim.AdamW(net.parameters(), lr=3e-3), np.random.default_rng(0)
    crops = rng.standard_normal((8, 8, 8, 32), np.float32)
    for _ in range(steps):
        crops = crops if fixed else rng.standard_normal((16, 8, 8, 32), np.float32)
        x = torch.from_numpy(np.stack([overlapping(crop, 4, stride, 0) for crop in crops]))[:, None]
        target = normalise_tokens(patchify(x, net.config.patch))[:, net.order]
        states = net.encoder.sequence(x, net.order, torch.ones(len(x), dtype=torch.long))
        error = (net.predict(states[:, :-2]) - target).square().mean(-1)
        optimiser.zero_grad()
        error.mean().backward()
        optimiser.step()
    return error.mean().item(), error.detach().mean(0).view(-1, 8).mean(0).tolist()


def test_eight_fixed_sequences_are_learnt_by_heart() -> None:
    """Check 14, in a network small enough for a test: the loss falls well below the 1 that predicting 0 scores."""
    assert learnt(2, 150, fixed=True)[0] < 0.3


def test_tokens_seen_before_are_predicted_better_than_new_ones_and_only_where_images_overlap() -> None:
    """Check 14 on noise that never repeats: novelty 4 4 0 2 0 2 0 2 of 4 slices gives errors near 1, 0 and a half."""
    _, errors = learnt(2, 200, fixed=False)
    new, seen, half = errors[:2], errors[2::2], errors[3::2]
    assert min(new) > 0.9 and max(seen) < 0.45 and max(seen) < min(half) < 0.9
    assert min(learnt(8, 80, fixed=False)[1]) > 0.9


def test_types_of_the_config_are_read_from_the_command_line() -> None:
    from bench.spec import apply_settings

    configs = {"pretrain": METHOD.tiny}
    words = (("", "families", "spatial,semantic"), ("", "token_order", "raster"), ("", "exclude_overlap", "true"))
    found = apply_settings(configs, words)["pretrain"]
    assert isinstance(found, ARConfig)
    assert (found.families, found.token_order, found.exclude_overlap) == (("spatial", "semantic"), "raster", True)
