"""What the comparison with SPAD's released code needs of it: its packages made importable, its networks built as its files say.

Its modules run as they are. In their place stand only Lightning (a module that logs nothing), the command line's parsers, xformers'
attention (the same formula), torchvision's VGG16 (its layers, drawn weights), timm's constants, nnU-Net's resampler, and the list
of what `mylib.models` opens with. MONAI is the copy that lies in their repository: it changes norms.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from tests.parity.released import Compared, compared, stand_in

REPOSITORY = "function2-llx/PUMIT"
TRANSFORMER = (
    (r"^patch_embed.proj", "encoder.embed"),
    (r"^pos_embed", "encoder.positions"),
    (r"^(cls_token|norm|blocks)", r"encoder.\1"),
    (r"attn.(\w)_proj", r"attention.\1"),
    (r"attn.(\w)_bias", r"attention.\1.bias"),
    (r"attn.", "attention."),
    (r"ffn_ln", "norm"),
    (r"^mim_head", "head"),
)
TOKENIZER = (
    (r"^quantize.proj", "to_logits"),
    (r"^quantize.embedding.weight", "codebook"),
    (r"^(encoder.\d+).1\.", r"\1."),
    (r"^decoder.8", "decoder.14"),
    (r"6.transposed_conv", "6"),
    (r"6.conv.(0|1)", lambda found: str(7 + int(found[1]))),
    (r"7.transposed_conv", "10"),
    (r"7.conv.(0|1)", lambda found: str(11 + int(found[1]))),
    (r"^", "tokenizer."),
)
DISCRIMINATOR = ((r"^", "discriminator.parts."),)
SEGMENTER = (
    (r"^backbone.fpn.0", "encoder.twice"),
    (r"^backbone.fpn.1", "encoder.once"),
    (r"^backbone.", ""),
    *TRANSFORMER,
    (r"conv1.conv", "0"),
    (r"conv1.adn.N", "1"),
    (r"conv2.conv", "3"),
    (r"conv2.adn.N", "4"),
    (r"^decoder.encode_layers.(\d).blocks.0", r"decoder.stem.\1"),
    (r"^decoder.inner.laterals.(\d).conv", r"decoder.laterals.\1.0"),
    (r"^decoder.inner.laterals.(\d).adn.N", r"decoder.laterals.\1.1"),
    (r"^decoder.inner.layers.(\d)", lambda found: f"up{2 - int(found[1])}"),
    (r"^decoder.decode_layers.(\d)", lambda found: f"up{4 - int(found[1])}"),
    (r"^up(\d).upsample", r"decoder.ups.\1"),
    (r"^up(\d).conv", r"decoder.pairs.\1"),
    (r"^seg_heads", "decoder.heads"),
)


def ours(name: str, rules: Iterable[tuple[str, Any]]) -> str:
    """Our name of a parameter of theirs."""
    return functools.reduce(lambda so_far, rule: re.sub(*rule, so_far), rules, name)


def named(network: nn.Module, rules: Iterable[tuple[str, Any]]) -> dict[str, nn.Parameter]:
    """Their parameters by our names; a tokenizer inside another network is left out."""
    return {ours(n, rules): p for n, p in network.named_parameters() if not n.startswith("tokenizer.")}


def module(name: str) -> Any:
    return importlib.import_module(name)


def plain(x: Tensor) -> Tensor:
    """Their tensor that carries its anisotropy, without it."""
    return torch.as_tensor(x).as_subclass(torch.Tensor)


def joined(what: str, pairs: Iterable[tuple[Tensor, Tensor]]) -> Compared:
    """Answers to several inputs, theirs and ours, as one row."""
    rows = [compared(what, plain(one), other) for one, other in pairs]
    return Compared(what, max(row.largest for row in rows), max(row.apart for row in rows))


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
    place, _, name = told["class_path"].rpartition(".")
    own = {key: value for key, value in told.get("init_args", {}).items() if key not in more}
    return getattr(module(place), name)(*first, **of_yaml(own), **more)


def config(folder: Path, *files: str) -> dict[str, Any]:
    """Their configuration files laid over one another, as their scripts do."""
    found: dict[str, Any] = {}
    for file in files:
        told = yaml.safe_load((folder / "conf" / file).read_text())
        found |= {**told, "init_args": {**found.get("init_args", {}), **told.get("init_args", {})}}
    return found


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
    """Make their packages importable, with stand-ins for what is not installed here or not needed."""
    sys.path.insert(0, str(folder))
    thing = type("Thing", (), {})
    lightning = (
        "lightning",
        "lightning.pytorch",
        "lightning.pytorch.utilities",
        "lightning_utilities",
        "lightning_utilities.core",
    )
    nnunet = ("nnunetv2", "nnunetv2.preprocessing", "nnunetv2.preprocessing.resampling")
    for name in (*lightning, *nnunet, "cytoolz"):
        stand_in(name)
    stand_in("lightning", LightningModule=Bare, LightningDataModule=thing, Fabric=thing, Trainer=thing)
    made = lambda first, told: built(told, first)  # noqa: E731
    stand_in("lightning.pytorch.cli", LightningCLI=thing, SaveConfigCallback=thing, instantiate_class=made)
    stand_in("lightning.pytorch.callbacks", ModelCheckpoint=thing)
    stand_in("lightning.pytorch.loggers", WandbLogger=thing)
    stand_in("lightning.pytorch.utilities.types", LRSchedulerConfig=thing)
    stand_in("lightning_utilities.core.rank_zero", rank_zero_only=lambda call: call)
    stand_in("nnunetv2.preprocessing.resampling.default_resampling", resample_data_or_seg_to_shape=None)
    stand_in("omegaconf", OmegaConf=mock.Mock(), ListConfig=thing, DictConfig=thing)
    stand_in("jsonargparse", class_from_function=lambda call: call)
    stand_in("xformers", ops=types.SimpleNamespace(memory_efficient_attention=attended))
    pictures = stand_in("torchvision.models", vgg16=vgg16, VGG16_Weights=mock.Mock())
    stand_in("torchvision", models=pictures, transforms=mock.Mock())
    stand_in("torchvision.utils", save_image=None)
    _timm(thing)
    seeds = module("monai.transforms.transform")
    seeds.MAX_SEED = np.int64(seeds.MAX_SEED)  # numpy 2 no longer divides its 32 bits by a larger plain number
    models = stand_in("mylib.models")  # its own first lines import networks that SPAD does not use
    models.__path__ = [str(folder / "mylib" / "models")]
    models.load_ckpt = module("mylib.models.utils").load_ckpt


def _timm(thing: type) -> None:
    """Of timm nothing but its schedules, where it is installed: the rest of it imports torchvision."""
    installed = importlib.util.find_spec("timm")
    places = list(installed.submodule_search_locations or ()) if installed else []
    stand_in("timm").__path__ = places
    stand_in("timm.data", IMAGENET_DEFAULT_MEAN=(0.485, 0.456, 0.406), IMAGENET_DEFAULT_STD=(0.229, 0.224, 0.225))
    stand_in("timm.layers", DropPath=None)
    stand_in("timm.models", clean_state_dict=dict)
    if not places:
        stand_in("timm.scheduler")
        stand_in("timm.scheduler.scheduler", Scheduler=thing)


def tokenizer_and_loss(folder: Path) -> tuple[nn.Module, nn.Module]:
    """At the paper's size; the linear weights of LPIPS, which lie in their repository, were saved on a GPU."""
    told = yaml.safe_load((folder / "conf/tokenizer/simple/loss.yaml").read_text())
    with mock.patch("torch.load", functools.partial(torch.load, map_location="cpu")):
        loss = built({"class_path": "pumit.tokenizer.VQGANLoss", "init_args": told})
    return built(config(folder, "tokenizer/simple/model.yaml")), loss


