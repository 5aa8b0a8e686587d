"""The middle of a volume resized to what a network sees: one input per case, for tasks that ask about all of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from bench.contracts.configs import FineTuneConfig, Shape3
from bench.contracts.method import Corpus
from bench.data.patches import centred_start
from tasks.kinds.demand import INFERENCE

_VARYING = "flip rot90 rotate zoom intensity elastic noise blur contrast low_resolution gamma"
UNUSED = frozenset(
    {"balanced_classes", "crops_per_volume", "positive_share", "random_factor", *INFERENCE}
    | {f.name for f in dataclasses.fields(FineTuneConfig) if f.name.startswith(tuple(_VARYING.split()))}
)
"""Fields of a recipe and of inference that a view of the whole volume does not ask for: it is one a case, and never varied."""


@dataclass(frozen=True)
class WholeView:
    """Keeps `kept_share` of each axis around the middle, then resizes to `shape` (trilinear, corners not aligned)."""

    shape: Shape3
    kept_share: tuple[float, float, float]

    def of(self, corpus: Corpus, case: str) -> NDArray[Any]:
        """(C, D, H, W) in the type in which the corpus stores it; whole numbers stay whole."""
        have = corpus.shape(case)
        d, h, w = (max(1, round(n * share)) for n, share in zip(have, self.kept_share, strict=True))
        stored = corpus.read(case, centred_start(have, (d, h, w)), (d, h, w))
        if stored.shape[1:] == self.shape:
            return stored
        volume = torch.from_numpy(stored.astype(np.float32))[None]
        resized = F.interpolate(volume, self.shape, mode="trilinear", align_corners=False)[0].numpy()
        whole = stored.dtype.kind in "iu"
        return (np.rint(resized) if whole else resized).astype(stored.dtype)
