"""Volumes and sentences in one space: what vocabulary prompts and retrieval share.

An encoder that reads text brings the space; one that does not is set beside fixed vectors of the sentences' spelling, or any
beside a text tower from elsewhere (`text_tower`), and training must find the map. Text features never change, and those of a
frozen image tower do not either, so both are worked out once: an epoch of looking serves all epochs of learning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import SpecError
from bench.contracts.kind import Setup
from bench.contracts.method import Arrays, Batch, Corpus, Encoder, Sample
from bench.contracts.recipes import PairRecipe
from bench.nets.hashed_text import WIDTH, hashed_text
from bench.nets.intensity import to_network_range
from bench.nets.text_tower import TextTower
from bench.train.checkpoint import sha256_of_weights
from bench.train.seeds import reseed_torch
from tasks.kinds.whole_view import WholeView

AT_ONCE = 4  # volumes in one pass of a tower that learns nothing


class PairNet(nn.Module):
    """Two towers and a linear map behind each: volumes (B, C, D, H, W) and texts to unit vectors of one length.

    With `learnt` False the maps are left out: the encoder's own space is judged. `images` (n, ...) holds what a frozen image
    tower says of the training volumes, case i in row `places[case i]`; it is empty where the tower learns. `reader` takes the
    place of the encoder's own text tower; both then start apart, by maps that are drawn.
    """

    images: Tensor

    def __init__(self, encoder: Encoder, *, learnt: bool, log_scale: float, reader: TextTower | None = None) -> None:
        super().__init__()
        self.encoder, self.reader = encoder, reader
        own = _text_width(encoder) if encoder.reads_text else WIDTH
        width = self.width = reader.width if reader else own  # of a sentence's vector
        self.image_map = (
            _map(own if encoder.reads_text else encoder.pooled_width, width, reader) if learnt else nn.Identity()
        )
        self.text_map = _map(width, width, reader) if learnt else nn.Identity()
        self.log_scale = nn.Parameter(torch.tensor(log_scale), requires_grad=learnt)
        self.register_buffer("images", torch.zeros(0), persistent=False)
        self.places: dict[str, int] = {}
        self._told: dict[tuple[str, ...], Tensor] = {}
        self._seen: dict[str, Tensor] = {}

    def forward(self, volume: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, E): volumes as vectors of unit length."""
        return self.image(self.tower(volume))

    def tower(self, volume: Tensor) -> Tensor:
        """(B, F): what the encoder says of volumes, before the map."""
        own = self.encoder.image_vector(volume) if self.encoder.reads_text else self.encoder(volume).pooled
        return own.float()

    def image(self, own: Tensor) -> Tensor:
        """(B, E) of unit length, from what `tower` gives."""
        return F.normalize(self.image_map(own), dim=-1)

    def text(self, features: Tensor) -> Tensor:
        """(T, E) of unit length, from what `features_of` gives."""
        return F.normalize(self.text_map(features), dim=-1)

    def features_of(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """(T, F): the text tower's features, worked out once per list of texts."""
        key = tuple(texts)
        if key not in self._told:
            with torch.no_grad():
                own = self._read(texts)
            self._told = {key: own.float()}
        return self._told[key].to(device)

    def _read(self, texts: Sequence[str]) -> Tensor:
        if self.reader is not None:
            return self.reader.describe(texts)
        return self.encoder.describe(texts) if self.encoder.reads_text else hashed_text(texts)

    def read_by(self) -> str:
        """What reads the texts, in words for the record."""
        if self.reader is not None:
            weights = sha256_of_weights(self.reader)[:16]
            return f"texts are read by the [CLS] of the BERT in text_tower (sha256 of its weights {weights})"
        if self.encoder.reads_text:
            return "texts are read by the encoder's own text tower; MG-3D's released code takes CT-CLIP's (text_tower)"
        return "texts are vectors of their spelling: this encoder reads none, and no text_tower is given"

    def own_of_batch(self, batch: Batch) -> Tensor:
        """What `tower` gives of a training batch: out of `images` where the batch holds no volume."""
        return self.tower(batch["volume"]) if "volume" in batch else self.images[batch["place"]]

    def likeness(self, own: Tensor, pairs: Sequence[str]) -> Tensor:
        """(B, K, 2): the cosines of volumes, as `tower` gives them, with both sentences of K pairs, which follow each other."""
        text = self.text(self.features_of(pairs, own.device))
        return (self.image(own) @ text.T).view(len(own), -1, 2)


def _text_width(encoder: Encoder) -> int:
    with torch.no_grad():
        return int(encoder.describe(["chest"]).shape[1])


def _map(width: int, out: int, reader: TextTower | None) -> nn.Linear:
    """A linear map that starts as the identity where both sides are equally wide, so that learning starts from the space
    that pre-training found; as it is drawn where a text tower from elsewhere has another space."""
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.bias)
    if width == out and reader is None:
        nn.init.eye_(layer.weight)
    return layer


