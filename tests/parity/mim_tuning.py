"""MiM's fine-tuning as released and ours: networks, losses, rates; run by `python -m tests.parity.mim FOLDER`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts.configs import PhaseConfig
from bench.train.schedule import learning_rate
from methods.mim import FULL, REF_CODE, build_encoder
from tasks.btcv import MIM
from tasks.kinds.classification import ClassificationNet
from tasks.kinds.dice_ce import dice_ce, plain_dice_ce
from tasks.kinds.regions import bits, region_dice_ce
from tests.parity.mim_networks import (
    NARROW,
    SIGHT,
    Released,
    both_pretraining,
    encoder_of,
    fine_tuned,
    gradients,
    named,
)
from tests.parity.released import Compared, compared, moved, taken_over


@torch.no_grad()
def segmentation(code: Released) -> list[Compared]:
    """Maps and logits at the paper's size, and how often each block is left out."""
    theirs, ours = fine_tuned(code, (96, 96, 96), FULL)
    volume = torch.rand(1, 1, 96, 96, 96)
    maps = zip(theirs.backbone(volume, True), ours.encoder(volume).maps, strict=True)
    found = [compared(f"fine-tuning: map {k} of 5", *pair) for k, pair in enumerate(maps, 1)]
    found.append(compared("fine-tuning: logits", theirs(volume), ours(volume)))
    blocks = [block for k in "1234" for block in getattr(theirs.backbone, f"blocks{k}")]
    own = [block for k in "1234" for block in getattr(ours.encoder, f"stage{k}")]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks], [block.drop_path.rate for block in own]
    return [*found, compared("fine-tuning: rates of drop-path of 17 blocks", *map(torch.tensor, rates))]


def segmentation_gradients(code: Released) -> list[Compared]:
    """One step, with the statistics of its batch; in double precision, as gradients behind so many norms are small."""
    theirs, ours = (net.double() for net in fine_tuned(code, (64, 64, 64), NARROW))
    theirs.backbone.fpn.train()
    ours.encoder.down.train()
    volume = functional.interpolate(torch.rand(1, 1, 8, 8, 8).double(), size=(64, 64, 64), mode="trilinear")
    label = (4 * volume[:, 0]).long()  # of what is seen, or gradients would cancel
    args = SimpleNamespace(loss_name="DiceCELoss", smooth_nr=0.0, smooth_dr=1e-6)
    one = code.losses.get_loss_function(args)(theirs(volume), label[:, None])
    other = sum(dice_ce(ours(volume), label, torch.ones_like(label)))
    one.backward()
    other.backward()
    told = named(theirs, (4, 4, 4), gradients=True)
    return [compared("fine-tuning, narrow: loss", one, other), *gradients("fine-tuning, narrow", told, ours)]


@torch.no_grad()
def taken_from_pretraining(code: Released) -> list[Compared]:
    """A pre-trained file in networks for voxels of another shape: how many tensors it fills, and the maps that come of them."""
    pretrained, source = both_pretraining(code, REF_CODE)
    shape = (192, 192, 32)
    theirs, ours = fine_tuned(code, shape, FULL)
    before = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    args = SimpleNamespace(model_name="convit3d", in_channels=1, rank=0, roi_x=192, roi_y=192, roi_z=32)
    with tempfile.TemporaryDirectory() as folder:
        args.pretrained_path = str(Path(folder) / "checkpoint.pth")
        torch.save({"model": pretrained.state_dict(), "epoch": 0}, args.pretrained_path)
        code.transfer.load_ckpt(args, theirs)
    adopted = ours.encoder.adopt(source.encoder.state_dict())
    filled = sum(not torch.equal(before[name], tensor) for name, tensor in theirs.state_dict().items())
    volume = torch.rand(1, 1, *shape)
    maps = zip(theirs.backbone(volume, True), ours.encoder(volume).maps, strict=True)
    return [
        compared("pre-trained file: tensors it fills", filled, len(adopted.matched) + len(adopted.reshaped)),
        *(compared(f"pre-trained file: map {k} of 5", *pair) for k, pair in enumerate(maps, 1)),
    ]


