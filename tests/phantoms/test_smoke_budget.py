"""Smoke phantoms of all tasks stay within what the phantom plan (section D.2) allows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import registry
from tests.benchmarks.phantoms import MOST_MB, MOST_S, summary, written


@pytest.mark.slow
def test_smoke_phantoms_of_all_tasks_take_no_more_room_than_planned(tmp_path: Path) -> None:
    costs = written(tmp_path, "smoke")
    assert [cost.task for cost in costs] == list(registry.names(registry.TASKS))
    assert all(cost.files > 1 and cost.megabytes > 0 for cost in costs)
    assert sum(cost.megabytes for cost in costs) <= MOST_MB
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert summary(costs)["megabytes"] == pytest.approx(on_disk / 1e6, abs=0.05)


def test_what_is_recorded_of_smoke_phantoms_lies_within_the_plan() -> None:
    """Of the clock's seconds other jobs had their share; the processor's are of one process, the plan's of two cores."""
    told = json.loads((Path(__file__).parents[2] / "results" / "benchmarks" / "phantoms.json").read_text())
    assert told["size"] == "smoke" and {row["task"] for row in told["tasks"]} == set(registry.names(registry.TASKS))
    assert told["megabytes"] == pytest.approx(sum(row["megabytes"] for row in told["tasks"]), abs=0.01)
    assert told["megabytes"] <= MOST_MB and told["cpu_seconds"] <= MOST_S
