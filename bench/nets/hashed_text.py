"""A fixed vector for any sentence, from nothing but its spelling: what stands in where a method's encoder reads no text.

Source   random signatures of words, pairs of words and clauses, added up (random indexing: Kanerva et al., CogSci 2000)
Changes  a clause as a whole has a signature too, so that "nodule is present" and "nodule is not present" differ by more than
         the one word, which is the same for all findings
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WIDTH = 512
_CLAUSE_END = re.compile(r"[.;,](?:\s|$)")
_WORD = re.compile(r"\w+")
CLAUSE_WEIGHT, PAIR_WEIGHT = 1.0, 0.7


def hashed_text(texts: Sequence[str]) -> Tensor:
    """(T, 512) float32 of unit length; the same text gives the same bits anywhere. An empty text gives zeros."""
    return torch.from_numpy(np.stack([_vector(text) for text in texts]))


@lru_cache(maxsize=4096)
def _vector(text: str) -> NDArray[np.float32]:
    total = np.zeros(WIDTH, np.float64)
    for part, weight in _parts(text):
        total += weight * _signature(part)
    length = float(np.sqrt(total @ total))
    return (total / length if length else total).astype(np.float32)


def _parts(text: str) -> Iterator[tuple[str, float]]:
    """Every word, every pair of neighbours and every clause of a text, with its weight; words that stand often count less."""
    clauses = [_WORD.findall(clause) for clause in _CLAUSE_END.split(text.lower())]
    seen: dict[str, int] = {}
    for words in filter(None, clauses):
        pairs = [" ".join(pair) for pair in pairwise(words)]
        for part, weight in (*((w, 1.0) for w in words), *((p, PAIR_WEIGHT) for p in pairs)):
            seen[part] = seen.get(part, 0) + 1
            yield part, weight / seen[part]
        yield "clause " + " ".join(words), CLAUSE_WEIGHT * len(words) ** 0.5


@lru_cache(maxsize=65536)
def _signature(part: str) -> NDArray[np.float64]:
    """512 signs drawn by the sha256 of a spelling."""
    bits = b"".join(hashlib.sha256(f"{block}|{part}".encode()).digest() for block in range(WIDTH // 256))
    return np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.float64) * 2 - 1
