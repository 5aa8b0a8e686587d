"""Report generation: a transformer decoder writes words from an encoder's feature maps; BLEU and ROUGE-L count what it shares.

The vocabulary is fitted on the training reports before the first step and lies in the weight file. Predictions are JSON: the
text, and where the true report has words that the vocabulary lacks (their places, never the words), so that scoring can set
the full reference and the one that went through the vocabulary side by side.

A little longer than 250 lines because training, writing and scoring must agree on what a word is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import DataUnsound
from bench.contracts.kind import Scored, Setup
from bench.contracts.method import Arrays, Batch, Corpus, Encoder, Losses, Phase, Sample, Turn
from bench.contracts.recipes import ReportInference, ReportRecipe
from bench.contracts.record import Record
from bench.data.atomic import write_json
from bench.metrics.pooled import REFERENCE, ROUGE
from bench.metrics.rouge import rouge_l
from bench.metrics.text import bleu_of, ngram_evidence, tokenise
from bench.nets.intensity import to_network_range
from bench.nets.word_decoder import WordDecoder, visual_tokens
from bench.train.seeds import reseed_torch
from tasks.kinds import vocabulary
from tasks.kinds.crops import VolumesThenCrops
from tasks.kinds.demand import demand_loss
from tasks.kinds.whole_view import UNUSED, WholeView
from tasks.kinds.word_search import beam, greedy

__all__ = ["UNUSED"]

suffix = ".json"
MEASURES = ("text",)
EVALUATED_AT_ONCE = 8


class ReportNet(nn.Module):
    """An encoder, a word decoder and the words it knows. `spellings` (room, 40) uint8 holds them, fitted or loaded."""

    spellings: Tensor

    def __init__(self, encoder: Encoder, decoder: WordDecoder, *, room: int, side: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.side = side
        self.register_buffer("spellings", vocabulary.empty(room))

    def forward(self, volume: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, L, W): what follows the same word at each place of the longest report."""
        words = torch.full((len(volume), len(self.decoder.positions)), vocabulary.START, device=volume.device)
        scores: Tensor = self.decoder(words, self.memory(volume))
        return scores

    def memory(self, volume: Tensor) -> Tensor:
        """What the words look at, from volumes (B, C, D, H, W) in network range."""
        memory: Tensor = self.decoder.memory(visual_tokens(self.encoder(volume), self.side))
        return memory

    def following(self, memory: Tensor) -> Callable[[Tensor], Tensor]:
        """Log-probabilities of the next word for beginnings; one memory serves all of them, or each its own."""
        possible = (self.spellings != 0).any(dim=1)
        possible[[vocabulary.PADDING, vocabulary.START]] = False

        def step(ids: Tensor) -> Tensor:
            seen = memory.expand(len(ids), -1, -1)
            scores = self.decoder(ids, seen)[:, -1].float()
            return torch.log_softmax(scores.masked_fill(~possible, -torch.inf), dim=1)

        return step


@dataclass(frozen=True)
class ViewAndWords:
    """A case's view, and its report as ids: `volume` (C, D, H, W) as stored, `words` (max_tokens + 2,) int64."""

    view: WholeView
    known: Mapping[str, int]
    tokenisation: str
    longest: int

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        tokens = tokenise(corpus.fields(case)["report"], self.tokenisation)
        ids = vocabulary.ids_of(tokens, self.known, self.longest)
        return {"volume": self.view.of(corpus, case), "words": np.asarray(ids, np.int64)}


def recipe_of(setup: Setup) -> ReportRecipe:
    assert isinstance(setup.recipe, ReportRecipe)
    return setup.recipe


def inference_of(setup: Setup) -> ReportInference:
    assert isinstance(setup.inference, ReportInference)
    return setup.inference


def build_net(setup: Setup, encoder: Encoder, decoder: str, seed: int) -> ReportNet:
    """Put a fresh word decoder on an encoder; its start depends on the seed only. The method's `decoder` is for masks."""
    recipe = recipe_of(setup)
    reseed_torch("decoder", setup.task.title, setup.target, seed)
    head = WordDecoder(
        sum(encoder.channels),
        words=recipe.vocabulary,
        longest=recipe.max_tokens + 1,
        width=recipe.decoder_width,
        depth=recipe.decoder_depth,
        heads=recipe.decoder_heads,
        hidden=recipe.decoder_hidden,
        slots=recipe.memory_slots,
        dropout=recipe.dropout,
    )
    return ReportNet(encoder, head, room=recipe.vocabulary, side=recipe.pooled_side)


def fit(setup: Setup, net: nn.Module, cases: Any) -> None:
    """Learn the vocabulary from the training reports, into the network's buffer."""
    assert isinstance(net, ReportNet)
    recipe = recipe_of(setup)
    texts = (tokenise(cases.fields(case)["report"], recipe.tokenisation) for case in cases.cases)
    found = vocabulary.fitted(texts, least_count=recipe.least_count, room=recipe.vocabulary)
    net.spellings.copy_(found)


def layers(net: nn.Module) -> list[nn.Module]:
    """Two: the encoder as one, and the decoder, so that `layer_decay` is the ratio of their learning rates."""
    assert isinstance(net, ReportNet)
    return [net.encoder, net.decoder]


def demand(setup: Setup) -> None:
    """Raises SpecError for a loss that is not the one this kind has."""
    demand_loss(setup.recipe.loss, ("ce",), "the words of a report")


