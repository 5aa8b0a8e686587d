"""SPAD's small preset learns from real volumes: the tokenizer to rebuild them, the transformer to name what is hidden."""

from __future__ import annotations

import math
import os

import pytest
import torch

from bench.contracts.cards import Intensity, Sight
from methods.spad import METHOD, Spad
from tests.methods.test_mim_small import hippocampi


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif("BENCH_DATA" not in os.environ, reason="real volumes are absent: set BENCH_DATA")
def test_small_rebuilds_hippocampi_and_names_hidden_patches_better_than_by_frequency() -> None:
    """A word's frequency alone scores the entropy of mean use, near ln 128 = 4.85 under the usage term."""
    torch.manual_seed(0)
    method = Spad(METHOD.small, Sight(1, METHOD.small["tokenizer"].crop, None, Intensity("zscore")))
    volumes = ((hippocampi(60).float() + 2.576) / 5.152).clamp(0, 1)[:, :, 4:44, 12:52, 4:44].expand(-1, 3, -1, -1, -1)
    tokenizer, predict = method.phases
    gaps, scores = [], []
    for phase, side, steps in ((tokenizer, 32, 120), (predict, 40, 100)):
        optimisers = [torch.optim.AdamW(list(turn.parameters()), phase.config.lr) for turn in phase.turns]  # type: ignore[misc]
        for step in range(steps):
            for turn, optimiser in zip(phase.turns, optimisers, strict=True):
                rate = next(iter(turn.rates.values()), 1.0)
                optimiser.param_groups[0]["lr"] = rate * phase.config.lr * min(1.0, (step + 1) / 20)
            batch = {"volume": volumes[torch.randint(0, len(volumes), (8,)), :, :side, :side, :side]}
            for turn, optimiser in zip(phase.turns, optimisers, strict=True):
                method.begin_turn(turn.name)
                losses = turn.loss(batch)
                optimiser.zero_grad()
                torch.stack(list(losses.values())).sum().backward()
                optimiser.step()
                if "rebuild" in losses:
                    x = batch["volume"] * 2 - 1
                    flat = (x - x.mean((1, 2, 3, 4), keepdim=True)).abs().mean()
                    gaps.append(losses["rebuild"].item() / flat.item())
                if "predict" in losses:
                    scores.append(losses["predict"].item())
            method.after_step(step / steps)
    assert sum(gaps[-15:]) / 15 < 0.85
    assert sum(scores[-15:]) / 15 < math.log(128) - 0.4
