"""What a segmentation step is shown: which cases, which boxes of them, and how they are varied. Pure in (step, slot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.contracts.configs import FineTuneConfig, Shape3
from bench.contracts.method import Arrays, Corpus, Sample
from bench.data.patches import centred_start, foreground_start, uniform_start
from tasks.kinds.disturb import disturbances


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
    `turn` (3, 3) float32 (rotation and zoom, identity when off), `gain` and `offset` (1,) float32; and what `disturb.py` says.
    """

    shape: Shape3
    whole_volume: bool
    values: tuple[int, ...]
    recipe: FineTuneConfig

    def __call__(self, corpus: Any, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        size = corpus.shape(case)
        start = centred_start(size, self.shape) if self.whole_volume else self._drawn(corpus, case, rng)
        volume, label = corpus.read(case, start, self.shape), corpus.read_label(case, start, self.shape)
        inside = np.zeros(self.shape, np.uint8)
        inside[tuple(slice(max(0, -s), max(0, n - s)) for s, n in zip(start, size, strict=True))] = 1
        label = np.asarray(self.values, np.uint8)[label]
        chance = rng.random(8)  # drawn at once, so that switching one variation off leaves the others' numbers
        flips = [a for a in self.recipe.flip_axes if chance[a] < self.recipe.flip_probability]
        quarters = 1 + int(3 * chance[4]) if chance[3] < self.recipe.rot90_probability else 0
        return {
            "volume": mirrored(volume, flips, quarters),
            "label": mirrored(label, flips, quarters),
            "inside": mirrored(inside, flips, quarters),
            "turn": turn_matrix(self.recipe, rng),
            "gain": around(1.0, self.recipe.intensity_scale, chance[5] < self.recipe.intensity_scale_probability, rng),
            "offset": around(
                0.0, self.recipe.intensity_shift, chance[6] < self.recipe.intensity_shift_probability, rng
            ),
            **disturbances(self.recipe, self.shape, rng),
        }

    def _drawn(self, corpus: Any, case: str, rng: np.random.Generator) -> Shape3:
        if not rng.random() < self.recipe.positive_share:
            return uniform_start(corpus.shape(case), self.shape, rng)
        among, balanced = [stored for stored, index in enumerate(self.values) if index], self.recipe.balanced_classes
        return foreground_start(corpus, case, self.shape, True, rng, balanced=balanced, among=among)


def turn_matrix(recipe: FineTuneConfig, rng: np.random.Generator) -> np.ndarray:
    """A rotation about the three axes by uniform angles, times a uniform zoom, as (3, 3) float32 from output to input voxels.

    A zoom above 1 enlarges what is shown: it is the inverse of a factor of the field of view or of sampling positions.
    Always draws six numbers, so that switching one variation off leaves the others' values.
    """
    angles = np.deg2rad(recipe.rotate_degrees) * rng.uniform(-1, 1, 3) * (rng.random() < recipe.rotate_probability)
    low, high = recipe.zoom
    factor = low + (high - low) * rng.random()
    factor = factor if rng.random() < recipe.zoom_probability else 1.0
    (cos_a, cos_b, cos_c), (sin_a, sin_b, sin_c) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cos_a, -sin_a], [0, sin_a, cos_a]])
    about_y = np.array([[cos_b, 0, sin_b], [0, 1, 0], [-sin_b, 0, cos_b]])
    about_z = np.array([[cos_c, -sin_c, 0], [sin_c, cos_c, 0], [0, 0, 1]])
    return (about_x @ about_y @ about_z / factor).astype(np.float32)


def mirrored(array: np.ndarray, flips: Sequence[int], quarters: int) -> np.ndarray:
    """The last three axes flipped and turned by quarters about the third; the shape must survive an odd quarter."""
    lead = array.ndim - 3
    flipped = np.flip(array, tuple(axis + lead for axis in flips))
    if quarters % 2 and array.shape[lead] != array.shape[lead + 1]:
        quarters = 2  # a crop that is not square can only be turned by halves
    return np.ascontiguousarray(np.rot90(flipped, quarters, (lead, lead + 1)))


def around(middle: float, reach: float, on: bool, rng: np.random.Generator) -> np.ndarray:
    """One float32 number (1,), uniform within `reach` of `middle`; the middle itself when off, drawn all the same."""
    drawn = rng.uniform(-reach, reach, 1)
    return (middle + drawn * on).astype(np.float32)
