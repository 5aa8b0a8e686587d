"""Fine-tuning SPAD on BTCV beside its released code, and the learning rates of all its trainings; see `spad`."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.contracts.configs import Intensity, Sight
from bench.nets.spad_decoder import SpadDecoder
from bench.train.schedule import layer_groups, learning_rate
from methods.parts.spad_encoder import build_encoder
from methods.spad import REF_CODE
from tasks.btcv import SPAD as BTCV
from tasks.kinds import segmentation
from tasks.kinds.dice_ce import plain_dice_ce
from tests.parity import spad_released as pumit
from tests.parity.released import Compared, compared, moved, taken_over
from tests.parity.spad_released import joined, module
from tests.parity.spad_weights import decay, gradients

SIGHT = Sight(1, (80, 160, 160), None, Intensity("percentile"))
CROP = (32, 96, 96)  # of fine-tuning
FIRST, SECOND = REF_CODE["tokenizer"], REF_CODE["predict"]
RECIPE = BTCV.recipe_at("ref_code", "segmentation", from_scratch=False)


def adoption(
    folder: Path, transformer: nn.Module, encoder: nn.Module, channels: int
) -> tuple[nn.Module, nn.Module, Compared]:
    """The pre-trained weights in both encoders of a task with so many channels."""
    theirs = pumit.task_encoder(folder, CROP, channels)
    with contextlib.redirect_stdout(None):
        module("mylib.models").load_ckpt(theirs, {"state_dict": transformer.state_dict()})
    ours = task_encoder(channels, 12, SECOND.taps)
    ours.adopt(encoder.state_dict())
    own = {f"encoder.{name}": p for name, p in ours.named_parameters()}
    trunk = {n: p for n, p in theirs.named_parameters() if not n.startswith(("fpn", "norms"))}
    both = [(p, own[pumit.ours(n, pumit.TRANSFORMER)].reshape(p.shape)) for n, p in trunk.items()]
    return theirs, ours, joined(f"fine-tuning, {len(both)} adopted parameters, channels: {channels}", both)


def task_encoder(channels: int, depth: int, taps: tuple[int, ...]) -> nn.Module:
    sight = Sight(channels, CROP, (3.0, 0.75, 0.75), Intensity("hu", (-175.0, 250.0), (-1.0, 1.0)))
    return build_encoder(replace(SECOND, depth=depth, taps=taps), sight)


def segmenters(folder: Path, theirs: nn.Module, ours: nn.Module) -> tuple[nn.Module, nn.Module, Mapping[str, Any], Any]:
    """The networks of BTCV around two encoders, with equal weights, and the parameters of both by our names."""
    told = pumit.config(folder, "downstream/btcv/model.yaml")
    theirs = pumit.built(told, backbone=theirs, sample_size=CROP)
    ours = segmentation.SegmentationNet(ours, SpadDecoder(ours, in_channels=1, classes=14))
    moved(theirs, 5)
    named = pumit.named(theirs, pumit.SEGMENTER)
    taken_over(ours, named)
    return theirs, ours, named, dict(ours.named_parameters())


@torch.no_grad()
def adapted(folder: Path, transformer: nn.Module, encoder: nn.Module) -> list[Compared]:
    """What is adopted by networks of two channels and of one; logits of a task's network, and what of it decays."""
    *_, both_channels = adoption(folder, transformer, encoder, 2)
    theirs, ours, one_channel = adoption(folder, transformer, encoder, 1)
    theirs, ours, named, own = segmenters(folder, theirs, ours)
    x = torch.rand(1, 1, *CROP) * 2 - 1
    logits = compared("fine-tuning, logits", theirs(x), ours(x))
    groups = layer_groups(segmentation.layers(ours), ours, RECIPE, RECIPE.layer_decay)
    return [both_channels, one_channel, logits, decay("fine-tuning", theirs, named, groups, own)]


def fine_tuning(folder: Path) -> list[Compared]:
    """The loss of four heads and its gradients, at four blocks and in double precision."""
    encoder = pumit.task_encoder(folder, CROP, 1, depth=4, out_indexes=(0, 1, 2, 3))
    theirs, ours, named, own = segmenters(folder, encoder, task_encoder(1, 4, (1, 2, 3, 4)))
    x, label = torch.rand(1, 1, *CROP, dtype=torch.double), torch.randint(14, (1, 1, *CROP))
    loss = theirs.double().training_step((x, label))
    loss.backward()  # one graph at a time
    inside, heads = torch.ones_like(label[:, 0]), ours.double().supervised(x * 2 - 1)
    own_loss = sum(share * sum(plain_dice_ce(logits, label[:, 0], inside)) for share, logits in heads)
    own_loss.backward()
    names = ("embed.weight", "positions", "blocks.3.mlp.w3.weight", "norms.3.weight", "twice.0.weight", "once.weight")
    rest = ("decoder.stem.0.0.weight", "decoder.ups.0.weight", "decoder.heads.3.weight")
    found = gradients("fine-tuning", named, own, (*(f"encoder.{n}" for n in names), *rest))
    return [compared("fine-tuning, loss of four heads", loss, own_loss), *found]


@torch.no_grad()
def mirrored() -> Compared:
    """Windows that slide over eight mirrored copies, with a small network in the place of the large one."""
    network, side = nn.Conv3d(1, 4, 3, padding=1), (8, 16, 16)
    overlap = {"sample_size": side, "sw_overlap": BTCV.inference.overlap}
    theirs = module("downstream.btcv").BTCVModel(backbone=None, decoder=None, seg_feature_channels=(1,), **overlap)
    theirs.forward = lambda x: network(x)
    setup = types.SimpleNamespace(sight=replace(SIGHT, shape=side), inference=BTCV.inference, overlapping=False)
    x = torch.randn(1, 1, 13, 30, 27)
    ours = segmentation._mirrored_mean(setup, network, x)
    return compared("inference, probabilities of eight mirrored copies", theirs.tta_infer(x), ours)


def schedules(folder: Path) -> Iterator[Compared]:
    """Learning rates of three trainings, every 37th update, where timm is installed: the schedule is its."""
    if not module("timm").__path__:
        return
    first = pumit.config(folder, "tokenizer/simple/main.yaml")
    second = pumit.config(folder, "model/main.yaml", "model/model.yaml")
    fit, own = pumit.config(folder, "downstream/btcv/fit.yaml"), second["init_args"]
    third = {"scheduler": fit["lr_scheduler"], **fit["lr_scheduler_config"]}
    phases = {
        "tokenizer": (first["optimizer_g"], first["lr_scheduler_g"], first["training"]["max_steps"], FIRST),
        "transformer": (own["optimizer"], own["lr_scheduler"], second["trainer"]["max_steps"], SECOND),
        "fine-tuning": (fit["optimizer"], third, fit["trainer"]["max_steps"], RECIPE),
    }
    for what, (optimiser, schedule, steps, ours) in phases.items():
        optimizer = pumit.built(optimiser, [nn.Parameter(torch.zeros(1))])
        wrapped = module("mylib.types").LRSchedulerConfig(scheduler=schedule["scheduler"])
        theirs = module("pumit.optim").build_lr_scheduler(optimizer, wrapped, steps).scheduler
        rates = []
        for step in range(0, min(steps, ours.steps), 37):
            theirs.step_update(step - step % schedule["frequency"])
            rates.append((optimizer.param_groups[0]["lr"], ours.lr * learning_rate(ours, step)))
        yield compared(f"learning rate, {what}", *torch.tensor(rates, dtype=torch.double).T)
