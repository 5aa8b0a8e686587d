"""A step's batch is a function of its number, whoever loads it."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts.errors import DataUnsound, PluginBroken, SpecError, TrainingStopped
from bench.contracts.method import Arrays, Phase, Sample
from bench.train import loader, seeds, worker
from bench.train.loader import AHEAD, Drawn, batches
from bench.train.steps import Steps
from bench.train.worker import LENT
from tests.train.toys import SETTINGS, Toy, ToyCorpus, draw, phase, views

PHASE: Phase = phase(SETTINGS, Toy())
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture(params=[None, torch.device("cuda")], ids=["by hand", "by a thread"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device | None:
    """Where steps are brought, for CUDA ahead and by a thread; what it does there to the memory needs CUDA and is left out."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    found: torch.device | None = request.param
    return found


def loaded(of: Phase = PHASE, start: int = 0, stop: int = 4, workers: int = 0, **ranks: Any) -> list[Drawn]:
    return list(batches(of, ToyCorpus(), key="key", start=start, stop=stop, workers=workers, **ranks))


def alike(one: Drawn, other: Drawn) -> bool:
    return (
        one.step == other.step
        and one.cases == other.cases
        and one.batch.keys() == other.batch.keys()
        and all(torch.equal(one.batch[name], other.batch[name]) for name in one.batch)
    )


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    """No test may leave a process, an open file or, where nothing of it is held, shared memory."""
    resource_tracker.ensure_running()  # which spawned workers need; it stays, and holds a file
    files = open_files()
    yield
    assert multiprocessing.active_children() == []
    assert open_files() == files
    assert shared_blocks() == 0


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def shared_blocks() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:batches") if sys.platform == "linux" else 0


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_give_the_same_bits_as_the_process_itself(workers: int, device: torch.device | None) -> None:
    alone, helped = loaded(stop=23), loaded(stop=23, workers=workers, device=device)
    assert len(helped) == 23
    assert all(alike(*pair) for pair in zip(alone, helped, strict=True))


def test_workers_that_are_spawned_give_the_same_bits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "start_context", lambda: multiprocessing.get_context("spawn"))
    own = phase(SETTINGS, Toy())  # torch moves the weights of what it hands over into shared memory
    assert all(alike(*pair) for pair in zip(loaded(stop=5), loaded(own, stop=5, workers=2), strict=True))


def test_tensors_that_are_used_one_after_the_other_are_the_right_ones() -> None:
    for one, other in zip(
        loaded(stop=40), batches(PHASE, ToyCorpus(), key="key", start=0, stop=40, workers=2), strict=True
    ):
        assert alike(one, other)
        for tensor in other.batch.values():
            tensor.fill_(7)  # whoever gets this memory next must not see it


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


