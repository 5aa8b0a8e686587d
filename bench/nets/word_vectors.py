"""The text encoder that needs nothing but the reports: latent semantic analysis of their fragments, one vector a word.

Source   Deerwester et al., JASIS 1990 (LSA, here of fragments, tf-idf weighted); word order by permuted neighbours
         as in Sahlgren, Holst & Kanerva, CogSci 2008
Changes  half of a vector is the word's latent part, the other half a fixed random signature of its spelling, so that
         words which always stand together stay distinguishable
State    vectors and spellings are buffers of fixed size: a saved run holds its vocabulary and needs the corpus no more
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts.errors import DataMissing, SpecError
from bench.nets.reports import fragments
from bench.nets.text_encoder import TextEncoder

TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s\0]")
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPELLING_BYTES = 32
NEIGHBOUR_SHARE = 0.5  # weight of each neighbour beside the word itself


class Words:
    """Whole words, numbers and single punctuation marks as tokens; what the vocabulary lacks is `[UNK]`."""

    padding, unknown, start, end, mask = range(len(SPECIALS))
    specials = frozenset(range(len(SPECIALS)))

    def __init__(self) -> None:
        self._place: dict[str, int] = {}

    @property
    def size(self) -> int:
        return len(SPECIALS) + len(self._place)

    def learn(self, words: Sequence[str]) -> None:
        """Take these words, in this order, in place of earlier ones."""
        self._place = {word: len(SPECIALS) + number for number, word in enumerate(words)}

    def ids(self, text: str) -> list[int]:
        return [self._place.get(word, self.unknown) for word in TOKEN.findall(text.lower())]

    def continues(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.zeros(len(ids), bool)


class WordVectors(TextEncoder):
    """Word vectors with their left and right neighbours mixed in; `fit` fills them, loading a state restores them."""

    vectors: Tensor
    spellings: Tensor
    tokeniser: Words

    def __init__(self, *, vocabulary: int, width: int) -> None:
        super().__init__()
        if vocabulary <= len(SPECIALS) or width < 2:
            raise SpecError(f"No word vectors of {width} features for {vocabulary} words.", remedy="Ask for more.")
        self.width, self.vocabulary = width, vocabulary
        self.tokeniser = Words()
        self.register_buffer("vectors", torch.zeros(vocabulary, width))
        self.register_buffer("spellings", torch.zeros(vocabulary, SPELLING_BYTES, dtype=torch.uint8))
        self.register_load_state_dict_post_hook(_read_vocabulary)  # type: ignore[no-untyped-call]

    def fit(self, reports: Sequence[str]) -> None:
        """Choose the most frequent words of the reports and give each its vector. The same reports give the same vectors.

        Raises DataMissing where the reports hold no word.
        """
        cut = [TOKEN.findall(fragment) for report in reports for fragment in fragments(report)]
        words = _most_frequent(cut, self.vocabulary - len(SPECIALS))
        if not words:
            raise DataMissing(
                f"The {len(reports)} reports hold no word to learn from.",
                remedy="Check the corpus' reports, or give a BERT: `--set text_folder=DIR`.",
            )
        latent = self.width // 2
        found = np.zeros((self.vocabulary, self.width))
        found[len(SPECIALS) : len(SPECIALS) + len(words), :latent] = _latent(cut, words, latent)
        for place, word in enumerate((*SPECIALS, *words)):
            found[place, latent:] = _signature(word, self.width - latent)
        self.vectors.copy_(torch.from_numpy(found * np.sqrt(self.width / 2)))
        self.spellings.copy_(torch.from_numpy(_spelled(words, self.vocabulary)))
        _read_vocabulary(self)

    def forward(self, words: Tensor, group: Tensor, position: Tensor) -> Tensor:
        own = self.vectors[words]  # (B, L, W)
        beside = (group[:, 1:] == group[:, :-1]) & (group[:, 1:] > 0)  # (B, L - 1): token t and t + 1 share a text
        left = torch.zeros_like(own)
        right = torch.zeros_like(own)
        left[:, 1:] = own[:, :-1].roll(1, -1) * beside[..., None]
        right[:, :-1] = own[:, 1:].roll(-1, -1) * beside[..., None]
        return own + NEIGHBOUR_SHARE * (left + right)

    def embed(self, words: Tensor, position: Tensor) -> Tensor:
        return self.vectors[words]


def _read_vocabulary(encoder: Any, _loaded: Any = None) -> None:
    """Bring the tokeniser in line with the spellings in the state."""
    rows = encoder.spellings.cpu().numpy()
    spelled = [bytes(row).rstrip(b"\0").decode() for row in rows[len(SPECIALS) :]]
    encoder.tokeniser.learn([word for word in spelled if word])


def _most_frequent(cut: Sequence[Sequence[str]], most: int) -> list[str]:
    """Words by falling frequency, ties in alphabetical order; overlong spellings are left to `[UNK]`."""
    counts = Counter(word for clause in cut for word in clause if len(word.encode()) <= SPELLING_BYTES)
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]


def _latent(cut: Sequence[Sequence[str]], words: Sequence[str], width: int) -> NDArray[np.float64]:
    """(words, width) unit rows: singular vectors of the tf-idf matrix fragments x words, scaled by singular values.

    They are the leading eigenvectors of the words' co-occurrences, each with its largest entry positive; features beyond
    the matrix' rank are zero.
    """
    from scipy.linalg import eigh
    from scipy.sparse import csr_matrix

    place = {word: number for number, word in enumerate(words)}
    counts = [Counter(place[word] for word in clause if word in place) for clause in cut]
    rows = [number for number, clause in enumerate(counts) for _ in clause]
    columns = np.array([word for clause in counts for word in clause])
    values = np.array([count for clause in counts for count in clause.values()], float)
    spread = np.bincount(columns, minlength=len(words))  # fragments that hold the word
    values *= np.log((1 + len(cut)) / (1 + spread[columns])) + 1
    matrix = csr_matrix((values, (rows, columns)), shape=(len(cut), len(words)))
    kept = min(width, len(words))
    squares, basis = eigh((matrix.T @ matrix).toarray(), subset_by_index=[len(words) - kept, len(words) - 1])
    scaled = basis[:, ::-1] * np.sqrt(np.where(squares > 1e-9 * squares[-1], squares, 0.0))[::-1]
    scaled *= np.where(scaled[np.abs(scaled).argmax(0), np.arange(kept)] < 0, -1.0, 1.0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    found = np.zeros((len(words), width))
    found[:, :kept] = np.divide(scaled, length, out=np.zeros_like(scaled), where=length > 0)
    return found


def _signature(word: str, width: int) -> NDArray[np.float64]:
    """A unit vector that belongs to a spelling, and has since the first results: hence the 0 before it."""
    key = int.from_bytes(hashlib.sha256(f"0|{word}".encode()).digest()[:8], "big")
    found = np.random.Generator(np.random.Philox(key=key)).standard_normal(width)
    unit: NDArray[np.float64] = found / np.linalg.norm(found)
    return unit


def _spelled(words: Sequence[str], rows: int) -> NDArray[np.uint8]:
    out = np.zeros((rows, SPELLING_BYTES), np.uint8)
    for number, word in enumerate(words, start=len(SPECIALS)):
        letters = word.encode()
        out[number, : len(letters)] = np.frombuffer(letters, np.uint8)
    return out
