"""SPAD against its specification: losses restated, masks, gate, schedule, sizes, and what the two phases may touch."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Sight
from bench.contracts.errors import DataMissing, EncoderMismatch, SpecError
from bench.contracts.pictures import Histogram, ImageRows
from bench.nets.adapted_spad_vit import AdaptedSpadViT
from bench.nets.spad import SpadDown, SpadUp, degrees_by_depth
from bench.train.schedule import even_groups, learning_rate
from methods.parts.adversary import Gate, Rebuilt, hinge
from methods.parts.equal_anisotropy import EqualAnisotropy, held_out
from methods.parts.foreign import read_foreign
from methods.parts.perceptual import LAYERS, MEAN, SD, Perceptual, as_slices, some_slices
from methods.parts.soft_tokens import dual_prior, entropy, mean_usage, soft_cross_entropy, token_use
from methods.parts.token_pictures import Tried, tried
from methods.parts.zoomed_crop import ZoomedCrop
from methods.spad import METHOD, PredictConfig, Spad, TokenizerConfig, visible_count
from tests.methods.spad_pool import Image, Pool, mixed

SIGHT = Sight(1, (24, 32, 32), None, Intensity("percentile"))


def method(tokenizer: dict[str, object] | None = None, predict: dict[str, object] | None = None) -> Spad:
    torch.manual_seed(0)
    configs = {
        "tokenizer": dataclasses.replace(METHOD.tiny["tokenizer"], **(tokenizer or {})),
        "predict": dataclasses.replace(METHOD.tiny["predict"], **(predict or {})),
    }
    return Spad(configs, SIGHT)


def crops(depth: int = 24, batch: int = 2) -> dict[str, Tensor]:
    return {"volume": torch.rand(batch, 3, depth, 32, 32, generator=torch.Generator().manual_seed(1))}


# Tokens -----------------------------------------------------------------------------------------------


def test_masked_counts_are_those_of_the_codes_floating_point() -> None:
    assert visible_count(500, 0.55) == 224 and visible_count(100, 0.55) == 44


def test_every_sample_masks_as_many_distinct_tokens_of_its_own() -> None:
    net = method()
    masked = net.masked(64, 100, torch.device("cpu"))
    assert masked.shape == (64, 56) and all(len(set(row)) == 56 for row in masked.tolist())
    counts = torch.bincount(masked.flatten(), minlength=100)
    assert counts.min() > 15 and counts.max() < 56 and len({tuple(sorted(row)) for row in masked.tolist()}) == 64


def test_the_soft_loss_of_a_perfect_prediction_is_the_mean_entropy_and_of_an_even_one_ln_v() -> None:
    torch.manual_seed(0)
    logits = torch.randn(200, 1024)
    q = logits.softmax(-1)
    assert entropy(q).mean().item() == pytest.approx(6.4315, abs=5e-5)
    assert soft_cross_entropy(logits, q).item() == pytest.approx(entropy(q).mean().item(), abs=5e-7)
    assert soft_cross_entropy(torch.zeros(200, 1024), q).item() == pytest.approx(6.9315, abs=5e-5)


def test_the_dual_prior_tells_even_sure_use_from_even_doubt_and_from_collapse() -> None:
    sure, doubt = torch.eye(1024), torch.full((1024, 1024), 1 / 1024)
    collapse = torch.zeros(1024, 1024)
    collapse[:, 3] = 1.0
    for q, used, unsure in ((sure, -6.9315, 0.0), (doubt, -6.9315, 6.9315), (collapse, 0.0, 0.0)):
        found = dual_prior(q)
        assert found[0].item() == pytest.approx(used, abs=5e-5) and found[1].item() == pytest.approx(unsure, abs=5e-5)
    q = torch.randn(7, 1024).softmax(-1)
    kl = (q * (q * 1024).log()).sum(-1)
    torch.testing.assert_close(kl + entropy(q), torch.full((7,), math.log(1024)), atol=1e-5, rtol=0)


def test_tokens_in_half_precision_cost_what_single_precision_says_and_sure_ones_have_a_gradient() -> None:
    """Check 10's ln 1024 = 6.9315, which bfloat16 rounds to 6.9375; and 0 ln 0 must not make a step undefined."""
    even = torch.full((2, 1024), 1 / 1024, dtype=torch.bfloat16)  # a power of two: exact
    assert entropy(even).tolist() == pytest.approx([6.9315] * 2, abs=5e-5)
    logits = torch.zeros(2, 1024, dtype=torch.bfloat16)
    assert soft_cross_entropy(logits, even.float()).item() == pytest.approx(6.9315, abs=5e-5)
    sure = torch.eye(4).requires_grad_()
    torch.stack(dual_prior(sure)).sum().backward()
    assert sure.grad is not None and bool(sure.grad.isfinite().all())


