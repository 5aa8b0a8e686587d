"""What preset small makes of a recipe: segmentation as stored cells have it, classification with more cases at a lower rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.blueprint import blueprint
from bench.keys import plain
from bench.spec import make_spec

CELLS = sorted((Path(__file__).parents[1] / "results" / "cells").glob("*-small-*.json"))


def small(method: str, task: str, **words: Any) -> Any:
    return blueprint(make_spec(method=method, task=task, ratio=1.0, preset="small", **words)).setup.recipe


@pytest.mark.parametrize("task", registry.names(registry.TASKS))
def test_a_small_classifier_sees_eight_cases_at_a_low_rate_and_all_others_four(task: str) -> None:
    card = registry.task(task)
    for protocol in card.protocols.values():
        recipe = protocol.recipe.sized("small", card.kind)
        wanted = (8, 1e-4, 600) if card.kind == "classification" else (4, 2e-3, 600)
        assert (recipe.batch_size, recipe.lr, recipe.steps) == wanted


def test_a_method_may_want_another_rate_for_one_kind_of_task_alone() -> None:
    assert small("unet3d_scratch", "msd04").lr == 4e-3
    assert small("unet3d_scratch", "nodulemnist3d").lr == small("mae3d", "nodulemnist3d").lr == 1e-4
    assert small("unet3d_scratch", "nodulemnist3d", settings=("finetune.lr=2e-3",)).lr == 2e-3


@pytest.mark.parametrize("path", CELLS, ids=lambda path: path.stem)
def test_a_stored_cell_was_trained_by_the_recipe_that_its_words_give_today(path: Path) -> None:
    cell = json.loads(path.read_text())
    words = {word: cell[word] for word in ("method", "task", "protocol", "ratio", "preset", "seed", "fold")}
    today = plain(blueprint(make_spec(**words)).setup.recipe)
    assert today == {field: cell["config"]["finetune"][field] for field in today}
