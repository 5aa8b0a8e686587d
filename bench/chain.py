"""A spec resolved: cards, configs, setup, cases, corpus, and the key of every room. Importing the method imports torch."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.case_content import content_hash, told_answers
from bench.cases import TaskCases, find_cases, protocol_of, target_of
from bench.check_words import check_words, no_variant
from bench.contracts.cards import PRESETS, MethodCard, TaskCard
from bench.contracts.configs import FineTuneConfig, Inference, MethodConfig, Sight, phases
from bench.contracts.errors import SpecError, nearest
from bench.contracts.recipes import PairRecipe
from bench.contracts.record import Record
from bench.corpora import CorpusCases, corpus_word, find_corpus
from bench.data.cache_recipe import CacheRecipe
from bench.keys import key_of
from bench.metrics import METRICS, describe
from bench.recipe import configs_of, inference_word
from bench.spec import RunSpec, of_phase
from bench.text_words import demand_tower
from bench.told_slices import slice_mm_of, with_slices

PROBED = ("segmentation", "classification")
"""Kinds of task that a linear head can serve."""
MEASURED: Mapping[str, tuple[str, ...]] = {
    "segmentation": ("overlap", "surface"),
    "classification": ("classification",),
    "prompts": ("classification",),
    "report": ("text",),
    "retrieval": ("retrieval",),
}
"""Kind of task -> the kinds of metrics that its cases leave evidence for."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """A spec whose data were found; nothing of the method is imported yet."""

    spec: RunSpec
    task: TaskCard
    cases: TaskCases
    corpus: CorpusCases | None
    corpus_word: str


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A method set up for a task: configs with every setting applied. Needs no data.

    `phases` are those that are trained (none for scratch and for weights from a file); `architecture` is the config that
    the encoder is built from.
    """

    method: MethodCard
    phases: Mapping[str, MethodConfig]
    architecture: MethodConfig
    setup: Any
    differs: tuple[str, ...]


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


def blueprint(spec: RunSpec) -> Blueprint:
    """Resolve preset, variant, protocol and settings. Nearest wins: `--set`, the method's card, the protocol."""
    from bench.contracts.kind import make_setup
    from bench.train.job import demand_settings

    method, task = registry.method(spec.method), registry.task(spec.task)
    protocol = protocol_of(task, spec.task, spec.protocol)
    target = target_of(task, spec.task, spec.target, protocol)
    trained = phases(chosen_preset(method, spec))
    configs = configs_of(method, spec, task.kind, protocol, trained)
    recipe, inference = configs["finetune"], configs[inference_word(trained)]
    assert isinstance(recipe, FineTuneConfig) and isinstance(inference, Inference)
    _demand_selecting(recipe, task)
    _demand_metrics(protocol.metrics, task)
    for name in (*trained, "finetune"):
        try:
            demand_settings(configs[name])
        except SpecError as error:
            raise of_phase(error, name if any(phase == name for phase, _, _ in spec.settings) else "") from error
    trained = {name: configs[name] for name in trained}
    architecture = list(trained.values())[-1]
    setup = make_setup(
        task,
        target,
        protocol,
        preset=spec.preset,
        recipe=recipe,
        inference=inference,
        multiple=architecture.multiple_at(protocol.patch_voxels, protocol.voxels_mm(recipe.slice_mm)),
    )
    if (demand := getattr(registry.kind(task.kind), "demand", None)) is not None:
        demand(setup)
    return Blueprint(
        method=with_decoder(method, spec.variant, recipe, task),
        phases=trained if method.build and not spec.weights else {},
        architecture=architecture,
        setup=setup,
        differs=_differs(spec, setup, protocol.patch_voxels),
    )


def chosen_preset(method: MethodCard, spec: RunSpec) -> Any:
    """The preset's config with what the paper sets for the corpus, then the variant's changes; SpecError where there is none."""
    preset = getattr(method, spec.preset)
    if preset is None:
        possible = ", ".join(name for name in PRESETS if getattr(method, name) is not None)
        raise SpecError(
            f"The method '{spec.method}' has no preset '{spec.preset}', possible: {possible}.",
            case=spec.method,
            remedy=f"Take --preset {'tiny' if spec.preset == 'small' else 'full'}.",
        )
    if spec.variant and spec.variant not in method.variants:
        raise no_variant(spec, tuple(method.variants))
    corpus = corpus_word(spec)
    on_corpus = method.on_corpus.get(corpus if spec.preset == "full" else f"{corpus} {spec.preset}", {})
    changes = {**on_corpus, **method.variants.get(spec.variant, {})}
    configs = phases(preset)
    changed = {
        name: dataclasses.replace(
            c, **{k: v for k, v in changes.items() if k in {f.name for f in dataclasses.fields(c)}}
        )
        for name, c in configs.items()
    }
    return changed if len(changed) > 1 else next(iter(changed.values()))


