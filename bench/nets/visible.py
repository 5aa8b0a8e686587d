"""Take the visible tokens out of all, without the host waiting for the device.

A boolean index would ask the device how many rows it selects. Here the number is known beforehand, so that a step can be
queued whole.
"""

from __future__ import annotations

import torch
from torch import Tensor


def visible_places(keep: Tensor, visible: int | None = None) -> Tensor:
    """keep (B, N) bool, True = visible, -> places (B, V) in token order; every row must keep the same number.

    `visible` is V where the caller knows it; without it the first row is counted, for which the host waits. A row that
    keeps another number is our own bug: RuntimeError, on a GPU when the device gets there.

    Example: [[True, False, True], [False, True, True]] gives [[0, 2], [1, 2]].
    """
    count = int(keep[0].sum()) if visible is None else visible
    torch._assert_async((keep.sum(1) == count).all(), "every volume must keep the same number of tokens")
    return keep.int().argsort(dim=1, descending=True, stable=True)[:, :count]


def rows_at(tokens: Tensor, places: Tensor) -> Tensor:
    """The tokens (B, N, C) at places (B, V) -> (B, V, C)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
