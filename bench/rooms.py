"""The single rooms as the command line offers them: pre-train alone, fine-tune alone, a cell on anyone's volumes, verify."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from bench import registry
from bench.case_content import content_hash
from bench.case_rows import CaseRow
from bench.cases import cached, find_cases
from bench.chain import Blueprint, blueprint, chosen_preset, keys_of_tests
from bench.contracts.configs import Sight, phases
from bench.contracts.errors import DataMissing, SpecError, StoreError
from bench.contracts.record import Cell
from bench.corpora import CorpusCases, cached_corpus, demand_offered, folder_corpus, named_corpus
from bench.data.atomic import write_json
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.digest import sha256_of_folder
from bench.data.exposure import write_seen
from bench.figure import draw_curves
from bench.figures.pictures import draw_pictures
from bench.find_cell import find_cell
from bench.finetune import build_model
from bench.keys import key_of
from bench.phantom_data import phantoms_for, write_corpus
from bench.predict import predict
from bench.pretrain import pretrain
from bench.run import Place, finetune, resolve_at, task_volumes
from bench.run import pretrain as pretrain_for
from bench.score import score, summarise
from bench.spec import RunSpec, apply_settings, make_spec
from bench.store import Store
from bench.train.checkpoint import load_weights, sha256_of_weights
from bench.train.hardware import Hardware
from bench.train.ranks import is_first
from bench.verify import VerifyReport, verify

PREDICTED = "predicted.json"
TRAINABLE = "Those with a corpus of their own do: bench list methods"


def pretrain_alone(*, method: str, task: str, folder: str, place: Place, **words: Any) -> dict[str, Any]:
    """Pre-train on a corpus or a folder of volumes; returns the paths of encoder and log (`curves.png` beside it), and the key.

    With a task the result is found again by `bench run` on that task; without one the corpus must be named or be a folder.
    """
    if task:
        spec = make_spec(method=method, task=task, corpus_root=folder, partial=words.pop("partial"), **words)
        chain = resolve_at(spec, place)
        encoder = pretrain_for(chain, place)
        if encoder is None:
            raise SpecError(f"The method '{spec.method}' does not pre-train.", case=spec.method, remedy=TRAINABLE)
        return _told(encoder, chain.keys[f"pretrain:{list(chain.blueprint.phases)[-1]}"], chain.words.corpus)
    word = _word_alone(words["corpus"], folder)
    spec = make_spec(method=method, task="", preset=words["preset"], settings=words["settings"], corpus=word)
    name, card = spec.method, registry.method(spec.method)
    if card.build is None:
        raise SpecError(f"The method '{name}' does not pre-train.", case=name, remedy=TRAINABLE)
    configs = apply_settings(phases(chosen_preset(card, spec)), spec.settings)
    corpus = _corpus_alone(word or card.corpus, folder, words, place)
    demand_offered(name, corpus.key, corpus.offers)
    sight = Sight(corpus.channels, next(iter(configs.values())).crop, corpus.spacing_mm, corpus.intensity)
    keys, before = {}, ""
    for phase, config in configs.items():
        told = {"key": corpus.key, "content": corpus.content_hash}
        before = key_of(
            room="pretrain",
            method=name,
            version=card.version,
            phase=phase,
            config=config,
            corpus=told,
            sight=sight,
            before=before,
        )
        keys[phase] = before
    folders = {phase: place.folder("pretrain", key) for phase, key in keys.items()}
    volumes = cached_corpus(corpus, place.cache, place.progress)
    if is_first():
        write_seen(next(iter(folders.values())), volumes.seen())
    encoder = pretrain(card, name, configs, volumes, sight, keys, folders, place.hardware, place.progress)
    for phase, path in folders.items() if is_first() else ():
        draw_curves(path, title=f"{name} {phase}")
        draw_pictures(path)
    return _told(encoder, before, corpus)


def finetune_alone(spec: RunSpec, place: Place) -> dict[str, Any]:
    """Everything up to the fine-tuned model; returns its path, its log and its key."""
    chain = resolve_at(spec, place)
    cases = task_volumes(chain, place)
    model = finetune(chain, place, cases, pretrain_for(chain, place))
    return {"model": str(model), "log": str(model.with_name("log.jsonl")), "key": chain.keys["finetune"]}


def predict_folder(cell: str, images: Path, out: Path, place: Place) -> list[str]:
    """Apply a stored cell's model to every volume of a folder; label maps lie on each volume's own grid.

    They do so whatever grid the protocol scores on. A second call goes on where the first stopped. Raises StoreError when `out`
    holds label maps that are not this cell's.
    """
    found, results = find_cell(cell, place.results)
    place = dataclasses.replace(place, results=results)
    layout = registry.layout("nifti_folder").NiftiFolder()
    records = layout.records(images) if images.is_dir() else []
    if not records:
        raise DataMissing(
            f"No volume (.nii, .nii.gz) in '{images}'.", remedy="Point --images at the folder that holds them."
        )
    plan, kind, model = model_of(found, place)
    protocol = dataclasses.replace(plan.setup.protocol, score_grid="native")
    setup = dataclasses.replace(plan.setup, protocol=protocol)
    recipe = CacheRecipe.of(protocol, None)
    cases = prepare(images, records, recipe, place.cache, progress=place.progress)
    ids = [record.case_id for record in records]
    told = {record.case_id: content_hash(images, [record]) for record in records}
    _keep_own(out, [out / f"{case}{kind.suffix}" for case in ids], found.keys["predict"], told)
    return [str(path) for path in predict(model, setup, kind, cases, ids, out, place.hardware, place.progress)]


def model_of(found: Cell, place: Place) -> tuple[Blueprint, Any, nn.Module]:
    """What a cell was set up as, its kind, and its trained network. Raises DataMissing or StoreError where that is gone."""
    spec = spec_of(found)
    plan = blueprint(spec)
    weights = place.folder("finetune", found.keys["finetune"]) / "model.safetensors"
    if not weights.exists():
        raise DataMissing(
            f"The model of this cell is not at {weights}.", case=found.name, remedy=make_again(found, place)
        )
    kind: Any = registry.kind(plan.setup.task.kind)
    model = build_model(plan.method, spec.method, plan.architecture, plan.setup, kind, plan.setup.recipe.seed)
    try:
        model.load_state_dict(load_weights(weights)[0])
    except RuntimeError as error:
        raise StoreError(
            f"The weights do not fit the network that this code builds for the cell ({str(error).splitlines()[-1].strip()}).",
            case=found.name,
            remedy="Check out the commit in the record, or make the model again in another folder: "
            f"{found.command} --results DIR",
        ) from error
    return plan, kind, model


def verify_cell(cell: str, results: Path, root: str, environ: Mapping[str, str]) -> VerifyReport:
    """Re-hash what a cell left and re-score it from its predictions, where those and the truth are on disk."""
    found, results = find_cell(cell, results)
    place = Place.at(results, environ=environ, hardware=Hardware(device="cpu"))
    predictions = place.folder("predict", found.keys["predict"]) / "predictions"

    def rescore(stored: Cell) -> Sequence[CaseRow] | None:
        return _rescored(stored, predictions, root, place) if predictions.is_dir() else None

    def summary(stored: Cell, rows: Sequence[CaseRow]) -> dict[str, float | None]:
        means, by_class = summarise(rows, stored.average, stored.metrics)
        means |= {f"{name} {metric}": mean for name, found in by_class.items() for metric, mean in found.items()}
        return {name: None if math.isnan(value) else value for name, value in means.items()}

    rehash = {"predictions": lambda: sha256_of_folder(predictions)} | {
        f"{room.removeprefix('pretrain:')}:final": partial(weights_digest, place.folder(room.partition(":")[0], key))
        for room, key in found.keys.items()
        if room == "finetune" or room.startswith("pretrain:")
    }
    return verify(found.name, Store(results), rescore, rehash=rehash, summarise=summary)


def weights_digest(folder: Path) -> str | None:
    """The digest of the weights that a training left, counted again; None when they are gone."""
    for name in ("model.safetensors", "method.safetensors"):
        if (folder / name).exists():
            return sha256_of_weights(load_weights(folder / name)[0])
    return None


def _rescored(stored: Cell, predictions: Path, root: str, place: Place) -> Sequence[CaseRow]:
    """The stored predictions scored again. Only the test cases are looked for: neither corpus nor weights are needed."""
    spec = dataclasses.replace(spec_of(stored), root=root)
    phantoms = phantoms_for(spec, place.results) if spec.phantom else None
    card, where = registry.task(spec.task), phantoms or (Path(root) if root else None)
    cases = find_cases(spec, card, where, {} if phantoms else place.environ)
    cases = cases.without(stored.excluded) if stored.excluded else cases
    setup = blueprint(spec).setup
    if keys_of_tests(spec, setup, cases, stored.keys["finetune"])["score"] != stored.key:
        raise StoreError(
            "The test cases, or how this code predicts and scores them, have changed since, so old and new scores cannot be "
            "compared.",
            case=stored.name,
            remedy=f"Check out the commit in the record, and check the data: bench data check {stored.task}",
        )
    tests = dataclasses.replace(cases, here=dataclasses.replace(cases.here, train=(), val=()))
    volumes = cached(tests, card, setup.protocol, place.cache)
    kind: Any = registry.kind(card.kind)
    return score(setup, kind, cases.folder, cases.pick(cases.here.test), volumes, predictions).rows


def _keep_own(out: Path, files: Sequence[Path], key: str, images: Mapping[str, str]) -> None:
    """Leave in `out` what an earlier call of the same cell predicted from the same images; refuse what is not its own."""
    mark = out / PREDICTED
    before: dict[str, Any] = _marked(mark) if mark.is_file() else {"key": "", "images": {}}
    present = {path: case for case, path in zip(images, files, strict=True) if path.exists()}
    if present and before["key"] != key:
        first = next(iter(present))
        raise StoreError(
            f"'{first.name}' in {out} is not a prediction of this cell.",
            case=present[first],
            remedy="Give another folder to --out, or move the label maps away.",
        )
    for path, case in present.items():
        if before["images"].get(case) != images[case]:
            path.unlink()  # the image behind it has changed
    kept = before["images"] if before["key"] == key else {}
    write_json(mark, {"key": key, "images": {**kept, **images}})


def _marked(mark: Path) -> dict[str, Any]:
    """What an earlier call wrote of its predictions. Raises StoreError where the file is another one, or damaged."""
    try:
        told = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = None
    if not (isinstance(told, dict) and isinstance(told.get("key"), str) and isinstance(told.get("images"), dict)):
        raise StoreError(
            f"'{mark.name}' in {mark.parent} is no list of predictions that `bench predict` wrote, or it was damaged.",
            case=str(mark),
            remedy="Give another folder to --out, or move it and the label maps beside it away.",
        )
    return told


def make_again(cell: Cell, place: Place) -> str:
    """How to train a stored cell's model again where it lay: `bench run` would only return the cell."""
    words = cell.command.replace("bench run", "bench finetune", 1)
    return f"Make it again: {words} --results {shlex.quote(str(place.results))}"


