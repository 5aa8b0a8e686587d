"""The fine-tuning of AR beside that of its released code: UNETR, classifiers, their losses, windows, learning rates.

Part of `tests.parity.ar`. What their scripts ask of their functions (losses' options, weight decay 0.05, epochs of a task) is
written down here, except RICORD's, which a function of its script gives.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.configs import FineTuneConfig, PhaseConfig
from bench.contracts.method import Encoder
from bench.contracts.protocols import Protocol
from bench.nets.decoders import build_decoder
from bench.nets.intensity import to_network_range
from bench.nets.patches import as_tokens
from bench.train.schedule import layer_groups, learning_rate
from methods.ar import METHOD
from tasks import la, msd03, msd06, msd07, msd08, msd09, msd10, nodulemnist3d, ricord
from tasks.kinds import classification, segmentation
from tasks.kinds.class_losses import LOSSES
from tasks.kinds.dice_ce import dice_ce
from tests.parity.ar_code import ENCODER, Places, functions, gradients, released, settings_of, sight, with_their_weights
from tests.parity.released import Compared, compared

CT = {"Task03_Liver": msd03, "Task06_Lung": msd06, "Task07_Pancreas": msd07, "Task08_HepaticVessel": msd08}
CT |= {"Task09_Spleen": msd09, "Task10_Colon": msd10}
DECODER = (
    (r"^encoder1\.", "volume_block."),
    *((rf"^encoder{k + 2}\.", f"lifts.{k}.") for k in range(3)),
    *((rf"^decoder{5 - k}\.", f"ups.{k}.") for k in range(4)),
    (r"transp_conv_init\.conv", "first"),
    (r"blocks\.(\d)\.0\.conv", r"rest.\1.0"),
    (r"blocks\.", "rest."),
)
SEGMENTS: Places = {"vit.": ("encoder.", ENCODER), "": ("decoder.", DECODER)}
CLASSIFIES: Places = {"model.": ("encoder.", ENCODER), "score.": ("head.", ())}


def segmenting(folder: Path) -> list[Compared]:
    """UNETR at the paper's size; its loss and gradients at 48^3; what its parameters learn at; the encoder on LA's grid.

    Gradients in double precision: normalising maps of few voxels on the way back leaves half a percent of noise in float32, and at
    96^3 a convolution in double takes 12 GB.
    """
    build = released(folder, "downstream/segmentation/models/build.py", "released_models")
    sys.modules["released_models.unetr"].ViT = nn.Identity  # MONAI 1.6 no longer takes what it is asked here
    tools = released(folder, "downstream/segmentation/utils/utils.py")
    theirs, ours, names = both_unetr(build, 96)
    with torch.no_grad():
        found = [compared("UNETR: logits of 96^3 voxels", theirs(noise(96, 96, 96)), ours(noise(96, 96, 96)))]
    for what, task in (("MSD", msd06), ("LA", la)):
        found += rates(what, tools, theirs, segmentation, ours, names, task.TASK.protocols["ar"])
    found += on_grid_of_la(build, theirs.vit, ours.encoder)
    theirs, ours, names = both_unetr(build, 48)
    volume, label = noise(48, 48, 48, batch=2).double(), (3 * noise(48, 48, 48, batch=2)).floor()
    label[1] = 0  # a crop of background alone
    measure = tools.DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6)
    loss = measure(theirs.double()(volume), label)
    loss.backward()
    own = ours.double()(volume)
    own_loss = sum(dice_ce(own, label[:, 0], torch.ones_like(label[:, 0])))
    own_loss.backward()
    found.append(compared("UNETR: Dice and cross-entropy", loss, own_loss))
    return found + gradients("UNETR", theirs, ours, names)


def both_unetr(build: Any, side: int) -> tuple[nn.Module, segmentation.SegmentationNet, dict[str, str]]:
    """Their network and ours for crops of `side` voxels and three classes."""
    asked = SimpleNamespace(in_channels=1, out_channels=3, patch_size=16, pos_type="sincos3d", pretrain_path=None)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = build.build_model(asked, [side] * 3)
    encoder = METHOD.encoder(METHOD.full, sight((side, side, side)))
    ours = segmentation.SegmentationNet(encoder, build_decoder("unetr", encoder=encoder, in_channels=1, classes=3))
    return theirs, ours, with_their_weights(ours, theirs, SEGMENTS)


def on_grid_of_la(build: Any, theirs: nn.Module, ours: Encoder) -> list[Compared]:
    """The four maps that the decoder reads, of 12 x 12 x 4 tokens."""
    narrow, other = build.BaseModel(settings_of((192, 192, 64))), METHOD.encoder(METHOD.full, sight((192, 192, 64)))
    narrow.load_state_dict(theirs.state_dict())
    other.load_state_dict(ours.state_dict())
    with torch.no_grad():
        (last, after), maps = narrow(noise(192, 192, 64)), other(noise(192, 192, 64)).maps
    wanted = [*(after[number - 1] for number in (4, 7, 10)), last]
    return [
        compared(f"LA's grid, map {k}", tokens, as_tokens(own))
        for k, (tokens, own) in enumerate(zip(wanted, maps, strict=True), start=1)
    ]


def noise(*sides: int, batch: int = 1) -> Tensor:
    """(batch, 1, *sides) in [0, 1), the same whenever it is asked for."""
    return torch.rand(batch, 1, *sides, generator=torch.Generator().manual_seed(1))


def rates(
    what: str, tools: Any, theirs: nn.Module, kind: Any, ours: nn.Module, names: Mapping[str, str], protocol: Protocol
) -> list[Compared]:
    """The factor on the learning rate and the weight decay of every parameter; UNETR as their distributed training names it."""
    recipe = protocol.recipe
    inside, prefix = ("module.", "module.vit.") if kind is segmentation else ("", "model.")
    named = nn.ModuleDict({"module": theirs}) if inside else theirs
    layers_of = tools.LayerDecayValueAssigner([recipe.layer_decay ** (13 - number) for number in range(14)])
    layer_of = functools.partial(layers_of.get_layer_id, prefix=prefix)
    with contextlib.redirect_stdout(io.StringIO()):
        groups = tools.get_parameter_groups(SimpleNamespace(weight_decay=0.05), named, layer_of, layers_of.get_scale)
    *layers, head = kind.layers(ours)
    layers.append(nn.ModuleList([head, *ours.encoder.at_head()]))  # as fine-tuning puts them together
    own_groups = layer_groups(layers, ours, recipe, recipe.layer_decay)
    told = {id(x): (group["lr_scale"], group["weight_decay"]) for group in groups for x in group["params"]}
    own = {id(x): (group["lr"] / recipe.lr, group["weight_decay"]) for group in own_groups for x in group["params"]}
    by_name = dict(ours.named_parameters())
    pairs = torch.tensor([(told[id(x)], own[id(by_name[names[name]])]) for name, x in theirs.named_parameters()])
    return [
        compared(f"{what}: {word} of {len(pairs)} parameters", pairs[:, 0, k], pairs[:, 1, k])
        for k, word in enumerate(("factor on the learning rate", "weight decay"))
    ]


def classifying(folder: Path) -> list[Compared]:
    """Both classifiers: logits, loss, gradients; RICORD's loss without one of its classes too, and its rates."""
    found = []
    for what, place, task in (("RICORD", "COVID", ricord), ("NoduleMNIST3D", "nodule", nodulemnist3d)):
        protocol = task.TASK.protocols["ar"]
        code, measure = released(folder, f"downstream/{place}/base_model.py"), LOSSES[protocol.recipe.loss]
        theirs = code.ClassificationModel(code.BaseModel(settings_of(protocol.patch_voxels)), 2)
        ours = classification.ClassificationNet(METHOD.encoder(METHOD.full, sight(protocol.patch_voxels)), 2)
        names = with_their_weights(ours, theirs, CLASSIFIES, **{"head.bias": torch.zeros(2)})
        volume, label = noise(*protocol.patch_voxels, batch=3), torch.tensor([0, 1, 1])
        own = ours(volume)
        if task is ricord:
            theirs.cal_acc, scores = False, []
            theirs.score.register_forward_hook(lambda _m, _i, x, scores=scores: scores.append(x.mean(1)))
            loss = theirs({"data": volume, "labels": label})  # which keeps its logits to itself
            (told,), alone = scores, torch.ones_like(label)
            found.append(compared("RICORD: loss, a class absent", theirs.loss_func(told, alone), measure(own, alone)))
            tools = released(folder, "downstream/COVID/utils/utils.py")
            found += rates(what, tools, theirs, classification, ours, names, protocol)
        else:
            told = theirs(volume)
            loss = F.cross_entropy(told, label)
        own_loss = measure(own, label)
        loss.backward()
        own_loss.backward()
        found += [compared(f"{what}: logits", told, own), compared(f"{what}: loss", loss, own_loss)]
        found += gradients(what, theirs, ours, names)
    return found


