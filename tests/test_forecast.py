"""Forecasts count what a network of any kind of task computes, so every run can be planned."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench import registry
from bench.blueprint import blueprint
from bench.forecast import _cost
from bench.spec import make_spec

ONE_OF_EACH_KIND = ("msd04", "nodulemnist3d", "ctrg_report", "ctrate_prompts", "ctrate_retrieval@finetune_1000")


def cost(task: str, preset: str = "tiny", **words: Any) -> tuple[int, float, float]:
    spec = make_spec(method="mg3d", task=task, preset=preset, **words)
    words_found = SimpleNamespace(task=registry.task(spec.task))
    return _cost(SimpleNamespace(blueprint=blueprint(spec), words=words_found, sight=None), "")  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ONE_OF_EACH_KIND)
def test_a_run_of_any_kind_of_task_has_a_forecast(task: str) -> None:
    parameters, flops, saved = cost(task)
    assert parameters > 10_000 and flops > 1e6 and saved > 1e3


def test_each_kind_of_task_is_among_them() -> None:
    tasks = (registry.task(name) for name in registry.names(registry.TASKS))
    assert {task.kind for task in tasks} == {registry.task(name.partition("@")[0]).kind for name in ONE_OF_EACH_KIND}


def test_words_count_in_the_forecast_of_a_report_generator() -> None:
    """Its decoder scores 40 words and one: with half of them a forecast is smaller."""
    assert cost("ctrg_report")[1] > cost("ctrg_report", settings=("finetune.max_tokens=20",))[1]


def test_a_map_of_all_tokens_has_a_forecast_of_its_own() -> None:
    fused, plain = (cost("ctrate_prompts", "small", protocol=protocol)[0] for protocol in ("mg3d", "bench"))
    assert fused - plain == (8 - 1) * 192 * 192  # 64 x 64 x 64 voxels are 8 tokens of 192 numbers
