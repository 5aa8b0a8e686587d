"""Four slabs in a row: what a method that reads images as a sequence is shown, cut and normalised in loader workers.

Source   AR-SSL4M (arXiv 2409.08691), "Sequence construction"; sizes, crop rule and percentiles from its released code
Shapes   a sequence fills (D, H, W) voxels; its slabs are D x H x W / slabs and lie one behind the other along the third
         axis, the slices. A slab is one image's crop, or a window into one deeper crop that moves by `stride` slices
Random   a volume's crops are a function of its id and the crop's number, as if they had been stored before training;
         which of them is taken, where a spatial sequence begins and how long its prefix is come from the loader's generator
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.contracts.configs import Shape3
from bench.contracts.method import Arrays, Corpus, Sample
from methods.parts.levels import resize

LOW_PERCENT, HIGH_PERCENT = 1.0, 99.9  # released code


@dataclass(frozen=True)
class SlabSequence:
    """One sequence of a sample: `{"volume": (1, D, H, W) float16 in [0, 1], "prefix": () int64}`.

    A sample of one case is a crop of that volume, in overlapping slabs (spatial) or, without `in_slabs`, as it is; a
    case of several channels gives a slab of each, or one channel as it is. A sample of several cases gives a slab of
    each, normalised by itself: of lesions of a category the window around `lesion_centre` (voxels along the first two
    axes) over all slices (semantic), else the same box in all (contrast). `prefix` is drawn from 0..tokens - 1, or is 0
    without `random_prefix`.
    """

    shape: Shape3
    slabs: int
    stride: int
    crops_per_volume: int
    crops_per_group: int
    tokens: int
    in_slabs: bool = True
    random_prefix: bool = True

    def __call__(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> Arrays:
        prefix = int(rng.integers(self.tokens)) if self.random_prefix else 0
        volume = self._sequence(corpus, sample, rng)[None]
        return {"volume": volume, "prefix": np.array(prefix, np.int64)}

    @property
    def slab_shape(self) -> Shape3:
        d, h, w = self.shape
        return d, h, w // self.slabs

    @property
    def last_start(self) -> int:
        """The last slice at which a spatial sequence may begin: the released code's half a crop less one, or what
        `stride` leaves inside the crop."""
        depth = self.shape[2]
        return min(depth // 2 - 1, depth - depth // self.slabs - (self.slabs - 1) * self.stride)

    def _sequence(self, corpus: Corpus, sample: Sample, rng: np.random.Generator) -> NDArray[np.float16]:
        channels = corpus.sight.channels
        if len(sample) == 1 and (channels == 1 or not self.in_slabs):
            number = int(rng.integers(crop_count(corpus.shape(sample[0])[2], self.shape[2], self.crops_per_volume)))
            crop = self._crop(corpus, sample[0], self.shape, number)[int(rng.integers(channels))]
            first = int(rng.integers(self.last_start + 1))
            return overlapping(crop, self.slabs, self.stride, first) if self.in_slabs else crop
        if "category" in corpus.fields(sample[0]):
            return np.concatenate([self._window(corpus, case) for case in sample], axis=2)
        number = int(rng.integers(self.crops_per_group))
        start, extent = random_box(corpus.shape(sample[0]), self.slab_shape, crop_generator(sample[0], number))
        slabs = [slab for case in sample for slab in fitted(corpus.read(case, start, extent), self.slab_shape)]
        return np.concatenate(slabs, axis=2)

    def _crop(self, corpus: Corpus, case: str, size: Shape3, number: int) -> NDArray[np.float16]:
        """Crop `number` of a case, every channel by itself: (C, *size)."""
        start, extent = random_box(corpus.shape(case), size, crop_generator(case, number))
        return fitted(corpus.read(case, start, extent), size)

    def _window(self, corpus: Corpus, case: str) -> NDArray[np.float16]:
        """The slab around a lesion's centre: cut at the volume's borders, then stretched; all slices, resampled."""
        centre, (d, h, w), (depth, height, _) = (
            corpus.fields(case)["lesion_centre"],
            corpus.shape(case),
            self.slab_shape,
        )
        (i, rows), (j, columns) = span_around(centre[0], d, depth), span_around(centre[1], h, height)
        return fitted(corpus.read(case, (i, j, 0), (rows, columns, w)), self.slab_shape)[0]


def crop_count(slices: int, wanted: int, crops: int) -> int:
    """Crops of a volume of so many slices: 1.5 times fewer where it has less than a crop's (50 -> 33)."""
    return crops if slices >= wanted else max(1, int(crops / 1.5))


