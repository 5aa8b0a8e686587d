"""Seeds depend on their parts and on nothing else."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from bench.train import seeds


def test_a_seed_is_the_leading_63_bits_of_the_digest_of_its_parts() -> None:
    expected = int(hashlib.sha256(b"key|3|0").hexdigest()[:16], 16) // 2
    assert seeds.derive("key", 3, 0) == expected
    assert 0 <= expected < 2**63


def test_different_parts_give_different_seeds() -> None:
    found = {seeds.derive("key", step, slot) for step in range(50) for slot in range(50)}
    assert len(found) == 2500


def test_a_generator_repeats_itself_and_differs_from_its_neighbour() -> None:
    assert np.array_equal(seeds.generator("a", 1).random(9), seeds.generator("a", 1).random(9))
    assert not np.array_equal(seeds.generator("a", 1).random(9), seeds.generator("a", 2).random(9))


def test_reseeding_torch_equals_a_manual_seed() -> None:
    seeds.reseed_torch("a", 1)
    found = torch.rand(5)
    assert torch.equal(found, torch.rand(5, generator=torch.Generator().manual_seed(seeds.derive("a", 1))))


def test_reseeding_all_covers_the_global_generators_of_python_and_numpy() -> None:
    def drawn() -> tuple[float, float, float]:
        seeds.reseed_all("a", 1)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    assert drawn() == drawn()
