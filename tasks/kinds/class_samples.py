"""What a classification step is shown: which cases, and each one's voxels with its label. Pure in (step, slot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bench.contracts.configs import FineTuneConfig, Shape3
from bench.contracts.method import Arrays, Corpus, Sample
from tasks.kinds.crops import around, mirrored, turn_matrix
from tasks.kinds.disturb import disturbances


@dataclass(frozen=True)
class ShuffledCases:
    """Shuffled epochs over the cases; with `balanced` each sample's class is drawn uniformly, then a case of it."""

    balanced: bool = False

    def __call__(self, corpus: Corpus, batch_size: int, step: int, seed: int) -> Sequence[Sample]:
        first = step * batch_size
        if self.balanced:
            return [(_of_any_class(corpus, first + i, seed),) for i in range(batch_size)]
        n = len(corpus.cases)
        places = [divmod(first + i, n) for i in range(batch_size)]
        return [(corpus.cases[int(_order(seed, epoch, n)[place])],) for epoch, place in places]


@lru_cache(maxsize=4)  # an order of a hundred thousand cases takes longer to draw than a batch
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(count)


def _of_any_class(corpus: Any, position: int, seed: int) -> str:
    """Source: MG-3D's LUNA16, where positives and negatives weigh alike in each epoch."""
    members = _members(corpus)
    rng = np.random.Generator(np.random.Philox(key=[seed, position]))
    chosen = members[int(rng.integers(len(members)))]
    return chosen[int(rng.integers(len(chosen)))]


@lru_cache(maxsize=2)
def _members(corpus: Any) -> list[list[str]]:
    """The cases of each class that occurs."""
    classes: dict[Any, list[str]] = {}
    for case in corpus.cases:
        classes.setdefault(corpus.fields(case)["label"], []).append(case)
    return [classes[label] for label in sorted(classes)]


def voxels_of(corpus: Any, case: str, cube: Shape3) -> np.ndarray:
    """What is looked at of a case, as stored (C, D, H, W): the cube about its place in a scan, else all of it."""
    centre = corpus.fields(case).get("centre")
    if centre is None:
        whole: np.ndarray = corpus.read(case, (0, 0, 0), corpus.shape(case))
        return whole
    d, h, w = (round(at) - side // 2 for at, side in zip(centre, cube, strict=True))
    return np.asarray(corpus.read(case, (d, h, w), cube))


@dataclass(frozen=True)
class LabelledVolume:
    """A whole volume, or the cube about a candidate, with its label and the numbers that vary it further on the device.

    Gives `volume` (C, D, H, W) as stored, `label` int64, () for one class and (K,) for answers (1, 0, -1 not told),
    `turn` (3, 3), `gain`, `offset` and `factor` (1,) float32; and what `disturb.py` says.
    """

    cube: Shape3
    recipe: FineTuneConfig

    def __call__(self, corpus: Any, sample: Sample, rng: np.random.Generator) -> Arrays:
        (case,) = sample
        recipe, volume = self.recipe, voxels_of(corpus, case, self.cube)
        chance = rng.random(8)  # drawn at once, so that switching one variation off leaves the others' numbers
        flips = [axis for axis in recipe.flip_axes if chance[axis] < recipe.flip_probability]
        quarters = 1 + int(3 * chance[4]) if chance[3] < recipe.rot90_probability else 0
        return {
            "volume": mirrored(volume, flips, quarters),
            "label": np.asarray(corpus.fields(case)["label"], np.int64),
            "turn": turn_matrix(recipe, rng),
            "gain": around(1.0, recipe.intensity_scale, chance[5] < recipe.intensity_scale_probability, rng),
            "offset": around(0.0, recipe.intensity_shift, chance[6] < recipe.intensity_shift_probability, rng),
            "factor": np.asarray([chance[7] if recipe.random_factor else 1.0], np.float32),
            **disturbances(recipe, self.cube, rng),
        }
