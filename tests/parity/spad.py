"""SPAD beside its released code, PUMIT: equal weights, images and draws through both, our preset `ref_code`.

    python -m tests.parity.spad FOLDER [--out results/parity/spad.json]

FOLDER is a checkout of github.com/function2-llx/PUMIT; about three minutes on one core, 7 GB. Networks are built as its
configuration files say, at the paper's size: tokenizer, discriminator, SPAD-ViT-B, the decoder of BTCV. All weights are moved off
their start. Layers, the tokenizer's losses and fine-tuning's gradients are compared in double precision, the rest in single.
Reduced: in-plane sides of crops; four blocks of twelve for fine-tuning's gradients, two for EVA-02's names.

Left out: what a known change of ours tells apart (the discriminator's rate near its floor);
Lightning's loop, which hands the transformer's and fine-tuning's schedule its number of updates plus one, 1e-4 of the peak;
the trained VGG16 and EVA-02-B, in whose place stand drawn weights; means over several devices; back to the native grid, which is
nnU-Net's. Learning rates are compared where timm is installed (`pip install --no-deps timm`). The gate has no function of its own
in their script: two expressions of its loop are read from it and evaluated.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import tempfile
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Sight
from bench.data.moments import moments, percentile_scaled
from bench.data.percentile import percentile_image
from bench.data.volumes import Volume
from bench.nets.rope import rotary_tables
from bench.nets.spad import Grid, SpadConv, SpadDown, SpadUp, crop_depth
from bench.nets.spad_decoder import SpadDecoder
from bench.train.schedule import even_groups, layer_groups, learning_rate
from methods.parts.adversary import Gate
from methods.parts.equal_anisotropy import effective_degree
from methods.parts.lie import lie_of
from methods.parts.photometry import vary_intensity
from methods.parts.spad_encoder import build_encoder
from methods.parts.zoomed_crop import cut
from methods.spad import REF_CODE, Spad, visible_count
from tasks.btcv import SPAD as BTCV
from tasks.kinds import segmentation
from tasks.kinds.dice_ce import plain_dice_ce
from tests.parity import spad_released as pumit
from tests.parity.released import Compared, checkout, compared, moved, report, taken_over
from tests.parity.spad_released import joined, module, plain

DEGREES = range(6)
SIGHT = Sight(1, (80, 160, 160), None, Intensity("percentile"))
CROP = (32, 96, 96)  # of fine-tuning
FIRST, SECOND = REF_CODE["tokenizer"], REF_CODE["predict"]
RECIPE = BTCV.recipe_at("ref_code", "segmentation", from_scratch=False)
NOTES = (
    "Their modules run as they are, MONAI from their repository; stand-ins: Lightning, parsers, torchvision's VGG16 with drawn "
    "weights, xformers' attention by its formula, timm but for its schedules.",
    "One device is stacked on an axis of its own, as several are: the code's mean of one gathered tensor would be over words.",
    "A pool's image wider than 512 voxels is smoothed before it is shrunk there, by (factor - 1) / 2 voxels; ours is not.",
    "The sd of CHAOS' volumes divides by N - 1 there, by N here. A pool's image is float16: one step of it is 0.0005.",
)


class Pair:
    """Their tokenizer, losses and transformer, and ours with the same weights."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        torch.manual_seed(1)
        self.tokenizer, self.loss = pumit.tokenizer_and_loss(folder)
        self.transformer = pumit.transformer(folder, self.tokenizer)
        for number, network in enumerate((self.tokenizer, self.loss.discriminator, self.transformer)):
            moved(network, number)
        torch.save(pumit.vgg_of(self.loss.perceptual_loss), scratch / "vgg.pt")
        self.ours = Spad({**REF_CODE, "tokenizer": replace(FIRST, perceptual_file=str(scratch / "vgg.pt"))}, SIGHT)
        self.parts = {
            "tokenizer": (self.tokenizer, pumit.named(self.tokenizer, pumit.TOKENIZER)),
            "discriminator": (self.loss.discriminator, pumit.named(self.loss.discriminator, pumit.DISCRIMINATOR)),
            "transformer": (self.transformer, pumit.named(self.transformer, pumit.TRANSFORMER)),
        }
        self.theirs = {name: p for _, named in self.parts.values() for name, p in named.items()}
        taken_over(self.ours, self.theirs)
        self.own = dict(self.ours.named_parameters())

    def gradients(self, what: str, *names: str) -> list[Compared]:
        found = gradients(what, self.theirs, self.own, names)
        for parameter in (*self.theirs.values(), *self.own.values()):
            parameter.grad = None
        return found


