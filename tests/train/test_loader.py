"""A step's batch is a function of its number, whoever loads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts.errors import DataUnsound, PluginBroken
from bench.contracts.method import Arrays, Phase, Sample
from bench.train import seeds
from bench.train.loader import Drawn, batches
from tests.train.toys import SETTINGS, Toy, ToyCorpus, draw, phase, views

PHASE: Phase = phase(SETTINGS, Toy())


def loaded(of: Phase = PHASE, start: int = 0, stop: int = 4, workers: int = 0, **ranks: Any) -> list[Drawn]:
    return list(batches(of, ToyCorpus(), key="key", start=start, stop=stop, workers=workers, **ranks))


def alike(one: Drawn, other: Drawn) -> bool:
    return (
        one.step == other.step
        and one.cases == other.cases
        and one.batch.keys() == other.batch.keys()
        and all(torch.equal(one.batch[name], other.batch[name]) for name in one.batch)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_bits_as_the_process_itself(workers: int) -> None:
    alone, helped = loaded(), loaded(workers=workers)
    assert len(helped) == 4
    assert all(alike(*pair) for pair in zip(alone, helped, strict=True))


def test_starting_later_gives_the_later_steps() -> None:
    assert all(alike(*pair) for pair in zip(loaded()[2:], loaded(start=2), strict=True))
    assert loaded(start=4) == []


def test_each_sample_has_a_generator_of_its_own() -> None:
    corpus, step = ToyCorpus(), loaded()[3]
    samples = draw(corpus, SETTINGS.batch_size, 3, seeds.derive("key", "draw"))
    assert step.cases == [case for sample in samples for case in sample]
    for slot, sample in enumerate(samples):
        expected = views(corpus, sample, seeds.generator("key", 3, slot))
        assert np.array_equal(step.batch["volume"][slot], expected["volume"])
        assert np.array_equal(step.batch["noise"][slot], expected["noise"])


def test_arrays_keep_the_dtype_they_are_stored_in() -> None:
    for workers in (0, 1):
        batch = loaded(stop=1, workers=workers)[0].batch
        assert batch["volume"].dtype == torch.int16
        assert batch["noise"].dtype == torch.float16
        assert batch["volume"].shape == (6, 1, 4, 4, 4)


def test_a_step_crosses_to_the_process_in_shared_memory() -> None:
    assert all(tensor.is_shared() for tensor in loaded(stop=1, workers=1)[0].batch.values())


def test_ranks_share_out_the_samples_of_the_same_global_batch() -> None:
    whole, parts = loaded(), [loaded(rank=rank, world=4) for rank in range(4)]
    for step in range(4):
        for rank in range(4):
            for name, tensor in whole[step].batch.items():
                assert torch.equal(parts[rank][step].batch[name], tensor[rank::4])
            assert parts[rank][step].cases == whole[step].cases[rank::4]


def test_loading_draws_nothing_from_the_default_generator_of_the_training_process() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loaded(workers=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_workers_error_arrives_as_it_was_raised(workers: int) -> None:
    def unsound(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        raise DataUnsound("the file is truncated.", case=sample[0], remedy="Fetch it again.")

    with pytest.raises(DataUnsound, match=r"^case_\d\d: the file is truncated\. Fetch it again\.$") as caught:
        loaded(replace(PHASE, views=unsound), workers=workers)
    assert caught.value.remedy == "Fetch it again."


def test_samples_of_different_shapes_name_the_case() -> None:
    def uneven(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        return {"volume": np.zeros(3 if sample[0] < "case_10" else 4)}

    with pytest.raises(PluginBroken, match=r"case_\d\d: view 'volume' is"):
        loaded(replace(PHASE, views=uneven))


def test_texts_and_short_draws_are_refused() -> None:
    with pytest.raises(PluginBroken, match="no array of numbers"):
        loaded(replace(PHASE, views=lambda *_: {"report": np.array(["text"])}))
    with pytest.raises(PluginBroken, match="drew 0 samples for step 0, asked for 6"):
        loaded(replace(PHASE, draw=lambda *_: []))


def test_waiting_is_measured() -> None:
    assert all(step.wait_s > 0.0 for step in loaded(workers=1))