def overlapping(crop: NDArray[Any], slabs: int, stride: int, first: int) -> NDArray[Any]:
    """`slabs` windows of a crop (D, H, W), each W / slabs slices, `stride` slices apart, one behind the other."""
    depth = crop.shape[2] // slabs
    return np.concatenate([crop[:, :, first + k * stride : first + k * stride + depth] for k in range(slabs)], axis=2)


def crop_generator(case: str, number: int) -> np.random.Generator:
    """Where crop `number` of a case lies is drawn from this: the same in every epoch, as crops stored once are."""
    digest = hashlib.sha256(f"crop|{case}|{number}".encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest[:8], "little")))


def random_box(shape: Shape3, size: Shape3, rng: np.random.Generator) -> tuple[Shape3, Shape3]:
    """Start and extent of a random crop by the released code's rule, axis by axis.

    The centre is uniform in size / 2 .. length - size / 2 - 1; an axis that leaves no choice is taken whole, to be
    stretched or squeezed. The last start that would fit is never drawn. Example: of 130 voxels, 128 start at 0 or 1.
    """
    (d, p), (h, q), (w, r) = (_random_span(length, wanted, rng) for length, wanted in zip(shape, size, strict=True))
    return (d, h, w), (p, q, r)


def _random_span(length: int, wanted: int, rng: np.random.Generator) -> tuple[int, int]:
    low, high = wanted // 2, length - wanted // 2 - 1
    if low >= high:
        return 0, length
    return int(rng.integers(low, high + 1)) - wanted // 2, wanted


def span_around(centre: float, length: int, wanted: int) -> tuple[int, int]:
    """Start and extent of the window around a centre, cut at the borders."""
    middle = round(centre)
    start, stop = max(middle - wanted // 2, 0), min(middle + wanted // 2, length)
    return start, stop - start


def fitted(crop: NDArray[Any], size: Shape3) -> NDArray[np.float16]:
    """A crop as it was read (C, ...) brought to (C, *size), trilinear, and each channel to [0, 1] by its percentiles."""
    if crop.shape[1:] == size and crop.dtype.itemsize == 2:
        return np.stack([to_unit_range_by_table(np.ascontiguousarray(channel)) for channel in crop])
    x = torch.from_numpy(np.ascontiguousarray(crop, dtype=np.float32))
    return np.stack([to_unit_range(channel).astype(np.float16) for channel in resize(x[None], size)[0].numpy()])


def to_unit_range(crop: NDArray[Any]) -> NDArray[np.float32]:
    """clip((v - p1) / (p99.9 - p1), 0, 1), percentiles over all voxels of the crop; a flat crop gives clip(v - p1, 0, 1).

    An increasing linear change of the crop's values beforehand (a z-score) changes nothing but a flat crop.
    """
    low, high = np.percentile(crop, (LOW_PERCENT, HIGH_PERCENT))
    return between(crop, low, high)


def between(values: NDArray[Any], low: np.floating[Any], high: np.floating[Any]) -> NDArray[np.float32]:
    """clip((v - low) / (high - low), 0, 1); clip(v - low, 0, 1) where both are one."""
    scaled = (values - low) / (high - low if high > low else 1.0)
    return np.clip(scaled, 0.0, 1.0).astype(np.float32)


def to_unit_range_by_table(crop: NDArray[Any]) -> NDArray[np.float16]:
    """`to_unit_range` of a crop of two-byte numbers, to the bit: 65,536 values are counted and scaled, not two million voxels.

    A loader's time is what a step of AR waits for. `crop` is contiguous.
    """
    places = crop.view(np.uint16).ravel().astype(np.intp)  # once, for counting and for looking up
    values = np.arange(2**16, dtype=np.uint16).view(crop.dtype).astype(np.float32)
    held = np.bincount(places, minlength=2**16)
    there = np.flatnonzero(held)
    order = there[np.argsort(values[there], kind="stable")]
    low, high = _percentiles(values[order], held[order])
    table = np.zeros(2**16, np.float16)
    table[order] = between(values[order], low, high)
    return table.take(places, mode="clip").reshape(crop.shape)


def _percentiles(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """`np.percentile` at LOW_PERCENT and HIGH_PERCENT of rising values that stand so often each."""
    upto = np.cumsum(counts)
    places = np.array((LOW_PERCENT, HIGH_PERCENT)) / 100 * (upto[-1] - 1)
    below = np.floor(places).astype(np.int64)
    first, second = (
        values[np.searchsorted(upto, place, side="right")] for place in (below, np.minimum(below + 1, upto[-1] - 1))
    )
    share = places - below
    step = second - first
    return np.where(share < 0.5, first + step * share, second - step * (1 - share))
