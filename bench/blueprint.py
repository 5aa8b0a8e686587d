"""A method set up for a task: the cards of a spec, with preset, variant, protocol and settings resolved. Needs no data.

Importing the method and the kind imports torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import registry
from bench.check_words import no_variant
from bench.contracts.cards import PRESETS, MethodCard, TaskCard
from bench.contracts.configs import FineTuneConfig, Inference, MethodConfig, phases
from bench.contracts.errors import SpecError, nearest
from bench.corpus_words import corpus_word
from bench.metrics import METRICS, describe
from bench.recipe import configs_of, inference_word
from bench.spec import RunSpec, of_phase
from bench.task_words import protocol_of, target_of


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
    if not getattr(registry.kind(task.kind), "PROBED", False):
        raise SpecError(
            f"No linear head answers a task of {task.kind}.",
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
    measures = registry.kind(task.kind).MEASURES
    for name in metrics:
        if describe(name).kind not in measures:
            possible = ", ".join(key for key, metric in METRICS.items() if metric.kind in measures)
            raise SpecError(
                f"'{name}' measures no result of '{task.title}', a task of {task.kind}.",
                case="metrics",
                remedy=f"Name others in the `metrics` of the card's protocol: {possible}.",
            )


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
