"""What a segmentation step is shown: which cases, which boxes of them, and how they are varied. Pure in (step, slot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.contracts.cards import FineTuneConfig, Shape3
from bench.contracts.method import Arrays, Corpus, Sample
from bench.data.patches import foreground_start, pad_to, uniform_start


@dataclass(frozen=True)
class VolumesThenCrops:
    """Shuffled epochs over volumes, each giving `crops` samples in a row (the last volume of a step may give fewer)."""

    crops: int

    def __call__(self, corpus: Corpus, batch_size: int, step: int, seed: int) -> Sequence[Sample]:
        volumes = -(-batch_size // self.crops)
        first = step * volumes
        chosen = [_at(corpus.cases, first + i, seed) for i in range(volumes)]
        return [(case,) for case in chosen for _ in range(self.crops)][:batch_size]


def _at(cases: Sequence[str], position: int, seed: int) -> str:
    epoch, place = divmod(position, len(cases))
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(cases))
    return cases[int(order[place])]


@dataclass(frozen=True)
class LabelledCrop:
    """One crop with its label, flipped and with the numbers that vary it further on the device.

    Gives `volume` (C, D, H, W) as stored, `label` and `inside` (D, H, W) uint8 (inside = 1 where the volume is, 0 in padding),
    `turn` (3, 3) float32 (rotation and zoom, identity when off), `gain` and `offset` (1,) float32.
    """

    shape: Shape3
    whole_volume: bool
    values: tuple[int, ...]
    recipe: FineTuneConfig

    def __call__(self, corpus: Any, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        volume, label, inside = self._whole(corpus, case) if self.whole_volume else self._box(corpus, case, rng)
        label = np.asarray(self.values, np.uint8)[label]
        flips = [a for a in self.recipe.flip_axes if rng.random() < self.recipe.flip_probability]
        return {
            "volume": np.ascontiguousarray(np.flip(volume, [a + 1 for a in flips])),
            "label": np.ascontiguousarray(np.flip(label, flips)),
            "inside": np.ascontiguousarray(np.flip(inside, flips)),
            "turn": turn_matrix(self.recipe.rotate_degrees, self.recipe.zoom, rng),
            "gain": rng.uniform(-1, 1, 1).astype(np.float32) * self.recipe.intensity_scale + np.float32(1),
            "offset": rng.uniform(-1, 1, 1).astype(np.float32) * self.recipe.intensity_shift,
        }

    def _whole(self, corpus: Any, case: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = corpus.shape(case)
        volume, label = corpus.read(case, (0, 0, 0), size), corpus.read_label(case, (0, 0, 0), size)
        return pad_to(volume, self.shape), pad_to(label, self.shape), pad_to(np.ones(size, np.uint8), self.shape)

    def _box(self, corpus: Any, case: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        positive = rng.random() < self.recipe.positive_share
        size = corpus.shape(case)
        start = (
            foreground_start(corpus, case, self.shape, positive, rng)
            if positive
            else uniform_start(size, self.shape, rng)
        )
        inside = np.zeros(self.shape, np.uint8)
        inside[tuple(slice(max(0, -s), max(0, n - s)) for s, n in zip(start, size, strict=True))] = 1
        return corpus.read(case, start, self.shape), corpus.read_label(case, start, self.shape), inside


def turn_matrix(degrees: float, zoom: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """A rotation about the three axes by uniform angles in +-degrees, times a uniform zoom, as (3, 3) float32 from output
    to input voxels. Always draws four numbers, so that switching one off leaves the others' values."""
    a, b, c = np.deg2rad(degrees) * rng.uniform(-1, 1, 3)
    factor = rng.uniform(*zoom) if zoom[0] < zoom[1] else rng.random() * 0 + zoom[0]
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return (about_x @ about_y @ about_z / factor).astype(np.float32)
