"""The first rooms alone, as the command line offers them: pre-training (for a task, on a corpus, on any folder) and fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import registry
from bench.blueprint import chosen_preset
from bench.chain import pretrain_keys, sight_of
from bench.contracts.configs import phases
from bench.contracts.errors import SpecError
from bench.corpora import CorpusCases, cached_corpus, folder_corpus, named_corpus
from bench.corpus_words import demand_offered
from bench.data.exposure import write_seen
from bench.figure import draw_curves
from bench.figures.pictures import draw_pictures
from bench.phantom_data import write_corpus
from bench.pretrain import pretrain
from bench.run import Place, demand_machine, finetune, resolve_at, task_volumes
from bench.run import pretrain as pretrain_for
from bench.spec import RunSpec, apply_settings, make_spec
from bench.train.ranks import is_first

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
    sight = sight_of(corpus, configs)
    keys = pretrain_keys(name, card.version, configs, corpus, sight)
    folders = {phase: place.folder("pretrain", key) for phase, key in keys.items()}
    volumes = cached_corpus(corpus, place.cache, place.progress)
    if is_first():
        write_seen(next(iter(folders.values())), volumes.seen())
    encoder = pretrain(card, name, configs, volumes, sight, keys, folders, place.hardware, place.progress)
    for phase, path in folders.items() if is_first() else ():
        draw_curves(path, title=f"{name} {phase}")
        draw_pictures(path)
    return _told(encoder, list(keys.values())[-1], corpus)


def finetune_alone(spec: RunSpec, place: Place) -> dict[str, Any]:
    """Everything up to the fine-tuned model; returns its path, its log and its key."""
    chain = resolve_at(spec, place)
    demand_machine(chain, place)
    cases = task_volumes(chain, place)
    model = finetune(chain, place, cases, pretrain_for(chain, place))
    return {"model": str(model), "log": str(model.with_name("log.jsonl")), "key": chain.keys["finetune"]}


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