def gradients(what: str, theirs: Mapping[str, Any], own: Mapping[str, Any], names: tuple[str, ...]) -> list[Compared]:
    pairs = ((name, theirs[name].grad, own[name].grad) for name in names)
    return [compared(f"{what}, gradient of {name}", one, other.reshape(one.shape)) for name, one, other in pairs]


def spatial(x: Tensor, da: int, halvings: int = 0) -> Tensor:
    return module("pumit.sac").SpatialTensor(x, da, halvings)


def layers() -> Iterator[Compared]:
    """Every kind of layer, at six degrees of anisotropy and two places of a network, in double precision."""
    convolution, up = module("pumit.sac").InflatableConv3d, module("pumit.sac").InflatableTransposedConv3d
    kinds = {
        "convolution 3": (convolution(16, 8, 3, padding=1), SpadConv(16, 8)),
        "down by 2, kernel 2": (convolution(16, 8, 2, stride=2), SpadDown(16, 8, 2)),
        "down by 2, kernel 3": (convolution(16, 8, 3, stride=2, padding=1), SpadDown(16, 8, 2, kernel=3)),
        "down by 4": (convolution(16, 8, 4, stride=4), SpadDown(16, 8, 4)),
        "down by 16": (convolution(16, 8, 16, stride=16), SpadDown(16, 8, 16)),
        "up by 2": (up(16, 8, 2, stride=2), SpadUp(16, 8, 2)),
        "up by 4": (up(16, 8, 4, stride=4), SpadUp(16, 8, 4)),
    }
    places = []
    for name, (theirs, ours) in kinds.items():
        taken_over(ours.double(), dict(theirs.double().named_parameters()))
        answers = []
        for da in DEGREES:
            for halvings in (2, 4) if name.startswith("up") else (0, 2):
                x = torch.randn(2, 16, 16, 32, 32, dtype=torch.double)
                one, (other, grid) = theirs(spatial(x, da, halvings)), ours(x, Grid(da, halvings))
                answers.append((one, other))
                places.append((float(one.num_downsamples), float(grid.halvings)))
        yield joined(f"layer, {name}, DA 0 to 5", answers)
    yield compared("layers: halvings behind them", *torch.tensor(places).T)


@torch.no_grad()
def tokenizer(pair: Pair) -> list[Compared]:
    """Soft tokens, what is rebuilt from them, and the discriminator's scores of images, at six degrees of anisotropy."""
    pair.tokenizer.eval()
    answers: dict[str, list[tuple[Tensor, Tensor]]] = {"soft tokens": [], "rebuilt volume": [], "discriminator": []}
    for da in DEGREES:
        x = torch.rand(1, 3, crop_depth(da, 4, 16), 128, 128) * 2 - 1
        theirs, quantised = pair.tokenizer(spatial(x, da))
        ours, q = pair.ours.tokenizer(x, da)
        answers["soft tokens"].append((quantised.index, q))
        answers["rebuilt volume"].append((theirs, ours))
        answers["discriminator"].append((pair.loss.discriminator(spatial(x, da)), pair.ours.discriminator(x, da)))
    return [joined(f"tokenizer, {what}, DA 0 to 5", both) for what, both in answers.items()]