def test_the_health_of_tokens_tells_sure_and_even_use_from_doubt_and_from_collapse() -> None:
    """Check 16: a healthy tokenizer is sure (E[H] small) of many words (H(mean q) near ln V); a collapsed one of one word."""
    full, words = math.log(64), torch.eye(64)
    sure, doubt, collapse = words.repeat(3, 1), torch.full((5, 64), 1 / 64), words[:1].expand(64, -1)
    for q, unsure, breadth, spread in (
        (sure, 0.0, full, 1.0),
        (doubt, full, full, 1.0),
        (collapse, 0.0, 0.0, math.inf),
    ):
        use = token_use(q)
        assert use.doubt == pytest.approx(unsure, abs=1e-5) and use.divergence == pytest.approx(full - unsure, abs=1e-5)
        assert use.breadth == pytest.approx(breadth, abs=1e-5) and use.spread == pytest.approx(spread)
    assert token_use(torch.cat([sure, collapse])).spread == pytest.approx((3 + 64) / 3)


def test_tokens_counted_in_parts_are_those_counted_together_and_their_kl_is_the_divergence_from_even_words() -> None:
    q = (3 * torch.randn(2, 4, 5, 16, generator=torch.Generator().manual_seed(0))).softmax(-1)
    whole, parts = token_use(q), token_use(q[0]) + token_use(q[1, :3]) + token_use(q[1, 3:])
    assert whole.tokens == parts.tokens == 40 and parts.unsure == pytest.approx(whole.unsure)
    torch.testing.assert_close(parts.usage, whole.usage, rtol=1e-6, atol=0)
    assert whole.divergence == pytest.approx((q * (q * 16).log()).sum(-1).mean().item(), abs=1e-5)
    mean = q.reshape(40, 16).mean(0)
    assert whole.breadth == pytest.approx(-(mean * mean.log()).sum().item(), abs=1e-5)
    assert whole.spread == pytest.approx((mean.max() / mean.min()).item(), rel=1e-5)


def test_several_devices_together_have_the_gradient_of_one_that_holds_the_whole_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shares of 3 and 5 tokens on two devices; the loop weighs each device's loss by its samples."""
    torch.manual_seed(0)
    logits = torch.randn(8, 16, dtype=torch.float64, requires_grad=True)
    whole = -entropy(mean_usage(logits.softmax(-1)))
    (expected,) = torch.autograd.grad(whole, logits)
    parts = (slice(0, 3), slice(3, 8))
    told = [
        torch.cat([logits[p].softmax(-1).mean(0).detach() * n, torch.tensor([n])])
        for p, n in zip(parts, (3.0, 5.0), strict=True)
    ]

    def gather(out: list[Tensor], _message: Tensor) -> None:
        for place, message in zip(out, told, strict=True):
            place.copy_(message)

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather", gather)
    values = [-entropy(mean_usage(logits[p].softmax(-1))) for p in parts]
    assert [v.item() for v in values] == pytest.approx([whole.item()] * 2)
    (found,) = torch.autograd.grad(sum(v * n / 8 for v, n in zip(values, (3, 5), strict=True)), logits)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_one_process_is_no_special_case_of_the_usage_term() -> None:
    """Averaging over tokens in place of devices would pin the value at -ln V and kill its gradient."""
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 32, requires_grad=True)
    used = dual_prior(logits.softmax(-1))[0]
    (gradient,) = torch.autograd.grad(used, logits)
    assert used.item() > -math.log(32) + 0.01 and gradient.abs().max() > 1e-4


# Tokenizer --------------------------------------------------------------------------------------------


def test_the_generators_loss_is_the_sum_of_its_named_terms() -> None:
    net, batch = method({"usage_weight": 0.7, "certainty_weight": 0.3}), crops()
    net.gate.mean.fill_(0.0)
    net.gate.last.fill_(0.0)
    losses = net.generator_loss(batch)
    x = batch["volume"] * 2 - 1
    made, q = net.tokenizer(x, 0)
    p = q.reshape(-1, 32).mean(0)
    torch.testing.assert_close(losses["rebuild"], (made - x).abs().mean())
    torch.testing.assert_close(losses["usage"], 0.7 * (p * p.log()).sum())
    torch.testing.assert_close(losses["certainty"], -0.3 * (q * q.log()).sum(-1).mean())
    torch.testing.assert_close(losses["adversary"], -3e-3 * net.discriminator(made, 0).mean())
    assert set(losses) == {"rebuild", "usage", "certainty", "adversary"}


def test_a_shut_gate_silences_the_discriminator_and_nothing_else() -> None:
    net = method()
    losses = net.generator_loss(crops())
    assert losses["adversary"].item() == 0.0
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in net.discriminator.parameters())
    assert net.tokenizer.codebook.grad is not None and bool(net.tokenizer.codebook.grad.any())