def training_phase(setup: Setup, net: nn.Module) -> Phase:
    """The phase that the loop runs: one view and one report per sample, cross-entropy of each next word."""
    assert isinstance(net, ReportNet)
    recipe = recipe_of(setup)
    known = vocabulary.places(vocabulary.words_in(net.spellings))
    views = ViewAndWords(_view(setup), known, recipe.tokenisation, recipe.max_tokens)

    def loss(batch: Batch) -> Losses:
        scores = net.decoder(batch["words"][:, :-1], net.memory(batch["volume"]))
        return {"next_word": next_word_loss(scores, batch["words"][:, 1:])}

    return Phase("finetune", recipe, VolumesThenCrops(1), views, (Turn("all", loss),))


def next_word_loss(scores: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy of (B, L, W) scores against (B, L) words: mean over the words of a report, then over reports."""
    each = F.cross_entropy(scores.float().flatten(0, 1), words.flatten(), reduction="none").view_as(words)
    told = (words != vocabulary.PADDING).float()
    return ((each * told).sum(1) / told.sum(1)).mean()


def prepare(setup: Setup) -> Callable[[Batch], Batch]:
    """On the device: network range; words pass."""

    def apply(batch: Batch) -> Batch:
        return {"volume": to_network_range(batch["volume"], setup.sight.intensity), "words": batch["words"]}

    return apply


def evaluate(setup: Setup, net: nn.Module, cases: Any) -> float:
    """BLEU-4 over cases, words chosen greedily, on the protocol's reference. Selects a checkpoint."""
    assert isinstance(net, ReportNet)
    words = vocabulary.words_in(net.spellings)
    known = vocabulary.places(words)
    summed: dict[str, float] = {}
    for first in range(0, len(cases.cases), EVALUATED_AT_ONCE):
        chosen = cases.cases[first : first + EVALUATED_AT_ONCE]
        memory = net.memory(_volumes(setup, net, cases, chosen))
        written = greedy(net.following(memory), len(chosen), **_ends(setup), device=memory.device)
        for case, ids in zip(chosen, written, strict=True):
            tokens = tokenise(cases.fields(case)["report"], recipe_of(setup).tokenisation)
            references = _references(setup, tokens, vocabulary.unknown_places(tokens, known))
            for name, value in ngram_evidence([words[i] for i in ids], [references[REFERENCE]]).items():
                summed[name] = summed.get(name, 0.0) + value
    return bleu_of(summed, order=4)


@torch.no_grad()
def predict_case(setup: Setup, net: nn.Module, cases: Any, case: str, path: Path) -> None:
    """Write a case's report as JSON: `text`, and `unknown`, the places of the true report's words that are not known (null
    where there is no true report)."""
    assert isinstance(net, ReportNet)
    recipe = recipe_of(setup)
    words = vocabulary.words_in(net.spellings)
    memory = net.memory(_volumes(setup, net, cases, [case]))
    width = inference_of(setup).beam
    ids = beam(net.following(memory), **_ends(setup), width=width, device=memory.device)
    report = cases.fields(case).get("report")
    tokens = tokenise(report, recipe.tokenisation) if report else None
    told = {
        "case": case,
        "text": " ".join(words[i] for i in ids),
        "unknown": None if tokens is None else vocabulary.unknown_places(tokens, vocabulary.places(words)),
        "vocabulary": hashlib.sha256("\n".join(words).encode()).hexdigest(),
    }
    write_json(path, told)


def score_case(setup: Setup, folder: Path, record: Record, cases: Any, prediction: Path) -> Scored:
    """The n-grams that a written report shares with the true one, once per reference, of which BLEU of all cases is counted;
    and its ROUGE-L."""
    try:
        told = json.loads(prediction.read_text(encoding="utf-8"))
        written, unknown = str(told["text"]).split(), [int(place) for place in told["unknown"] or ()]
    except (ValueError, KeyError, TypeError) as error:
        raise DataUnsound(
            f"the prediction is no report in JSON ({error!r}).",
            case=record.case_id,
            remedy=f"Delete {prediction.name} and predict again.",
        ) from error
    tokens = tokenise(record.text, recipe_of(setup).tokenisation)
    rows = [
        (name, metric, float(value))
        for name, reference in _references(setup, tokens, unknown).items()
        for metric, value in (*ngram_evidence(written, [reference]).items(), (ROUGE, rouge_l(written, [reference])))
    ]
    longest = recipe_of(setup).max_tokens
    counts = {"unknown_words": len(unknown), "truncated": int(len(tokens) > longest), "empty": int(not written)}
    return Scored(tuple(rows), {name: count for name, count in counts.items() if count})


def _references(setup: Setup, tokens: Sequence[str], unknown: Sequence[int]) -> dict[str, list[str]]:
    """The protocol's reference under the name `reference`, the other under its own name."""
    both = {"full": list(tokens), "decoded": vocabulary.decoded(tokens, unknown, recipe_of(setup).max_tokens)}
    own = both.pop(inference_of(setup).reference)
    return {REFERENCE: own, **both}


def _view(setup: Setup) -> WholeView:
    return WholeView(setup.sight.shape, recipe_of(setup).kept_share)


def _ends(setup: Setup) -> dict[str, int]:
    return {"start": vocabulary.START, "end": vocabulary.END, "longest": recipe_of(setup).max_tokens}


def _volumes(setup: Setup, net: ReportNet, cases: Any, chosen: Sequence[str]) -> Tensor:
    stored = torch.from_numpy(np.stack([_view(setup).of(cases, case) for case in chosen]))
    return to_network_range(stored.to(net.spellings.device), setup.sight.intensity)