def tokenizer_losses(pair: Pair) -> Iterator[Compared]:
    """Every term of the generator's loss while it hears the discriminator, the discriminator's, and gradients of both."""
    networks = (pair.tokenizer, pair.loss, pair.ours.tokenizer, pair.ours.discriminator, *pair.ours.perceptual)
    for network in networks:
        network.double()  # gradients jump where a sign changes, and rounding changes some
    x = torch.rand(2, 3, 32, 48, 48, dtype=torch.double)  # deeper than the 24 slices that LPIPS is shown
    seen, device = spatial(x * 2 - 1, 1), types.SimpleNamespace(all_gather=lambda x: x[None])
    made, quantised = pair.tokenizer.train()(seen, device)
    torch.manual_seed(2)
    chosen = torch.ones(2, 32).multinomial(24)
    torch.manual_seed(2)  # their next draw is that of slices
    total, told = pair.loss.forward_gen(seen, made, quantised, True)
    judged, _ = pair.loss.forward_disc(seen, made, {})
    for buffer in (pair.ours.gate.mean, pair.ours.gate.last):
        buffer.zero_()
    pair.ours.begin_turn("generator")
    with mock.patch("methods.spad.some_slices", return_value=chosen):
        ours = pair.ours.generator_loss({"volume": x})
    pair.ours.begin_turn("discriminator")
    hinge = pair.ours.discriminator_loss({"volume": x})["hinge"]
    weights = pair.loss.quant_weight, pair.loss.entropy_weight, pair.loss.perceptual_weight, told["gan_weight"]
    usage, certainty, perceptual, adversary = (
        plain(told[name] * weight)
        for name, weight in zip(("quant_loss", "entropy", "perceptual_loss", "gan_loss"), weights, strict=True)
    )
    theirs = {"usage": usage, "certainty": certainty, "perceptual": perceptual, "adversary": adversary}
    theirs |= {"rebuild": plain(told["rec_loss"])}
    for name, loss in theirs.items():
        yield compared(f"tokenizer's loss, {name}", loss, ours[name])
    yield compared("tokenizer's loss, sum", plain(total), sum(ours.values()))
    yield compared("discriminator's loss", plain(judged), hinge)
    plain(total).backward()
    sum(ours.values()).backward()
    names = ("encoder.0.weight", "to_logits.weight", "codebook", "decoder.14.weight")
    yield from pair.gradients("tokenizer's loss", *(f"tokenizer.{name}" for name in names))
    plain(judged).backward()
    hinge.backward()
    yield from pair.gradients("its loss", "discriminator.parts.0.weight", "discriminator.parts.12.weight")
    for network in networks:
        network.float()


def gate(folder: Path) -> Compared:
    """When the generator hears the discriminator: two expressions of their script's loop, over 200 made-up losses."""
    nodes = list(ast.walk(ast.parse((folder / "scripts/tokenizer/main.py").read_text())))
    means = (n for n in nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.BinOp))
    mean = next(ast.unparse(n) for n in means if "momentum" in ast.unparse(n))
    asked = next(ast.unparse(n) for n in nodes if isinstance(n, ast.Compare) and "use_gan_th" in ast.unparse(n))
    told = pumit.config(folder, "tokenizer/simple/main.yaml")["training"]
    state = {"training_args": types.SimpleNamespace(**told), "disc_loss_ema": 0.1, "disc_loss_item": float("inf")}
    ours, opens = Gate(FIRST.gate_at, FIRST.gate_decay), []
    for loss in 0.03 * torch.rand(200):
        opens.append((float(eval(asked, state)), float(ours())))
        state["disc_loss"] = loss
        exec(mean, state)
        ours.add(loss, 1)
        ours.close()
    theirs, own = torch.tensor(opens).T
    return compared(f"gate, open at {int(theirs.sum())} of 200 updates", theirs, own)


@torch.no_grad()
def transformer(pair: Pair) -> Iterator[Compared]:
    """Rotations, and tokens on grids smaller and larger than that of the learned positions."""
    grids = ((5, 10, 10), (1, 14, 14), (3, 4, 11))
    turns = [(torch.stack(pair.transformer.rope.get_rotation(g)), torch.stack(rotary_tables(g, 64))) for g in grids]
    yield joined("transformer, cosines and sines of rotations", turns)
    kept: dict[str, list[tuple[Tensor, Tensor]]] = {"block 4": [], "block 12": [], "final norm": []}
    for da, shape in enumerate(((80, 64, 64), (40, 64, 64), (20, 160, 160), (6, 64, 176), (7, 80, 64), (1, 224, 224))):
        x = torch.randn(1, 3, *shape)
        states = pair.transformer.forward_features(spatial(x, da))
        last, (fourth, twelfth) = pair.ours.encoder.encoded(*pair.ours.encoder.embedded(x, da), (4, 12))
        normed = pair.transformer.norm(states[11])
        for answers, both in zip(
            kept.values(), ((states[3], fourth), (states[11], twelfth), (normed, last)), strict=True
        ):
            answers.append(both)
    for what, both in kept.items():
        yield joined(f"transformer, {what}, DA 0 to 5", both)


