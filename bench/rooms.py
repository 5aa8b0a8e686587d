"""The single rooms as the command line offers them: pre-train alone, fine-tune alone, a cell on anyone's volumes, verify."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import registry
from bench.case_rows import CaseRow
from bench.chain import blueprint, chosen_preset
from bench.contracts.cards import Sight, phases
from bench.contracts.errors import DataMissing, SpecError, StoreError, nearest
from bench.contracts.record import Cell
from bench.corpora import CorpusCases, cached_corpus, folder_corpus, named_corpus
from bench.data.cache import prepare
from bench.data.digest import sha256_of_folder
from bench.data.preparation import CacheRecipe
from bench.finetune import build_model
from bench.keys import key_of
from bench.phantom_data import write_corpus
from bench.predict import predict
from bench.pretrain import pretrain
from bench.run import Place, finetune, resolve_at, score_tests, task_volumes
from bench.run import pretrain as pretrain_for
from bench.score import summarise
from bench.spec import RunSpec, apply_settings, make_spec
from bench.store import Store
from bench.train.checkpoint import load_weights, sha256_of_weights
from bench.train.hardware import Hardware
from bench.verify import VerifyReport, verify


def pretrain_alone(*, method: str, task: str, folder: str, place: Place, **words: Any) -> dict[str, Any]:
    """Pre-train on a corpus or a folder of volumes; returns the paths of encoder, log and curves, and the key.

    With a task the result is found again by `bench run` on that task; without one the corpus must be named or be a folder.
    """
    if task:
        spec = make_spec(method=method, task=task, corpus_root=folder, partial=words.pop("partial"), **words)
        chain = resolve_at(spec, place)
        encoder = pretrain_for(chain, place)
        if encoder is None:
            raise SpecError(f"The method '{spec.method}' does not pre-train.", case=spec.method)
        return _told(encoder, chain.keys[f"pretrain:{list(chain.blueprint.phases)[-1]}"])
    name, _, variant = method.partition("@")
    spec = RunSpec(method=name, task="", variant=variant, preset=words["preset"])
    card = registry.method(name)
    if card.build is None:
        raise SpecError(f"The method '{name}' does not pre-train.", case=name)
    settings = make_spec(method=name, task="", settings=words["settings"]).settings
    configs = apply_settings(phases(chosen_preset(card, spec)), settings)
    corpus = _corpus_alone(card.corpus, words["corpus"], folder, words, place)
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
    encoder = pretrain(card, name, configs, volumes, sight, keys, folders, place.hardware, place.progress)
    return _told(encoder, before)


def finetune_alone(spec: RunSpec, place: Place) -> dict[str, Any]:
    """Everything up to the fine-tuned model; returns its path, its log and its key."""
    chain = resolve_at(spec, place)
    cases = task_volumes(chain, place)
    model = finetune(chain, place, cases, pretrain_for(chain, place))
    return {"model": str(model), "log": str(model.with_name("log.jsonl")), "key": chain.keys["finetune"]}


def predict_folder(cell: str, images: Path, out: Path, place: Place) -> list[str]:
    """Apply a stored cell's model to every volume of a folder; label maps lie on each volume's own grid."""
    found = find_cell(cell, place.results)
    layout = registry.layout("nifti_folder").NiftiFolder()
    records = layout.records(images) if images.is_dir() else []
    if not records:
        raise DataMissing(
            f"No volume (.nii, .nii.gz) in '{images}'.", remedy="Point --images at the folder that holds them."
        )
    plan = blueprint(spec_of(found))
    weights = place.folder("finetune", found.keys["finetune"]) / "model.safetensors"
    if not weights.exists():
        raise DataMissing(
            f"The model of this cell is not at {weights}.", case=found.name, remedy=f"Make it again: {found.command}"
        )
    kind: Any = registry.kind(plan.setup.task.kind)
    spec = spec_of(found)
    model = build_model(plan.method, spec.method, plan.architecture, plan.setup, kind, plan.setup.recipe.seed)
    model.load_state_dict(load_weights(weights)[0])
    protocol = plan.setup.protocol
    recipe = CacheRecipe(
        spacing_mm=protocol.spacing_mm,
        intensity=protocol.intensity,
        crop_foreground=protocol.crop_foreground,
        label_values=None,
    )
    cases = prepare(images, records, recipe, place.cache, progress=place.progress)
    ids = [record.case_id for record in records]
    return [str(path) for path in predict(model, plan.setup, kind, cases, ids, out, place.hardware, place.progress)]


def verify_cell(cell: str, results: Path, root: str, environ: Mapping[str, str]) -> VerifyReport:
    """Re-hash what a cell left and re-score it from its predictions, where those and the truth are on disk."""
    found = find_cell(cell, results)
    place = Place(results=results, cache=results / "cache", environ=environ, hardware=Hardware(device="cpu"))
    predictions = place.folder("predict", found.keys["predict"]) / "predictions"

    def rescore(stored: Cell) -> Sequence[CaseRow] | None:
        if not predictions.is_dir():
            return None
        chain = resolve_at(dataclasses.replace(spec_of(stored), root=root), place)
        if chain.key != stored.key:
            raise StoreError(
                "The data or the code now give another key, so old and new scores cannot be compared.",
                case=stored.name,
                remedy=f"Check out the commit in the record, and check the data: bench data check {stored.task}",
            )
        return score_tests(chain, place, task_volumes(chain, place)).rows

    def summary(stored: Cell, rows: Sequence[CaseRow]) -> dict[str, float | None]:
        return {
            name: None if math.isnan(value) else value for name, value in summarise(rows, stored.average)[0].items()
        }

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


def find_cell(name: str, results: Path) -> Cell:
    """A stored cell by name, by the path of its JSON, or by the start of its key; StoreError with the nearest names."""
    path = Path(name)
    stem = path.stem if path.suffix == ".json" else name
    store = Store(path.parent.parent if path.suffix == ".json" and path.is_file() else results)
    cells = store.cells()
    for cell in cells:
        if cell.name == stem or (len(name) >= 8 and cell.key.startswith(name)):
            return cell
    raise StoreError(
        f"No cell '{name}' in {results}. {nearest(stem, [cell.name for cell in cells])}".strip(),
        case=name,
        remedy="All of them: bench table all",
    )


def spec_of(cell: Cell) -> RunSpec:
    """The spec that a cell's record holds."""
    spec = dict(cell.provenance["spec"])
    return RunSpec(**{**spec, "settings": tuple(tuple(setting) for setting in spec["settings"])})


def _corpus_alone(own: str, asked: str, folder: str, words: Mapping[str, Any], place: Place) -> CorpusCases:
    key = "folder" if folder and asked in ("", "folder") else asked or own
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


def _told(encoder: Path, key: str) -> dict[str, Any]:
    return {"encoder": str(encoder), "log": str(encoder.with_name("log.jsonl")), "key": key}