def test_the_gate_opens_when_the_discriminators_mean_and_last_loss_are_low_and_shuts_at_once() -> None:
    gate = Gate(at=0.025, decay=0.9)
    assert gate() == 0
    opened = []
    for loss in (*[0.0] * 14, 0.03, 0.0):
        gate.add(torch.tensor(loss), 2)
        gate.close()
        opened.append(int(gate()))
    assert opened == [0] * 13 + [1, 0, 1]  # 0.1 * 0.9**14 is the first below 0.025
    before = gate.mean.clone()
    gate.close()
    assert torch.equal(gate.mean, before)


def test_a_steps_parts_count_by_their_samples_for_the_gate() -> None:
    gate = Gate(at=0.025, decay=0.9)
    gate.add(torch.tensor(0.4), 1)
    gate.add(torch.tensor(0.0), 3)
    gate.close()
    assert gate.last.item() == pytest.approx(0.1) and gate.mean.item() == pytest.approx(0.1)


def test_the_gate_takes_a_steps_loss_over_when_the_step_ends() -> None:
    net, batch = method(), crops()
    net.begin_turn("discriminator")
    loss = net.discriminator_loss(batch)["hinge"].item()
    assert net.gate.last.item() == pytest.approx(0.1)
    net.after_step(0.5)
    assert net.gate.last.item() == pytest.approx(loss) and net.gate.mean.item() == pytest.approx(0.09 + 0.1 * loss)


def test_hinge_is_one_for_silence_and_nothing_for_a_perfect_judge() -> None:
    assert hinge(torch.zeros(4), torch.zeros(4)) == 1 and hinge(torch.full((4,), 2.0), torch.full((4,), -1.0)) == 0


def test_the_discriminator_judges_what_the_generator_made_before_it_moved() -> None:
    net, batch = method(), crops()
    net.begin_turn("generator")
    net.generator_loss(batch)
    x = batch["volume"] * 2 - 1
    with torch.no_grad():
        made = net.tokenizer(x, 0)[0]
        for parameter in net.tokenizer.parameters():
            parameter.add_(0.1)
    net.begin_turn("discriminator")
    expected = hinge(net.discriminator(x, 0), net.discriminator(made, 0))
    torch.testing.assert_close(net.discriminator_loss(batch)["hinge"], expected)


@pytest.mark.parametrize("kept", [False, True])
def test_the_discriminators_loss_moves_no_tokenizer_whether_or_not_something_was_kept_for_it(kept: bool) -> None:
    net = method()
    if kept:
        net.begin_turn("generator")
        net.generator_loss(crops())
    net.begin_turn("discriminator")
    net.discriminator_loss(crops())["hinge"].backward()
    assert all(p.grad is None for p in net.tokenizer.parameters())
    assert all(p.grad is not None for p in net.discriminator.parameters())


def test_what_was_made_is_handed_on_in_other_portions_and_anew_after_a_retry() -> None:
    kept = Rebuilt()
    kept.begin(making=True)
    kept.keep(torch.arange(4.0))
    kept.begin(making=True)  # memory ran short: once more in smaller parts
    kept.keep(torch.arange(0.0, 2.0))
    kept.keep(torch.arange(2.0, 4.0))
    for sizes in ((4,), (1, 3), (2, 2)):
        kept.begin(making=False)
        assert torch.equal(torch.cat([part for n in sizes if (part := kept.take(n)) is not None]), torch.arange(4.0))
    assert kept.take(1) is None


def vgg(folder: Path, *, lines: bool) -> Path:
    rng = torch.Generator().manual_seed(0)
    state, place, inputs = {}, 0, 3
    for n, widths in enumerate(LAYERS):
        for width in widths:
            state[f"features.{place}.weight"] = (
                torch.randn(width, inputs, 3, 3, generator=rng) * (2 / (9 * inputs)) ** 0.5
            )
            state[f"features.{place}.bias"] = torch.zeros(width)
            inputs, place = width, place + 2
        place += 1
        if lines:
            state[f"lin{n}.model.1.weight"] = torch.rand(1, widths[-1], 1, 1, generator=rng)
    save_file(state, folder / "vgg16.safetensors")
    return folder / "vgg16.safetensors"


def test_lpips_is_twice_the_weighted_distance_of_unit_features_over_five_layers(tmp_path: Path) -> None:
    distance = Perceptual(str(vgg(tmp_path, lines=True)))
    x, y = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    state, total = read_foreign(str(tmp_path / "vgg16.safetensors")), torch.zeros(())
    a, b = (((t + 1) / 2 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(SD).view(1, 3, 1, 1) for t in (x, y))
    place = 0
    for n, widths in enumerate(LAYERS):
        for _ in widths:
            weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
            a, b = (nn.functional.conv2d(t, weight, bias, padding=1).relu() for t in (a, b))
            place += 2
        place += 1
        gap = (a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)) ** 2
        total = total + nn.functional.conv2d(gap, state[f"lin{n}.model.1.weight"]).mean()
        a, b = nn.functional.max_pool2d(a, 2), nn.functional.max_pool2d(b, 2)
    torch.testing.assert_close(distance(x, y), 2 * total, rtol=1e-4, atol=1e-5)
    assert distance(x, x) == 0 and distance.is_weighted and not any(p.requires_grad for p in distance.parameters())