def prediction(pair: Pair) -> Iterator[Compared]:
    """The loss against soft tokens where they have drawn what is hidden, and gradients, of volumes and of 2-D images."""
    seen: list[Tensor] = []
    pair.transformer.train()
    pair.transformer.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    for da, shape, tokens in ((2, (20, 160, 160), 500), (5, (1, 160, 160), 100)):
        x = torch.rand(2, 3, *shape)
        theirs = pair.transformer.training_step((x, da, []), 0)
        theirs.backward()  # one graph at a time
        hidden = torch.ones(2, tokens, dtype=torch.bool).scatter(1, seen[-1], False).nonzero()[:, 1].view(2, -1)
        with mock.patch.object(pair.ours, "masked", return_value=hidden):
            ours = pair.ours.loss({"volume": x})["predict"]
        yield compared(f"prediction, DA {da}, loss", theirs, ours)
        yield compared(
            f"prediction, DA {da}, tokens that are seen", float(seen[-1].shape[1]), visible_count(tokens, 0.55)
        )
        ours.backward()
        names = ("embed.weight", "positions", "blocks.0.attention.q.bias", "blocks.11.mlp.w3.weight")
        yield from pair.gradients(
            f"prediction, DA {da}", "mask_token", "head.2.weight", *(f"encoder.{n}" for n in names)
        )


def inflation(folder: Path, pair: Pair, scratch: Path) -> Compared:
    """A made-up file with EVA-02-B's names and shapes, two blocks of it, taken over by both."""
    theirs = pumit.transformer(folder, pair.tokenizer, depth=2, mask_layer_ids=(0, 1))
    shapes = {"patch_embed.proj.weight": (768, 3, 14, 14), "pos_embed": (1, 257, 768)}
    own = {n: p for n, p in theirs.named_parameters() if not n.startswith(("tokenizer.", "mim_head."))}
    torch.save({"module": {n: torch.randn(shapes.get(n, p.shape)) for n, p in own.items()}}, scratch / "eva02.pt")
    with contextlib.redirect_stdout(None):
        module("mylib.models").load_ckpt(theirs, scratch / "eva02.pt", "module")
    ours = Spad({**REF_CODE, "predict": replace(SECOND, eva02_file=str(scratch / "eva02.pt"), depth=2)}, SIGHT)
    found = dict(ours.named_parameters())
    both = [(p, found[pumit.ours(n, pumit.TRANSFORMER)].reshape(p.shape)) for n, p in own.items()]
    return joined(f"EVA-02's file, {len(both)} parameters of it", both)


def decay(what: str, network: nn.Module, theirs: Mapping[str, Any], groups: Any, own: Mapping[str, Any]) -> Compared:
    """Which parameters weight decay acts on: 1 or 0 of each."""
    decayed, _ = module("mylib.models.utils").split_weight_decay_keys(network)
    told = {id(p): float(name in decayed) for name, p in network.named_parameters()}
    ours = {id(p): float(group["weight_decay"] > 0) for group in groups for p in group["params"]}
    pairs = torch.tensor([(told[id(p)], ours[id(own[name])]) for name, p in theirs.items()])
    return compared(f"{what}: which of {len(pairs)} parameters decay", *pairs.T)


