"""A run of few labels takes its seed's order of the training units, keeps val and test, and says so in its record."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench import registry
from bench.cases import TaskCases, find_cases
from bench.chain import find, resolve
from bench.contracts.configs import Shape3
from bench.contracts.record import CHOSEN_BY_SEED
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
    assert found[0].told == () and found[1].told[0].startswith(CHOSEN_BY_SEED) and "split-v1-b" in found[1].told[0]


def test_the_manifest_of_such_a_run_lists_the_cases_that_it_labelled(abdomens: Path) -> None:
    found = cases_of(abdomens, 2, 0.25)
    card, splits = registry.task("btcv"), registry.splits_folder()
    listed = build("btcv", card, "bench", folder=abdomens, splits_folder=splits, ratio=0.25, order=found.order)
    assert tuple(r.case_id for r in listed.records if r.split == "train") == found.train and found.order == 2


def test_with_all_labels_a_seed_chooses_no_case(abdomens: Path) -> None:
    assert cases_of(abdomens, 1, 1.0).train == cases_of(abdomens, 0, 1.0).train


def test_whatever_cases_a_seed_labels_the_pool_of_ones_own_volumes_comes_in_one_order(abdomens: Path) -> None:
    pools = []
    for seed in range(3):
        words = {"method": "mae3d", "task": "btcv", "ratio": 0.25, "preset": "tiny", "corpus": "own"}
        chain = resolve(find(make_spec(**words, seed=seed, phantom=True), {}, abdomens.parent))
        assert chain.words.corpus is not None
        ((_, records),) = chain.words.corpus.members
        pools.append((chain.keys["pretrain:pretrain"], [record.case_id for record in records], chain.words.cases.order))
    assert [order for *_, order in pools] == [0, 1, 2]
    assert pools[0][:2] == pools[1][:2] == pools[2][:2]


@pytest.mark.parametrize(("task", "others"), [("adrenalmnist3d", ("spad",)), ("ccccii", ("mim", "mg3d"))])
def test_protocols_that_list_the_same_cases_in_another_order_have_pools_in_one_order(
    task: str, others: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blank(*_: object, shape: Shape3, **__: object) -> SimpleNamespace:
        return SimpleNamespace(image=np.zeros(shape))  # what pictures show is no matter here

    monkeypatch.setattr("tasks.layouts.ccccii.make_phantom", blank)
    folder, orders = write_task(task, "smoke", tmp_path), {}
    for protocol in ("bench", *others):
        spec = make_spec(method="mae3d", task=task, protocol=protocol, preset="tiny", phantom=True)
        cases = find_cases(spec, registry.task(task), folder, {})
        assert sorted(cases.pool) == sorted(cases.here.train)
        orders.setdefault(frozenset(cases.pool), set()).add(cases.pool)
    assert all(len(found) == 1 for found in orders.values())
