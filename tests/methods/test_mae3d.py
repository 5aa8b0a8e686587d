"""MAE3D against its specification: the loss restated, who is seen, what gets a gradient, sizes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.errors import SpecError
from bench.nets.patches import patchify
from bench.nets.vit3d import ViT3D
from methods import mae3d
from methods.mae3d import MAE3D, METHOD, MAE3DConfig
from methods.parts.decoders import TokenDecoder
from methods.parts.masks import random_hidden

SIGHT = Sight(1, (32, 32, 32), None, Intensity("asis"))


def method(**changes: object) -> MAE3D:
    torch.manual_seed(0)
    return MAE3D(dataclasses.replace(METHOD.tiny, **changes), SIGHT)


def crops(batch: int = 2) -> dict[str, Tensor]:
    return {"volume": torch.randn(batch, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))}


@pytest.mark.parametrize(("distance", "normalise"), [("mse", True), ("l1", False), ("mse", False), ("l1", True)])
def test_the_loss_is_the_papers_sum_over_hidden_patches(distance: str, normalise: bool) -> None:
    net, batch = method(distance=distance, normalise_target=normalise), crops()
    torch.manual_seed(5)
    loss = net.loss(batch)["rebuild"]
    torch.manual_seed(5)
    hidden = random_hidden(2, 64, 0.75, "cpu")
    rebuilt = net.decoder(net.encoder.tokens(batch["volume"], ~hidden), hidden)[1]
    losses = []
    for b, place in hidden.nonzero().tolist():
        d, h, w = place // 16, place // 4 % 4, place % 4
        y = batch["volume"][b, 0, 8 * d : 8 * d + 8, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8].flatten()
        y = (y - y.mean()) / (y.var(unbiased=True) + 1e-6) ** 0.5 if normalise else y
        gap = rebuilt[b, place] - y
        losses.append((gap.abs() if distance == "l1" else gap**2).mean())
    assert len(losses) == 2 * 48
    torch.testing.assert_close(loss, sum(losses) / len(losses))


def test_the_encoder_sees_the_visible_patches_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    net, rows = method(), []
    net.encoder.embed.register_forward_hook(lambda _m, given, _o: rows.append(tuple(given[0].shape)))
    for block in net.encoder.blocks:
        block.register_forward_hook(lambda _m, given, _o: rows.append(tuple(given[0].shape)))
    net.loss(crops())
    visible = 64 - int(0.75 * 64)
    assert rows == [(2, visible, 512)] + [(2, visible, 48)] * 3


def test_predictions_at_visible_places_get_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    net, masks, voxels = method(), [], []

    def remembered(*asked: object) -> Tensor:
        masks.append(random_hidden(*asked))  # type: ignore[arg-type]
        return masks[-1]

    monkeypatch.setattr(mae3d, "random_hidden", remembered)
    net.decoder.head.register_forward_hook(lambda _m, _i, out: (out.retain_grad(), voxels.append(out))[1])
    net.loss(crops())["rebuild"].backward()
    touched = voxels[0].grad.abs().amax(-1) > 0
    assert torch.equal(touched, masks[0])


@pytest.mark.parametrize(("ratio", "visible"), [(1.0, 0), (0.99, 0), (1.5, 0), (0.0, 64), (-1.0, 64)])
def test_a_ratio_that_hides_every_patch_or_none_is_refused(ratio: float, visible: int) -> None:
    """With all hidden the decoder alone would learn, and the encoder would be handed over as it started."""
    with pytest.raises(SpecError, match=f"leaves {visible} of 64 patches visible"):
        method(mask_ratio=ratio)
    for possible in (0.01, 0.98):
        net = method(mask_ratio=possible)
        net.loss(crops())["rebuild"].backward()
        assert all(p.grad is not None for p in net.encoder.parameters())


def test_every_parameter_is_trained() -> None:
    net = method()
    net.loss(crops())["rebuild"].backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_the_target_of_every_patch_is_normalised_by_its_own_voxels() -> None:
    batch = crops()
    batch["volume"][:, :, :8] *= 30.0  # a patch's scale must not weigh
    net = method()
    torch.manual_seed(2)
    first = net.loss(batch)["rebuild"]
    target = mae3d.normalise_tokens(patchify(batch["volume"], (8, 8, 8)))
    torch.testing.assert_close(target.mean(-1), torch.zeros(2, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.var(-1), torch.ones(2, 64), atol=1e-4, rtol=0)
    assert first.item() < 5.0


def test_the_loss_does_not_depend_on_the_order_of_the_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = method(), crops(3)
    hidden, order = random_hidden(3, 64, 0.75, "cpu"), torch.tensor([2, 0, 1])
    monkeypatch.setattr(mae3d, "random_hidden", lambda *_: hidden)
    first = net.loss(batch)["rebuild"]
    monkeypatch.setattr(mae3d, "random_hidden", lambda *_: hidden[order])
    torch.testing.assert_close(net.loss({"volume": batch["volume"][order]})["rebuild"], first)


def test_hounsfield_units_are_windowed_before_the_loss() -> None:
    net = MAE3D(METHOD.tiny, dataclasses.replace(SIGHT, intensity=Intensity("hu")))
    stored = {"volume": torch.full((1, 1, 32, 32, 32), 3000, dtype=torch.int16)}
    assert net.prepare(stored)["volume"].unique().tolist() == [1.0]


def test_the_full_network_has_as_many_parameters_as_are_counted_by_hand() -> None:
    """A block of width C has 12 C^2 + 13 C; the encoder also embeds 4096 voxels and learns 216 positions."""
    with torch.device("meta"):
        net = MAE3D(METHOD.full, dataclasses.replace(SIGHT, shape=(96, 96, 96)))
    encoder = 12 * (12 * 768**2 + 13 * 768) + (4096 + 1) * 768 + 216 * 768 + 2 * 768
    decoder = 8 * (12 * 384**2 + 13 * 384) + (768 + 1) * 384 + 384 + 2 * 384 + (384 + 1) * 4096
    assert sum(p.numel() for p in net.encoder.parameters()) == encoder == 88_368_384
    assert sum(p.numel() for p in net.parameters()) == encoder + decoder


@pytest.mark.parametrize(("encoder", "decoder"), [("learned", "sincos"), ("sincos", "learned")])
def test_positions_of_encoder_and_decoder_learn_each_as_its_own_setting_says(encoder: str, decoder: str) -> None:
    net = method(positions=encoder, decoder_positions=decoder)
    learns = [name for name, _ in net.named_parameters() if name.endswith("positions")]
    assert learns == [f"{'encoder' if encoder == 'learned' else 'decoder'}.positions"]


def test_the_full_preset_is_the_comparisons_setting() -> None:
    full = METHOD.full
    assert (full.steps, full.batch_size, full.optimiser, full.lr, full.weight_decay) == (
        45_000,
        256,
        "adamw",
        1e-4,
        1e-2,
    )
    assert (full.schedule, full.warmup_steps, full.crop) == ("cosine", 100, (96, 96, 96))
    assert (full.mask_ratio, full.decoder_depth, full.distance, full.normalise_target) == (0.75, 8, "mse", True)


@pytest.mark.parametrize(("name", "shape"), [("mim_med3d", (512, 8)), ("mim_code", (576, 16))])
def test_the_released_decoders_are_variants(name: str, shape: tuple[int, int]) -> None:
    config = dataclasses.replace(METHOD.full, **METHOD.variants[name])
    with torch.device("meta"):
        net = MAE3D(config, dataclasses.replace(SIGHT, shape=(96, 96, 96)))
    assert isinstance(net.decoder, TokenDecoder)
    assert (net.decoder.embed.out_features, net.decoder.blocks[0].attention.heads) == shape
    assert (config.distance, config.normalise_target) == (("l1", False) if name == "mim_med3d" else ("mse", True))


@pytest.mark.parametrize("shape", [(32, 32, 32), (32, 48, 16)])
def test_fine_tuning_takes_the_encoder_over_at_any_multiple_of_the_patch(shape: Shape3) -> None:
    net = method()
    fresh = METHOD.encoder(METHOD.tiny, dataclasses.replace(SIGHT, shape=shape))
    assert isinstance(fresh, ViT3D)
    adopted = fresh.adopt(net.encoder.state_dict())
    assert adopted.new == adopted.dropped == ()
    assert adopted.reshaped == (() if shape == (32, 32, 32) else ("positions",))


def test_the_input_must_be_a_multiple_of_the_patch() -> None:
    assert MAE3DConfig().multiple() == (16, 16, 16)
    assert METHOD.tiny.multiple() == (8, 8, 8)
