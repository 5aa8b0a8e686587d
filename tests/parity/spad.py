"""SPAD beside its released code, PUMIT: the same weights, images and draws through both, preset `ref_code` of ours.

python -m tests.parity.spad FOLDER [--out results/parity/spad.json]
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
import sys
import tempfile
import types
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Sight
from bench.nets.rope import rotary_tables
from bench.nets.spad import Grid, SpadConv, SpadDown, SpadUp, crop_depth
from methods.parts.adversary import Gate
from methods.spad import REF_CODE, Spad, visible_count
from tests.parity.released import Compared, checkout, compared, moved, report, stand_in, taken_over

REPOSITORY = "function2-llx/PUMIT"
DEGREES = range(6)
SIGHT = Sight(1, (80, 160, 160), None, Intensity("percentile"))


class Bare(nn.Module):
    """In place of Lightning's module: nothing is logged, and no process is the one that draws pictures."""

    trainer = types.SimpleNamespace(is_global_zero=False)

    def log(self, *_: Any, **__: Any) -> None:
        pass


def of_yaml(value: Any) -> Any:
    """A value as a typed parser reads it: lists are tuples, `3e-3` is a number, what names a class is built."""
    if isinstance(value, dict):
        return built(value) if "class_path" in value else {name: of_yaml(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return tuple(map(of_yaml, value))
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def built(told: Mapping[str, Any], *first: Any, **more: Any) -> Any:
    """An object as their configuration describes it, with the arguments of `more` in place of its own."""
    module, _, name = told["class_path"].rpartition(".")
    own = {key: value for key, value in told.get("init_args", {}).items() if key not in more}
    return getattr(importlib.import_module(module), name)(*first, **of_yaml(own), **more)


def vgg16(**_: Any) -> nn.Module:
    """A VGG16 with drawn weights, in torchvision's order of layers; the last pooling is not read."""
    parts: list[nn.Module] = []
    below = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        parts += [nn.Conv2d(below, width, 3, padding=1), nn.ReLU(True)] if width else [nn.MaxPool2d(2)]
        below = width or below
    found = nn.Module()
    found.features = nn.Sequential(*parts)
    return found


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What xformers computes: softmax(q k / sqrt(head)) v for (B, N, heads, head)."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return ((q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2)


def opened(folder: Path) -> None:
    """Make their packages importable: stand-ins for what they import and this does not need, or is not installed here."""
    sys.path.insert(0, str(folder))
    thing = type("Thing", (), {})
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.utilities", "lightning_utilities"):
        stand_in(name, LightningModule=Bare, LightningDataModule=thing, Fabric=thing, Trainer=thing)
    stand_in("lightning.pytorch.cli", LightningCLI=thing, SaveConfigCallback=thing, instantiate_class=_instantiated)
    stand_in("lightning.pytorch.callbacks", ModelCheckpoint=thing)
    stand_in("lightning.pytorch.loggers", WandbLogger=thing)
    stand_in("lightning.pytorch.utilities.types", LRSchedulerConfig=thing)
    stand_in("lightning_utilities.core")
    stand_in("lightning_utilities.core.rank_zero", rank_zero_only=lambda call: call)
    stand_in("omegaconf", OmegaConf=mock.Mock())
    stand_in("cytoolz")
    stand_in("jsonargparse", class_from_function=lambda call: call)
    stand_in("xformers", ops=types.SimpleNamespace(memory_efficient_attention=attended))
    stand_in("torchvision", models=stand_in("torchvision.models", vgg16=vgg16, VGG16_Weights=mock.Mock()))
    stand_in("torchvision.utils", save_image=None)
    timm = importlib.util.find_spec("timm")
    stand_in("timm").__path__ = (
        list(timm.submodule_search_locations or ()) if timm else []
    )  # its schedules import no more
    stand_in("timm.data", IMAGENET_DEFAULT_MEAN=(0.485, 0.456, 0.406), IMAGENET_DEFAULT_STD=(0.229, 0.224, 0.225))
    stand_in("timm.layers", DropPath=None)
    stand_in("timm.models", clean_state_dict=dict)
    if timm is None:
        stand_in("timm.scheduler")
        stand_in("timm.scheduler.scheduler", Scheduler=thing)
    models = stand_in("mylib.models")  # its own first lines import networks that SPAD does not use
    models.__path__ = [str(folder / "mylib" / "models")]
    models.load_ckpt = importlib.import_module("mylib.models.utils").load_ckpt


def _instantiated(first: Any, told: Mapping[str, Any]) -> Any:
    return built(told, first)


def config(folder: Path, *files: str) -> dict[str, Any]:
    """Their configuration files laid over one another, as their scripts do."""
    found: dict[str, Any] = {"init_args": {}}
    for file in files:
        told = yaml.safe_load((folder / "conf" / file).read_text())
        found |= {**told, "init_args": {**found["init_args"], **told.get("init_args", {})}}
    return found


def plain(x: Tensor) -> Tensor:
    """Their tensor that carries a grid, without it."""
    return x.as_subclass(torch.Tensor)


def joined(what: str, theirs: Iterable[Tensor], ours: Iterable[Tensor]) -> Compared:
    """Answers to several inputs as one row; the row that is farthest apart."""
    rows = [compared(what, plain(one), other) for one, other in zip(theirs, ours, strict=True)]
    return Compared(what, max(row.largest for row in rows), max(row.apart for row in rows))


def layers() -> list[Compared]:
    """Every kind of layer, at six degrees of anisotropy and two places of a network, in double precision."""
    sac = importlib.import_module("pumit.sac")
    convolution, up = sac.InflatableConv3d, sac.InflatableTransposedConv3d
    kinds = {
        "convolution 3": (convolution(16, 8, 3, padding=1), SpadConv(16, 8)),
        "down by 2, kernel 2": (convolution(16, 8, 2, stride=2), SpadDown(16, 8, 2)),
        "down by 2, kernel 3": (convolution(16, 8, 3, stride=2, padding=1), SpadDown(16, 8, 2, kernel=3)),
        "down by 4": (convolution(16, 8, 4, stride=4), SpadDown(16, 8, 4)),
        "down by 16": (convolution(16, 8, 16, stride=16), SpadDown(16, 8, 16)),
        "up by 2": (up(16, 8, 2, stride=2), SpadUp(16, 8, 2)),
        "up by 4": (up(16, 8, 4, stride=4), SpadUp(16, 8, 4)),
    }
    found, places = [], []
    for name, (theirs, ours) in kinds.items():
        taken_over(ours.double(), dict(theirs.double().named_parameters()))
        answers = []
        for da in DEGREES:
            for halvings in (2, 4) if name.startswith("up") else (0, 2):
                x = torch.randn(2, 16, 16, 32, 32, dtype=torch.double)
                one, (other, grid) = theirs(sac.SpatialTensor(x, da, halvings)), ours(x, Grid(da, halvings))
                answers.append((one, other))
                places.append((float(one.num_downsamples), float(grid.halvings)))
        found.append(joined(f"layer, {name}: DA 0 to 5", *zip(*answers, strict=True)))
    return [*found, compared("layers: halvings behind them", *torch.tensor(places).T)]


class Pair:
    """Their tokenizer, losses and transformer at the paper's size, and ours with the same weights moved off their start."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        torch.manual_seed(1)
        self.sac = importlib.import_module("pumit.sac")
        self.tokenizer = built(config(folder, "tokenizer/simple/model.yaml"))
        on_cpu = functools.partial(torch.load, map_location="cpu")  # their linear weights of LPIPS were saved on a GPU
        with mock.patch("torch.load", on_cpu):
            told = config(folder, "tokenizer/simple/loss.yaml")
            told["class_path"], told["init_args"] = (
                "pumit.tokenizer.VQGANLoss",
                {k: v for k, v in told.items() if k != "init_args"},
            )
            self.loss = built(told)
        self.transformer = transformer(folder, self.tokenizer)
        for number, network in enumerate((self.tokenizer, self.loss.discriminator, self.transformer)):
            network.requires_grad_(True)
            moved(network, number)
        torch.save(vgg_of(self.loss.perceptual_loss), scratch / "vgg.pt")
        configs = {**REF_CODE, "tokenizer": replace(REF_CODE["tokenizer"], perceptual_file=str(scratch / "vgg.pt"))}
        self.ours = Spad(configs, SIGHT)
        theirs = {
            "tokenizer": self.tokenizer,
            "discriminator": self.loss.discriminator,
            "transformer": self.transformer,
        }
        self.named = {
            our_name(name, RENAMED[part]): parameter
            for part, network in theirs.items()
            for name, parameter in network.named_parameters()
            if not name.startswith("tokenizer.")
        }
        taken_over(self.ours, self.named)
        self.own = dict(self.ours.named_parameters())

    def spatial(self, x: Tensor, da: int) -> Tensor:
        return self.sac.SpatialTensor(x, da)

    def gradients(self, what: str, *names: str) -> list[Compared]:
        return [
            compared(
                f"{what}: gradient of {name}",
                self.named[name].grad,
                self.own[name].grad.reshape(self.named[name].shape),
            )
            for name in names
        ]

    def fresh(self) -> None:
        for parameter in (*self.named.values(), *self.own.values()):
            parameter.grad = None


def transformer(folder: Path, tokenizer: nn.Module, **more: Any) -> nn.Module:
    checkpoint = importlib.import_module("pumit.model.vit").Checkpoint()
    told = config(folder, "model/model.yaml", "model/vit-b.yaml", "model/mim-b.yaml")
    told["class_path"] = "pumit.model.ViTForMIM"
    found = built(told, tokenizer=tokenizer, pretrained_ckpt=checkpoint, optimizer=None, lr_scheduler=None, **more)
    nn.init.zeros_(found.mask_token)  # they leave it as memory lies
    return found


def vgg_of(perceptual: nn.Module) -> dict[str, Tensor]:
    """Weights of their LPIPS under the names that torchvision and LPIPS give them."""
    own = {f"features.{name.split('.', 1)[1]}": p for name, p in perceptual.features.named_parameters()}
    return own | {f"lin{n}.model.1.weight": part[1].weight for n, part in enumerate(perceptual.aggregate_layers)}


RENAMED = {
    "transformer": (
        (r"^patch_embed.proj", "encoder.embed"),
        (r"^pos_embed", "encoder.positions"),
        (r"^(cls_token|norm|blocks)", r"encoder.\1"),
        (r"attn.(\w)_proj", r"attention.\1"),
        (r"attn.(\w)_bias", r"attention.\1.bias"),
        (r"attn.", "attention."),
        (r"ffn_ln", "norm"),
        (r"^mim_head", "head"),
    ),
    "tokenizer": (
        (r"^quantize.proj", "to_logits"),
        (r"^quantize.embedding.weight", "codebook"),
        (r"^(encoder.\d+).1\.", r"\1."),
        (r"^decoder.8", "decoder.14"),
        (r"6.transposed_conv", "6"),
        (r"6.conv.(0|1)", lambda found: str(7 + int(found[1]))),
        (r"7.transposed_conv", "10"),
        (r"7.conv.(0|1)", lambda found: str(11 + int(found[1]))),
        (r"^", "tokenizer."),
    ),
    "discriminator": ((r"^", "discriminator.parts."),),
}


def our_name(name: str, rules: Iterable[tuple[str, Any]]) -> str:
    return functools.reduce(lambda so_far, rule: re.sub(*rule, so_far), rules, name)


def tokenizer(pair: Pair) -> list[Compared]:
    """Soft tokens, what is rebuilt from them, and the discriminator's scores on it, at six degrees of anisotropy."""
    pair.tokenizer.eval()
    answers: dict[str, list[tuple[Tensor, Tensor]]] = {"soft tokens": [], "rebuilt volume": [], "discriminator": []}
    with torch.no_grad():
        for da in DEGREES:
            x = torch.rand(1, 3, crop_depth(da, 4, 16), 128, 128) * 2 - 1
            theirs, quantised = pair.tokenizer(pair.spatial(x, da))
            ours, q = pair.ours.tokenizer(x, da)
            scores = pair.loss.discriminator(pair.spatial(x, da)), pair.ours.discriminator(x, da)
            for kept, both in zip(answers.values(), ((quantised.index, q), (theirs, ours), scores), strict=True):
                kept.append(both)
    return [joined(f"tokenizer, {what}: DA 0 to 5", *zip(*both, strict=True)) for what, both in answers.items()]


def tokenizer_losses(pair: Pair) -> list[Compared]:
    """Every term of the generator's loss where it hears the discriminator, the discriminator's, and gradients of both."""
    for network in (pair.tokenizer, pair.loss, pair.ours.tokenizer, pair.ours.discriminator, *pair.ours.perceptual):
        network.double()  # gradients jump where a sign changes, and rounding changes some
    x = torch.rand(2, 3, 32, 48, 48, dtype=torch.double)  # deeper than the 24 slices that LPIPS is shown
    seen, rank = pair.spatial(x * 2 - 1, 1), types.SimpleNamespace(all_gather=lambda x: x[None])
    pair.tokenizer.train()
    made, quantised = pair.tokenizer(seen, rank)
    torch.manual_seed(2)
    chosen = torch.ones(2, 32).multinomial(24)
    torch.manual_seed(2)
    total, told = pair.loss.forward_gen(seen, made, quantised, True)
    judged, _ = pair.loss.forward_disc(seen, made, {})
    pair.ours.gate.mean.zero_(), pair.ours.gate.last.zero_()
    pair.ours.begin_turn("generator")
    with mock.patch("methods.spad.some_slices", lambda *_: chosen):
        ours = pair.ours.generator_loss({"volume": x})
    pair.ours.begin_turn("discriminator")
    hinge = pair.ours.discriminator_loss({"volume": x})["hinge"]
    weights = {
        "quant_loss": pair.loss.quant_weight,
        "entropy": pair.loss.entropy_weight,
        "gan_loss": told["gan_weight"],
    }
    names = {
        "rec_loss": "rebuild",
        "perceptual_loss": "perceptual",
        "quant_loss": "usage",
        "entropy": "certainty",
        "gan_loss": "adversary",
    }
    found = [
        compared(f"tokenizer's loss, {own}", plain(told[name] * weights.get(name, 1.0)), ours[own])
        for name, own in names.items()
    ]
    found += [
        compared("tokenizer's loss, sum", plain(total), sum(ours.values())),
        compared("discriminator's loss", plain(judged), hinge),
    ]
    plain(total).backward(), sum(ours.values()).backward()
    found += pair.gradients(
        "tokenizer",
        *(f"tokenizer.{name}" for name in ("encoder.0.weight", "to_logits.weight", "codebook", "decoder.14.weight")),
    )
    pair.fresh()
    plain(judged).backward(), hinge.backward()
    for network in (pair.tokenizer, pair.loss, pair.ours.tokenizer, pair.ours.discriminator):
        network.float()
    return found + pair.gradients("discriminator", "discriminator.parts.0.weight", "discriminator.parts.12.weight")


def gate(folder: Path) -> list[Compared]:
    """When the generator hears the discriminator: two expressions of their script's loop, over 200 made-up losses."""
    nodes = list(ast.walk(ast.parse((folder / "scripts/tokenizer/main.py").read_text())))
    mean = next(
        n
        for n in nodes
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.BinOp) and "momentum" in ast.unparse(n)
    )
    asked = next(n for n in nodes if isinstance(n, ast.Compare) and "use_gan_th" in ast.unparse(n))
    told = config(folder, "tokenizer/simple/main.yaml")["training"]
    state = {"training_args": types.SimpleNamespace(**told), "disc_loss_ema": 0.1, "disc_loss_item": float("inf")}
    ours, open_at = Gate(REF_CODE["tokenizer"].gate_at, REF_CODE["tokenizer"].gate_decay), []
    for loss in 0.03 * torch.rand(200).abs():
        open_at.append((float(eval(ast.unparse(asked), state)), float(ours())))
        exec(ast.unparse(mean), state | {"disc_loss": loss}, state)
        ours.add(loss, 1), ours.close()
    theirs, own = torch.tensor(open_at).T
    return [compared(f"gate, open at {int(theirs.sum())} of 200 steps", theirs, own)]


def transformer_answers(pair: Pair) -> list[Compared]:
    """Rotations, tokens after the fourth and the last block on grids smaller, equal and larger than that of the positions."""
    grids = ((5, 10, 10), (1, 14, 14), (3, 4, 11))
    turns = [(pair.transformer.rope.get_rotation(grid), rotary_tables(grid, 64)) for grid in grids]
    found = [
        joined(f"transformer, {name} of its rotations", [t[k] for t, _ in turns], [o[k] for _, o in turns])
        for k, name in enumerate(("cosines", "sines"))
    ]
    kept: dict[str, list[tuple[Tensor, Tensor]]] = {"block 4": [], "block 12": [], "final norm": []}
    with torch.no_grad():
        for da, shape in (
            (0, (80, 64, 64)),
            (1, (40, 64, 64)),
            (2, (20, 160, 160)),
            (3, (6, 64, 176)),
            (4, (5, 80, 64)),
            (5, (1, 224, 224)),
        ):
            x = torch.randn(1, 3, *shape)
            states = pair.transformer.forward_features(pair.spatial(x, da))
            tokens, grid = pair.ours.encoder.embedded(x, da)
            last, (fourth, twelfth) = pair.ours.encoder.encoded(tokens, grid, (4, 12))
            for answers, both in zip(
                kept.values(),
                ((states[3], fourth), (states[11], twelfth), (pair.transformer.norm(states[11]), last)),
                strict=True,
            ):
                answers.append(both)
    return found + [joined(f"transformer, {what}: DA 0 to 5", *zip(*both, strict=True)) for what, both in kept.items()]


def prediction(pair: Pair) -> list[Compared]:
    """The loss against soft tokens where they have drawn what is hidden, and its gradients, of volumes and of 2-D images."""
    found, seen = [], []
    pair.transformer.train()
    pair.transformer.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    for da, shape in ((2, (20, 160, 160)), (5, (1, 160, 160))):
        pair.fresh()
        x = torch.rand(2, 3, *shape)
        theirs = pair.transformer.training_step((x, da, []), 0)
        everything = torch.ones(2, theirs.numel() and (5 if da < 5 else 1) * 100, dtype=torch.bool)
        hidden = everything.scatter(1, seen[-1], False).nonzero()[:, 1].view(2, -1)
        with mock.patch.object(pair.ours, "masked", return_value=hidden):
            ours = pair.ours.loss({"volume": x})["predict"]
        theirs.backward(), ours.backward()
        what = f"prediction, DA {da}"
        found += [compared(f"{what}: loss, {hidden.shape[1]} tokens hidden", theirs, ours)]
        found += [
            compared(
                f"{what}: how many the ratio hides",
                float(hidden.shape[1]),
                float(everything.shape[1] - visible_count(everything.shape[1], 0.55)),
            )
        ]
        names = (
            "encoder.embed.weight",
            "encoder.positions",
            "mask_token",
            "encoder.blocks.0.attention.q.bias",
            "encoder.blocks.11.mlp.w3.weight",
            "head.2.weight",
        )
        found += pair.gradients(what, *names)
    return found


def main() -> None:
    folder, out = checkout(REPOSITORY)
    opened(folder)
    with tempfile.TemporaryDirectory() as scratch:
        pair = Pair(folder, Path(scratch))
    found = [
        *layers(),
        *tokenizer(pair),
        *tokenizer_losses(pair),
        *gate(folder),
        *transformer_answers(pair),
        *prediction(pair),
    ]
    report(REPOSITORY, folder, found, out, NOTES)


NOTES = ()

if __name__ == "__main__":
    main()
