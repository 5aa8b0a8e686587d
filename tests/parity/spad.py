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
import tempfile
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from bench.contracts.configs import Intensity, Sight
from bench.nets.rope import rotary_tables
from bench.nets.spad import Grid, SpadConv, SpadDown, SpadUp, crop_depth
from bench.train.schedule import even_groups
from methods.parts.adversary import Gate
from methods.spad import REF_CODE, Spad, visible_count
from tests.parity import spad_released as pumit
from tests.parity.released import Compared, checkout, compared, moved, report, taken_over
from tests.parity.spad_data import crops, degrees, intensities, preparation
from tests.parity.spad_released import joined, module, plain
from tests.parity.spad_tuning import adapted, fine_tuning, mirrored, schedules
from tests.parity.spad_weights import decay, gradients

DEGREES = range(6)
SIGHT = Sight(1, (80, 160, 160), None, Intensity("percentile"))
FIRST, SECOND = REF_CODE["tokenizer"], REF_CODE["predict"]
NOTES = (
    "Their modules run as they are, MONAI from their repository; stand-ins: Lightning, parsers, torchvision's VGG16 with drawn "
    "weights, xformers' attention by its formula, timm but for its schedules.",
    "One device is stacked on an axis of its own, as several are: the code's mean of one gathered tensor would be over words.",
    "A pool's image wider than 512 voxels is smoothed before it is shrunk there, by (factor - 1) / 2 voxels; ours is not.",
    "The sd of CHAOS' volumes divides by N - 1 there, by N here. A pool's image is float16: one step of it is 0.0005.",
)


def spatial(x: Tensor, da: int, halvings: int = 0) -> Tensor:
    return module("pumit.sac").SpatialTensor(x, da, halvings)


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
        found += [inflation(folder, pair, scratch), *adapted(folder, pair.transformer, pair.ours.encoder)]
        del pair, groups
        found += [*fine_tuning(folder), mirrored(), *schedules(folder)]
        found += [degrees(folder), *crops(), *intensities(), *preparation(folder, scratch)]
    report(pumit.REPOSITORY, folder, found, out, NOTES)


if __name__ == "__main__":
    main()