def test_without_lpips_own_weights_the_channels_of_a_layer_are_averaged(tmp_path: Path) -> None:
    distance = Perceptual(str(vgg(tmp_path, lines=False)))
    x, y = torch.rand(1, 3, 16, 16) * 2 - 1, torch.rand(1, 3, 16, 16) * 2 - 1
    a, b, total = distance.normalised(x), distance.normalised(y), torch.zeros(())
    for n, block in enumerate(distance.blocks):
        a, b = (block(nn.functional.max_pool2d(t, 2) if n else t) for t in (a, b))
        total = total + (a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)).square().mean()
    torch.testing.assert_close(distance(x, y), 2 * total, rtol=1e-4, atol=1e-6)


def test_the_released_slip_of_sign_shifts_the_networks_input_by_the_specifications_numbers(tmp_path: Path) -> None:
    path, x = str(vgg(tmp_path, lines=False)), torch.zeros(1, 3, 1, 1)
    plain, shifted = Perceptual(path), Perceptual(path, shifted=True)
    offsets = (shifted.normalised(x) - plain.normalised(x)).flatten()
    assert offsets.tolist() == pytest.approx([-0.131, -0.393, -0.836], abs=5e-4)
    assert plain.normalised(torch.full((1, 3, 1, 1), 2 * MEAN[0] - 1))[0, 0] == pytest.approx(0.0, abs=1e-6)


def test_at_most_so_many_distinct_slices_of_each_volume_are_compared() -> None:
    x = torch.arange(30.0).view(1, 1, 30, 1, 1).expand(4, 3, -1, -1, -1)
    chosen = some_slices(x, 24)
    assert chosen.shape == (4, 24) and all(len(set(row)) == 24 for row in chosen.tolist())
    slices = as_slices(x, chosen)
    assert slices.shape == (96, 3, 1, 1) and torch.equal(slices[:, 0, 0, 0], chosen.flatten().float())
    assert some_slices(x[:, :, :5], 24).tolist() == [[0, 1, 2, 3, 4]] * 4


