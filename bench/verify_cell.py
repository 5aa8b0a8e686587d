"""A stored cell held against what it left: its files hashed again, its predictions scored again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import registry
from bench.blueprint import blueprint
from bench.case_rows import CaseRow
from bench.cases import cached, find_cases
from bench.chain import keys_of_tests
from bench.contracts.errors import StoreError
from bench.contracts.record import Cell
from bench.data.digest import sha256_of_folder
from bench.find_cell import find_cell
from bench.phantom_data import phantoms_for
from bench.restore import spec_of
from bench.run import Place
from bench.score import score, summarise
from bench.store import Store
from bench.train.checkpoint import load_weights, sha256_of_weights
from bench.train.hardware import Hardware
from bench.verify import VerifyReport, verify


def verify_cell(cell: str, results: Path, root: str, environ: Mapping[str, str]) -> VerifyReport:
    """Re-hash what a cell left and re-score it from its predictions, where those and the truth are on disk."""
    found, results = find_cell(cell, results)
    place = Place.at(results, environ=environ, hardware=Hardware(device="cpu"))
    predictions = place.folder("predict", found.keys["predict"]) / "predictions"

    def rescore(stored: Cell) -> Sequence[CaseRow] | None:
        return _rescored(stored, predictions, root, place) if predictions.is_dir() else None

    def summary(stored: Cell, rows: Sequence[CaseRow]) -> dict[str, float | None]:
        means, by_class = summarise(rows, stored.average, stored.metrics)
        means |= {f"{name} {metric}": mean for name, found in by_class.items() for metric, mean in found.items()}
        return {name: None if math.isnan(value) else value for name, value in means.items()}

    rehash = {"predictions": lambda: sha256_of_folder(predictions)} | {
        f"{room.removeprefix('pretrain:')}:final": partial(weights_digest, place.folder(room.partition(":")[0], key))
        for room, key in found.keys.items()
        if room == "finetune" or room.startswith("pretrain:")
    }
    return verify(found.name, Store(results), rescore, rehash=rehash, summarise=summary)


def weights_digest(folder: Path) -> str | None:
    """The digest of the weights that a training left, counted again; None when they are gone."""
    for name in ("model.safetensors", "method.safetensors"):
        if (folder / name).exists():
            return sha256_of_weights(load_weights(folder / name)[0])
    return None


def _rescored(stored: Cell, predictions: Path, root: str, place: Place) -> Sequence[CaseRow]:
    """The stored predictions scored again. Only the test cases are looked for: neither corpus nor weights are needed."""
    spec = dataclasses.replace(spec_of(stored), root=root)
    phantoms = phantoms_for(spec, place.results) if spec.phantom else None
    card, where = registry.task(spec.task), phantoms or (Path(root) if root else None)
    cases = find_cases(spec, card, where, {} if phantoms else place.environ)
    cases = cases.without(stored.excluded) if stored.excluded else cases
    setup = blueprint(spec).setup
    if keys_of_tests(spec, setup, cases, stored.keys["finetune"])["score"] != stored.key:
        raise StoreError(
            "The test cases, or how this code predicts and scores them, have changed since, so old and new scores cannot be "
            "compared.",
            case=stored.name,
            remedy=f"Check out the commit in the record, and check the data: bench data check {stored.task}",
        )
    tests = dataclasses.replace(cases, here=dataclasses.replace(cases.here, train=(), val=()))
    volumes = cached(tests, card, setup.protocol, place.cache)
    kind: Any = registry.kind(card.kind)
    return score(setup, kind, cases.folder, cases.pick(cases.here.test), volumes, predictions).rows
