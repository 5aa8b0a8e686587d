"""A frozen text encoder behind one small interface: a BERT folder on disk, or word vectors fitted on the corpus itself.

Text is cut into token ids by a `Tokeniser` in loader workers; the ids become features on the device. Nothing here is
trained by gradients: an encoder is frozen and in evaluation mode whatever the module around it does.

Shapes   B reports, L tokens, W features a token; ids and groups are int64
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Tokeniser(Protocol):
    """Text to ids. `size` ids in use, the special ones among them; small enough to travel to loader workers."""

    padding: int
    start: int
    end: int
    mask: int
    specials: frozenset[int]

    @property
    def size(self) -> int: ...

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without special ones before or after."""
        ...

    def continues(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """True where a token goes on with the word that the token before it began."""
        ...


class TextEncoder(nn.Module):
    """What every frozen text encoder offers: `width` features a token, `vocabulary` ids at most, a tokeniser."""

    width: int
    vocabulary: int
    tokeniser: Tokeniser

    def fit(self, reports: Sequence[str]) -> None:
        """Learn from the corpus' reports whatever must be learnt before step 0. Default: nothing."""

    def forward(self, words: Tensor, group: Tensor, position: Tensor) -> Tensor:
        """Last-layer features (B, L, W) of ids (B, L). A token sees only tokens of its own `group`; group 0 is padding, which
        no token sees, and which itself sees what every BERT's padding does: all that is none.

        `position` counts from 0 within a group, so that texts packed behind each other in one row come out as if each
        had been encoded alone.
        """
        raise NotImplementedError

    def embed(self, words: Tensor, position: Tensor) -> Tensor:
        """Features (B, L, W) before any token has looked at another one."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """Always evaluation mode: two passes of one report are equal to the last bit."""
        super().train(False)
        return self


def places(words: Tensor) -> Tensor:
    """The place of every token in its row: ids (B, L) -> 0 .. L - 1 in each."""
    return torch.arange(words.shape[1], device=words.device).expand_as(words)


def build_text_encoder(
    folder: str, *, vocabulary: int, width: int, longest: int = 512, dropout: bool = False
) -> TextEncoder:
    """The BERT in `folder`, or with an empty `folder` word vectors of `width` for `vocabulary` words, to be fitted.

    `longest` is the longest text that will be asked for; `dropout` keeps a BERT's dropout active, as MG-3D's released code
    does. Raises DataMissing or SpecError where the folder holds no BERT that can be read.
    """
    if folder:
        from bench.nets.bert_folder import BertFolder

        return BertFolder(folder, longest=longest, dropout=dropout)
    from bench.nets.word_vectors import WordVectors

    return WordVectors(vocabulary=vocabulary, width=width)