def test_the_perceptual_term_is_there_with_a_file_and_told_of_without(tmp_path: Path) -> None:
    without = method()
    assert any("perceptual" in note for note in without.told)
    net = method({"perceptual_file": str(vgg(tmp_path, lines=False))})
    assert any("count alike" in note for note in net.told) and not any("without its" in note for note in net.told)
    losses = net.generator_loss(crops(depth=3, batch=1))
    assert losses["perceptual"] > 0
    losses["perceptual"].backward()
    assert set(net.state_dict()) == set(without.state_dict())
    with pytest.raises(DataMissing, match="No weight file"):
        method({"perceptual_file": str(tmp_path / "none.pt")})
    save_file({"features.0.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(EncoderMismatch, match="VGG16"):
        method({"perceptual_file": str(tmp_path / "other.safetensors")})


def test_the_perceptual_term_is_how_far_what_was_made_is_from_the_same_slices_that_were_shown(tmp_path: Path) -> None:
    changes = {"perceptual_file": str(vgg(tmp_path, lines=True)), "perceptual_weight": 0.3, "perceptual_slices": 2}
    net, batch = method(changes), crops(depth=3, batch=2)
    x = batch["volume"] * 2 - 1
    torch.manual_seed(4)
    found = net.generator_loss(batch)["perceptual"]
    torch.manual_seed(4)
    chosen, made = some_slices(x, 2), net.tokenizer(x, 3)[0]
    pairs = [(made[b, :, k], x[b, :, k]) for b in range(2) for k in chosen[b].tolist()]
    each = [net.perceptual[0](one[None], other[None]) for one, other in pairs]
    torch.testing.assert_close(found, 0.3 * torch.stack(each).mean(), rtol=1e-4, atol=1e-6)


# Predictor --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [24, 6, 1])
def test_the_predictors_loss_is_equation_three_over_masked_tokens(depth: int) -> None:
    net, batch = method(), crops(depth)
    torch.manual_seed(5)
    found = net.loss(batch)["predict"]
    da = {24: 0, 6: 2, 1: 5}[depth]
    torch.manual_seed(5)
    n = 48 if depth > 1 else 16
    masked = net.masked(2, n, torch.device("cpu"))
    q = net.tokenizer.logits(batch["volume"] * 2 - 1, da)[0].flatten(1, 3).softmax(-1)
    tokens, grid = net.encoder.embedded(net.normalised(batch["volume"]), da)
    for b in range(2):
        tokens[b, masked[b]] = net.mask_token
    guess = net.head(net.encoder.encoded(tokens, grid)[0][:, 1:]).log_softmax(-1)
    terms = [-(q[b, i] * guess[b, i]).sum() for b in range(2) for i in masked[b].tolist()]
    assert len(terms) == 2 * (n - int(n * 0.45))
    torch.testing.assert_close(found, torch.stack(terms).mean(), atol=1e-5, rtol=1e-5)


def test_words_are_named_by_two_layers_with_a_gelu_between_and_what_is_hidden_starts_small() -> None:
    """Sec. 4.1 and 4.4: Linear, GELU, Linear to the words; the mask token starts normal with sd 0.02, as the class token does."""
    net, x = method(), torch.randn(5, 48)
    first, last = (part for part in net.head if isinstance(part, nn.Linear))
    inner = x @ first.weight.T + first.bias
    inner = inner * (1 + torch.erf(inner / 2**0.5)) / 2
    torch.testing.assert_close(net.head(x), inner @ last.weight.T + last.bias, atol=1e-5, rtol=1e-5)
    assert first.weight.shape == (48, 48) and last.weight.shape == (32, 48)
    assert net.mask_token.std().item() == pytest.approx(0.02, rel=0.3)


def test_the_transformer_sees_images_as_imagenets_mean_and_spread_tell() -> None:
    mean, sd = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    shown = method().normalised(torch.stack([mean, mean + sd]).view(2, 3, 1, 1, 1)).flatten(1)
    torch.testing.assert_close(shown, torch.tensor([[0.0] * 3, [1.0] * 3]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("which", ["visible", "masked"])
def test_the_targets_of_masked_tokens_alone_decide_the_loss(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check 9: a visible token's target may say anything."""
    net, batch = method(), crops()
    masked = net.masked(2, 48, torch.device("cpu"))
    monkeypatch.setattr(net, "masked", lambda *_: masked)
    before = net.loss(batch)["predict"]
    q = net.tokenizer.soft_tokens(batch["volume"] * 2 - 1, 0)
    hidden = torch.zeros(2, 48, dtype=torch.bool).scatter(1, masked, True)
    changed = torch.where((hidden if which == "masked" else ~hidden)[..., None], q.roll(1, -1), q)
    monkeypatch.setattr(net.tokenizer, "soft_tokens", lambda *_: changed)
    assert torch.equal(net.loss(batch)["predict"], before) == (which == "visible")


def test_no_loss_depends_on_the_order_of_the_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch, order = method(), crops(batch=3), torch.tensor([2, 0, 1])
    turned = {"volume": batch["volume"][order]}
    first, second = net.generator_loss(batch), net.generator_loss(turned)
    for name in first:
        torch.testing.assert_close(second[name], first[name])
    masked = net.masked(3, 48, torch.device("cpu"))
    monkeypatch.setattr(net, "masked", lambda *_: masked)
    whole = net.loss(batch)["predict"]
    monkeypatch.setattr(net, "masked", lambda *_: masked[order])
    torch.testing.assert_close(net.loss(turned)["predict"], whole)


def test_the_tokenizer_and_the_discriminator_get_no_gradient_from_prediction() -> None:
    net, batch = method(), crops()
    net.loss(batch)["predict"].backward()
    assert all(p.grad is None for p in (*net.tokenizer.parameters(), *net.discriminator.parameters()))
    assert net.mask_token.grad is not None and bool(net.mask_token.grad.any())
    assert net.encoder.cls_token.grad is not None and bool(net.encoder.cls_token.grad.any())


def test_masked_tokens_lose_their_position_unless_asked_to_keep_it() -> None:
    for keep in (False, True):
        net = method(predict={"masked_keep_position": keep})
        tokens, grid = net.encoder.embedded(net.normalised(crops()["volume"]), 0)
        masked = net.masked(2, 48, torch.device("cpu"))
        hidden = net.hide(tokens, masked, grid)
        place = net.encoder.place_table(grid)
        for b in range(2):
            for i in range(48):
                is_masked = i in masked[b].tolist()
                expected = (net.mask_token + keep * place[i]) if is_masked else tokens[b, i]
                torch.testing.assert_close(hidden[b, i], expected)


def test_a_batchs_anisotropy_is_read_off_its_depth() -> None:
    assert degrees_by_depth(4, 16) == {64: 0, 32: 1, 16: 2, 8: 3, 4: 4, 1: 5}
    assert degrees_by_depth(5, 16) == {80: 0, 40: 1, 20: 2, 10: 3, 5: 4, 1: 5}
    net = method()
    for config in (net.first, net.second):  # crops of three tokens of 8
        found = [net.degree(torch.empty(1, 3, depth, 32, 32), config) for depth in (24, 12, 6, 3, 1)]
        assert found == [0, 1, 2, 3, 5]


# Settings ---------------------------------------------------------------------------------------------


def test_rates_start_at_nothing_peak_after_the_warm_up_and_end_short_of_the_floor() -> None:
    finetune = dataclasses.replace(PredictConfig(), steps=50_000, warmup_steps=5_000, lr=1e-4, lr_every=1)
    for config, last in ((TokenizerConfig(), 1.423e-6), (PredictConfig(), 1.052e-6), (finetune, 3.423e-6)):
        assert learning_rate(config, 0) == 0 and learning_rate(config, config.warmup_steps) == 1
        assert config.lr * learning_rate(config, config.steps) == pytest.approx(last, rel=5e-4)
    config = TokenizerConfig()
    assert learning_rate(config, 99) == 0 and learning_rate(config, 199) == learning_rate(config, 100) == 100 / 25_000


def test_settings_of_the_tokenizer_reach_its_layers_its_words_its_judge_and_what_that_says(tmp_path: Path) -> None:
    """Rows 4, 5 and 18 of the specification: a variant, and what `ref_code` departs in, are nothing unless handed on."""
    path = str(vgg(tmp_path, lines=False))
    changes = {"codebook_reach": 0.5, "gate_at": 0.3, "gate_decay": 0.6, "discriminator_widths": (16, 32, 48)}
    plain = method({"perceptual_file": path})
    net = method({**changes, **METHOD.variants["up_mean"], "perceptual_file": path, "lpips_shifted": True})
    for one, reduce in ((plain, "sum"), (net, "mean")):
        assert [up.reduce for up in one.tokenizer.modules() if isinstance(up, SpadUp)] == [reduce] * 3
    assert 0.45 < net.tokenizer.codebook.abs().max() <= 0.5 and (net.gate.at, net.gate.decay) == (0.3, 0.6)
    assert [part.out_channels for part in net.discriminator.modules() if isinstance(part, SpadDown)] == [16, 32, 48]
    assert torch.equal(net.perceptual[0].get_buffer("shift"), -plain.perceptual[0].get_buffer("shift"))


def test_sizes_of_the_transformer_are_those_of_pre_training_and_of_fine_tuning() -> None:
    """Sec. 4.1 and 5.1: heads share a width, so that another number of them leaves every weight its shape."""
    changes: dict[str, Any] = {"width": 96, "depth": 5, "heads": 8, "taps": (1, 2, 4, 5)}
    encoder = METHOD.encoder(dataclasses.replace(METHOD.tiny["predict"], **changes), SIGHT)
    for one in (method(predict=changes).encoder, encoder):
        assert (one.width, len(one.blocks), one.heads, one.patch) == (96, 5, 8, 8)
        assert {block.attention.heads for block in one.blocks} == {8}
    assert encoder.taps == (1, 2, 4, 5)


def test_weight_decay_spares_biases_norms_codebook_positions_and_tokens_and_the_judge_learns_faster() -> None:
    net = method({"discriminator_rate": 10.0})
    names = {id(p): name for name, p in net.named_parameters()}
    tokenizer, predict = net.phases
    makes, judges = tokenizer.turns
    spared = set()
    for turn, config in ((makes, net.first), (judges, net.first), (predict.turns[0], net.second)):
        assert turn.parameters is not None
        for group in even_groups(turn.parameters(), net, config, turn.rates):
            assert group["lr"] == pytest.approx(config.lr * (10 if turn is judges else 1))
            spared |= {names[id(p)] for p in group["params"]} if group["weight_decay"] == 0 else set()
    weights = {name for name, p in net.named_parameters() if name.endswith("weight") and p.ndim > 1}
    assert {"tokenizer.codebook", "encoder.positions", "encoder.cls_token", "mask_token"} <= spared
    assert spared == {name for name, _ in net.named_parameters()} - weights


def test_each_phase_draws_and_cuts_by_its_own_settings() -> None:
    """Crops of 24 and of 32 voxels of depth in tokens of 8: three and four tokens deep."""
    changes = {"buffer": 5, "dataset_weights": "even", "exclude_overlap": True, "even_axis": 0}
    net = method(changes, {"crop": (32, 24, 24)})
    (first, views), (second, others) = ((phase.draw, phase.views) for phase in net.phases)
    assert first == EqualAnisotropy(side=32, buffer=5, weighted=False, even_axis=0, exclude_overlap=True)
    assert second == EqualAnisotropy(side=24, buffer=16_384, weighted=True, even_axis=2, exclude_overlap=False)
    assert (views, others) == (ZoomedCrop(32, 3, 8, even_axis=0), ZoomedCrop(24, 4, 8, even_axis=2))


def test_a_batch_is_varied_before_it_is_shown_on_three_channels() -> None:
    """Untouched are 0.85 * 0.85 * 0.7 = 0.506 of the images: of 400 about 202, with a standard error of 10."""
    torch.manual_seed(0)
    stored = torch.rand(1, 1, 2, 4, 4).half().expand(400, -1, -1, -1, -1)
    shown = method().prepare({"volume": stored})["volume"]
    assert shown.shape == (400, 3, 2, 4, 4) and torch.equal(shown[:, :1], shown[:, 2:])
    assert 162 < int((shown[:, :1] == stored.float()).flatten(1).all(1).sum()) < 242


def test_the_tokenizers_loss_wants_the_whole_batch_of_every_device_and_the_predictors_is_a_mean_over_samples() -> None:
    tokenizer, predict = method().phases
    assert (tokenizer.splits_batch, tokenizer.gathers) == (False, True) and predict.splits_batch


def test_the_phases_move_their_own_parameters_only() -> None:
    net = method()
    names = {id(p): name.split(".")[0] for name, p in net.named_parameters()}
    moved = [{names[id(p)] for p in turn.parameters()} for phase in net.phases for turn in phase.turns]  # type: ignore[misc]
    assert moved == [{"tokenizer"}, {"discriminator"}, {"encoder", "mask_token", "head"}]


def test_the_card_shows_what_each_optimiser_moves_and_a_forecast_can_count_either_phase() -> None:
    from bench.catalogue import show_method

    shown = show_method("spad")
    assert list(shown["config"]) == ["tokenizer", "predict"] and shown["dims"] == [2, 3]
    assert shown["parameters"]["encoder"] == 94_930_944
    moved = {name: count for name, count in shown["parameters"].items() if "." in name}
    assert moved == {
        "tokenizer.generator": 34_253_955,
        "tokenizer.discriminator": 11_529_985,
        "predict.all": 94_930_944 + 768 + 1_378_048,
    }
    assert set(shown["flops"]["pretrain_sample"]) == {"tokenizer", "predict"}
    assert shown["flops"]["pretrain_sample"]["predict"] > 3 * 500 * 2 * 85e6  # 500 tokens through the transformer


def test_a_task_is_rounded_up_to_what_its_anisotropy_asks() -> None:
    config = PredictConfig()
    assert config.multiple_at((192, 192, 48), (0.75, 0.75, 3.0)) == (32, 32, 8)
    assert config.multiple_at((96, 96, 96), (1.5, 1.5, 2.0)) == (32, 32, 32)
    assert config.multiple_at((1, 160, 160), None) == (1, 32, 32)


def test_settings_that_cannot_stand_together_are_refused() -> None:
    with pytest.raises(SpecError, match="names patches"):
        method({"factors": (4, 2, 2)})
    with pytest.raises(SpecError, match="square in-plane"):
        method(predict={"crop": (16, 32, 24)})


def test_where_no_axis_stands_out_the_setting_tells_which_comes_first() -> None:
    for axis in range(3):
        config = dataclasses.replace(METHOD.tiny["predict"], even_axis=axis)
        encoder = METHOD.encoder(config, Sight(1, (32, 32, 32), (1.0, 1.0, 1.0), Intensity("asis")))
        assert isinstance(encoder, AdaptedSpadViT) and (encoder.depth_axis, encoder.da) == (axis, 0)


def test_fine_tuning_sees_the_epsilon_with_which_pre_training_learnt() -> None:
    tiny = METHOD.tiny["predict"]
    for changes, eps in (({}, 1e-5), ({"norm_eps": 1e-3}, 1e-3), ({"eva02_file": "weights"}, 1e-6)):
        encoder = METHOD.encoder(dataclasses.replace(tiny, **changes), SIGHT)
        assert {part.eps for part in encoder.modules() if isinstance(part, nn.LayerNorm)} == {eps}


def test_the_encoder_of_a_flat_task_has_no_depth_to_lose() -> None:
    encoder = METHOD.encoder(METHOD.tiny["predict"], Sight(3, (1, 32, 32), None, Intensity("asis")))
    assert isinstance(encoder, AdaptedSpadViT) and encoder.da == 5
    features = encoder(torch.randn(2, 3, 1, 32, 32))
    assert [m.shape[2] for m in features.maps] == [1] * 4 and features.pooled.shape == (2, 48)


def test_eva02_weights_from_a_file_start_the_transformer_and_its_mask_token(tmp_path: Path) -> None:
    from tests.nets.eva02_weights import eva02

    weights = eva02()
    torch.save({"module": weights}, tmp_path / "eva02.pt")
    net = method(predict={"eva02_file": str(tmp_path / "eva02.pt")})
    torch.testing.assert_close(net.mask_token.data, weights["mask_token"].flatten())
    torch.testing.assert_close(net.encoder.blocks[1].mlp.w3.weight, weights["blocks.1.mlp.fc2.weight"])
    assert net.encoder.norm.eps == 1e-6 and not any("EVA-02" in note for note in net.told)
    assert method().encoder.norm.eps == 1e-5
    kept = method(predict={"eva02_file": str(tmp_path / "eva02.pt"), "eva02_eps": 1e-5})
    assert kept.encoder.norm.eps == 1e-5
    for row, one in enumerate((net, method(predict={"eva02_file": str(tmp_path / "eva02.pt"), "eva02_class_row": 1}))):
        expected = weights["cls_token"].flatten() + weights["pos_embed"][0, row]
        torch.testing.assert_close(one.encoder.cls_token.data, expected)
    with pytest.raises(SpecError, match=r"--set predict\.eva02_eps=0\.001"):
        method(predict={"eva02_file": str(tmp_path / "eva02.pt"), "norm_eps": 1e-3})


def test_the_released_code_keeps_its_epsilon_and_class_row_under_eva02s_weights_and_the_paper_takes_theirs() -> None:
    from methods import spad_scratch
    from tests.nets.eva02_weights import eva02

    code, full = METHOD.ref_code["predict"], METHOD.full["predict"]
    assert (dataclasses.replace(code, eva02_file="x").eps(), dataclasses.replace(full, eva02_file="x").eps()) == (
        1e-5,
        1e-6,
    )
    for card, tiny in ((METHOD, METHOD.tiny["predict"]), (spad_scratch.METHOD, spad_scratch.METHOD.tiny)):
        for preset, eps, row in (("full", 1e-6, 0), ("ref_code", 1e-5, 1)):
            told = getattr(card, preset)
            told = told["predict"] if card is METHOD else told
            config = dataclasses.replace(tiny, eva02_eps=told.eva02_eps, eva02_class_row=told.eva02_class_row)
            encoder = card.encoder(config, Sight(1, (32, 32, 32), None, Intensity("asis")))
            encoder.adopt(weights := eva02(), declared=False)
            torch.testing.assert_close(
                encoder.cls_token.data, weights["cls_token"].flatten() + weights["pos_embed"][0, row]
            )
            assert encoder.norm.eps == pytest.approx(eps) and encoder.blocks[0].norm1.eps == pytest.approx(eps)


def test_a_weight_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    for name in ("broken.safetensors", "broken.pt", "empty.pt"):
        with pytest.raises(EncoderMismatch, match="no file of weights"):
            read_foreign(str(tmp_path / name))


# Pictures ---------------------------------------------------------------------------------------------


def test_what_is_tried_are_held_out_images_rebuilt_in_their_own_range() -> None:
    """The network works on 2x - 1; errors are the mean distance of what was made, and of the crop's mean colour."""
    net, pool = method(), mixed()
    found = list(tried(net.tokenizer, pool, 32, 24, 2))
    assert [one.case for one in found] == list(held_out(pool)) and len(found) < len(pool.cases)
    for one in found:
        with torch.no_grad():
            made = net.tokenizer(one.crop * 2 - 1, one.da)[0]
        torch.testing.assert_close(one.made, ((made + 1) / 2).clamp(0, 1))
    crop = torch.tensor([0.2, 0.6]).view(1, 1, 1, 1, 2)
    assert Tried("a", 0, crop, crop + 0.1, crop).errors() == pytest.approx((0.1, 0.2))


def test_what_is_tried_of_slices_sixteen_times_as_thick_goes_the_way_that_its_batches_went_in_training() -> None:
    """Tokens of 8 voxels: degrees 3 and 4 have crops of one depth, and the loss treats both as 3, its last layers' kernels too."""
    net, pool = method(), Pool({"a": Image((40, 40, 40), (0.5, 0.5, 8.0))})
    (one,) = tried(net.tokenizer, pool, 32, 24, 2)
    with torch.no_grad():
        made, q = net.tokenizer(one.crop * 2 - 1, net.degree(one.crop, net.first))
        assert not torch.equal(q, net.tokenizer(one.crop * 2 - 1, 4)[1])
    assert one.da == 4 and torch.equal(one.q, q) and torch.equal(one.made, ((made + 1) / 2).clamp(0, 1))


def test_the_tokenizer_shows_what_it_rebuilds_at_each_anisotropy_and_how_it_uses_its_words() -> None:
    net = method()
    rows, use = net.pictures("tokenizer", mixed())
    assert isinstance(rows, ImageRows) and isinstance(use, Histogram) and net.pictures("predict", mixed()) == ()
    assert rows.columns == ("input", "rebuilt", "difference") and len(rows.rows) == 1
    for _, images in rows.rows:
        assert all(image.shape == (32, 32) and image.min() >= 0 and image.max() <= 1 for image in images)
        np.testing.assert_allclose(images[2], abs(images[0] - images[1]), atol=1e-6)
    assert use.values.shape == (32,) and use.values.sum() == pytest.approx(32 * use.expected)
    assert "KL" in use.title and "held out" in rows.title
    alone = {case: dataclasses.replace(image, fields={"dataset": case}) for case, image in mixed().images.items()}
    assert "of which it saw all" in net.pictures("tokenizer", Pool(alone))[0].title