def adoption(folder: Path, pair: Pair, channels: int) -> tuple[nn.Module, nn.Module, Compared]:
    """The pre-trained weights in both encoders of a task with so many channels."""
    theirs = pumit.task_encoder(folder, CROP, channels)
    with contextlib.redirect_stdout(None):
        module("mylib.models").load_ckpt(theirs, {"state_dict": pair.transformer.state_dict()})
    ours = task_encoder(channels, 12, SECOND.taps)
    ours.adopt(pair.ours.encoder.state_dict())
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
def adapted(folder: Path, pair: Pair) -> list[Compared]:
    """What is adopted by networks of two channels and of one; logits of a task's network, and what of it decays."""
    *_, both_channels = adoption(folder, pair, 2)
    theirs, ours, one_channel = adoption(folder, pair, 1)
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


def degrees(folder: Path) -> Compared:
    """Anisotropy and crop that their sampler gives to 2,000 images of many spacings, ours at the fields of view it drew."""
    told = pumit.of_yaml(pumit.config(folder, "model/data.yaml")["init_args"]["trans_conf"])
    random, data = np.random.RandomState(3), module("pumit.datamodule")
    spacings = np.stack([10 ** random.uniform(-1, 2, 2000), *random.uniform(0.3, 1.2, (2, 2000))])
    images = [{f"space-{k}": s for k, s in enumerate(of)} | {f"shape-{k}": 300 for k in range(3)} for of in spacings.T]
    given = (images, 2000, 0, data.TransformConf(**told), 1, 0, random, 1, torch.ones(2000), 2000)
    with mock.patch.object(
        torch.utils.data.Sampler, "__init__", lambda *_: None
    ):  # which torch has none of its own by now
        drawn = [batch[0] for batch in data.PUMTDistributedBatchSampler(*given)]
    rows = []
    for number, found in drawn:
        ratio, (along, across, _) = spacings[0, number] / spacings[1:, number].min(), found["scale"]
        da = int(effective_degree(*(np.array([x]) for x in (ratio, across, along)))[0])
        rows.append(((found["aniso_d"], *found["size"]), (da, crop_depth(da, 5, 16), *SECOND.crop[1:])))
    theirs, ours = zip(*rows, strict=True)
    return compared("sampler, degree and crop of 2,000 images", torch.tensor(theirs), torch.tensor(ours))


@dataclass(frozen=True)
class Held:
    """A pool of one image in memory."""

    image: np.ndarray
    sight: Sight = SIGHT

    def read(self, _: str, start: Any, size: Any) -> np.ndarray:
        return self.image[(slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)))]


def crops() -> Iterator[Compared]:
    """A crop resampled once, zoomed and turned as they drew it: ours at the matrix that theirs tells, beyond the image too."""
    transforms, meta, shape = module("monai.transforms"), module("monai.data").MetaTensor, (12, 26, 40)
    for name, chance in (("zoomed", 0.0), ("zoomed and turned", 1.0)):
        answers, turns = [], []
        for seed in range(5):
            module("monai.utils").set_determinism(seed)
            step = transforms.Compose([module("pumit.transforms").RandAffineCropD(chance, 1.5)], lazy=True)
            image = torch.rand(1, *shape)
            wanted = {"size": (16, 24, 24), "scale": (1.1, 1.3, 1.3)}
            made = step({"img": meta(image.clone(), affine=torch.eye(4)), "_trans": wanted})["img"]
            matrix, corner = made.affine.numpy()[:3, :3], made.affine.numpy()[:3, 3]
            middle = matrix @ ((np.array(wanted["size"]) - 1) / 2) + corner
            lie = lie_of(shape, (1.0, 1.0, 1.0), even_axis=0)
            ours = cut(Held(image.numpy()), "", lie, (0, shape[0]), matrix, middle, wanted["size"])
            answers.append((made, torch.from_numpy(ours)))
            turn = matrix @ np.diag(1 / np.array(wanted["scale"]))
            turns.append((torch.from_numpy(turn.T @ turn), torch.eye(3)))
        yield joined(f"crop, {name}", answers)
        yield joined(f"crop, {name}: a turn behind the zoom", turns)


