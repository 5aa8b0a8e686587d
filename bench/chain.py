"""A spec resolved: its words, the cases and the corpus found for them, its blueprint, and the key of every room."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.blueprint import Blueprint, blueprint
from bench.case_content import content_hash, told_answers
from bench.cases import TaskCases, find_cases
from bench.check_words import check_words
from bench.contracts.cards import TaskCard
from bench.contracts.configs import FineTuneConfig, MethodConfig, Sight
from bench.contracts.recipes import PairRecipe
from bench.contracts.record import Record
from bench.corpora import CorpusCases, find_corpus
from bench.corpus_words import corpus_word
from bench.data.cache_recipe import CacheRecipe
from bench.keys import key_of
from bench.spec import RunSpec
from bench.task_words import protocol_of
from bench.text_words import demand_tower
from bench.told_slices import slice_mm_of, with_slices


@dataclass(frozen=True, kw_only=True)
class Words:
    """A spec whose data were found; nothing of the method is imported yet."""

    spec: RunSpec
    task: TaskCard
    cases: TaskCases
    corpus: CorpusCases | None
    corpus_word: str


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Everything a run needs. `keys` maps `pretrain:<phase>`, `finetune`, `predict`, `score` to the room's key.

    `brought` is the sha256 of the weights that a user brings, '' where none are brought.
    """

    words: Words
    blueprint: Blueprint
    keys: Mapping[str, str]
    sight: Sight | None  # what pre-training sees; None where nothing is pre-trained
    brought: str = ""

    @property
    def key(self) -> str:
        return self.keys["score"]


def find(spec: RunSpec, environ: Mapping[str, str], phantoms: Path | None = None) -> Words:
    """Check the words, find the task's cases and the corpus on disk. Imports no method and no torch.

    `phantoms` is a folder of phantoms that stands in for every dataset.
    """
    check_words(spec)
    task = registry.task(spec.task)
    protocol = protocol_of(task, spec.task, spec.protocol)
    root = phantoms or (Path(spec.root) if spec.root else None)
    cases = with_slices(find_cases(spec, task, root, {} if phantoms else environ), slice_mm_of(spec, protocol))
    corpus = find_corpus(spec, task, protocol, cases, environ, phantoms)
    return Words(spec=spec, task=task, cases=cases, corpus=corpus, corpus_word=corpus_word(spec))


def resolve(words: Words) -> Chain:
    """Import the method, apply settings and compute the key of every room.

    Raises SpecError or DataMissing where a setting names a text tower that cannot serve.
    """
    spec, corpus = words.spec, words.corpus
    plan = blueprint(words.spec)
    setup, cases = plan.setup, words.cases
    demand_tower(spec, words.task, setup.target, setup.recipe)
    brought, sight, trained = _file_key(spec.weights), None, {}
    if corpus is not None:
        sight = sight_of(corpus, plan.phases)
        apart = setup.recipe.slice_mm if corpus.key == "own" else 0.0
        trained = pretrain_keys(spec.method, plan.method.version, plan.phases, corpus, sight, slice_mm=apart)
    keys = {f"pretrain:{name}": key for name, key in trained.items()}
    selecting = cases.here.val if setup.recipe.selection == "best_val" else ()
    keys["finetune"] = key_of(
        room="finetune",
        method=spec.method,
        version=plan.method.version,
        architecture=plan.architecture,
        decoder=plan.method.decoder,
        task={
            "key": spec.task,
            "version": words.task.version,
            "target": spec.target or setup.target,
            "protocol": spec.protocol,
        },
        classes=setup.classes,
        values=setup.values,
        sight=setup.sight,
        crop_foreground=setup.protocol.crop_foreground,
        whole_volume=setup.protocol.whole_volume,
        **CacheRecipe.of(setup.protocol, None).brought(),
        recipe=setup.recipe,
        **frozen_part(setup.recipe),
        train=cases.train,
        val=selecting,
        **_selected(setup, bool(selecting)),
        content=content_hash(cases.folder, cases.pick((*cases.train, *selecting))),
        **_answers(cases.pick((*cases.train, *selecting)), scored=False),
        before=list(trained.values())[-1] if trained else brought,
    )
    keys |= keys_of_tests(spec, setup, cases, keys["finetune"])
    return Chain(words=words, blueprint=plan, keys=keys, sight=sight, brought=brought)


def sight_of(corpus: CorpusCases, configs: Mapping[str, MethodConfig]) -> Sight:
    """What pre-training sees of a corpus: its channels and intensities, in the crops of the first phase."""
    first = next(iter(configs.values()))
    return Sight(corpus.channels, first.crop, corpus.spacing_mm, corpus.intensity)


def pretrain_keys(
    method: str,
    version: int,
    configs: Mapping[str, MethodConfig],
    corpus: CorpusCases,
    sight: Sight,
    *,
    slice_mm: float = 0.0,
) -> dict[str, str]:
    """Phase -> its key, each of which holds the one before. `slice_mm` is how far apart slices are taken, 0 where volumes are."""
    told: dict[str, Any] = {"key": corpus.key, "content": corpus.content_hash}
    told |= {"slice_mm": slice_mm} if slice_mm else {}
    told |= {"stored_values": True} if corpus.stored_values else {}
    keys: dict[str, str] = {}
    before = ""
    for name, config in configs.items():
        before = key_of(
            room="pretrain",
            method=method,
            version=version,
            phase=name,
            config=config,
            corpus=told,
            sight=sight,
            before=before,
        )
        keys[name] = before
    return keys


def frozen_part(recipe: FineTuneConfig) -> dict[str, str]:
    """What of the encoder is frozen, where a part is. It stands in the key because all of it once was, with what pre-training
    does not bring; both towers of a pair stay whole, then and now."""
    in_part = recipe.lora_rank > 0 or (recipe.frozen_encoder and not isinstance(recipe, PairRecipe))
    return {"frozen": "what pre-training brings"} if in_part else {}


def _selected(setup: Any, selects: bool) -> dict[str, str]:
    """The order of the means by which weights are chosen. It stands in the key where it is not the one that all once had."""
    average = setup.protocol.average
    return {"selected_by": average} if selects and average != "class_then_case" else {}


def keys_of_tests(spec: RunSpec, setup: Any, cases: TaskCases, finetune_key: str) -> dict[str, str]:
    """The keys of prediction and score after a fine-tuning: they need the test cases and neither method nor corpus."""
    predict = key_of(
        room="predict",
        before=finetune_key,
        inference=setup.inference,
        grid=setup.protocol.score_grid,
        test=cases.here.test,
        content=content_hash(cases.folder, cases.pick(cases.here.test)),
    )
    score = key_of(
        room="score",
        before=predict,
        metrics=setup.protocol.metrics,
        average=setup.protocol.average,
        unit=setup.protocol.distance_unit,
        **_answers(cases.pick(cases.here.test), scored=True),
        ratio=spec.ratio,  # two ratios may name the same cases of a partial download; each is a cell of its own
    )
    return {"predict": predict, "score": score}


def _answers(records: Sequence[Record], *, scored: bool) -> dict[str, str]:
    """What decides a result besides the files of its cases: answers from a table, where there is one."""
    told = told_answers(records, scored=scored)
    return {"answers": told} if told else {}


def _file_key(weights: str) -> str:
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest() if weights else ""
