"""Batches whose images share one degree of anisotropy, drawn by weight: a pure function of the step.

Source   SPAD, Sec. 3.1 (batches), Sec. 4.1; numbers are its released code's: a buffer of 16,384 images drawn by weight without
         replacement, zooms that shift the degree of anisotropy, and the first B images of one degree make a batch
Changes  one degree per update, as the paper says; the code has one per device. A pool smaller than the buffer is gone through
         whole, in a weighted order
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.method import Corpus
from bench.nets.spad import MOST_ANISOTROPIC
from methods.parts.draws import no_case
from methods.parts.lie import Lie, lie_of_case

Floats = NDArray[np.float64]
ISOTROPIC = 1.5  # slices at most so much thicker than voxels are wide may be zoomed and tilted along depth
RATIO_MOST = 32.0


class Zoomed(tuple[str, ...]):
    """A sample of one case that also says how it is cut: the batch's degree of anisotropy, and its fields of view."""

    da: int
    in_plane: float
    along_depth: float

    def __new__(cls, case: str, da: int, in_plane: float, along_depth: float) -> Zoomed:
        made = super().__new__(cls, (case,))
        made.da, made.in_plane, made.along_depth = da, in_plane, along_depth
        return made


@dataclass(frozen=True)
class EqualAnisotropy:
    """A `Draw`. `side` is the in-plane crop; `weighted` False leaves out the weights of data sets, not of near-duplicates; with
    `hold_out` what is `held_out` is never drawn.

    The stream of one corpus, batch size and seed is replayed from its start when it is asked for an earlier step than
    before, and goes on otherwise; what a step is given does not depend on it. `exclude_overlap` leaves out cases whose
    field `overlaps` names tasks.
    """

    side: int
    buffer: int = 16_384
    weighted: bool = True
    even_axis: int = 2
    exclude_overlap: bool = False
    hold_out: bool = True
    _streams: dict[tuple[int, int], _Stream] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, corpus: Corpus, batch_size: int, step: int, seed: int) -> Sequence[Zoomed]:
        stream = self._streams.get((batch_size, seed))
        if stream is None or stream.corpus is not corpus:
            stream = self._streams[batch_size, seed] = _Stream(self, corpus, batch_size, seed)
        return stream.batch(step)

    def pool(self, corpus: Corpus) -> tuple[str, ...]:
        """The cases that may be drawn."""
        spared = frozenset(held_out(corpus)) if self.hold_out else frozenset()
        return tuple(case for case in corpus.cases if case not in spared and not self._left_out(corpus, case))

    def _left_out(self, corpus: Corpus, case: str) -> bool:
        return self.exclude_overlap and bool(corpus.fields(case).get("overlaps"))


def held_out(corpus: Corpus) -> tuple[str, ...]:
    """One case per dataset and modality, drawn by weight from its name alone; none where a group has but one."""
    groups: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for case in corpus.cases:
        told = corpus.fields(case)
        chance = int.from_bytes(hashlib.sha256(f"held out|{case}".encode()).digest()[:8], "big") / 2**64
        rank = -math.log(max(chance, 2.0**-64)) / max(float(told.get("weight", 1.0)), 1e-12)
        groups.setdefault((str(told.get("dataset", "")), str(told.get("modality", ""))), []).append((rank, case))
    return tuple(min(ranked)[1] for ranked in groups.values() if len(ranked) > 1)


def effective_degree(lies: Sequence[Lie] | Floats, in_plane: Floats, along_depth: Floats) -> NDArray[np.int64]:
    """DA = floor(log2(clip(s_slice f_z / (s_plane f_x), 1, 32))), per image."""
    ratio = lies if isinstance(lies, np.ndarray) else np.array([lie.ratio for lie in lies])
    clipped = np.clip(ratio * along_depth / in_plane, 1.0, RATIO_MOST)
    return np.minimum(np.floor(np.log2(clipped)), MOST_ANISOTROPIC).astype(np.int64)


def zooms(ratio: Floats, least_side: Floats, side: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Fields of view (f_x, f_z), above 1 larger: f_x in (0.75, min(2, side of the image / crop)) with probability 0.5, the
    bounds crossing where the image is smaller; f_z in (0.8, 1.25) with probability 0.3 where voxels are near cubes."""
    n = len(ratio)
    high = np.minimum(2.0, least_side / side)
    in_plane = np.where(rng.random(n) < 0.5, 0.75 + (high - 0.75) * rng.random(n), 1.0)
    chosen = (rng.random(n) < 0.3) & (ratio <= ISOTROPIC)
    along_depth = np.where(chosen, 0.8 + 0.45 * rng.random(n), 1.0)
    return in_plane, along_depth


class _Stream:
    """The endless batches of one corpus, as far as they have been asked for."""

    def __init__(self, draw: EqualAnisotropy, corpus: Corpus, batch_size: int, seed: int) -> None:
        self.draw, self.corpus, self.batch_size, self.seed = draw, corpus, batch_size, seed
        self.cases = draw.pool(corpus)
        if not self.cases:
            raise no_case()
        lies = [lie_of_case(corpus, case, draw.even_axis) for case in self.cases]
        self.ratio = np.array([lie.ratio for lie in lies])
        self.least_side = np.array([min(lie.shape[1:]) for lie in lies], float)
        name = "weight" if draw.weighted else "image_weight"
        self.weight = np.array([float(corpus.fields(case).get(name, 1.0)) for case in self.cases])
        self._begin()

    def batch(self, step: int) -> list[Zoomed]:
        if step < self.first:
            self._begin()
        while step >= self.first + len(self.ready):
            self._fill()
        da, rows = self.ready[step - self.first]
        return [Zoomed(self.cases[int(row[0])], da, float(row[1]), float(row[2])) for row in rows]

    def _begin(self) -> None:
        self.first, self.filled = 0, 0
        self.ready: list[tuple[int, Any]] = []
        self.rest: dict[int, Floats] = {}

    def _fill(self) -> None:
        """The batches that the next buffer completes, in the order in which their last images come."""
        rng = np.random.default_rng((self.seed, self.filled))
        order = self._order(rng)
        in_plane, along_depth = zooms(self.ratio[order], self.least_side[order], self.draw.side, rng)
        degrees = effective_degree(self.ratio[order], in_plane, along_depth)
        rows = np.stack([order.astype(float), in_plane, along_depth, np.arange(len(order), dtype=float)], axis=1)
        done: list[tuple[float, int, Floats]] = []
        for da in np.unique(degrees).tolist():
            waiting = np.concatenate([self.rest.get(da, np.empty((0, 4))), rows[degrees == da]])
            whole = len(waiting) // self.batch_size * self.batch_size
            done += [(group[-1, 3], da, group) for group in waiting[:whole].reshape(-1, self.batch_size, 4)]
            self.rest[da] = waiting[whole:]
        self.first += len(self.ready)
        self.ready = [(da, group) for _, da, group in sorted(done, key=lambda batch: batch[0])]
        self.filled += 1

    def _order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Images of one buffer, drawn one after the other by weight without replacement."""
        size = min(self.draw.buffer, len(self.cases))
        waits = rng.exponential(size=len(self.cases)) / np.maximum(self.weight, 1e-300)
        soonest = np.argpartition(waits, size - 1)[:size]
        found: NDArray[np.int64] = soonest[np.argsort(waits[soonest], kind="stable")]
        return found
