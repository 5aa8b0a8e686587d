"""Two reports of one study are set beside each other arm by arm."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.two_machines import apart, summary


def line(start: str, mean: float, seeds: int = 1, **told: Any) -> dict[str, Any]:
    words = {"pool": "real", "method": "ar", "way": "fine-tuning", "ratio": 0.1, "metric": "dice"}
    return {**words, "start": start, "mean": mean, "seeds": seeds, **told}


def test_runs_that_both_machines_ran_are_compared_and_no_others() -> None:
    one = {"lines": [line("scratch", 0.5), line("pre-trained", 0.6), line("shuffled voxels", 0.4, seeds=3)]}
    other = {"lines": [line("shuffled voxels", 0.5), line("pre-trained", 0.58), line("scratch", 0.51)]}
    found = apart(one, other)
    assert [row["start"] for row in found] == ["scratch", "pre-trained"]
    assert [row["difference"] for row in found] == [pytest.approx(0.01), pytest.approx(-0.02)]
    told = summary(found)["dice, fine-tuning, pre-trained"]
    assert told == {"runs": 1, "median": pytest.approx(0.02), "largest": pytest.approx(0.02)}


def test_a_seed_is_compared_with_itself_where_an_arm_has_several() -> None:
    """A report of old told one score alone: that of the first seed, 0."""
    one = {"lines": [line("scratch", 0.5), line("pre-trained", 0.65, seeds=2, scores={"0": 0.6, "1": 0.7})]}
    both = {"lines": [line(start, 0.45, seeds=2, scores={"0": 0.4, "1": 0.5}) for start in ("scratch", "pre-trained")]}
    assert [(row["start"], row["seed"], row["scores"]) for row in apart(one, both)] == [
        ("scratch", 0, [0.5, 0.4]),
        ("pre-trained", 0, [0.6, 0.4]),
        ("pre-trained", 1, [0.7, 0.5]),
    ]
