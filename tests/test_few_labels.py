"""A run of few labels takes its seed's order of the training units, keeps val and test, and says so in its record."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.cases import TaskCases, find_cases
from bench.data.manifest import build
from bench.phantom_data import write_task
from bench.spec import make_spec


@pytest.fixture(scope="module")
def abdomens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task("btcv", "smoke", tmp_path_factory.mktemp("few"))


def cases_of(folder: Path, seed: int, ratio: float) -> TaskCases:
    spec = make_spec(method="unet3d_scratch", task="btcv", seed=seed, ratio=ratio, preset="tiny", phantom=True)
    return find_cases(spec, registry.task("btcv"), folder, {})


def test_three_seeds_label_three_sets_of_cases_and_test_on_the_same(abdomens: Path) -> None:
    found = [cases_of(abdomens, seed, 0.25) for seed in range(4)]
    assert len({cases.train for cases in found}) == 3 and found[3].train == found[0].train
    assert len({len(cases.train) for cases in found}) == 1
    assert len({(cases.here.val, cases.here.test, frozenset(cases.here.train)) for cases in found}) == 1
    assert found[0].told == () and "split-v1-b" in " ".join(found[1].told)


def test_the_manifest_of_such_a_run_lists_the_cases_that_it_labelled(abdomens: Path) -> None:
    found = cases_of(abdomens, 2, 0.25)
    card, splits = registry.task("btcv"), registry.splits_folder()
    listed = build("btcv", card, "bench", folder=abdomens, splits_folder=splits, ratio=0.25, order=found.order)
    assert tuple(r.case_id for r in listed.records if r.split == "train") == found.train and found.order == 2


def test_with_all_labels_a_seed_chooses_no_case(abdomens: Path) -> None:
    assert cases_of(abdomens, 1, 1.0).train == cases_of(abdomens, 0, 1.0).train
