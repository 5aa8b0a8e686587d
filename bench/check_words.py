"""Whether the words of a run mean something together: names, pairs, folds, corpora, before any data are sought."""

from __future__ import annotations

from pathlib import Path

from bench import registry
from bench.contracts.cards import TaskCard
from bench.contracts.errors import DataMissing, SpecError, nearest
from bench.corpus_words import corpus_word, demand_offered
from bench.spec import RunSpec
from bench.task_words import demand_fold, protocol_of, target_of
from bench.text_words import demand_reader
from bench.told_slices import slice_mm_of


def check_words(spec: RunSpec) -> None:
    """Raise SpecError or DataMissing for words that mean nothing; looks at cards and lists, at no data, imports no method."""
    registry.known(registry.METHODS, spec.method)
    offered = registry.variants(spec.method)
    if spec.variant and offered and spec.variant not in offered:
        raise no_variant(spec, offered)
    task = registry.task(spec.task)
    protocol = protocol_of(task, spec.task, spec.protocol)
    target = target_of(task, spec.task, spec.target, protocol)
    demand_fold(spec, protocol)
    slice_mm_of(spec, protocol)
    _check_pair(spec, task, target)
    if spec.phantom and spec.root:
        raise SpecError(
            f"--phantom draws the data of '{spec.task}' itself, so it takes no --root, found '{spec.root}'.",
            case=spec.task,
            remedy="Leave one of the two out.",
        )
    word = corpus_word(spec)
    if word not in ("none", "file", "own", "folder"):
        registry.known(registry.CORPORA, word)
        demand_offered(spec.method, word, registry.corpus(word).offers)
    if spec.weights and not Path(spec.weights).is_file():
        raise DataMissing(
            f"No file '{spec.weights}'.", case=spec.method, remedy="Give a .safetensors file to --weights."
        )


def _check_pair(spec: RunSpec, task: TaskCard, target: str) -> None:
    """SpecError where a method cannot be shown what a task holds, or cannot answer what it asks; read from the card's text
    where the method is ours."""
    card = next((c for c in registry.describe(registry.METHODS) if c["name"] == spec.method), {})
    foreign = registry.method(spec.method) if "origin" in card else None
    dims = foreign.dims if foreign else card.get("dims", [3])
    if task.dims not in dims:
        raise SpecError(
            f"The method '{spec.method}' takes {' or '.join(f'{d}-D' for d in sorted(dims))} images, "
            f"'{spec.task}' holds {task.dims}-D ones.",
            case=spec.method,
            remedy="Methods and what they take: bench list methods",
        )
    demand_reader(spec, task, target)


def no_variant(spec: RunSpec, offered: tuple[str, ...]) -> SpecError:
    """The refusal of a variant that a method does not have."""
    return SpecError(
        f"The method '{spec.method}' has no variant '{spec.variant}'. {nearest(spec.variant, offered)}"
        f"Possible: {', '.join(offered) or 'none'}.",
        case=spec.method,
        remedy=f"What each changes: bench show {spec.method}",
    )
