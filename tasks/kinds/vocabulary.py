"""The words that a report generator knows: fitted on training reports, kept in the network's own weight file.

The words lie in a buffer of fixed size, so that a saved model needs neither the reports nor another file to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, SpecError

PADDING, START, END, UNKNOWN = range(4)
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")
WORD_BYTES = 40


def empty(room: int) -> Tensor:
    """The buffer of a vocabulary that is not fitted yet: (room, 40) uint8."""
    return torch.zeros(room, WORD_BYTES, dtype=torch.uint8)


def fitted(reports: Iterable[Sequence[str]], *, least_count: int, room: int) -> Tensor:
    """The buffer that holds every word standing at least `least_count` times in the reports, the most frequent first.

    Words of equal count stand in alphabetical order. Raises DataMissing where there is none, SpecError where `room` is too
    small for them.
    """
    counts = Counter(word for words in reports for word in words)
    kept = sorted((w for w, n in counts.items() if n >= least_count), key=lambda word: (-counts[word], word))
    kept = [word for word in kept if len(word.encode()) <= WORD_BYTES]
    if not kept:
        raise DataMissing(
            f"no word stands {least_count} times in the training reports.",
            remedy="Take a larger --ratio, or --set finetune.least_count=1.",
        )
    if len(kept) > room - len(SPECIALS):
        raise SpecError(
            f"{how_many(len(kept), 'word stands', 'words stand')} {least_count} times in the training reports; "
            f"the generator has room for {room - len(SPECIALS)}.",
            remedy=f"--set finetune.vocabulary={len(kept) + len(SPECIALS)}",
        )
    buffer = empty(room)
    for place, word in enumerate((*SPECIALS, *kept)):
        told = word.encode()
        buffer[place, : len(told)] = torch.from_numpy(np.frombuffer(told, np.uint8).copy())
    return buffer


def words_in(buffer: Tensor) -> tuple[str, ...]:
    """The words of a buffer by id, the special ones first; empty for one that was never fitted."""
    words = [bytes(row).rstrip(b"\0").decode() for row in buffer.cpu().numpy()]
    while words and not words[-1]:  # only behind the last: a word that reads as nothing keeps its id
        words.pop()
    return tuple(words)


def places(words: Sequence[str]) -> Mapping[str, int]:
    """Word -> id of the ordinary words."""
    return {word: place for place, word in enumerate(words) if place >= len(SPECIALS)}


def ids_of(tokens: Sequence[str], known: Mapping[str, int], longest: int) -> list[int]:
    """The first `longest` tokens as ids between start and end, padded to `longest` + 2."""
    ids = [START, *(known.get(token, UNKNOWN) for token in tokens[:longest]), END]
    return ids + [PADDING] * (longest + 2 - len(ids))


def unknown_places(tokens: Sequence[str], known: Mapping[str, int]) -> list[int]:
    """Where the words stand that the vocabulary lacks."""
    return [place for place, token in enumerate(tokens) if token not in known]


def decoded(tokens: Sequence[str], unknown: Iterable[int], longest: int) -> list[str]:
    """What is left of a report that goes through the vocabulary and back: cut, with `<unk>` for what it lacks."""
    lost = frozenset(unknown)
    return [SPECIALS[UNKNOWN] if place in lost else token for place, token in enumerate(tokens[:longest])]
