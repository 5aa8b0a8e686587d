"""The record of a run: what was asked for, what came of it, and what departs from the paper."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cell_files import cell_name
from bench.chain import Chain
from bench.contracts.counts import how_many
from bench.contracts.record import SCHEMA_CELL, Cell
from bench.corpora import corpus_id
from bench.data.exposure import Exposure
from bench.data.manifest import Manifest
from bench.keys import plain
from bench.provenance import provenance
from bench.recipe import inference_word
from bench.score import Scores
from bench.spec import RunSpec


def make_cell(
    chain: Chain,
    training: Mapping[str, Mapping[str, Any]],
    scores: Scores,
    predictions: str,
    manifest: Manifest,
    seen: Exposure,
) -> Cell:
    """The record of a run: its words, what each training says of itself, its scores, the sha256 of its predictions, the hash
    of its cases' files, and what pre-training has seen of its test cases."""
    words, plan, setup = chain.words, chain.blueprint, chain.blueprint.setup
    spec, cases = words.spec, words.cases
    hashes = {f"{name}:{end}": t[f"{end}_sha256"] for name, t in training.items() for end in ("initial", "final")}
    configs = {
        **plan.phases,
        "architecture": plan.architecture,
        "finetune": setup.recipe,
        inference_word(plan.phases): setup.inference,
    }
    corpus_notes = words.corpus.notes if words.corpus else ()
    return Cell(
        schema_=SCHEMA_CELL,
        name=cell_name(
            method=spec.method,
            variant=spec.variant,
            task=spec.task,
            target=setup.target,
            protocol=spec.protocol,
            ratio=spec.ratio,
            preset=spec.preset,
            corpus=words.corpus_word,
            seed=spec.seed,
            fold=spec.fold,
            key=chain.key,
        ),
        key=chain.key,
        method=spec.method,
        variant=spec.variant,
        task=spec.task,
        target=setup.target,
        protocol=spec.protocol,
        ratio=spec.ratio,
        preset=spec.preset,
        corpus=words.corpus_word,
        corpus_id=_corpus_id(chain),
        corpus_volumes=(words.corpus.found, words.corpus.printed) if words.corpus else None,
        seed=spec.seed,
        pretrain_seed=next((c.seed for c in plan.phases.values()), 0),
        fold=spec.fold,
        source=cases.source,
        partial=cases.partial,
        metrics=setup.protocol.metrics,
        classes=setup.classes,
        scores=_nullable(scores.means),
        class_scores={name: _nullable(means) for name, means in scores.class_means.items()},
        n=len(cases.here.test),
        n_listed=len(cases.listed.test),
        n_train=len(cases.train),
        counts=dict(scores.counts),
        average=setup.protocol.average,
        distance_unit=setup.protocol.distance_unit,
        config={name: plain(dataclasses.asdict(config)) for name, config in configs.items()},
        keys=dict(chain.keys),
        hashes={**hashes, "predictions": predictions},
        content_hash=manifest.header.content_hash,
        command=spec.words(),
        differs=_departures(chain, training),
        notes=(*setup.protocol.notes, *words.cases.told, *corpus_notes),
        exposure=seen.summary,
        exposed=dict(seen.cases),
        excluded=cases.excluded,
        provenance={**provenance(), "spec": _without_paths(spec)},
        training=json.loads(json.dumps(training)),
    )


def _corpus_id(chain: Chain) -> str:
    """Which volumes were pre-trained on, or which file of weights was brought; '' for neither."""
    if chain.words.corpus:
        return chain.words.corpus.id
    return corpus_id(chain.words.corpus_word, chain.brought) if chain.brought else ""


def _departures(chain: Chain, training: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What departs from the paper, what was missing, and what training had to change on the way."""
    cases = chain.words.cases
    told = list(chain.blueprint.differs)
    if cases.missing:
        train = f"{len(cases.train)} of {cases.n_train_listed} training cases"
        grouped = f"{cases.counted} of the split; {how_many(len(cases.train), 'training case')}"
        told.append(grouped if cases.listed.grouped else f"{cases.counted} cases of the split; {train}")
    told += cases.cut_short
    if cases.source == "phantom":
        told.append("phantom data")
    if chain.blueprint.setup.recipe.selection == "best_val" and not cases.here.val:
        told.append("no validation case is at hand: the last weights are taken, not the best")
    return (*told, *dict.fromkeys(note for t in training.values() for note in t.get("notes", ())))


def _nullable(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _without_paths(spec: RunSpec) -> dict[str, Any]:
    """The spec as a record keeps it: where a stranger's files lay is nobody's business."""
    return dataclasses.asdict(spec) | {
        "root": "",
        "corpus_root": "",
        "weights": Path(spec.weights).name if spec.weights else "",
    }
