"""A report as arrays: token ids, which fragment each belongs to, and the words that are hidden from the network.

Made in loader workers, of fixed sizes, so that no step waits for a length. Hidden words are drawn anew at every visit.

Source   MG-3D (arXiv 2412.05876), Sec. III-B, and its released code; whole words and 80/10/10 as in Devlin et al., NAACL 2019
Shapes   L tokens, S fragments, M places of hidden words
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts.errors import DataMissing
from bench.contracts.method import Arrays, Corpus, Sample, Views
from bench.nets.reports import fragments
from bench.nets.text_encoder import Tokeniser
from bench.nets.without_autocast import without_autocast
from methods.parts.losses import NOT_HIDDEN

NOT_A_FRAGMENT = -1
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class ReportTokens:
    """A report cut into at most `sentences` fragments and `length` tokens; what lies beyond is dropped everywhere.

    Gives, all int32:
    `words` (L,) ids with start, end and padding · `sentence` (L,) 1, 2, ... for the tokens of a fragment, -1 for others ·
    `corrupted` (L,) `words` with some hidden · `hidden_place` and `hidden_word` (M,) where, and what stood there (-100
    behind the last) · `apart_words`, `apart_group`, `apart_position` (L + 2 S,): every fragment between a start and an
    end of its own, its number (0: padding), and the place within it.
    """

    tokeniser: Tokeniser
    length: int
    sentences: int
    hidden_ratio: float

    def __call__(self, report: str, rng: np.random.Generator) -> Arrays:
        pieces = self.cut(report)
        body = np.array([token for clause in pieces for token in clause], np.int64)
        corrupted, place = self.corrupt(body, rng)
        apart = [[self.tokeniser.start, *clause, self.tokeniser.end] for clause in pieces]
        most, room = self.most_hidden, self.length + 2 * self.sentences
        return self._framed(pieces) | {
            "corrupted": self._in_frame(corrupted),
            "hidden_place": _filled(place + 1, most, 0),  # the start token comes before
            "hidden_word": _filled(body[place], most, NOT_HIDDEN),
            "apart_words": _filled([token for clause in apart for token in clause], room, self.tokeniser.padding),
            "apart_group": _filled([n for n, clause in enumerate(apart, start=1) for _ in clause], room, 0),
            "apart_position": _filled([place for clause in apart for place in range(len(clause))], room, 0),
        }

    def whole(self, report: str) -> Arrays:
        """`words` and `sentence` alone, of any text, even one without a word."""
        return self._framed(self.cut(report))

    def _framed(self, pieces: list[list[int]]) -> Arrays:
        body = np.array([token for clause in pieces for token in clause], np.int64)
        sentence = [number for number, clause in enumerate(pieces, start=1) for _ in clause]
        return {
            "words": self._in_frame(body),
            "sentence": _filled([NOT_A_FRAGMENT, *sentence], self.length, NOT_A_FRAGMENT),
        }

    def _in_frame(self, body: Ids) -> NDArray[np.int32]:
        framed = [self.tokeniser.start, *body.tolist(), self.tokeniser.end]
        return _filled(framed, self.length, self.tokeniser.padding)

    @property
    def most_hidden(self) -> int:
        """M: words hidden in the longest report."""
        return max(1, math.floor(self.hidden_ratio * (self.length - 2) + 0.5))

    def cut(self, report: str) -> list[list[int]]:
        """The tokens of every fragment that fits."""
        room = self.length - 2
        kept: list[list[int]] = []
        for clause in fragments(report):
            tokens = self.tokeniser.ids(clause)[:room]
            if not tokens or len(kept) == self.sentences:
                break
            kept.append(tokens)
            room -= len(tokens)
        return kept

    def corrupt(self, body: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
        """The tokens with whole words hidden, and the places of their tokens in order.

        Words are taken in random order as long as round(ratio * tokens) tokens, at least one, are not exceeded. Of the
        tokens taken 80 % become the mask, 10 % any token but a special one, 10 % stay.
        """
        place = self._chosen(body, rng)
        corrupted, chance = body.copy(), rng.random(len(place))
        corrupted[place[chance < 0.8]] = self.tokeniser.mask
        random = place[(chance >= 0.8) & (chance < 0.9)]
        corrupted[random] = self._any_words(len(random), rng)
        return corrupted, place

    def _chosen(self, body: Ids, rng: np.random.Generator) -> Ids:
        starts = np.flatnonzero(~self.tokeniser.continues(body))
        words = np.split(np.arange(len(body)), starts[starts > 0])
        most = min(max(1, math.floor(self.hidden_ratio * len(body) + 0.5)), self.most_hidden)
        taken: list[int] = []
        for number in rng.permutation(len(words)):
            if len(taken) + len(words[number]) <= most:
                taken += words[number].tolist()
        return np.array(sorted(taken), np.int64)

    def _any_words(self, count: int, rng: np.random.Generator) -> Ids:
        found = np.empty(count, np.int64)
        for index in range(count):
            drawn = int(rng.integers(self.tokeniser.size))
            while drawn in self.tokeniser.specials:
                drawn = int(rng.integers(self.tokeniser.size))
            found[index] = drawn
        return found


@dataclass(frozen=True)
class VolumeAndReport:
    """What a view shows of a case's volume, and its report as `ReportTokens`."""

    volume: Views
    tokens: ReportTokens

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        return {**self.volume(corpus, sample, rng), **self.tokens(report_of(corpus, case), rng)}


def report_of(corpus: Corpus, case: str) -> str:
    """The case's report. Raises DataMissing where the corpus holds none, or none with a word in it."""
    report = str(corpus.fields(case).get("report") or "")
    if not fragments(report):
        raise DataMissing(
            "There is no report with a word in it.",
            case=case,
            remedy="Take a corpus with reports, or leave this case out of it.",
        )
    return report


def membership(sentence: Tensor, sentences: int) -> Tensor:
    """(B, L) fragment numbers -> (B, S, L) float: 1 / (tokens of the fragment) where a token belongs to it, else 0."""
    numbers = torch.arange(1, sentences + 1, device=sentence.device)
    belongs = (sentence[:, None] == numbers[None, :, None]).float()
    return belongs / belongs.sum(-1, keepdim=True).clamp(min=1)


def fragment_means(features: Tensor, members: Tensor) -> Tensor:
    """Token features (B, L, W) averaged over each fragment: (B, S, W), zeros where there is none; in float32."""
    with without_autocast(features.device):
        return members @ features.float()


def _filled(values: Ids | list[int], length: int, rest: int) -> NDArray[np.int32]:
    out = np.full(length, rest, np.int32)
    out[: len(values)] = values
    return out
