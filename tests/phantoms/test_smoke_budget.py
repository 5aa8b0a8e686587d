"""Smoke phantoms of all tasks stay within what the phantom plan (section D.2) allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from tests.benchmarks.phantoms import MOST_MB, summary, written


@pytest.mark.slow
def test_smoke_phantoms_of_all_tasks_take_no_more_room_than_planned(tmp_path: Path) -> None:
    costs = written(tmp_path, "smoke")
    assert [cost.task for cost in costs] == list(registry.names(registry.TASKS))
    assert all(cost.files > 1 and cost.megabytes > 0 for cost in costs)
    assert sum(cost.megabytes for cost in costs) <= MOST_MB
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert summary(costs)["megabytes"] == pytest.approx(on_disk / 1e6, abs=0.05)
