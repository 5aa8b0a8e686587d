"""How one run is fine-tuned: the protocol's recipe at a preset and for a start, then what the method's card and `--set` say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bench import registry
from bench.contracts.cards import MethodCard
from bench.contracts.configs import FineTuneConfig, MethodConfig, PhaseConfig
from bench.contracts.errors import SpecError
from bench.contracts.protocols import Protocol
from bench.corpus_words import corpus_word
from bench.spec import RunSpec, apply_settings


def inference_word(trained: Mapping[str, MethodConfig]) -> str:
    """What a cell's inference is called among its configs: `predict`, or `inference` where a phase bears that name."""
    return "inference" if "predict" in trained else "predict"


def configs_of(
    method: MethodCard, spec: RunSpec, kind: str, protocol: Protocol, trained: Mapping[str, MethodConfig]
) -> dict[str, Any]:
    """The config of every phase, of fine-tuning and of inference, settings applied. Nearest wins: `--set`, the method's card, the
    protocol.

    A start without weights takes what the protocol changes for it, unless `matched_optim` asks for the recipe of
    pre-trained encoders. Raises SpecError where both recipes are one, and for a seed of fine-tuning among the settings.
    """
    _demand_told_seed(spec)
    from_scratch = corpus_word(spec) == "none"
    found = _configs(method, spec, kind, protocol, trained, from_scratch)
    if not found["finetune"].matched_optim:
        return found
    _demand_two_recipes(spec, protocol, from_scratch)
    return _configs(method, spec, kind, protocol, trained, False)


def _configs(
    method: MethodCard,
    spec: RunSpec,
    kind: str,
    protocol: Protocol,
    trained: Mapping[str, MethodConfig],
    from_scratch: bool,
) -> dict[str, Any]:
    recipe = protocol.recipe_at(spec.preset, kind, from_scratch=from_scratch)
    of_card = method.recipe_changes(spec.preset, kind)
    if from_scratch and method.build:  # a card's word is of the encoder that it pre-trains
        of_card = {field: value for field, value in of_card.items() if field not in protocol.scratch}
    told = {**of_card, **_of_variant(method, spec, trained)}
    recipe = dataclasses.replace(recipe, **{"seed": spec.seed, **told})
    word = inference_word(trained)
    configs: dict[str, Any] = {**trained, "finetune": recipe, word: protocol.inference.sized(spec.preset)}
    no_training = frozenset(f.name for f in dataclasses.fields(PhaseConfig))
    untrained = () if method.build and not spec.weights else trained
    closed = dict.fromkeys(untrained, (no_training, "Nothing is trained"))
    unused, why = _unused(kind, protocol)
    closed |= {name: (unused & {f.name for f in dataclasses.fields(configs[name])}, why) for name in ("finetune", word)}
    return apply_settings(configs, spec.settings, closed=closed)


def _unused(kind: str, protocol: Protocol) -> tuple[frozenset[str], str]:
    """The fields of recipe and inference that nothing asks for here, and why, in words."""
    module = registry.kind(kind)
    unused: frozenset[str] = getattr(module, "UNUSED", frozenset())
    of_whole: frozenset[str] = getattr(module, "UNUSED_WHOLE", frozenset())
    if not (protocol.whole_volume and of_whole):
        return unused, f"A task of {kind} asks for no such thing"
    return unused | of_whole, f"A task of {kind} whose volumes are shown whole asks for no such thing"


def _of_variant(method: MethodCard, spec: RunSpec, trained: Mapping[str, MethodConfig]) -> dict[str, Any]:
    """What a variant changes of fine-tuning: fields of a recipe that no phase of pre-training has."""
    recipe = {f.name for f in dataclasses.fields(FineTuneConfig)}
    before = {f.name for config in trained.values() for f in dataclasses.fields(config)}
    return {k: v for k, v in method.variants.get(spec.variant, {}).items() if k in recipe - before}


def _demand_told_seed(spec: RunSpec) -> None:
    """SpecError where a setting would give fine-tuning another seed than the one that the record tells and the labelled cases of a
    ratio are drawn by: two such runs would pass for one seed that stands twice."""
    value = next((value for phase, key, value in spec.settings if key == "seed" and phase in ("", "finetune")), None)
    if value is not None:
        raise SpecError(
            "The seed of fine-tuning is a word of its own, and no setting.",
            case="seed",
            remedy=f"--seed {value}; that of pre-training alone: --set pretrain.seed={value}",
        )


def _demand_two_recipes(spec: RunSpec, protocol: Protocol, from_scratch: bool) -> None:
    if from_scratch and protocol.scratch:
        return
    why = (
        f"the protocol '{spec.protocol}' of '{spec.task}' has one recipe for every start"
        if from_scratch
        else f"'{spec.method}' starts with weights here and has that recipe already"
    )
    raise SpecError(
        f"matched_optim gives a start without weights the recipe of pre-trained encoders, but {why}.",
        case=spec.method,
        remedy="Leave out --set finetune.matched_optim=true.",
    )