class Draws:
    """In place of a random state: every chance happens, and a number lies at a given share of its range."""

    def __init__(self, share: float) -> None:
        self.share = share

    def rand(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share


def intensities() -> Iterator[Compared]:
    """Gain, contrast and gamma of a colour image, in their order and with the same draws."""
    own, gain = module("mylib.transforms"), module("monai.transforms").RandScaleIntensityD("img", 0.25, 1.0)
    x = torch.rand(3, 4, 20, 20) * torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1, 1)
    gain.scaler.R = Draws(0.7)
    for inverse in (False, True):
        contrast = own.RandAdjustContrastD("img", (0.75, 1.25), 1.0)
        gamma = own.RandGammaCorrectionD("img", 1.0, (0.7, 1.5), inverse)
        gain.R, contrast.R, gamma.R = Draws(0.7), Draws(0.1), Draws(0.9)
        told = {"img": x.clone()}
        for step in (gain, own.ClampIntensityD("img"), contrast, gamma):
            told = step(told)
        drawn = torch.tensor([0.0, 0.7, 0.0, 0.1, 0.0, 0.9, 0.0 if inverse else 1.0]).view(7, 1, 1, 1, 1, 1)
        with mock.patch("torch.rand", return_value=drawn):
            ours = vary_intensity(x[None])[0]
        yield compared(f"intensities of a colour image{', gamma of its inverse' * inverse}", plain(told["img"]), ours)


def preparation(folder: Path, scratch: Path) -> Iterator[Compared]:
    """A pool's image cropped and brought to [0, 1] as their script stores it, and what CHAOS' volumes are normalised by."""
    meta = module("monai.data").MetaTensor
    told = importlib.util.spec_from_file_location("pumit_process", folder / "scripts/data/process.py")
    script = importlib.util.module_from_spec(told)
    volume = torch.zeros(1, 12, 70, 60)  # narrower than 512 voxels, from which on theirs smooths
    volume[:, 1:, 5:-3, 4:-7] = 100 + 900 * torch.rand(1, 11, 62, 49) ** 2
    held = meta(volume, affine=torch.eye(4), meta={"spatial_shape": volume.shape[1:]})
    with contextlib.chdir(scratch):  # it makes a folder where it is imported
        told.loader.exec_module(script)
        kinds = (script.PercentileCropperMixin, script.DatasetProcessor)
        one = type("One", kinds, {"name": "one", "get_image_files": list})()
        (one.output_root / "data").mkdir(parents=True)
        one.process_image(held, "a", "MRI", one.get_cropper(), 1.0)
        theirs = torch.from_numpy(np.load(one.output_root / "data" / "a.npy"))
    ours, _ = percentile_image(volume.numpy(), (1.0, 1.0, 1.0), 0, eight_bits=False)
    yield compared("a pool's image", theirs, torch.from_numpy(ours))
    scaler = module("monai.transforms").ScaleIntensityRangePercentiles(
        0.5, 99.5, 0.0, 1.0, clip=True, channel_wise=True
    )
    scaled = module("mylib.transforms").CleverStats()(scaler(meta(volume.clone())))
    own = percentile_scaled(Volume(volume.numpy(), (1.0, 1.0, 1.0), ()), (0.5, 99.5)).array
    mean, sd = (torch.tensor(x) for x in moments(own, "positive"))
    yield compared("CHAOS, a volume between its percentiles", plain(scaled), torch.from_numpy(own))
    yield compared("CHAOS, mean of its positive voxels", scaled.meta["mean"], mean)
    yield compared("CHAOS, sd of its positive voxels", scaled.meta["std"], sd)


def main() -> None:
    folder, out = checkout(pumit.REPOSITORY)
    pumit.opened(folder)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        pair = Pair(folder, scratch)
        found = [
            *layers(),
            *tokenizer(pair),
            *tokenizer_losses(pair),
            gate(folder),
            *transformer(pair),
            *prediction(pair),
        ]
        groups = even_groups(pair.ours.parameters(), pair.ours, SECOND)
        found += [decay(what, *part, groups, pair.own) for what, part in pair.parts.items()]
        found += [inflation(folder, pair, scratch), *adapted(folder, pair)]
        del pair, groups
        found += [*fine_tuning(folder), mirrored(), *schedules(folder)]
        found += [degrees(folder), *crops(), *intensities(), *preparation(folder, scratch)]
    report(pumit.REPOSITORY, folder, found, out, NOTES)


if __name__ == "__main__":
    main()
