"""Vectors of sentences from their spelling alone: of unit length, restated word by word, and no two parts share a signature."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from bench.nets.hashed_text import WIDTH, hashed_text


def signs(part: str) -> np.ndarray:
    """256 signs from the bits of each of two digests, the highest bit of a byte first."""
    found = []
    for block in range(WIDTH // 256):
        for byte in hashlib.sha256(f"{block}|{part}".encode()).digest():
            found += [1.0 if byte >> bit & 1 else -1.0 for bit in range(7, -1, -1)]
    return np.array(found)


def test_a_sentence_is_the_unit_sum_of_its_words_pairs_and_clauses() -> None:
    """ "No nodule, no effusion.": the second "no" counts half; a clause of two words weighs sqrt(2), a pair 0.7."""
    words = signs("no") * 1.5 + signs("nodule") + signs("effusion")
    pairs = 0.7 * (signs("no nodule") + signs("no effusion"))
    clauses = 2**0.5 * (signs("clause no nodule") + signs("clause no effusion"))
    total = words + pairs + clauses
    found = hashed_text(["No nodule, no effusion."])[0].numpy()
    np.testing.assert_allclose(found, total / np.sqrt(total @ total), atol=1e-6)


def test_lengths_are_one_or_nothing_and_a_denial_is_another_clause() -> None:
    found = hashed_text(["nodule is present", "nodule is not present", ""])
    assert found.norm(dim=1).tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)
    assert torch.equal(found, hashed_text(["nodule is present", "nodule is not present", ""]))
    assert 0.2 < float(found[0] @ found[1]) < 0.8
