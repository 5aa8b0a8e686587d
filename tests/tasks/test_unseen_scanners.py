"""Phantoms of sets that are told by a split: reserved scanners take the cases that are tested, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.data.splits import lists
from bench.phantom_data import task_ids
from bench.phantoms.nodules import lung_block, reserved_site, scanned
from bench.phantoms.scanner import SITES
from tasks.layouts.phantom_case import held_out, marked


@pytest.mark.parametrize("task", ["stoic", "ccccii", "lidc", "luna16"])
def test_only_tested_cases_look_otherwise_than_they_would_without_a_split(task: str, tmp_path: Path) -> None:
    card = registry.task(task)
    ids = task_ids(card, "smoke")
    told = held_out(card.files.unseen, card.files)  # type: ignore[attr-defined]
    train, test = next(case for case in ids if case not in told), next(case for case in ids if case in told)
    written = {}
    for name, layout in (("told", card.files), ("untold", replace(card.files, unseen=None))):  # type: ignore[type-var]
        for case in (train, test):
            folder = tmp_path / name / case.replace("/", "_")
            layout.write_phantom(folder, [case], "smoke")
            voxels = (".dcm", ".raw", ".png", ".mha")
            written[name, case] = {p: digest for p, digest in marked(folder)["files"].items() if p.endswith(voxels)}
    assert written["told", train] == written["untold", train]
    once, again = written["told", test], written["untold", test]
    assert once and set(once) == set(again) and all(once[path] != again[path] for path in once)


@pytest.mark.parametrize("task", ["ccccii", "lidc", "luna16"])
def test_the_tested_units_are_those_of_the_bench_split(task: str) -> None:
    card = registry.task(task)
    assert card.files.unseen == card.protocols["bench"].split  # type: ignore[attr-defined]
    expected = lists(card.protocols["bench"].split, registry.splits_folder()).test
    assert held_out(card.files.unseen, card.files) == set(expected) != set()  # type: ignore[attr-defined]
    assert held_out(None, card.files) == set()


def test_both_reserved_scanners_take_blocks_of_lung_and_each_shows_its_noise() -> None:
    sites = {site.name: site for site in (reserved_site("smoke", "lidc", str(n)) for n in range(20))}
    assert set(sites) == {site.name for site in SITES if site.reserved}
    block = lung_block((24, 24, 24), np.random.default_rng(0))
    lung = block < -500
    smooth = {
        name: np.abs(np.diff(scanned(np.where(lung, np.float32(-640), block), np.random.default_rng(1), site), axis=2))[
            lung[..., 1:]
        ].mean()
        for name, site in {**sites, "ordinary": None}.items()
    }
    assert smooth["fern"] > 1.2 * smooth["ordinary"] and smooth["fern"] > 1.2 * smooth["elder"]
