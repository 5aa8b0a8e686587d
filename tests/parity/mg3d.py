"""MG-3D's released code beside ours at preset `ref_code`, with equal weights, text, volumes and masks.

    python -m tests.parity.mg3d FOLDER [--out results/parity/mg3d.json]

Compared: Swin-B on 128 x 96 x 128 voxels (gradients on 64 x 96 x 64); all six terms of the loss and every gradient of their sum,
by the released module's own functions, at the paper's width of 768 on three reports; learning rate and weight decay of every
parameter, and the schedule; how 300 phantom reports are cut and told as ids, and a dozen made to be hard; the middle of a
volume; the mask; Swin-UNETR for MSD06 and COVID-19-20 on 64^3 voxels, with gradients; a volume that two prompts have guided
(CT-VocabFine). Reduced: the text encoder is a random BERT of two layers that reads 120 tokens, and a convolution stands for
both vision encoders in the loss, since Swin-B with its gradient does not fit 8 GB there; Swin is compared by itself.

Left out, being known: what the docstring of `methods/mg3d.py` names under Changes. Not run: the released training loop
(`mg3d_released.py` says which three calls fail), nnU-Net variants (none released), M2KT for reports and the classifiers,
whose heads ours do not copy. One core, 2 minutes, 6 GB.

Longer than 200 lines because encoder, losses, rates and two networks for tasks are compared in one run.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.nets.decoders import build_decoder
from bench.nets.swin3d import Swin3D
from bench.train.schedule import even_groups, learning_rate
from methods.mg3d import METHOD, MG3D, TERMS, build_encoder
from methods.parts.heads import VolumeDecoder
from methods.parts.masks import random_blocks
from tasks.kinds.fused_prompts import FusedNet
from tests.nets.bert_folder import write_bert
from tests.parity.mg3d_inputs import SIDES, SIGHT, batches, middle, texts
from tests.parity.mg3d_released import (
    LENGTH,
    Patches,
    Tokens,
    imported,
    ours_of,
    pretrainer,
    settings_of,
)
from tests.parity.released import Compared, checkout, compared, moved, report, taken_over

REPOSITORY = "Xuefeng-Ni/MG-3D"
NOUGHT = 1e-6  # gradients below are zero but for rounding: biases before a norm or of keys


def encoder(theirs: SimpleNamespace) -> list[Compared]:
    """Swin-B: every map at the paper's size, and gradients of the last at a smaller one."""
    released = theirs.heads.SSLHead().swinViT
    moved(released, 0)
    ours = Swin3D(SIGHT, merging="legacy")
    taken_over(ours, dict(released.named_parameters()))
    random = torch.Generator().manual_seed(0)
    volume = torch.rand(1, 1, *SIDES, generator=random)
    with torch.no_grad():
        pairs = zip(released(volume), ours(volume).maps, strict=True)
        found = [compared(f"Swin-B, map {n}", one, other) for n, (one, other) in enumerate(pairs)]
    volume = torch.rand(1, 1, 64, 96, 64, generator=random)
    last = ours(volume).maps[-1]
    weights = torch.randn(last.shape, generator=random)  # a plain sum of a normed map has no gradient
    (released(volume)[-1] * weights).sum().backward()
    (last * weights).sum().backward()
    return [*found, *slopes("Swin-B", dict(released.named_parameters()), dict(ours.named_parameters()))]


def slopes(what: str, theirs: dict[str, nn.Parameter], ours: dict[str, nn.Parameter]) -> list[Compared]:
    """Gradients of the same names, the farthest apart by share of a tensor's largest alone."""
    rows = [compared(f"{what}, gradient of {name}", theirs[name].grad, ours[name].grad) for name in ours]
    return [max((row for row in rows if row.largest > NOUGHT), key=lambda row: row.share)]


