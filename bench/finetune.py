"""Fine-tune: encoder weights (or none) and training cases become a model on disk.

Leaves in `runs/finetune/<key>/`: `config.json`, `cases.json`, `log.jsonl`, `checkpoint.pt`, `model.safetensors`, `trained.json`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from bench.contracts.cards import MethodCard
from bench.contracts.configs import FineTuneConfig, MethodConfig
from bench.contracts.errors import EncoderMismatch, SpecError
from bench.contracts.kind import Kind, Setup
from bench.contracts.method import Adopted, Encoder, Turn
from bench.data.atomic import write_json
from bench.data.cache import CachedCases
from bench.data.lock import only_one
from bench.keys import plain
from bench.nets import lora
from bench.nets.freeze import freeze, in_words, still
from bench.promises import demand_encoder
from bench.train.checkpoint import load_weights, save_weights, sha256_of_weights
from bench.train.controls import others_label
from bench.train.hardware import torch_device
from bench.train.job import untrained
from bench.train.loop import Hardware, Job, train
from bench.train.progress import Progress
from bench.train.ranks import first_says, is_first, meet
from bench.train.schedule import layer_groups
from bench.train.seeds import reseed_torch


def build_model(card: MethodCard, name: str, config: MethodConfig, setup: Setup, kind: Kind, seed: int) -> nn.Module:
    """The untrained network of a run. Encoder and decoder have a start of their own each, drawn from names and seed, so that
    scratch and pre-trained runs share every tensor that pre-training does not bring."""
    reseed_torch("encoder", name, seed)
    encoder = demand_encoder(card.encoder(config, setup.sight), name)
    return kind.build_net(setup, encoder, card.decoder, seed)


def finetune(
    card: MethodCard,
    name: str,
    config: MethodConfig,
    setup: Setup,
    kind: Kind,
    cases: CachedCases,
    parts: Mapping[str, tuple[str, ...]],
    weights: Path | None,
    *,
    foreign: bool,
    key: str,
    folder: Path,
    hardware: Hardware,
    progress: Progress | None = None,
) -> Path:
    """Train on `parts["train"]`, select on `parts["val"]` where the recipe says so; return the file of model weights."""
    with only_one(folder) if is_first() else nullcontext():
        if not first_says(finished(folder)):
            model = build_model(card, name, config, setup, kind, setup.recipe.seed)
            adopted = adopt_weights(model, weights, foreign=foreign) if weights else None
            folder.mkdir(parents=True, exist_ok=True)
            if is_first():
                write_json(folder / "cases.json", {part: list(ids) for part, ids in parts.items()})
                write_json(folder / "config.json", {"key": key, "config": plain(dataclasses.asdict(setup.recipe))})
            _train(model, setup, kind, cases, parts, adopted, key, folder, hardware, progress)
    meet()
    return folder / "model.safetensors"


def adopt_weights(model: nn.Module, weights: Path, *, foreign: bool) -> Adopted:
    """Load encoder weights from a file into the model; EncoderMismatch names the file."""
    encoder = model.encoder
    assert isinstance(encoder, Encoder)
    try:
        return encoder.adopt(load_weights(weights)[0], declared=not foreign)
    except EncoderMismatch as error:
        raise EncoderMismatch(error.message, case=weights.name, remedy=error.remedy) from error


def finished(folder: Path) -> bool:
    """True where a model was trained and is still there."""
    return all((folder / name).exists() for name in ("trained.json", "model.safetensors"))


def trained(folder: Path) -> dict[str, Any]:
    """What fine-tuning left: steps, seconds, hashes, the best step, what was adopted."""
    found: dict[str, Any] = json.loads((folder / "trained.json").read_text())
    return found


def _training(cases: CachedCases, recipe: FineTuneConfig) -> CachedCases:
    """The training cases, each with another one's label where the recipe is the control that asks for it."""
    if not recipe.permuted_labels:
        return cases
    unlabelled = [case for case in cases.cases if "label" not in cases.fields(case)]
    if unlabelled:
        raise SpecError(
            f"permuted_labels needs labels that belong to a case as a whole; '{unlabelled[0]}' has a mask or a report.",
            remedy="Take a classification task, or leave it out.",
        )
    return cases.relabelled(others_label(cases.cases, recipe.seed))


