"""Every method's card, walked: what any method must offer so that the one loop can train it and any task can use it.

Runs the `tiny` preset on a CPU with random volumes in memory. Files are found by scanning the folder, so that a new
method is tested without a line here.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import methods
from bench import registry
from bench.contracts.cards import MethodCard
from bench.contracts.configs import Intensity, MethodConfig, PhaseConfig, Shape3, Sight, phases
from bench.contracts.errors import EncoderMismatch
from bench.contracts.method import Batch, Encoder, Method, Phase
from bench.data.patches import overlap
from bench.nets.decoders import build_decoder
from bench.train.controls import controlled
from bench.train.loop import Hardware, Job, train
from bench.train.seeds import generator
from bench.train.thin_convolutions import sound_convolutions

CARDS: dict[str, MethodCard] = {
    name: card
    for _, name, package in pkgutil.iter_modules(methods.__path__)
    if not package and (card := getattr(importlib.import_module(f"methods.{name}"), "METHOD", None)) is not None
}
PRETRAINED = sorted(name for name, card in CARDS.items() if card.build is not None)
ASIS = Intensity("asis")
ORIGIN = re.compile(
    r"\b(ours|Secs?\.|Section|Tabs?\.|Table|Eqs?\.|Figs?\.|Alg\.|App\.|A\.\d|released|rule|PyTorch|MONAI)"
)


class Memory:
    """Volumes of random numbers, one of them smaller than a crop, with what language methods ask for besides."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        d, h, w = sight.shape
        rng = np.random.default_rng(0)
        shapes = [(d + 3, h, w + 5), (d, h + 4, w), (max(d - 5, 1), h, w), (d + 1, h + 1, w + 1)]
        waves = [np.sin(np.indices(s).sum(0) / 3.0) + 0.3 * rng.standard_normal(s) for s in shapes]
        self.volumes = {f"case_{i}": wave[None].astype(np.float16) for i, wave in enumerate(waves)}
        self.cases = tuple(self.volumes)

    def shape(self, case: str) -> Shape3:
        d, h, w = self.volumes[case].shape[1:]
        return d, h, w

    def spacing(self, case: str) -> None:
        return None

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        volume = self.volumes[case]
        out = np.full((1, *size), volume.min(), volume.dtype)
        inner, outer = overlap(self.shape(case), start, size)
        out[(slice(None), *outer)] = volume[(slice(None), *inner)]
        return out

    def fields(self, case: str) -> Mapping[str, Any]:
        return {"report": f"Findings of {case}: no nodule.", "label": len(case) % 2, "modality": "CT"}


def tiny(name: str) -> MethodConfig:
    """The config that the encoder is built from: the last phase's."""
    return list(phases(CARDS[name].tiny).values())[-1]


def pre_training_sight(name: str) -> Sight:
    return Sight(1, next(iter(phases(CARDS[name].tiny).values())).crop, None, ASIS)


