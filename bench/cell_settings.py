"""What parts a cell from others of the same words: the settings of its command line, and any deciding value that differs."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from bench.contracts.configs import FineTuneConfig, Inference, MethodConfig
from bench.contracts.record import Cell
from bench.spec import at

_WITHOUT_EFFECT = {"seed", "fold", "pretrain_seed"} | {
    field.name
    for config in (MethodConfig, FineTuneConfig, Inference)
    for field in dataclasses.fields(config)
    if not field.metadata.get("decides", True)
}
_BEFORE = {  # what a record from before a field was means by its absence
    field.name: json.dumps(field.default)
    for config in (MethodConfig, FineTuneConfig)
    for field in dataclasses.fields(config)
    if "since" in field.metadata
}
Item = TypeVar("Item")
Group = TypeVar("Group", bound=Hashable)
RowKey = tuple[str, str, str]


def with_settings(cells: Sequence[Cell]) -> list[tuple[RowKey, Cell]]:
    """Each cell with its row: method, corpus, and what parts it from cells of the same words.

    That is what the command line set, and any deciding value that still differs among the runs of one column, the volumes of a
    corpus (not of a task's own, which go by the fold) and the file of weights from elsewhere among them.
    """
    placed: list[tuple[RowKey, Cell]] = []
    groups = grouped(cells, lambda c: (c.method, c.variant, c.corpus, c.partial, _asked(c), c.task, c.target, c.ratio))
    for (method, variant, corpus, partial, asked, *_), group in groups.items():
        configs = [_flat(cell.config) for cell in group]
        names = sorted({name for config in configs for name in config})
        differing = [name for name in names if len({_value(config, name) for config in configs}) > 1]
        pools = len({cell.corpus_id for cell in group if cell.corpus_id}) > 1 and corpus != "own"
        for cell, config in zip(group, configs, strict=True):
            unasked = [f"{name}={_value(config, name)}" for name in differing]
            unasked += [cell.corpus_id or f"{corpus}, not recorded which"] if pools else []
            setting = ", ".join([*([f"partial: {partial}"] if partial else []), *asked, *unasked])
            placed.append(((at(method, variant), corpus, setting), cell))
    return placed


def _value(config: Mapping[str, str], name: str) -> str:
    """A value of `_flat`; a record from before a field was has that field's default."""
    return config[name] if name in config else _BEFORE.get(name.rpartition(".")[2], "absent")


def _asked(cell: Cell) -> tuple[str, ...]:
    """The deciding `--set` words of a cell's command, in one order and each number in one spelling, whatever theirs was."""
    try:
        words = shlex.split(cell.command)
    except ValueError:  # a stranger's record
        words = cell.command.split()
    told = [word for before, word in pairwise(words) if before == "--set"]
    told += [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    return tuple(sorted(_spelt(w) for w in told if w.partition("=")[0].rpartition(".")[2] not in _WITHOUT_EFFECT))


def _spelt(word: str) -> str:
    """Numbers and truths in one spelling, words as typed. Example: `lr=1e-3` is `lr=0.001`, `crop=(96, 96,32)` `crop=96,96,32`."""
    name, equals, text = word.partition("=")
    parts = [_plain(part.strip()) for part in text.strip("()").split(",") if part.strip()]
    return word if None in parts else f"{name}{equals}{','.join(part for part in parts if part)}"


def _plain(text: str) -> str | None:
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        return f"{float(text):.15g}"
    except ValueError:
        return None


def _flat(config: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What decides a result, as `phase.field` -> JSON text; seeds, folds and fields that are only recorded left out."""
    return {
        f"{phase}.{field}": json.dumps(value, sort_keys=True)
        for phase, values in config.items()
        for field, value in values.items()
        if field not in _WITHOUT_EFFECT
    }


def grouped(items: Iterable[Item], key: Callable[[Item], Group]) -> dict[Group, list[Item]]:
    """Items by their key, keys in the order of their first items."""
    groups: dict[Group, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