def transformer(folder: Path, tokenizer: nn.Module, **more: Any) -> nn.Module:
    told = config(folder, "model/model.yaml", "model/vit-b.yaml", "model/mim-b.yaml")
    none = {"pretrained_ckpt": module("pumit.model.vit").Checkpoint(), "optimizer": None, "lr_scheduler": None}
    found = built({**told, "class_path": "pumit.model.ViTForMIM"}, tokenizer=tokenizer, **none, **more)
    nn.init.zeros_(found.mask_token)  # they leave it as memory lies
    tokenizer.requires_grad_(True)
    return found


def task_encoder(folder: Path, crop: tuple[int, int, int], channels: int, **more: Any) -> nn.Module:
    """Their encoder of BTCV, for volumes of this crop."""
    none = {"pretrained_ckpt": module("pumit.model.vit").Checkpoint(), "in_channels": channels}
    grid = tuple(side // patch for side, patch in zip(crop, (4, 16, 16), strict=True))
    told = config(folder, "model/vit-b.yaml", "downstream/btcv/backbone-b.yaml")
    return built(told, pos_embed_shape=grid, **none, **more)


def vgg_of(perceptual: nn.Module) -> dict[str, Tensor]:
    """Weights of their LPIPS under the names that torchvision and LPIPS give them."""
    own = {f"features.{name.split('.', 1)[1]}": p for name, p in perceptual.features.named_parameters()}
    return own | {f"lin{n}.model.1.weight": part[1].weight for n, part in enumerate(perceptual.aggregate_layers)}
