"""What the benchmark of networks at their papers' batch shapes says of goals, and what it refuses."""

from __future__ import annotations

import sys

import pytest
import torch

from tests.benchmarks import paper_scale


def test_only_a_row_with_a_measured_share_meets_a_goal_or_misses_it() -> None:
    told = [
        {"way": "shipped", "row": "AR", "goal": 0.4, "share_of_bf16_rate": 0.5},
        {"way": "shipped", "row": "MAE3D", "goal": 0.3, "share_of_bf16_rate": 0.2},
        {"way": "shipped", "row": "UNETR", "goal": 0.2, "share_of_bf16_rate": None},  # rehearsed
        {"way": "shipped", "row": "MiM", "goal": None, "share_of_bf16_rate": 0.1},
        {"way": "shipped", "row": "SPAD tokenizer", "failed": "no memory"},
        {"way": "compiled", "row": "MAE3D", "goal": 0.3, "share_of_bf16_rate": 0.4},
    ]
    assert paper_scale.goals(told) == {"AR: 40% of the bf16 rate": True, "MAE3D: 30% of the bf16 rate": False}


def test_a_way_is_told_beside_the_same_row_as_it_ships() -> None:
    told = [
        {"row": "AR", "way": "shipped", "volumes_per_s_without_wait": 200.0},
        {"row": "AR", "way": "compiled", "volumes_per_s_without_wait": 250.0},
        {"row": "AR", "way": "searched", "failed": "no memory"},
        {"row": "MiM", "way": "compiled", "volumes_per_s_without_wait": 5.0},
    ]
    assert paper_scale.beside_shipped(told) == {"AR, compiled": 1.25}


def test_only_the_weights_of_3d_convolutions_are_laid_out_channels_last_and_give_the_same() -> None:
    net = torch.nn.Sequential(torch.nn.Conv3d(2, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 3))
    volume = torch.linspace(0, 1, 54).reshape(1, 2, 3, 3, 3)
    before = net(volume)
    paper_scale.lay_out(net, "shipped")
    assert net[0].weight.is_contiguous()
    paper_scale.lay_out(net, "channels-last")
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last_3d) and not net[0].weight.is_contiguous()
    assert torch.allclose(net(volume), before, atol=1e-6)


def test_a_row_that_does_not_exist_is_refused_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["paper_scale", "--rehearse", "--rows", "MAE"])
    with pytest.raises(SystemExit):
        paper_scale.main()
    assert "invalid choice: 'MAE'" in capsys.readouterr().err