def segmentation(theirs: SimpleNamespace) -> list[Compared]:
    """Swin-UNETR as MSD06 and COVID-19-20 fine-tune it."""
    released = theirs.unetr.SwinUNETR(img_size=(64, 64, 64), in_channels=1, out_channels=2, feature_size=48)
    moved(released, 0)
    swin = Swin3D(SIGHT, merging="legacy")
    decoder = build_decoder("swin_unetr", encoder=swin, in_channels=1, classes=2)
    parts = {"volume_block": "encoder1", "deepest_block": "encoder10", "out": "out"}
    parts |= {f"skip_blocks.{n}": f"encoder{n + 2}" for n in range(3)} | {
        f"ups.{n}": f"decoder{5 - n}" for n in range(5)
    }
    told = dict(released.named_parameters())
    names = {
        name: f"{part}{name.removeprefix(own)}"
        for name, _ in decoder.named_parameters()
        for own, part in parts.items()
        if name.startswith(f"{own}.")
    }
    taken_over(swin, {name.removeprefix("swinViT."): one for name, one in told.items() if name.startswith("swinViT.")})
    taken_over(decoder, {name: told[there] for name, there in names.items()})
    volume = torch.rand(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    one, other = released(volume), decoder(volume, swin(volume).maps)
    for logits in (one, other):
        functional.cross_entropy(logits, (volume[:, 0] > 0.5).long()).backward()
    own = dict(decoder.named_parameters())
    return [
        compared("Swin-UNETR, logits", one, other),
        *slopes("Swin-UNETR", {name: told[there] for name, there in names.items()}, own),
        *slopes(
            "Swin-UNETR",
            {name: told[f"swinViT.{name}"] for name, _ in swin.named_parameters()},
            dict(swin.named_parameters()),
        ),
    ]


def guided(theirs: SimpleNamespace) -> list[Compared]:
    """CT-VocabFine: a volume's tokens under two prompts' guidance, mapped to the common space.

    Its copy of the fusing layers pools what the guides make of a token by attention, where pre-training takes the mean, as
    ours does: here the class has the layers of pre-training.
    """
    towers = {"image_encoder": nn.Identity(), "text_encoder": nn.Identity()}
    released = theirs.prompts.CTCLIP(**towers, dim_text=768, dim_image=48 * 768, dim_latent=768)
    moved(released, 0)
    random = torch.Generator().manual_seed(0)
    tokens, words = torch.randn(1, 48, 768, generator=random), torch.randn(2, 9, 768, generator=random)
    released.visual_transformer.forward = lambda *_, **__: tokens.view(1, 4, 3, 4, 768)
    released.text_transformer.forward = lambda *_, **__: (words,)
    fusing = build_encoder(dataclasses.replace(METHOD.ref_code, cml="paper"), SIGHT)
    fusing.vision = Patches()
    net = FusedNet(fusing, learnt=True, log_scale=1.0, shown=(1, *SIDES))
    stack, weights = fusing.informed_volume.stack, dict(released.named_parameters())
    told = {f"volume_stack.{name}": one for name, one in stack.named_parameters()}
    taken_over(
        stack, {name.removeprefix("volume_stack."): one for name, one in ours_of(weights.__getitem__, told).items()}
    )
    with torch.no_grad():
        net.image_map.weight.copy_(released.to_visual_latent.weight)
        net.image_map.bias.zero_()
        asked = SimpleNamespace(input_ids=torch.zeros(2, 9), attention_mask=torch.ones(2, 9))
        _, vector = released(asked, None, None, torch.device("cpu"), return_latents=True)
        return [
            compared(
                "CT-VocabFine, a guided volume's vector", vector, net.image(fusing.fused(tokens, words[None, :, 0]))
            )
        ]


def rates(theirs: SimpleNamespace, network: nn.Module, ours: MG3D) -> tuple[list[Compared], list[str]]:
    """Learning rate of every parameter, and the schedule; in words, whose weight decay differs."""
    settings = settings_of(theirs)
    network.trainer = SimpleNamespace(max_steps=settings["max_steps"])
    (optimiser,), (scheduler,) = theirs.training.set_schedule(network)
    places = {id(one): name for name, one in network.named_parameters()}
    group_of = {places[id(one)]: group for group in optimiser.param_groups for one in group["params"]}
    phase = ours.phases[0]
    own = {id(one): name for name, one in ours.named_parameters()}
    groups = even_groups(ours.parameters(), ours, phase.config, phase.turns[0].rates)
    mine = {own[id(one)]: group for group in groups for one in group["params"]}
    found, apart = [], []
    for kind, there in (("lr", "initial_lr"), ("weight_decay", "weight_decay")):
        held = {name: torch.tensor([group[kind]]) for name, group in mine.items()}
        asked = ours_of(lambda name, there=there: torch.tensor([group_of[name][there]]), held)
        if kind == "lr":
            names = sorted(held)
            found.append(
                compared("learning rates", torch.cat([asked[n] for n in names]), torch.cat([held[n] for n in names]))
            )
        apart = [name for name in held if float(asked[name]) != float(held[name])]
    factor = scheduler["scheduler"].lr_lambdas[0]
    steps = (0, 1, 4_999, 9_998, 10_000, 10_001, 150_000, 299_999)
    warm = phase.config.warmup_steps  # ours begins at 1 / W, where theirs spends its first update on a rate of 0
    told = [factor(step + (step < warm)) for step in steps]
    found.append(
        compared("schedule", torch.tensor(told), torch.tensor([learning_rate(phase.config, s) for s in steps]))
    )
    kinds = sorted({re.sub(r"\d+", "N", name) for name in apart})
    return found, [f"weight decay ({settings['weight_decay']:g}) differs for {len(apart)} tensors: {', '.join(kinds)}"]


def their_losses(theirs: SimpleNamespace, network: nn.Module, batch: dict[str, Any], kept: Path) -> dict[str, Tensor]:
    """Every term by their own functions, and the sum that they train on."""
    theirs.module.Path = lambda *told: kept if str(told[0]).startswith("/home") else Path(*told)  # their cache of texts
    calls = theirs.objectives
    words = calls.compute_sen_mlm(network, batch)
    full = words["full_img_feats"], words["full_text_feats"]
    volume = calls.compute_swin_unetr_mim(network, batch, *full)
    pairs = calls.compute_local_itc(network, batch, *full)
    mlm = functional.cross_entropy(words["sen_mlm_logits"].flatten(0, 1), words["sen_mlm_labels"].flatten())
    right = pairs["itc_labels"]
    cml, dfa = (
        (functional.cross_entropy(pairs[one], right) + functional.cross_entropy(pairs[other], right)) / 2
        for one, other in (
            ("itc_logits_cross_image", "itc_logits_cross_text"),
            ("agg_itc_logits_gl_image", "agg_itc_logits_gl_image_agg"),
        )
    )
    shares = settings_of(theirs)["loss_names"]
    share = shares["local_itc"]
    total = sum(
        shares[name] * one[f"{name}_loss"]
        for name, one in (("sen_mlm", words), ("swin_unetr_mim", volume), ("local_itc", pairs))
    )
    ssm = pairs["local_itc_loss"] - cml - dfa
    terms = {"mim": volume["swin_unetr_mim_loss"], "mlm": mlm, "sfr": words["sen_mlm_loss"] - mlm}
    return terms | {"cml": share * cml, "ssm": share * ssm, "dfa": share * dfa, "total": total}


def voxels(theirs: SimpleNamespace) -> list[Compared]:
    """The decoder of hidden voxels in double precision: in single one its norms let rounding grow to 2e-3 of a gradient."""
    released, ours = theirs.module.prediction_heads.MIM_SWINUNETR_Head(), VolumeDecoder(768, (4, 3, 4), 1)
    moved(released, 0)
    own = {f"mim_decoder.{name}": one for name, one in ours.named_parameters()}
    told = dict(released.double().named_parameters())
    names = ours_of(lambda name: told[name.removeprefix("mim_swin_unter_head.")], own)
    ours.double()
    taken_over(ours, {name.removeprefix("mim_decoder."): one for name, one in names.items()})
    random = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, 48, 768, generator=random).double()
    one, other = released(tokens.transpose(1, 2).view(1, 768, 4, 3, 4))[0], ours._decoded(tokens)
    for rebuilt in (one, other):
        rebuilt.square().mean().backward()
    theirs_by_ours = {name.removeprefix("mim_decoder."): one for name, one in names.items()}
    answers = slopes("decoder of voxels", theirs_by_ours, dict(ours.named_parameters()))
    return [compared("decoder of voxels, double precision", one, other), *answers]