def task_sight(name: str, channels: int = 1) -> Sight:
    """What fine-tuning at `tiny` shows: 32 voxels a side, rounded up to the encoder's multiple."""
    d, h, w = (-(-32 // step) * step for step in tiny(name).multiple())
    return Sight(channels, (d, h, w), None, ASIS)


def start(name: str) -> Method:
    card = CARDS[name]
    assert card.build is not None
    configs = phases(card.tiny)
    torch.manual_seed(0)
    method = card.build(configs if len(configs) > 1 else tiny(name), pre_training_sight(name))
    assert isinstance(method, Method)
    return method


def fresh_encoder(name: str, seed: int, channels: int = 1) -> Encoder:
    torch.manual_seed(seed)
    encoder = CARDS[name].encoder(tiny(name), task_sight(name, channels))
    assert isinstance(encoder, Encoder)
    return encoder


def batch_of(method: Method, phase: Phase, corpus: Memory, step: int = 0) -> Batch:
    samples = phase.draw(corpus, phase.config.batch_size, step, 0)
    shown = [phase.views(corpus, sample, generator("slot", step, i)) for i, sample in enumerate(samples)]
    with torch.no_grad():
        return method.prepare({key: torch.stack([torch.from_numpy(s[key]) for s in shown]) for key in shown[0]})


def total(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([loss.float() for loss in losses.values()]).sum()


def descend(method: Method, phase: Phase, batch: Batch, steps: int) -> list[float]:
    """Steps on one batch with one mask draw, so that what falls is the loss and not the luck."""
    trained = [
        torch.optim.AdamW(list(turn.parameters() if turn.parameters else method.parameters()), lr=2e-3)
        for turn in phase.turns
    ]
    curve = []
    for _ in range(steps):
        value = 0.0
        for turn, optimiser in zip(phase.turns, trained, strict=True):
            torch.manual_seed(1)
            loss = total(turn.loss(batch))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            value += loss.item()
        curve.append(value)
    return curve


def test_the_methods_of_the_first_release_are_found() -> None:
    assert {"mae3d", "unetr_scratch", "swin_unetr_scratch", "unet3d_scratch"} <= set(CARDS)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_card_closes_its_file_with_literals(name: str) -> None:
    path = Path(inspect.getfile(importlib.import_module(f"methods.{name}")))
    last = ast.parse(path.read_text()).body[-1]
    assert isinstance(last, ast.Assign)
    assert ast.unparse(last.targets[0]) == "METHOD"
    assert isinstance(last.value, ast.Call)
    written = {k.arg: k.value for k in last.value.keywords}
    for field in ("title", "version", "family", "paper", "decoder", "corpus"):
        assert ast.literal_eval(written[field]) == getattr(CARDS[name], field)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_every_config_field_stands_on_one_line_that_names_its_source(name: str) -> None:
    for preset in ("full", "small", "tiny", "ref_code"):
        given = getattr(CARDS[name], preset)
        for config in phases(given).values() if given is not None else ():
            for owner in type(config).__mro__[:-1]:
                if owner is not PhaseConfig and issubclass(owner, PhaseConfig):
                    _demand_sources(owner)


def _demand_sources(owner: type) -> None:
    """Of a config class's own fields: what decides the result names its home, what is only recorded says what it is."""
    lines = {line.split(":")[0].strip(): line for line in inspect.getsource(owner).splitlines() if "  # " in line}
    for field in dataclasses.fields(owner):
        if field.name not in owner.__annotations__:
            continue
        comment = lines.get(field.name, "").partition("  # ")[2]
        assert comment, f"{owner.__name__}.{field.name} has no comment on its line"
        if field.metadata.get("decides", True):
            assert ORIGIN.search(comment), f"{owner.__name__}.{field.name} names no source: '{comment}'"


@pytest.mark.parametrize("name", sorted(CARDS))
def test_presets_share_one_config_class_and_the_same_phases(name: str) -> None:
    card = CARDS[name]
    assert {type(c) for c in phases(card.small).values()} == {type(c) for c in phases(card.full).values()}
    assert {type(c) for c in phases(card.tiny).values()} == {type(c) for c in phases(card.full).values()}
    assert tuple(phases(card.tiny)) == tuple(phases(card.small)) == tuple(phases(card.full))


@pytest.mark.parametrize("name", sorted(CARDS))
def test_variants_and_recipes_change_fields_that_exist(name: str) -> None:
    from bench.contracts.cards import PRESETS
    from bench.contracts.configs import FineTuneConfig

    card = CARDS[name]
    fields = {f.name for config in phases(card.full).values() for f in dataclasses.fields(config)}
    recipe = {f.name for f in dataclasses.fields(FineTuneConfig)}
    for variant, changes in card.variants.items():
        if isinstance(card.full, Mapping):
            assert set(changes) <= fields | recipe | set(phases(card.full)) | {"decoder"}, variant
        else:
            assert set(changes) <= fields | recipe | {"decoder"}, variant
            of_phase = {k: v for k, v in changes.items() if k in fields}
            assert set(changes) - fields or changes == {} or dataclasses.replace(card.full, **of_phase) != card.full, (
                variant
            )
    corpora = registry.names(registry.CORPORA)
    assert set(card.on_corpus) <= {*corpora, *(f"{corpus} ref_code" for corpus in corpora)}
    assert all(set(changes) <= fields for changes in card.on_corpus.values())
    kinds = {registry.task(task).kind for task in registry.names(registry.TASKS)}
    assert set(card.finetune) <= {*PRESETS, *(f"{preset} {kind}" for preset in PRESETS for kind in kinds)}
    for preset, changes in card.finetune.items():
        assert set(changes) <= recipe, preset


@pytest.mark.parametrize("name", sorted(CARDS))
def test_an_encoder_keeps_its_promises(name: str) -> None:
    encoder, sight = fresh_encoder(name, 0), task_sight(name)
    features = encoder(torch.randn(2, 1, *sight.shape))
    assert len(features.maps) == len(encoder.channels) == len(encoder.strides)
    for found, channels, stride in zip(features.maps, encoder.channels, encoder.strides, strict=True):
        assert found.shape == (2, channels, *(side // s for side, s in zip(sight.shape, stride, strict=True)))
    assert features.pooled.shape == (2, encoder.pooled_width)
    assert all(math.prod(a) <= math.prod(b) for a, b in zip(encoder.strides, encoder.strides[1:], strict=False))


@pytest.mark.parametrize("name", sorted(CARDS))
def test_layers_hold_every_parameter_once_but_those_at_the_input(name: str) -> None:
    encoder = fresh_encoder(name, 0)
    layers = encoder.layers()
    held = [id(p) for layer in layers for p in layer.parameters()]
    assert len(held) == len(set(held))
    held += [id(p) for layer in encoder.at_head() for p in layer.parameters()]
    own = {id(p) for p in encoder.parameters()}
    assert set(held) <= own
    first = {id(p) for key, p in encoder.named_parameters() if id(p) not in set(held)}
    assert {key for key, p in encoder.named_parameters() if id(p) in first} <= {"positions", "cls_token", "class_token"}
    assert len(layers) >= 3


@pytest.mark.parametrize("name", sorted(CARDS))
def test_encoder_weights_survive_the_disk_and_serve_a_segmentation_network(name: str, tmp_path: Path) -> None:
    first, second = fresh_encoder(name, 0).eval(), fresh_encoder(name, 1).eval()
    volume = torch.randn(1, 1, *task_sight(name).shape)
    save_file({key: value.contiguous() for key, value in first.state_dict().items()}, tmp_path / "encoder.safetensors")
    adopted = second.adopt(load_file(tmp_path / "encoder.safetensors"))
    assert adopted.new == adopted.dropped == adopted.reshaped == ()
    torch.manual_seed(2)
    decoder = build_decoder(CARDS[name].decoder, encoder=second, in_channels=1, classes=3).eval()
    with torch.no_grad():
        maps = [encoder(volume).maps for encoder in (first, second)]
        logits = [decoder(volume, found) for found in maps]
    assert all(torch.equal(a, b) for a, b in zip(*maps, strict=True))
    assert torch.equal(*logits)
    assert logits[0].shape == (1, 3, *volume.shape[2:])


@pytest.mark.parametrize("name", PRETRAINED)
def test_what_pre_training_left_is_taken_from_a_file_that_a_user_brings_and_what_lacks_a_tenth_of_it_is_not(
    name: str,
) -> None:
    left, encoder = start(name).encoder.state_dict(), fresh_encoder(name, 1)
    adopted = encoder.adopt(left, declared=False)
    declared = encoder.declared()
    assert declared <= {*adopted.matched, *adopted.reshaped}
    lost = sorted(declared)[: -(-len(declared) // 10)]
    with pytest.raises(EncoderMismatch, match=f"{len(lost)} of {len(declared)} tensors"):
        encoder.adopt({key: value for key, value in left.items() if key not in lost}, declared=False)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_an_encoder_of_one_channel_serves_a_task_of_four(name: str) -> None:
    one, four = fresh_encoder(name, 0), fresh_encoder(name, 1, channels=4)
    assert len(four.adopt(one.state_dict()).reshaped) == 1


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_segmentation_network_trains_whole_and_runs_under_bf16_autocast(name: str) -> None:
    encoder = fresh_encoder(name, 0)
    decoder = build_decoder(CARDS[name].decoder, encoder=encoder, in_channels=1, classes=3)
    volume = torch.randn(2, 1, *task_sight(name).shape)
    with torch.autocast("cpu", dtype=torch.bfloat16), sound_convolutions(volume.device, "bf16"):  # as the loop computes
        logits = decoder(volume, encoder(volume).maps)
        loss = nn.functional.cross_entropy(logits.float(), torch.zeros_like(volume[:, 0], dtype=torch.long))
    loss.backward()
    assert bool(logits.isfinite().all())
    gradients = [p.grad for p in (*encoder.parameters(), *decoder.parameters()) if p.grad is not None]
    assert all(bool(g.isfinite().all()) for g in gradients)


@pytest.mark.parametrize("name", PRETRAINED)
def test_pre_training_lowers_every_phases_loss_on_a_fixed_batch(name: str) -> None:
    method, corpus = start(name), Memory(pre_training_sight(name))
    method.fit(corpus)
    for phase in method.phases:
        curve = descend(method, phase, batch_of(method, phase, corpus), 10)
        assert all(math.isfinite(value) for value in curve)
        assert curve[-1] < curve[0], (phase.name, curve)


@pytest.mark.parametrize("name", PRETRAINED)
def test_even_views_show_every_sample_of_a_phase_as_bright_and_as_varied(name: str) -> None:
    method, corpus = start(name), Memory(pre_training_sight(name))
    method.fit(corpus)
    for phase in method.phases:
        assert isinstance(phase.config, MethodConfig)
        asked = dataclasses.replace(phase.config, shuffled_voxels=True, even_views=True)
        even = controlled(phase, asked, corpus)
        shown = [
            even.views(corpus, sample, generator("slot", step, i))["volume"].astype(np.float64)
            for step in range(2)
            for i, sample in enumerate(phase.draw(corpus, phase.config.batch_size, step, 0))
        ]
        levels = np.array([(channel.mean(), channel.std()) for view in shown for channel in view])
        assert len(levels) >= 2 and levels[0, 1] > 0.05
        assert levels == pytest.approx(np.broadcast_to(levels[0], levels.shape), abs=2e-3)  # float16


@pytest.mark.parametrize("name", PRETRAINED)
def test_losses_are_named_finite_scalars_under_bf16_autocast(name: str) -> None:
    method, corpus = start(name), Memory(pre_training_sight(name))
    method.fit(corpus)
    for phase in method.phases:
        batch = batch_of(method, phase, corpus)
        for turn in phase.turns:
            with torch.autocast("cpu", dtype=torch.bfloat16), sound_convolutions(torch.device("cpu"), "bf16"):
                losses = turn.loss(batch)
            assert losses
            assert all(loss.ndim == 0 and bool(loss.isfinite()) for loss in losses.values())
            total(losses).backward()
    assert all(bool(p.grad.isfinite().all()) for p in method.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_same_seed_gives_the_same_weights_through_the_real_loop(name: str, tmp_path: Path) -> None:
    finals = []
    for attempt in ("one", "two"):
        method, corpus = start(name), Memory(pre_training_sight(name))
        method.fit(corpus)
        for phase in method.phases:
            short = dataclasses.replace(phase, config=dataclasses.replace(phase.config, steps=2, workers=0))
            job = Job(
                key="key",
                phase=short,
                model=method,
                corpus=corpus,
                folder=tmp_path / attempt / phase.name,
                prepare=method.prepare,
                after_step=method.after_step,
                begin_turn=method.begin_turn,
            )
            trained = train(job, Hardware(device="cpu"))
            assert (trained.steps, trained.skipped_steps) == (2, 0)
            assert trained.initial_sha256 != trained.final_sha256
            finals.append((phase.name, trained.final_sha256))
    half = len(finals) // 2
    assert finals[:half] == finals[half:]


@pytest.mark.parametrize("name", PRETRAINED)
def test_what_pre_training_leaves_is_what_fine_tuning_takes_over(name: str) -> None:
    method, encoder = start(name), fresh_encoder(name, 1)
    adopted = encoder.adopt(method.encoder.state_dict())
    assert adopted.elements > 0
    assert encoder.declared() <= {*adopted.matched, *adopted.reshaped}
