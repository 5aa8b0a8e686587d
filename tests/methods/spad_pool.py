"""A pool of images in memory for SPAD's tests: any shapes, spacings, weights and colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.contracts.configs import Intensity, Shape3, Sight, Spacing
from bench.data.patches import overlap


@dataclass(frozen=True)
class Image:
    shape: Shape3
    spacing_mm: Spacing | None = (1.0, 1.0, 1.0)
    channels: int = 1
    fields: Mapping[str, Any] = field(default_factory=dict)


class Pool:
    """Images whose voxels count up in row-major order, scaled to [0, 1]; what lies outside is 0."""

    def __init__(self, images: Mapping[str, Image], intensity: Intensity = Intensity("percentile")) -> None:  # noqa: B008
        self.images = dict(images)
        self.cases = tuple(images)
        self.sight = Sight(max(i.channels for i in images.values()), (1, 1, 1), None, intensity)

    def shape(self, case: str) -> Shape3:
        return self.images[case].shape

    def spacing(self, case: str) -> Spacing | None:
        return self.images[case].spacing_mm

    def fields(self, case: str) -> Mapping[str, Any]:
        return self.images[case].fields

    def whole(self, case: str) -> np.ndarray:
        image = self.images[case]
        n = image.channels * int(np.prod(image.shape))
        return (np.arange(n, dtype=np.float64) / n).reshape(image.channels, *image.shape).astype(np.float16)

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray:
        volume = self.whole(case)
        out = np.zeros((len(volume), *size), volume.dtype)
        inner, outer = overlap(self.shape(case), start, size)
        out[(slice(None), *outer)] = volume[(slice(None), *inner)]
        return out


def mixed(count: int = 48) -> Pool:
    """Cubes, thick slices along each axis and flat images, grey and coloured."""
    kinds = (
        Image((40, 40, 40), (1.0, 1.0, 1.0)),
        Image((40, 40, 12), (1.0, 1.0, 2.5)),
        Image((12, 40, 40), (5.5, 1.0, 1.0)),
        Image((40, 6, 40), (1.0, 9.0, 1.0)),
        Image((1, 48, 40), (1e8, 1.0, 1.0), channels=3),
        Image((1, 40, 48), (1e8, 1.0, 1.0)),
    )
    return Pool({f"case_{n:03d}": kinds[n % len(kinds)] for n in range(count)})
