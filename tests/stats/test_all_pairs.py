"""Letters of a board from p values one can work out: Student's t on two degrees has p = 1 - t / sqrt(2 + t squared)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.stats.all_pairs import board_letters, pairwise_p

# differences of 0.7, 1 and 1.3 have mean 1 and standard deviation 0.3, so t is sqrt(3) / 0.3 and p 0.0287
AHEAD, BEHIND, UNCLEAR = [0.7, 1.0, 1.3], [0.0, 0.0, 0.0], [2.0, -1.0, 0.5]


def test_a_difference_of_less_than_five_percent_chance_parts_two_results() -> None:
    t = math.sqrt(3) / 0.3
    values = np.array([AHEAD, BEHIND])
    assert pairwise_p(values)[0, 1] == pytest.approx(1 - t / math.sqrt(2 + t**2)) == pytest.approx(0.0287, abs=5e-5)
    assert board_letters("xy", values) == {"x": "a", "y": "b"}
    assert board_letters("xy", values, level=0.98) == {"x": "a", "y": "a"}


def test_among_three_results_the_same_difference_is_one_of_three_questions_and_parts_nothing() -> None:
    """Holm: 3 times 0.0287 is more than 0.05."""
    assert board_letters("xyz", np.array([AHEAD, UNCLEAR, BEHIND])) == {"x": "a", "y": "a", "z": "a"}