def spec_of(cell: Cell) -> RunSpec:
    """The spec that a cell's record holds. A folder of volumes that was told by its place alone stays one."""
    spec = dict(cell.provenance["spec"])
    spec["corpus"] = spec["corpus"] or ("folder" if cell.corpus == "folder" else "")
    return RunSpec(**{**spec, "settings": tuple(tuple(setting) for setting in spec["settings"])})


def _word_alone(asked: str, folder: str) -> str:
    """The corpus that was asked for; '' for the method's own."""
    return "folder" if folder and not asked else asked


def _corpus_alone(key: str, folder: str, words: Mapping[str, Any], place: Place) -> CorpusCases:
    if key == "own":
        raise SpecError("--corpus own takes a task's training volumes, so it needs --task.", remedy="Add --task TASK.")
    if key == "folder":
        return folder_corpus(Path(folder), "CT" if _looks_like_hu(Path(folder)) else "MR")
    phantoms = None
    if words["phantom"]:
        phantoms = place.results / "runs" / "phantoms" / ("smoke" if words["preset"] == "tiny" else "mini")
        write_corpus(key, "smoke" if words["preset"] == "tiny" else "mini", phantoms, place.progress)
    return named_corpus(key, Path(folder) if folder else None, place.environ, phantoms, partial=words["partial"])


def _looks_like_hu(folder: Path) -> bool:
    """Air in the first volume: something below -500 means HU. Told in the record, as the corpus' note."""
    from bench.data.volumes import read_image

    layout = registry.layout("nifti_folder").NiftiFolder()
    records = layout.records(folder) if folder.is_dir() else []
    return bool(records) and float(read_image(folder, records[0]).array.min()) < -500


def _told(encoder: Path, key: str, corpus: CorpusCases | None) -> dict[str, Any]:
    log = encoder.with_name("log.jsonl")
    return {"encoder": str(encoder), "log": str(log), "key": key, "corpus": corpus.told if corpus else ""}
