"""How often the right item is found among the most similar ones of a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound, SpecError


@dataclass(frozen=True)
class Recall:
    """Recall at k, with what is needed to read it: the gallery's size and what drawing at random would score."""

    value: float
    k: int
    gallery: int
    queries: int
    chance: float


def recall_at(
    similarities: NDArray[np.floating[Any]], k: int, *, own: NDArray[np.integer[Any]] | None = None
) -> Recall:
    """Recall at k: the share of queries whose own item is among the k most similar of the gallery.

    `similarities` (queries, gallery): higher is more similar. `own` (queries,): the index of each query's own item;
    default: query i owns item i of a square table. Items as similar as the own one are taken to come before it, so a
    model that gives one similarity to all finds nothing. `chance` is k / gallery.

    Raises SpecError for k outside 1..gallery, DataUnsound for tables that do not fit or are not finite.

    Example: similarities [[0.9, 0.1], [0.8, 0.2]], k = 1: the first query finds its own, the second does not: 0.5, at a
    chance of 0.5.
    """
    similarities = np.asarray(similarities)
    if similarities.ndim != 2 or 0 in similarities.shape:
        raise DataUnsound(f"Similarities must be (queries, gallery), found {similarities.shape}.")
    queries, gallery = similarities.shape
    if not np.isfinite(similarities).all():
        raise DataUnsound(
            f"{int((~np.isfinite(similarities)).sum())} of {similarities.size} similarities are not finite."
        )
    if own is None:
        if queries != gallery:
            raise DataUnsound(
                f"{queries} queries and a gallery of {gallery}: which item belongs to which query is not given.",
                remedy="Pass `own`, the index of each query's item.",
            )
        own = np.arange(queries)
    own = np.asarray(own)
    if own.shape != (queries,) or own.dtype.kind not in "ui" or own.min() < 0 or own.max() >= gallery:
        raise DataUnsound(
            f"`own` must hold one index below {gallery} for each of {queries} queries, found {own.shape}."
        )
    if not 1 <= k <= gallery:
        raise SpecError(f"recall@{k} of a gallery of {gallery}: k must lie in 1..{gallery}.")
    mine = similarities[np.arange(queries), own]
    before = (similarities >= mine[:, None]).sum(axis=1) - 1  # the own item is as similar as itself
    return Recall(float((before < k).mean()), k, gallery, queries, k / gallery)
