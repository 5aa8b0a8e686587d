"""Specs -> ordered jobs: what would run, what is there, what it would cost. A pre-training shared by many cells appears once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.chain import Chain
from bench.contracts.errors import SpecError
from bench.data.atomic import write_json
from bench.forecast import Forecast, forecast
from bench.spec import RunSpec, at, make_spec

SCHEMA = "bench-plan/1"
_USUAL = RunSpec(method="", task="")


@dataclass(frozen=True)
class JobLine:
    """One job of a plan. `state` is done, started or to do."""

    room: str
    what: str
    key: str
    state: str
    forecast: Forecast

    def line(self) -> tuple[str, ...]:
        f = self.forecast
        return (self.room, self.what, self.state, _number(f.hours), _number(f.memory_gib), _number(f.disk_gib), f.basis)

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "forecast": dataclasses.asdict(self.forecast)}


def make_plan(specs: Sequence[RunSpec], place: Any, told: Sequence[str] = ()) -> list[JobLine]:
    """The jobs of some specs in the order they would run; nothing is trained, phantoms are written where asked for.

    `told` says of each spec what its own jobs are called by besides, where their words do not tell them apart.
    """
    from bench import finetune, pretrain
    from bench.run import resolve_at
    from bench.store import Store

    store = Store(place.results)
    jobs: dict[str, JobLine] = {}
    for spec, more in zip(specs, told or [""] * len(specs), strict=True):
        chain = resolve_at(spec, place)
        scored = store.find(chain.key) is not None  # then its trainings may lie on another machine
        for room, key in chain.keys.items():
            if room in ("predict", "score") or (key in jobs and (scored or jobs[key].state != "done")):
                continue
            kind = room.partition(":")[0]
            folder = place.folder(kind, key)
            begun = (folder / "log.jsonl").exists()
            done = scored or {"pretrain": pretrain, "finetune": finetune}[kind].finished(folder)
            state = "done" if done else "started" if begun else "to do"
            jobs[key] = JobLine(room, _what(chain, room, more), key, state, forecast(chain, room, state, place))
        jobs[chain.key] = _cell_line(chain, "done" if scored else "to do", more)
    return list(jobs.values())


def write_plan(specs: Sequence[RunSpec], path: Path) -> None:
    """Write the specs of a plan atomically, as `bench run --plan` reads them."""
    write_json(path, {"schema": SCHEMA, "cells": [dataclasses.asdict(spec) for spec in specs]})


def read_plan(path: Path) -> list[RunSpec]:
    """Read a plan; SpecError when the file is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("schema") != SCHEMA:
            raise ValueError(f"schema {found.get('schema')!r}, expected {SCHEMA!r}")
        specs = [_spec(cell) for cell in found["cells"]]
        if not specs:
            raise ValueError("it names no cell")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise SpecError(
            f"Not a plan: {told}.", case=str(path), remedy="Write one: bench plan ... --out plan.json"
        ) from error
    return specs


def _spec(cell: dict[str, Any]) -> RunSpec:
    """One cell of a plan, its words checked as if they were typed: a person may have edited the file."""
    words = {**cell, "method": at(cell["method"], cell["variant"]), "task": at(cell["task"], cell["target"])}
    settings = tuple(f"{phase}.{key}={value}" if phase else f"{key}={value}" for phase, key, value in cell["settings"])
    for part in ("variant", "target", "settings"):
        words.pop(part)
    for name, value in words.items():
        due = type(getattr(_USUAL, name, value))
        if type(value) is not due and not (due is float and type(value) is int):
            raise ValueError(f"{name} must be of type {due.__name__}, found {value!r}")
    return make_spec(settings=settings, **words)


def _cell_line(chain: Chain, state: str, more: str) -> JobLine:
    return JobLine(
        "predict, score", _what(chain, "score", more), chain.key, state, Forecast(None, None, None, "after fine-tuning")
    )


def _what(chain: Chain, room: str, more: str) -> str:
    """A pre-training is many cells', so of it only its own settings are told."""
    spec = chain.words.spec
    method = at(spec.method, spec.variant)
    if room.startswith("pretrain"):
        name = room.partition(":")[2]
        here = [(key, value) for phase, key, value in spec.settings if phase in ("", name)]
        told = [f"{key}={value}" for key, value in here if hasattr(chain.blueprint.phases[name], key)]
        return ", ".join([f"{method} {spec.preset} on {_pool(chain)}", *told])
    words = f"{method} {spec.preset} {at(spec.task, spec.target)} {spec.protocol} r{spec.ratio:g} s{spec.seed}"
    return f"{words}, {more}" if more else words


def _pool(chain: Chain) -> str:
    """A corpus as a record names it: `mim-10k#a1b2c3d4, 7,214/10,502`; `own (msd04)`."""
    word, corpus = chain.words.corpus_word, chain.words.corpus
    if word == "own" or corpus is None:
        return f"{word} ({chain.words.spec.task})" if word == "own" else word
    return corpus.told


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