def both(theirs: SimpleNamespace, bert: Path) -> tuple[nn.Module, MG3D]:
    """Their module and our method on the same BERT, each with its own Swin-B."""
    network = pretrainer(theirs, bert, len((bert / "vocab.txt").read_text().split()))
    torch.manual_seed(0)
    return network, MG3D(dataclasses.replace(METHOD.ref_code, text_folder=str(bert), text_length=LENGTH), SIGHT).eval()


def objective(theirs: SimpleNamespace, folder: Path, network: nn.Module, ours: MG3D, kept: Path) -> list[Compared]:
    """All six terms at the paper's width, and gradients of their sum."""
    network.vision_encoder, ours.encoder.vision = Tokens(Patches()), Patches()
    moved(network.vision_encoder, 2)
    own = dict(ours.named_parameters())
    taken_over(ours, ours_of(dict(network.named_parameters()).__getitem__, own))
    told, mine = batches(theirs, folder, network.tokenizer, ours)
    drawn: list[Tensor] = []

    def masked(volume: Tensor, share: float) -> tuple[Tensor, Tensor, None]:
        np.random.seed(3)
        shown, hidden = theirs.masks.mask_rand_patch((16, 16, 16), SIDES, share, volume)
        drawn.append(hidden)
        return shown, hidden, None

    network.random_masking_3d = masked
    losses = their_losses(theirs, network, told, kept)
    ours.hide = lambda batch, _: drawn[0].expand(batch, 1, -1, -1, -1)
    found = ours.loss(mine)
    total = sum(found[name] for name in TERMS)
    losses["total"].backward()
    total.backward()
    wanted = {name: one.grad for name, one in own.items() if one.grad is not None}
    slope = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    expected = ours_of(slope.__getitem__, wanted)
    for kind in ("weight", "bias"):  # one Linear there, two here: what it learns is what both learn
        wanted[f"views_pool.dense.{kind}"] = wanted[f"views_pool.dense.{kind}"] + wanted.pop(
            f"sentence_views.again.{kind}"
        )
    blocks = random_blocks(1, (8, 6, 8), (16, 16, 16), 0.5, "cpu")
    answers = [compared("voxels hidden of a volume", float(drawn[0].sum()), float(blocks.sum()))]
    answers += [compared("token ids", told["text_ids"], mine["words"])]
    answers += [compared("sentences of tokens", torch.stack(told["sentence_index"]), mine["sentence"])]
    answers += [compared(f"loss {name}", losses[name], found[name]) for name in TERMS]
    answers += [compared("loss, sum", losses["total"], total)]
    rows = [compared(f"loss, gradient of {name}", expected[name].view_as(one), one) for name, one in wanted.items()]
    large = [row for row in rows if row.largest > NOUGHT]
    parts = sorted({part_of(row.what) for row in large})
    return answers + [
        max((row for row in large if part_of(row.what) == part), key=lambda row: row.share) for part in parts
    ]


def part_of(what: str) -> str:
    """The part of our method that a gradient's name belongs to."""
    place = what.removeprefix("loss, gradient of ")
    return ".".join(place.split(".")[: 2 if place.startswith("encoder.") else 1])


def main() -> None:
    folder, out = checkout(REPOSITORY)
    theirs = imported(folder)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    with tempfile.TemporaryDirectory() as made:
        network, ours = both(theirs, write_bert(Path(made) / "bert", width=768))
        found, notes = rates(theirs, network, ours)
        found += objective(theirs, folder, network, ours, Path(made))
        for rows, told in (texts(theirs, folder, Path(made)), middle(theirs)):
            found, notes = found + rows, notes + told
    del network, ours
    found += [*voxels(theirs), *encoder(theirs), *segmentation(theirs), *guided(theirs)]
    report(REPOSITORY, folder, found, out, notes)
    print("\n".join(notes))


if __name__ == "__main__":
    main()