def test_what_a_view_draws_from_global_generators_is_its_samples_own_in_every_step_of_every_run() -> None:
    """As third-party code does: the same number twice is the same augmentation twice."""

    def sloppy(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        return {"drawn": np.array([random.random(), np.random.rand(), torch.rand(()).item()])}

    drawn = [
        tuple(row)
        for key in ("one", "other")
        for step in batches(replace(PHASE, views=sloppy), ToyCorpus(), key=key, start=0, stop=3, workers=0)
        for row in step.batch["drawn"].tolist()
    ]
    assert len(drawn) == 2 * 3 * SETTINGS.batch_size
    assert all(len(set(numbers)) == len(drawn) for numbers in zip(*drawn, strict=True))


def test_arrays_keep_the_dtype_they_are_stored_in() -> None:
    for workers in (0, 1):
        batch = loaded(stop=1, workers=workers)[0].batch
        assert batch["volume"].dtype == torch.int16
        assert batch["noise"].dtype == torch.float16
        assert batch["volume"].shape == (6, 1, 4, 4, 4)


def test_numbers_without_axes_are_stacked() -> None:
    def graded(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        return {"grade": np.int64(sample[0][-2:]), "empty": np.zeros((0, 3), bool)}

    for workers in (0, 1):
        step = loaded(replace(PHASE, views=graded), stop=1, workers=workers)[0]
        assert step.batch["grade"].tolist() == [int(case[-2:]) for case in step.cases]
        assert step.batch["empty"].shape == (6, 0, 3)


@LINUX
def test_memory_is_filled_anew_once_nobody_holds_its_tensors() -> None:
    places = set()
    for step in batches(PHASE, ToyCorpus(), key="key", start=0, stop=40, workers=2):
        places.add(step.batch["volume"].data_ptr())
        assert 1 <= shared_blocks() <= 2 * (AHEAD + LENT)
    assert len(places) <= 2 * (AHEAD + LENT)


@LINUX
def test_steps_that_are_kept_are_copied_when_they_would_use_up_the_memory() -> None:
    source = batches(PHASE, ToyCorpus(), key="key", start=0, stop=30, workers=1)
    kept = [next(source) for _ in range(29)]
    assert LENT <= shared_blocks() <= AHEAD + LENT
    source.close()  # type: ignore[attr-defined]
    assert shared_blocks() == LENT  # those still in use
    assert all(alike(*pair) for pair in zip(loaded(stop=29), kept, strict=True))


@LINUX
def test_steps_may_grow_and_shrink() -> None:
    def uneven(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        return {"volume": np.full(1 + 1000 * (int(sample[1]) % 7), int(sample[1]), np.int32)}

    def by_step(corpus: Any, size: int, step: int, seed: int) -> list[Sample]:
        return [(corpus.cases[0], str(step))] * size

    growing = replace(PHASE, views=uneven, draw=by_step)
    for step in batches(growing, ToyCorpus(), key="key", start=0, stop=30, workers=2):
        assert torch.equal(step.batch["volume"], torch.full((6, 1 + 1000 * (step.step % 7)), step.step).int())
        assert shared_blocks() <= 2 * (AHEAD + LENT)


def test_no_more_steps_are_made_than_may_be_ahead(tmp_path: Path) -> None:
    made = tmp_path / "made"

    def counted(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        with made.open("ab") as file:
            file.write(b".")
        return views(corpus, sample, generator)

    source = batches(replace(PHASE, views=counted), ToyCorpus(), key="key", start=0, stop=1000, workers=2)
    next(source)
    ahead = 6 * (1 + 2 * AHEAD)
    patience = time.monotonic() + 60
    while made.stat().st_size < ahead and time.monotonic() < patience:
        time.sleep(0.01)
    time.sleep(0.2)  # in which an unbounded loader would make hundreds
    assert made.stat().st_size == ahead
    source.close()  # type: ignore[attr-defined]


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
def test_a_workers_error_arrives_as_it_was_raised(workers: int, device: torch.device | None) -> None:
    def unsound(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        raise DataUnsound("the file is truncated.", case=sample[0], remedy="Fetch it again.")

    with pytest.raises(DataUnsound, match=r"^case_\d\d: the file is truncated\. Fetch it again\.$") as caught:
        loaded(replace(PHASE, views=unsound), workers=workers)
    assert caught.value.remedy == "Fetch it again."


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_that_names_no_case_is_given_the_one_at_hand(workers: int) -> None:
    def unsound(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        raise DataUnsound("the file is truncated.")

    with pytest.raises(DataUnsound, match=r"^case_\d\d: the file is truncated\.$"):
        loaded(replace(PHASE, views=unsound), workers=workers)


class Picky(Exception):
    """An error that cannot be rebuilt from its own arguments."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} {why}")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by nought"), Picky("by", "nought")], ids=lambda e: type(e).__name__
)
def test_any_other_error_keeps_its_words_and_names_case_and_place(error: Exception, workers: int) -> None:
    case = loaded(stop=3)[2].cases[4]

    def broken(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        if sample[0] == case:
            raise error
        return views(corpus, sample, generator)

    third = replace(PHASE, views=broken, draw=lambda corpus, size, step, seed: draw(corpus, size, 2, seed))
    with pytest.raises(Exception, match="by nought") as caught:
        loaded(third, workers=workers)
    assert isinstance(caught.value, ZeroDivisionError) or "Picky" in repr(caught.value)
    notes = "\n".join(caught.value.__notes__)
    assert f"{case}: raised by the views of phase 'toy' in step 0." in notes
    assert workers == 0 or re.search(r"In a loader worker:\n.* in broken\n", notes, re.DOTALL)


def test_steps_before_an_error_are_given(device: torch.device | None) -> None:
    def late(corpus: Any, size: int, step: int, seed: int) -> list[Sample]:
        if step == 3:
            raise DataUnsound("the list ends here.")
        return draw(corpus, size, step, seed)

    source = batches(replace(PHASE, draw=late), ToyCorpus(), key="key", start=0, stop=9, workers=2, device=device)
    assert [next(source).step for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataUnsound, match="the list ends here"):
        next(source)


@pytest.mark.parametrize(
    ("death", "told"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL"),
        (lambda: os._exit(3), "ended with exit code 3"),
    ],
    ids=["killed", "ended"],
)
def test_a_worker_that_dies_stops_the_training_and_names_the_step(
    death: Any, told: str, device: torch.device | None
) -> None:
    def deadly(corpus: Any, size: int, step: int, seed: int) -> list[Sample]:
        if step == 4 and multiprocessing.parent_process() is not None:
            death()
        return draw(corpus, size, step, seed)

    source = batches(replace(PHASE, draw=deadly), ToyCorpus(), key="key", start=0, stop=9, workers=2, device=device)
    assert [next(source).step for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(TrainingStopped, match=rf"{told} while it made step 4 from the cases case_.*workers=0"):
        next(source)


def test_a_worker_killed_from_outside_while_it_waits_stops_the_training(device: torch.device | None) -> None:
    source = batches(PHASE, ToyCorpus(), key="key", start=0, stop=1000, workers=2, device=device)
    next(source)
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    with pytest.raises(TrainingStopped, match="was killed by SIGKILL"):
        list(source)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_iterator_given_up_early_ends_its_workers_at_once(workers: int, device: torch.device | None) -> None:
    def endless(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        while sample[0] not in first.cases:
            time.sleep(1)
        return views(corpus, sample, generator)

    first, threads = loaded(stop=1)[0], threading.active_count()
    source = batches(
        replace(PHASE, views=endless), ToyCorpus(), key="key", start=0, stop=9, workers=workers, device=device
    )
    assert alike(next(source), first)
    del source
    assert multiprocessing.active_children() == []
    assert threading.active_count() == threads


@LINUX
def test_a_thread_that_learns_of_the_end_of_a_worker_does_not_disturb_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(pid: int, options: int) -> tuple[int, int]:
        found = waited(pid, options)
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.2)  # between the end of the process and the note of it, where the other thread must not be
        return found

    waited = os.waitpid
    one = worker.Worker(Steps(PHASE, ToyCorpus(), "key", 0, 1))
    with ThreadPoolExecutor(1) as hand:
        coming = hand.submit(one.receive, 0)  # never asked of it
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        monkeypatch.setattr(os, "waitpid", slowly)
        time.sleep(0.1)
        one.end()
        assert isinstance(coming.exception(), TrainingStopped)


@LINUX
def test_workers_end_when_the_training_process_is_killed() -> None:
    mine, theirs = os.pipe()  # its end is read once the last process that holds the other side has gone
    child = os.fork()
    if child == 0:  # pragma: no cover - the other process
        source = batches(PHASE, ToyCorpus(), key="key", start=0, stop=1000, workers=2)
        next(source)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(theirs)
    os.waitpid(child, 0)
    readable, _, _ = select.select([mine], [], [], 60)
    assert readable and os.read(mine, 1) == b""
    os.close(mine)


def test_a_process_that_ends_in_the_middle_says_nothing() -> None:
    code = """
from tests.train.test_loader import PHASE, ToyCorpus, batches
source = batches(PHASE, ToyCorpus(), key="key", start=0, stop=1000, workers=2)
kept = [next(source) for _ in range(9)]
"""
    ended = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_two_loaders_may_run_side_by_side() -> None:
    one, other = (batches(PHASE, ToyCorpus(), key=key, start=0, stop=9, workers=2) for key in ("key", "other"))
    pairs = list(zip(one, other, strict=True))
    assert all(alike(*pair) for pair in zip(loaded(stop=9), [first for first, _ in pairs], strict=True))
    assert not torch.equal(pairs[0][0].batch["noise"], pairs[0][1].batch["noise"])


def test_workers_are_refused_where_processes_cannot_share_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(loader.socket, "send_fds")
    with pytest.raises(SpecError, match="workers=0"):
        loaded(workers=1)


def test_samples_of_different_shapes_name_the_case() -> None:
    def uneven(corpus: Any, sample: Sample, generator: np.random.Generator) -> Arrays:
        return {"volume": np.zeros(3 if sample[0] < "case_10" else 4)}

    with pytest.raises(PluginBroken, match=r"case_\d\d: view 'volume' is"):
        loaded(replace(PHASE, views=uneven))


def test_texts_and_short_draws_are_refused() -> None:
    with pytest.raises(PluginBroken, match="no array of numbers"):
        loaded(replace(PHASE, views=lambda *_: {"report": np.array(["text"])}))
    with pytest.raises(PluginBroken, match="views of a sample are a list, asked for a dict of named arrays"):
        loaded(replace(PHASE, views=lambda *_: [np.zeros(3)]))  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginBroken, match="drew 0 samples for step 0, asked for 6"):
        loaded(replace(PHASE, draw=lambda *_: []))


def test_waiting_is_measured() -> None:
    assert all(step.wait_s > 0.0 for step in loaded(workers=1))