def windows(folder: Path) -> list[Compared]:
    """HU to network input on the CT tasks, and RICORD's stored values."""
    data = released(folder, "downstream/segmentation/utils/data_utils.py")
    select = data.ScaleIntensityRanged_select(["image"], a_min=-175.0, a_max=250.0, b_min=0.0, b_max=1.0, clip=True)
    values = torch.arange(-1200, 1600, dtype=torch.int16)
    found = []
    for name, task in CT.items():
        told = select({"image": values.float(), "name": f"/{name}/imagesTr/one.nii.gz"})["image"]
        own = to_network_range(values, task.TASK.protocols["ar"].intensity)
        found.append(compared(f"{name}: window", torch.as_tensor(told), own))
    loader = functions(folder / "downstream/COVID/dataloader.py", np=np)
    told = loader.truncate(None, values.double().numpy())
    own = to_network_range(values, ricord.TASK.protocols["ar"].intensity)
    return [*found, compared("RICORD: window", torch.as_tensor(told), own)]


def schedules(folder: Path) -> list[Compared]:
    """Learning rates over a whole training: pre-training, MSD and LA, and with `ref_code` RICORD and NoduleMNIST3D."""
    to_move = SimpleNamespace(param_groups=[{}])
    train = importlib.import_module("configs.training").train_config()
    script, config = functions(folder / "pretrain/utils/train_utils.py", math=math), METHOD.ref_code
    steps = range(0, config.steps, 37)
    told = [script.adjust_learning_rate(to_move, train.num_epochs * s / config.steps, train) for s in steps]
    found = [course("pre-training", told, config, steps)]
    script = functions(folder / "downstream/segmentation/trainer.py", math=math)
    for name, task in (*CT.items(), ("LA", la)):
        recipe = task.TASK.protocols["ar"].recipe
        epochs = 500 if task in (msd07, msd08) else 1000
        asked, steps = SimpleNamespace(warmup_epochs=50, max_epochs=epochs, optim_lr=3e-4), range(0, recipe.steps, 37)
        ahead = [s + (s < recipe.warmup_steps) for s in steps]  # update s of the warm-up takes their s + 1
        told = [script.adjust_learning_rate(to_move, epochs * s / recipe.steps, asked) for s in ahead]
        found.append(course(name, told, recipe, steps))
    script = functions(folder / "downstream/COVID/main.py", argparse=argparse)
    asked = script.get_arguments().parse_args([])
    recipe = at_ref_code(ricord.TASK.protocols["ar"])
    batches, last = 194 // asked.batch_size, (asked.learning_rate, asked.num_epochs, asked.power)
    steps = range(0, recipe.steps, 7)
    told = [script.adjust_learning_rate_poly(to_move, s // batches, *last) for s in steps]
    found.append(course("RICORD", told, recipe, steps))
    recipe = at_ref_code(nodulemnist3d.TASK.protocols["ar"])
    own, told = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1.5e-5), []
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(own, T_max=100)
    for _ in range(100):  # their script steps torch's own schedule after each epoch
        told.append(own.param_groups[0]["lr"])
        own.step()
        falling.step()
    return [*found, course("NoduleMNIST3D", told, recipe, range(0, recipe.steps, 73))]


def at_ref_code(protocol: Protocol) -> FineTuneConfig:
    return replace(protocol.recipe, **protocol.ref_code)


def course(what: str, told: Sequence[float], config: PhaseConfig, steps: Sequence[int]) -> Compared:
    own = [config.lr * learning_rate(config, step) for step in steps]
    both = torch.tensor([told, own], dtype=torch.float64)
    return compared(f"{what}: learning rate of {len(own)} updates", both[0], both[1])
