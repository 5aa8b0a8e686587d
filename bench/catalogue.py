"""What there is: the lists and the cards behind `bench list` and `bench show`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from bench import registry
from bench.contracts.cards import PRESETS, CorpusCard, TaskCard
from bench.contracts.configs import phases
from bench.contracts.errors import SpecError, nearest
from bench.contracts.protocols import Protocol, SplitRule
from bench.data.splits import lists
from bench.find_cell import seek_cell
from bench.keys import plain
from bench.store import Store

SORTS = {"methods": registry.METHODS, "tasks": registry.TASKS, "corpora": registry.CORPORA}
SHOWN = {
    "methods": ("name", "title", "family", "paper", "corpus", "variants", "origin"),
    "tasks": ("name", "title", "modality", "protocols", "licence", "origin"),
    "corpora": ("name", "title", "modality", "printed", "origin"),
}
FIELD = re.compile(r"^\s+(?P<name>\w+)\s*:[^#]*#\s*(?P<source>.+?)\s*$")


def listing(sort: str) -> list[dict[str, Any]]:
    """Objects with `name` for methods, tasks, corpora or tables; cards are read as text, nothing is imported."""
    if sort == "tables":
        return [*_paper_tables(), *_boards()]
    if sort not in SORTS:
        raise SpecError(
            f"Nothing called '{sort}' to list. {nearest(sort, [*SORTS, 'tables'])}Possible: {', '.join(SORTS)}, tables.",
            case=sort,
            remedy="For example: bench list tasks",
        )
    cards = registry.describe(SORTS[sort])
    return [{key: card[key] for key in SHOWN[sort] if key in card} for card in cards]


def show_name(name: str, preset: str, results: Path) -> dict[str, Any]:
    """All that is known of a method, task, corpus or stored cell; a cell goes by what `bench.find_cell` takes."""
    if preset not in PRESETS:
        raise SpecError(
            f"No preset '{preset}'. {nearest(preset, PRESETS)}Possible: {', '.join(PRESETS)}.",
            remedy=f"Those that a method has: bench show {name}",
        )
    key, _, variant = name.partition("@")
    if key in registry.names(registry.METHODS):
        return show_method(key, variant, preset)
    if key in registry.names(registry.TASKS):
        return show_task(key, registry.task(key))
    if key in registry.names(registry.CORPORA):
        return show_corpus(key, registry.corpus(key))
    cell, results = seek_cell(name, results)
    if cell is not None:
        found: dict[str, Any] = json.loads(Store(results).path(cell.name).read_text(encoding="utf-8"))
        return found
    everything = _names(registry.METHODS, registry.TASKS, registry.CORPORA)
    raise SpecError(
        f"No method, task, corpus or cell '{name}'. {nearest(name, everything)}".strip(),
        case=name,
        remedy="All of them: bench list methods | tasks | corpora; cells: bench table all",
    )


def show_method(name: str, variant: str = "", preset: str = "full") -> dict[str, Any]:
    """A method's card: counts of parameters at the paper's size, and every config value with its source.

    `encoder` and `total` count trainable parameters of the encoder and of the whole pre-training network at preset full (for a
    method without pre-training: of the segmentation network with 14 outputs); fixed tables stand under `frozen`. Where
    several optimisers share the work, `phase.turn` counts what each of them moves. `flops` is `bench.flops.count_flops`.
    """
    from bench.blueprint import chosen_preset
    from bench.parameters import count_parameters
    from bench.spec import RunSpec

    card = registry.method(name)
    config = chosen_preset(card, RunSpec(method=name, task="", variant=variant, preset=preset))
    return {
        "name": name,
        "kind": "method",
        "title": card.title,
        "family": card.family,
        "paper": card.paper,
        "version": card.version,
        "parameters": count_parameters(card),
        "flops": dict(_flops(name)),
        "decoder": card.decoder,
        "corpus": card.corpus,
        "needs": sorted(card.needs),
        "dims": sorted(card.dims),
        "presets": [p for p in PRESETS if getattr(card, p) is not None],
        "variants": {key: plain(dict(changes)) for key, changes in card.variants.items()},
        "on_corpus": {key: plain(dict(changes)) for key, changes in card.on_corpus.items()},
        "config": {phase: sourced(values, f"preset {preset}") for phase, values in phases(config).items()},
    }


def show_task(name: str, card: TaskCard) -> dict[str, Any]:
    """A task's card, its protocols resolved."""
    return {
        "name": name,
        "kind": card.kind,
        "title": card.title,
        "version": card.version,
        "modality": card.modality,
        "channels": card.channels,
        "classes": list(card.classes),
        "targets": {key: list(merged) for key, merged in card.targets.items()},
        "cases": dict(card.counts),
        "gigabytes": card.gigabytes,
        "licence": card.licence,
        "page": card.page,
        "citation": card.citation,
        "tree": card.files.tree(),
        "protocols": {key: _protocol(protocol) for key, protocol in card.protocols.items()},
    }