@torch.no_grad()
def classification(code: Released) -> list[Compared]:
    """Logits of three classes; the weights of their norm before the head go into our head."""
    shape = (64, 64, 32)
    theirs = encoder_of(code.classifier, shape, NARROW, NARROW.widths, num_classes=3)
    moved(theirs, 6)
    encoder = build_encoder(NARROW, replace(SIGHT, shape=shape))
    ours, told = ClassificationNet(encoder, 3), named(theirs, encoder.grid)
    scale, shift = (told.pop(f"encoder.norm.{part}") for part in ("weight", "bias"))
    head = {"head.weight": told["head.weight"] * scale, "head.bias": told["head.bias"] + told["head.weight"] @ shift}
    beside = {name: weight for name, weight in ours.named_parameters() if name.startswith("encoder.down")}
    taken_over(ours, {**told, **head, **beside})
    volume = torch.rand(2, 1, *shape)
    answer = theirs.eval()(volume)
    with mock.patch("bench.nets.conv3d.pool", lambda x: functional.layer_norm(x.mean(1), x.shape[-1:], eps=1e-6)):
        alike = ours.eval()(volume)
    return [
        compared("classification, narrow: logits (see notes)", answer, ours(volume)),
        compared("classification, narrow: logits, ours with 1e-6 below the root", answer, alike),
    ]


def losses(code: Released) -> list[Compared]:
    """Those of fine-tuning, with gradients; one class and one region are nowhere, and regions overlap."""
    label, regions = torch.randint(0, 3, (2, 6, 7, 8)), torch.randint(0, 4, (2, 6, 7, 8))
    inside, overlapping = torch.ones_like(label), bits(regions, 3).float()
    brain = "10_Decathlon_Task01_BrainTumour"
    cases: tuple[tuple[str, str, Tensor, int, Callable[[Tensor], Tensor]], ...] = (
        ("DiceCELoss", "BTCV", label[:, None], 4, lambda x: sum(dice_ce(x, label, inside))),
        ("DiceLoss", "BTCV", label[:, None], 4, lambda x: plain_dice_ce(x, label, inside)[1]),
        ("DiceLoss", brain, overlapping, 3, lambda x: region_dice_ce(x, regions, inside, squared=True)[1]),
    )
    found = []
    for name, dataset, target, channels, own in cases:
        args = SimpleNamespace(loss_name=name, dataset_name=dataset, smooth_nr=0.0, smooth_dr=1e-6)
        one = torch.randn(2, channels, 6, 7, 8, requires_grad=True)
        other = one.detach().clone().requires_grad_()
        both = code.losses.get_loss_function(args)(one, target), own(other)
        for loss in both:
            loss.backward()
        found += [
            compared(f"{name} on {dataset}", *both),
            compared(f"{name} on {dataset}: gradient", one.grad, other.grad),
        ]
    return found


def rates(code: Released) -> list[Compared]:
    """Learning rates: of 800 epochs of pre-training, 5 updates in 373 batches each, and of 1,000 of fine-tuning on BTCV."""
    settings = SimpleNamespace(lr=2e-4, min_lr=0.0, warmup_epochs=40, epochs=800)
    held = SimpleNamespace(param_groups=[{}])
    moments = [epoch + 64 * update / 373 for epoch in range(800) for update in range(5)]
    theirs = torch.tensor([code.schedule.adjust_learning_rate(held, moment, settings) for moment in moments])
    ours = rates_of(REF_CODE)
    recipe = replace(MIM.recipe, **MIM.ref_code)
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    scheduler = code.rates.LinearWarmupCosineAnnealingLR(optimiser, warmup_epochs=50, max_epochs=1_000)
    each = []
    for _ in range(1_000):
        each.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    tuned, own = torch.tensor(each), rates_of(recipe)[:: recipe.lr_every]
    return [
        compared("pre-training: rate at each epoch's start after the warm-up", theirs[200::5], ours[200::5]),
        compared("pre-training: rate of the 4,000 updates (see notes)", theirs, ours),
        compared("fine-tuning: rate of the epochs after the warm-up", tuned[50:], own[50:]),
        compared("fine-tuning: rate of the 50 epochs of the warm-up (see notes)", tuned[:50], own[:50]),
    ]


def rates_of(config: PhaseConfig) -> Tensor:
    return torch.tensor([config.lr * learning_rate(config, step) for step in range(config.steps)])
