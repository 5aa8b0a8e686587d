"""Networks from scratch: the papers' sizes, the presets' shapes, what the reference code does differently."""

from __future__ import annotations

import dataclasses
from types import ModuleType

import pytest
import torch
from torch import nn

from bench import registry
from bench.blueprint import blueprint
from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.method import Encoder
from bench.finetune import build_model
from bench.nets.decoders import build_decoder
from bench.nets.shared_batch_norm import SharedBatchNorm
from bench.spec import make_spec
from methods import swin_unetr_scratch, unet3d_scratch, unetr_scratch

MODULES = (unetr_scratch, swin_unetr_scratch, unet3d_scratch)


def sight(shape: Shape3) -> Sight:
    return Sight(1, shape, None, Intensity("zscore"))


def net(module: ModuleType, preset: str, classes: int = 14) -> tuple[Encoder, nn.Module]:
    card = module.METHOD
    config = getattr(card, preset)
    encoder = card.encoder(config, sight(config.crop))
    return encoder, build_decoder(card.decoder, encoder=encoder, in_channels=1, classes=classes)


@pytest.mark.parametrize(
    ("module", "millions"), [(unetr_scratch, 92.8), (swin_unetr_scratch, 62.19), (unet3d_scratch, 19.07)]
)
def test_full_networks_have_the_published_number_of_parameters(module: ModuleType, millions: float) -> None:
    with torch.device("meta"):
        parts = net(module, "full")
    count = sum(p.numel() for part in parts for p in part.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("module", MODULES)
def test_scratch_means_no_pre_training_and_no_corpus(module: ModuleType) -> None:
    card = module.METHOD
    assert (card.build, card.corpus, card.family) == (None, "none", "scratch")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_small_networks_have_the_full_ones_form_and_a_fraction_of_their_size(module: ModuleType, preset: str) -> None:
    encoder, decoder = net(module, preset, classes=3)
    with torch.device("meta"):
        whole = net(module, "full", classes=3)
    assert type(encoder) is type(whole[0])
    assert type(decoder) is type(whole[1])
    count = sum(p.numel() for p in (*encoder.parameters(), *decoder.parameters()))
    assert count < 0.3 * sum(p.numel() for part in whole for p in part.parameters())
    config = getattr(module.METHOD, preset)
    assert all(side % step == 0 for side, step in zip(config.crop, config.multiple(), strict=True))


@pytest.mark.parametrize("module", MODULES)
def test_a_step_on_a_fixed_batch_lowers_a_segmentation_loss(module: ModuleType) -> None:
    torch.manual_seed(0)
    encoder, decoder = net(module, "tiny", classes=2)
    parts = nn.ModuleList([encoder, decoder])
    volume = torch.randn(2, 1, *module.METHOD.tiny.crop)
    truth = (volume[:, 0] > 0).long()
    optimiser = torch.optim.AdamW(parts.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        loss = nn.functional.cross_entropy(decoder(volume, encoder(volume).maps), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("task", ["msd04", "nodulemnist3d"])
def test_scratch_and_pre_trained_runs_of_one_seed_start_alike_outside_the_encoder(task: str) -> None:
    """The baselines' invariant: what pre-training does not bring is drawn from the task and the seed, not from the method."""

    def beside_the_encoder(method: str, seed: int) -> dict[str, torch.Tensor]:
        corpus = "own" if method == "mae3d" else ""
        plan = blueprint(make_spec(method=method, task=task, preset="tiny", corpus=corpus, seed=seed))
        kind = registry.kind(registry.task(task).kind)
        model = build_model(plan.method, method, plan.architecture, plan.setup, kind, plan.setup.recipe.seed)  # type: ignore[arg-type]
        return {name: value for name, value in model.state_dict().items() if not name.startswith("encoder.")}

    scratch, pretrained, other = (
        beside_the_encoder(*words) for words in (("unetr_scratch", 3), ("mae3d", 3), ("mae3d", 4))
    )
    assert scratch and scratch.keys() == pretrained.keys()
    assert all(torch.equal(scratch[name], pretrained[name]) for name in scratch)
    assert not all(torch.equal(other[name], pretrained[name]) for name in other)


def test_unetrs_reference_code_reads_one_block_later_than_the_paper_counts() -> None:
    card = unetr_scratch.METHOD
    assert (card.full.skips, card.ref_code.skips) == ((3, 6, 9, 12), (4, 7, 10, 12))


def test_models_genesis_reference_code_never_uses_running_statistics() -> None:
    with torch.device("meta"):
        encoder, _ = net(unet3d_scratch, "ref_code")
    norms = [part for part in encoder.modules() if isinstance(part, SharedBatchNorm)]
    assert len(norms) == 8
    assert {norm.track_running_stats for norm in norms} == {False}


def test_the_legacy_variant_is_the_merging_of_the_released_weights() -> None:
    card = swin_unetr_scratch.METHOD
    with torch.device("meta"):
        config = dataclasses.replace(card.full, **card.variants["legacy"])
        legacy, v2 = (card.encoder(c, sight((96, 96, 96))) for c in (config, card.full))
    assert legacy.layers1[0].downsample.offsets != v2.layers1[0].downsample.offsets
    assert sum(p.numel() for p in legacy.parameters()) == sum(p.numel() for p in v2.parameters()) == 8_062_002