def _protocol(protocol: Protocol) -> dict[str, Any]:
    """A protocol's values, what a reader asks for first at the top: how many cases each part has, sight, metrics, recipe."""
    values = plain(dataclasses.asdict(protocol))
    values["listed"] = _listed(protocol.split)
    values["files"] = protocol.files.tree() if protocol.files else ""
    first = (
        "listed",
        "label_ratios",
        "spacing_mm",
        "patch_voxels",
        "intensity",
        "metrics",
        "recipe",
        "inference",
        "split",
    )
    return {key: values[key] for key in (*first, *(key for key in values if key not in first))}


def _listed(rule: SplitRule) -> dict[str, int | str]:
    """Cases, or groups of them, in each part of fold 0, as far as lists of ours tell; a dataset's own tables are not asked."""
    try:
        parts = lists(rule, registry.splits_folder())
    except SpecError:
        return {"train": "told by the owners' tables"}
    val = "chosen on test" if parts.selects_on_test else len(parts.val)
    return {"train": len(parts.train), "val": val, "test": len(parts.test), "of": f"{rule.unit}s"}


def show_corpus(name: str, card: CorpusCard) -> dict[str, Any]:
    """A corpus' card with its members."""
    members = [{"name": m.key, "printed": m.printed, "folders": list(m.folders)} for m in card.members]
    return {
        "name": name,
        "kind": "corpus",
        "title": card.title,
        "modality": card.modality,
        "printed": card.printed,
        "members": members,
        "licence": card.licence,
        "page": card.page,
        "notes": list(card.notes),
    }


@cache
def _flops(name: str) -> dict[str, Any]:
    """Counted once a process: a person may look at several presets, the count is that of `full`."""
    from bench.flops import count_flops

    return count_flops(registry.method(name))


def sourced(config: Any, preset: str) -> dict[str, dict[str, Any]]:
    """Every value of a config with its source: the comment beside its field, or the preset that changed it."""
    comments = field_comments(type(config))
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        changed = field.default is not dataclasses.MISSING and value != field.default
        source = (
            f"{preset} (the field's own: {comments.get(field.name, '')})" if changed else comments.get(field.name, "")
        )
        values[field.name] = {"value": plain(value), "source": source}
    return values


def field_comments(config_class: type) -> dict[str, str]:
    """The trailing comment of every field of a config class; a subclass' comment wins."""
    found: dict[str, str] = {}
    for base in reversed(config_class.__mro__):
        if dataclasses.is_dataclass(base):
            lines = inspect.getsource(base).splitlines()
            found |= {m["name"]: m["source"] for line in lines if (m := FIELD.match(line))}
    return found


def _paper_tables() -> list[dict[str, Any]]:
    """The tables of the four papers; `cells` counts their printed values."""
    from bench.published.layout import paper_tables

    return [
        {
            "name": table.name,
            "title": table.title,
            "paper": table.paper.short,
            "rows": len(rows := table.rows()),
            "columns": len(table.columns),
            "cells": sum(cell is not None for row in rows for cell in row.cells),
        }
        for table in paper_tables()
    ]


def _boards() -> list[dict[str, Any]]:
    """Tables of our own cells: all of them, or those of one task or method."""
    keys = _names(registry.TASKS, registry.METHODS)
    return [
        {"name": "all", "title": "every cell in the store"},
        {"name": "leaderboard", "title": "every result on its board, with tie letters"},
        *({"name": key, "title": f"cells of {key}"} for key in keys),
    ]


def _names(*shelves: registry.Shelf) -> list[str]:
    return [name for shelf in shelves for name in registry.names(shelf)]
