"""Pictures that a method offers after a phase: plain arrays with titles, drawn and written by the rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageRows:
    """Grey images (H, W) in [0, 1] in rows, one label each; every row holds as many images, titled by `columns`."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[NDArray[Any], ...]], ...]


@dataclass(frozen=True)
class Histogram:
    """One bar per entry, highest first; `expected` is drawn as a line across."""

    name: str
    title: str
    x: str
    y: str
    values: NDArray[np.float64]
    expected: float


Picture = ImageRows | Histogram
