"""Volumes and sentences in one space: what vocabulary prompts and retrieval share.

An encoder that reads text brings the space; one that does not is set beside fixed vectors of the sentences' spelling, and
training must find the map. Text features never change, so they are worked out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import SpecError
from bench.contracts.kind import Setup
from bench.contracts.method import Encoder
from bench.contracts.recipes import PairRecipe
from bench.nets.hashed_text import WIDTH, hashed_text
from bench.nets.intensity import to_network_range
from bench.train.seeds import reseed_torch
from tasks.kinds.whole_view import WholeView


class PairNet(nn.Module):
    """Two towers and a linear map behind each: volumes (B, C, D, H, W) and texts to unit vectors of one length.

    With `learnt` False the maps are left out: the encoder's own space is judged.
    """

    def __init__(self, encoder: Encoder, *, learnt: bool, log_scale: float) -> None:
        super().__init__()
        self.encoder = encoder
        width = _text_width(encoder) if encoder.reads_text else WIDTH
        image_width = width if encoder.reads_text else encoder.pooled_width
        self.image_map = _map(image_width, width) if learnt else nn.Identity()
        self.text_map = _map(width, width) if learnt else nn.Identity()
        self.log_scale = nn.Parameter(torch.tensor(log_scale), requires_grad=learnt)
        self._told: dict[tuple[str, ...], Tensor] = {}

    def image(self, volume: Tensor) -> Tensor:
        """(B, E) of unit length."""
        own = self.encoder.image_vector(volume) if self.encoder.reads_text else self.encoder(volume).pooled
        return F.normalize(self.image_map(own.float()), dim=-1)

    def text(self, features: Tensor) -> Tensor:
        """(T, E) of unit length, from what `features_of` gives."""
        return F.normalize(self.text_map(features), dim=-1)

    def features_of(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """(T, F): the text tower's features, worked out once per list of texts."""
        key = tuple(texts)
        if key not in self._told:
            with torch.no_grad():
                own = self.encoder.describe(texts) if self.encoder.reads_text else hashed_text(texts)
            self._told = {key: own.float()}
        return self._told[key].to(device)


def _text_width(encoder: Encoder) -> int:
    with torch.no_grad():
        return int(encoder.describe(["chest"]).shape[1])


def _map(width: int, out: int) -> nn.Linear:
    """A linear map that starts as the identity where both sides are equally wide, so that learning starts from the space
    that pre-training found."""
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.bias)
    if width == out:
        nn.init.eye_(layer.weight)
    return layer


def build(setup: Setup, encoder: Encoder, seed: int, *, learnt: bool, of: type[PairNet] = PairNet) -> PairNet:
    """The network of a run, a `PairNet` or a kind of it. Raises SpecError where nothing is learnt and the encoder reads no text."""
    if not (learnt or encoder.reads_text):
        raise SpecError("compares volumes with sentences as they are, and this encoder reads no text.")
    reseed_torch("decoder", setup.task.title, setup.target, seed)
    return of(encoder, learnt=learnt, log_scale=recipe_of(setup).log_scale)


def recipe_of(setup: Setup) -> PairRecipe:
    assert isinstance(setup.recipe, PairRecipe)
    return setup.recipe


def layers(net: nn.Module) -> list[nn.Module]:
    """The encoder's layers, then both maps as one."""
    assert isinstance(net, PairNet)
    return [*net.encoder.layers(), nn.ModuleList([net.image_map, net.text_map])]


def view_of(setup: Setup) -> WholeView:
    return WholeView(setup.sight.shape, recipe_of(setup).kept_share)


@torch.no_grad()
def image_vectors(setup: Setup, net: nn.Module, cases: Any, chosen: Sequence[str], at_once: int = 4) -> Tensor:
    """(n, E) of unit length, cases in the order asked."""
    assert isinstance(net, PairNet)
    view, device = view_of(setup), net.log_scale.device
    found = []
    for first in range(0, len(chosen), at_once):
        stored = torch.from_numpy(np.stack([view.of(cases, case) for case in chosen[first : first + at_once]]))
        found.append(net.image(to_network_range(stored.to(device), setup.sight.intensity)))
    return torch.cat(found)
