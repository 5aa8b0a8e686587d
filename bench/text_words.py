"""What a run that compares volumes with sentences is asked before anything is trained: who reads the sentences?"""

from __future__ import annotations

from typing import Any

from bench import registry
from bench.contracts.cards import TaskCard
from bench.contracts.errors import SpecError
from bench.contracts.recipes import PairRecipe
from bench.nets.bert_files import bert_config
from bench.spec import RunSpec


def demand_reader(spec: RunSpec, task: TaskCard, target: str) -> None:
    """Raise SpecError where a target compares volumes with sentences as they are and the method's encoder reads none."""
    if target not in task.text_targets or "text" in registry.offers(spec.method):
        return
    raise SpecError(
        f"'{_words(spec, target)}' compares volumes with sentences as they are, and the encoder of '{spec.method}' reads no "
        "text.",
        case=spec.method,
        remedy=_learning(spec, task),
    )


def demand_tower(spec: RunSpec, task: TaskCard, target: str, recipe: Any) -> None:
    """Raise where the BERT that a recipe names as a text tower cannot serve: SpecError where nothing is learnt or it is none that
    can be read, DataMissing where its files are not there. Else that would be told after pre-training."""
    if not isinstance(recipe, PairRecipe) or not recipe.text_tower:
        return
    if target in task.text_targets:
        raise SpecError(
            f"'{_words(spec, target)}' learns nothing, and the BERT of text_tower shares no space with the encoder: "
            f"'{recipe.text_tower}'.",
            case=spec.task,
            remedy=f"Leave text_tower out. {_learning(spec, task)}",
        )
    bert_config(recipe.text_tower, recipe.text_tower_length)


def _words(spec: RunSpec, target: str) -> str:
    return f"{spec.task}@{target}" if target else spec.task


def _learning(spec: RunSpec, task: TaskCard) -> str:
    """The targets of a task that learn maps, as advice."""
    words = [_words(spec, target) for target in ("", *task.targets) if target not in task.text_targets]
    return f"Let training find a common space: --task {' or '.join(words)}." if words else "Choose another task."
