"""Which cases a step sees, as a pure function of the step: a loader's position is the step number."""

from __future__ import annotations

import numpy as np

from bench.contracts.errors import DataMissing
from bench.contracts.method import Corpus, Sample


def epochs(corpus: Corpus, batch_size: int, step: int, seed: int) -> list[Sample]:
    """The step's 1-tuples of case ids out of shuffled epochs.

    Epoch e is a permutation drawn from (seed, e); batches run across epoch borders, so every case is seen once per
    epoch whatever the batch size. Raises DataMissing on an empty corpus.
    """
    total = len(corpus.cases)
    if total == 0:
        raise no_case()
    first = step * batch_size
    touched = range(first // total, (first + batch_size - 1) // total + 1)
    order = {epoch: np.random.default_rng((seed, epoch)).permutation(total) for epoch in touched}
    return [(corpus.cases[order[place // total][place % total]],) for place in range(first, first + batch_size)]


def no_case() -> DataMissing:
    """What a draw raises on a corpus without a case."""
    return DataMissing("The pre-training corpus holds no case.", remedy="Check the data folder with `bench data`.")