def build(setup: Setup, encoder: Encoder, seed: int, *, learnt: bool, of: Callable[..., PairNet] = PairNet) -> PairNet:
    """The network of a run, a `PairNet` or a kind of it. Raises SpecError where nothing is learnt and the encoder reads no text;
    that no other tower reads it then is looked at before pre-training (`bench.text_words`)."""
    recipe = recipe_of(setup)
    if not (learnt or encoder.reads_text):
        raise SpecError("compares volumes with sentences as they are, and this encoder reads no text.")
    reseed_torch("decoder", setup.task.title, setup.target, seed)
    reader = TextTower(recipe.text_tower, recipe.text_tower_length) if recipe.text_tower else None
    return of(encoder, learnt=learnt, log_scale=recipe.log_scale, reader=reader)


def told(net: nn.Module) -> tuple[str, ...]:
    """What the record tells of a pair of towers."""
    assert isinstance(net, PairNet)
    return (net.read_by(),)


def recipe_of(setup: Setup) -> PairRecipe:
    assert isinstance(setup.recipe, PairRecipe)
    return setup.recipe


def layers(net: nn.Module) -> list[nn.Module]:
    """The encoder's layers, then both maps as one."""
    assert isinstance(net, PairNet)
    return [*net.encoder.layers(), nn.ModuleList([net.image_map, net.text_map])]


def view_of(setup: Setup) -> WholeView:
    return WholeView(setup.sight.shape, recipe_of(setup).kept_share)


def is_fixed(setup: Setup) -> bool:
    """Whether the image tower never changes, so that each volume need be looked at only once."""
    return recipe_of(setup).frozen_encoder and not setup.recipe.lora_rank


def look_once(setup: Setup, net: PairNet, cases: Any) -> None:
    """Work out, where the image tower is fixed, what it says of every training volume: an epoch of it serves them all.

    Such a tower is fixed as a whole, also in what pre-training did not bring: none of it would see a gradient.
    """
    net.places = {case: place for place, case in enumerate(cases.cases)}
    if is_fixed(setup):
        net.encoder.requires_grad_(False).eval()
        net.images = of_tower(setup, net, cases, cases.cases)


@dataclass(frozen=True)
class ViewOrPlace:
    """A case's place among the training cases, `place` () int64, and its view, `volume` (C, D, H, W) as stored, unless the
    image tower is fixed."""

    view: WholeView | None
    places: Mapping[str, int]

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        place = {"place": np.asarray(self.places[case], np.int64)}
        return place if self.view is None else {**place, "volume": self.view.of(corpus, case)}


def shown(setup: Setup, net: PairNet) -> ViewOrPlace:
    """What a training step is shown of a case."""
    return ViewOrPlace(None if is_fixed(setup) else view_of(setup), net.places)


def prepare(setup: Setup) -> Callable[[Batch], Batch]:
    """On the device: volumes to network range; all else passes."""

    def apply(batch: Batch) -> Batch:
        if "volume" not in batch:
            return batch
        return {**batch, "volume": to_network_range(batch["volume"], setup.sight.intensity)}

    return apply


@torch.no_grad()
def image_vectors(setup: Setup, net: PairNet, cases: Any, chosen: Sequence[str]) -> Tensor:
    """(n, E) of unit length, cases in the order asked."""
    return net.image(of_tower(setup, net, cases, chosen))


@torch.no_grad()
def seen_volumes(setup: Setup, net: PairNet, cases: Any, chosen: Sequence[str]) -> Tensor:
    """(n, N, W), cases in the order asked: what a text meets of each volume, where the encoder fuses."""
    view, device = view_of(setup), net.log_scale.device
    parts = []
    for first in range(0, len(chosen), AT_ONCE):
        stored = torch.from_numpy(np.stack([view.of(cases, case) for case in chosen[first : first + AT_ONCE]]))
        parts.append(net.encoder.seen(to_network_range(stored.to(device), setup.sight.intensity)))
    return torch.cat(parts)


@torch.no_grad()
def of_tower(setup: Setup, net: PairNet, cases: Any, chosen: Sequence[str]) -> Tensor:
    """(n, ...): what the image tower says of cases in the order asked; of a fixed one it is remembered."""
    view, device = view_of(setup), net.log_scale.device
    known = net._seen if is_fixed(setup) else {}
    missing = [case for case in chosen if case not in known]
    for first in range(0, len(missing), AT_ONCE):
        some = missing[first : first + AT_ONCE]
        stored = torch.from_numpy(np.stack([view.of(cases, case) for case in some]))
        own = net.tower(to_network_range(stored.to(device), setup.sight.intensity))
        known.update(zip(some, own.cpu(), strict=True))
    return torch.stack([known[case] for case in chosen]).to(device)