def training_job(
    model: nn.Module,
    setup: Setup,
    kind: Kind,
    cases: CachedCases,
    parts: Mapping[str, tuple[str, ...]],
    key: str,
    folder: Path,
    hardware: Hardware,
) -> tuple[Job, tuple[str, ...]]:
    """A network made ready to be fine-tuned in `folder` (frozen, adapted, fitted, as the recipe says), and notes for the record."""
    recipe = setup.recipe
    encoder = model.encoder
    assert isinstance(encoder, Encoder)
    encoder.requires_grad_(True)
    model.train()
    added = _freeze(encoder, setup)
    if fit := getattr(kind, "fit", None):
        if hardware.devices == 1:
            model.to(torch_device(hardware))  # where a kind looks at every training volume once
        fit(setup, model, cases.subset(parts["train"]))
    held_out = cases.subset(parts["val"])
    selects = recipe.selection == "best_val" and bool(parts["val"])

    def groups(turn: Turn) -> list[dict[str, Any]]:
        *layers, head = kind.layers(model)
        return layer_groups([*layers, nn.ModuleList([head, *encoder.at_head()])], model, recipe, recipe.layer_decay)

    job = Job(
        key=key,
        phase=kind.training_phase(setup, model),
        model=model,
        corpus=_training(cases.subset(parts["train"]), recipe),
        folder=folder,
        prepare=kind.prepare(setup),
        groups=groups,
        evaluate=(lambda: kind.evaluate(setup, model, held_out)) if selects else None,
        evaluate_every=recipe.evaluate_every,
        keep_best=selects,
    )
    notes = (*added, in_words(encoder)) if recipe.frozen_encoder or recipe.lora_rank else ()
    return job, notes


def _freeze(encoder: Encoder, setup: Setup) -> tuple[str, ...]:
    """Freeze what the recipe says and add LoRA's changes; what was added, in words. Under LoRA paths are dropped as in any
    fine-tuning, a frozen encoder is looked through as it is."""
    recipe = setup.recipe
    if recipe.frozen_encoder or recipe.lora_rank:
        freeze(encoder)
    if recipe.frozen_encoder:
        still(encoder)
    if not recipe.lora_rank:
        return ()
    reseed_torch("lora", setup.task.title, recipe.seed)
    return (lora.adapt(encoder, recipe.lora_rank, recipe.lora_scale),)


def _train(
    model: nn.Module,
    setup: Setup,
    kind: Kind,
    cases: CachedCases,
    parts: Mapping[str, tuple[str, ...]],
    adopted: Adopted | None,
    key: str,
    folder: Path,
    hardware: Hardware,
    progress: Progress | None,
) -> None:
    job, notes = training_job(model, setup, kind, cases, parts, key, folder, hardware)
    trains = getattr(kind, "trains", None)
    if trains is None or trains(setup):
        result = train(job, hardware, progress)
        result = dataclasses.replace(result, notes=(*notes, *result.notes))
    else:
        result = untrained(job)
    if told := getattr(kind, "told", None):
        result = dataclasses.replace(result, notes=(*result.notes, *told(model)))
    if not is_first():
        return
    if setup.recipe.lora_rank:
        assert isinstance(model.encoder, Encoder)
        lora.merge(model.encoder)
        result = dataclasses.replace(result, final_sha256=sha256_of_weights(model))
    save_weights(folder / "model.safetensors", model.state_dict(), {"key": key})
    taken = dataclasses.asdict(adopted) | {"summary": adopted.summary()} if adopted else {}
    write_json(folder / "trained.json", dataclasses.asdict(result) | {"adopted": taken})
