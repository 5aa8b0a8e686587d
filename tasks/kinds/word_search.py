"""Which words to write: the likeliest one after the other, or the likeliest of several beginnings kept side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Next = Callable[[Tensor], Tensor]
"""Beginnings (n, L) int64 -> log-probabilities (n, W) of the next word; beginnings keep their order."""


def greedy(following: Next, count: int, *, start: int, end: int, longest: int, device: torch.device) -> list[list[int]]:
    """For each of `count` texts the likeliest next word, until `end` or `longest` words; `end` is left out."""
    ids = torch.full((count, 1), start, dtype=torch.int64, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    for _ in range(longest):
        word = following(ids).argmax(1)
        ids = torch.cat([ids, word[:, None]], dim=1)
        done |= word == end
        if bool(done.all()):
            break
    return [_until(row, end) for row in ids[:, 1:].tolist()]


def beam(following: Next, *, start: int, end: int, longest: int, width: int, device: torch.device) -> list[int]:
    """The text of highest probability among those that a beam of `width` beginnings meets; `end` is left out.

    Scores are sums of log-probabilities, not divided by length, as in the papers' generators. A text counts as finished at
    `end` or after `longest` words; the search stops when no beginning can still win. Equal scores: the lower word first.
    With width 1 this is greedy search.
    """
    live: list[tuple[float, list[int]]] = [(0.0, [start])]
    finished: list[tuple[float, list[int]]] = []
    for _ in range(longest):
        ids = torch.tensor([words for _, words in live], dtype=torch.int64, device=device)
        gains = following(ids).double().cpu().numpy()
        total = np.array([score for score, _ in live])[:, None] + gains
        best = np.argsort(-total, axis=None, kind="stable")[:width]
        grown = [(float(total.flat[at]), [*live[at // total.shape[1]][1], int(at % total.shape[1])]) for at in best]
        finished += [(score, words) for score, words in grown if words[-1] == end]
        live = [(score, words) for score, words in grown if words[-1] != end]
        if not live or (finished and max(finished)[0] >= live[0][0]):
            break
    best_words = max([*finished, *live], key=lambda text: text[0])[1]
    return _until(best_words[1:], end)


def _until(words: list[int], end: int) -> list[int]:
    return words[: words.index(end)] if end in words else words