def with_decoder(method: MethodCard, variant: str, recipe: FineTuneConfig, task: TaskCard) -> MethodCard:
    """The card with the decoder that the recipe or a variant names, where one does."""
    if not recipe.linear_head:
        decoder = method.variants.get(variant, {}).get("decoder", method.decoder)
        return dataclasses.replace(method, decoder=decoder)
    if task.kind not in PROBED:
        raise SpecError(
            f"linear_head probes tasks of {' and '.join(PROBED)}; '{task.title}' is a task of {task.kind}.",
            case=task.title,
            remedy="Leave out --set finetune.linear_head=true.",
        )
    return dataclasses.replace(method, decoder="linear")


def _demand_selecting(recipe: FineTuneConfig, task: TaskCard) -> None:
    """SpecError where `select_by` names what this kind of task chooses no weights by: it would be recorded and pass for chosen."""
    possible = getattr(registry.kind(task.kind), "SELECTING", ())
    wrong = next((name for name in recipe.select_by.split("+") if recipe.select_by and name not in possible), None)
    if wrong is not None:
        raise SpecError(
            f"'{wrong}' selects no weights of '{task.title}', a task of {task.kind}. {nearest(wrong, possible)}".strip(),
            case="select_by",
            remedy=f"Possible: {', '.join(possible)}." if possible else "Leave out --set finetune.select_by.",
        )


def _demand_metrics(metrics: Sequence[str], task: TaskCard) -> None:
    """SpecError for a metric that is none, or that this kind of task leaves no evidence for: it would be told, or recorded as
    undefined, after all that was trained for it."""
    for name in metrics:
        if describe(name).kind not in MEASURED[task.kind]:
            possible = ", ".join(key for key, metric in METRICS.items() if metric.kind in MEASURED[task.kind])
            raise SpecError(
                f"'{name}' measures no result of '{task.title}', a task of {task.kind}.",
                case="metrics",
                remedy=f"Name others in the `metrics` of the card's protocol: {possible}.",
            )


def resolve(words: Words) -> Chain:
    """Import the method, apply settings and compute the key of every room.

    Raises SpecError or DataMissing where a setting names a text tower that cannot serve.
    """
    spec, corpus = words.spec, words.corpus
    plan = blueprint(words.spec)
    demand_tower(spec, words.task, plan.setup.target, plan.setup.recipe)
    identity = {"method": spec.method, "version": plan.method.version}
    keys: dict[str, str] = {}
    brought, sight = _file_key(spec.weights), None
    before = brought
    if corpus is not None:
        first = next(iter(plan.phases.values()))
        sight = Sight(corpus.channels, first.crop, corpus.spacing_mm, corpus.intensity)
        apart = plan.setup.recipe.slice_mm if corpus.key == "own" else 0.0
        told = {"key": corpus.key, "content": corpus.content_hash, **({"slice_mm": apart} if apart else {})}
        told |= {"stored_values": True} if corpus.stored_values else {}
        for name, config in plan.phases.items():
            before = key_of(
                room="pretrain", **identity, phase=name, config=config, corpus=told, sight=sight, before=before
            )
            keys[f"pretrain:{name}"] = before
    setup, cases = plan.setup, words.cases
    selecting = cases.here.val if setup.recipe.selection == "best_val" else ()
    keys["finetune"] = key_of(
        room="finetune",
        **identity,
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
        before=before,
    )
    keys |= keys_of_tests(spec, setup, cases, keys["finetune"])
    return Chain(words=words, blueprint=plan, keys=keys, sight=sight, brought=brought)


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


def _differs(spec: RunSpec, setup: Any, printed_patch: tuple[int, int, int]) -> tuple[str, ...]:
    """What departs from the paper, in words."""
    found = []
    if spec.preset in ("small", "tiny"):
        found.append(f"preset {spec.preset}: network, lengths and learning rates are sized by us")
    if setup.sight.shape != printed_patch:
        found.append(f"the network sees {setup.sight.shape} voxels, the protocol says {printed_patch}")
    found += [f"--set {phase + '.' if phase else ''}{key}={value}" for phase, key, value in spec.settings]
    if spec.corpus:
        found.append("not pre-trained" if spec.corpus == "none" else f"pre-trained on {spec.corpus}")
    return tuple(found)
