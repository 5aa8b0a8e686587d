"""Two reports of one study are set beside each other arm by arm."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.two_machines import apart, summary


def line(start: str, mean: float, seeds: int = 1) -> dict[str, Any]:
    words = {"pool": "real", "method": "ar", "way": "fine-tuning", "ratio": 0.1, "metric": "dice"}
    return {**words, "start": start, "mean": mean, "seeds": seeds}


def test_arms_of_one_seed_that_both_machines_ran_are_compared_and_no_others() -> None:
    one = {"lines": [line("scratch", 0.5), line("pre-trained", 0.6), line("shuffled voxels", 0.4, seeds=3)]}
    other = {"lines": [line("shuffled voxels", 0.5), line("pre-trained", 0.58), line("scratch", 0.51)]}
    found = apart(one, other)
    assert [row["start"] for row in found] == ["scratch", "pre-trained"]
    assert [row["difference"] for row in found] == [pytest.approx(0.01), pytest.approx(-0.02)]
    told = summary(found)["dice, fine-tuning, pre-trained"]
    assert told == {"arms": 1, "median": pytest.approx(0.02), "largest": pytest.approx(0.02)}
