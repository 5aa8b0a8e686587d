"""What the benchmark of networks at their papers' batch shapes says of goals, and what it refuses."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks import paper_scale


def test_only_a_row_with_a_measured_share_meets_a_goal_or_misses_it() -> None:
    told = [
        {"row": "AR", "goal": 0.4, "share_of_bf16_rate": 0.5},
        {"row": "MAE3D", "goal": 0.3, "share_of_bf16_rate": 0.2},
        {"row": "UNETR", "goal": 0.2, "share_of_bf16_rate": None},  # rehearsed
        {"row": "MiM", "goal": None, "share_of_bf16_rate": 0.1},
        {"row": "SPAD tokenizer", "failed": "no memory"},
    ]
    assert paper_scale.goals(told) == {"AR: 40% of the bf16 rate": True, "MAE3D: 30% of the bf16 rate": False}


def test_a_row_that_does_not_exist_is_refused_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["paper_scale", "--rehearse", "--rows", "MAE"])
    with pytest.raises(SystemExit):
        paper_scale.main()
    assert "invalid choice: 'MAE'" in capsys.readouterr().err
