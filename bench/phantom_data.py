"""Phantoms in the official layouts, written once below `results/runs/phantoms/` and found like any dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from bench import registry
from bench.contracts.cards import TaskCard
from bench.contracts.errors import SpecError, StoreError, nearest
from bench.contracts.protocols import Layout
from bench.corpus_words import corpus_word
from bench.data.atomic import write_json
from bench.data.lock import only_one
from bench.data.roster import roster_of
from bench.data.splits import interleaved, lists, read_list
from bench.phantoms import GENERATOR_VERSION
from bench.spec import RunSpec
from bench.train.progress import Progress, Silent

Size = Literal["smoke", "mini"]
PARTS: Mapping[Size, tuple[int, int, int]] = {"smoke": (8, 2, 3), "mini": (30, 4, 8)}
"""Cases of the train, val and test part that are written, at most; a layout may have `phantom_parts` of its own."""
CORPUS: Mapping[Size, int] = {"smoke": 8, "mini": 60}
"""Cases of a corpus' member that are written, at most."""
WHOLE_CORPUS: Mapping[Size, int] = {"smoke": 64, "mini": 360}
"""Cases of a corpus of many members that are written, about."""


def phantoms_for(spec: RunSpec, results: Path, progress: Progress | None = None) -> Path:
    """Make sure that the phantoms of a run's task and corpus exist; return the folder that stands in for every dataset.

    Preset `tiny` takes the `smoke` size, all others `mini`.
    """
    size: Size = "smoke" if spec.preset == "tiny" else "mini"
    root = results / "runs" / "phantoms" / size
    write_task(spec.task, size, root, progress)
    word = corpus_word(spec)
    if word not in ("none", "file", "own", "folder"):
        write_corpus(word, size, root, progress)
    return root


def write_task(name: str, size: Size, root: Path, progress: Progress | None = None) -> Path:
    """Write a task's phantom under its official folder name and case ids; a finished one is kept."""
    card = registry.task(name)
    folder = root / (card.folders[0] if card.folders else name)
    return _write_once(card.files, folder, task_ids(card, size), size, progress)


def write_corpus(name: str, size: Size, root: Path, progress: Progress | None = None) -> list[Path]:
    """Write the phantom of every member of a corpus that has one."""
    members, written = registry.corpus(name).members, []
    most = min(CORPUS[size], max(1, WHOLE_CORPUS[size] // len(members)))
    for member in members:
        ids = read_list(registry.splits_folder(), *member.cases) if member.cases else _invented(member.key)
        folder = root / (member.folders[0] if member.folders else member.key)
        if wanted := ids[: member.phantoms.get(size, most)]:
            written.append(_write_once(member.files, folder, wanted, size, progress))
    return written


def task_ids(card: TaskCard, size: Size) -> list[str]:
    """The first official ids of each part, over all protocols of the task, so that every protocol's parts have cases.

    Where the lists tell classes, the first of each in turn, so that a small test part holds them all.
    """
    chosen: dict[str, None] = {}
    told = hasattr(card.files, "strata") or hasattr(card.files, "own_parts")
    roster = roster_of(card.files, None) if told else None
    sizes = getattr(card.files, "phantom_parts", PARTS)[size]
    for protocol in card.protocols.values():
        parts = lists(protocol.split, registry.splits_folder(), 0, roster)
        for part, most in zip((parts.train, parts.val, parts.test), sizes, strict=True):
            evenly = interleaved(part, parts.class_of) if parts.class_of else part
            chosen.update(dict.fromkeys(evenly[:most]))
    return list(chosen)


def _invented(key: str) -> list[str]:
    return [f"{key}_{number:04d}" for number in range(1, CORPUS["mini"] + 1)]


@dataclass(frozen=True)
class _Mark:
    """What `PHANTOM.json` says of a finished phantom: by which generator which cases and files were drawn; of none, nothing."""

    generator: str = ""
    cases: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()

    @property
    def earlier(self) -> bool:
        """True where another generator drew the files: they would else stand for what the present one draws."""
        return bool(self.generator) and self.generator != f"bench.phantoms {GENERATOR_VERSION}"

    def holds(self, ids: Sequence[str]) -> bool:
        """True where the present generator has drawn all of these cases."""
        return not self.earlier and set(ids) <= self.cases


def _mark(folder: Path) -> _Mark:
    path = folder / "PHANTOM.json"
    if not path.exists():
        return _Mark()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return _Mark(str(told["generator"]), frozenset(told["cases"]), tuple(told["files"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"This is no mark that a phantom leaves, or it was damaged ({type(error).__name__}: {error}).",
            case=str(path),
            remedy=f"Remove the folder {folder}, and repeat the command.",
        ) from error


def _remove(folder: Path, drawn: _Mark) -> None:
    """Take away what was drawn, and nothing else; from then on the folder counts as unfinished, never as real."""
    for name in drawn.files:
        (folder / name).unlink(missing_ok=True)
    (folder / "PHANTOM.json").unlink()
    write_json(folder / "PHANTOM.unfinished.json", {})


def _write_once(layout: Layout, folder: Path, ids: Sequence[str], size: Size, progress: Progress | None) -> Path:
    if _mark(folder).holds(ids):  # nothing to write, so it may lie where one may not
        return folder
    with only_one(folder):
        drawn = _mark(folder)
        if drawn.earlier:
            _remove(folder, drawn)
        if not drawn.holds(ids):
            shown = progress or Silent()
            shown.start(f"phantom {folder.name}", 1)
            layout.write_phantom(folder, ids, size)
            shown.advance(1)
            shown.finish()
    return folder


def make_phantoms(name: str, size: str, out: Path, progress: Progress | None = None) -> list[tuple[str, Path]]:
    """Write the phantoms of one task, one corpus or `all` below `out`; returns (key, folder) pairs.

    Raises SpecError for an unknown name or size.
    """
    if size not in PARTS:
        raise SpecError(
            f"No size '{size}'. {nearest(size, PARTS)}Possible: {', '.join(PARTS)}.",
            case=name,
            remedy="Name one of them with --size.",
        )
    tasks, corpora = registry.names(registry.TASKS), registry.names(registry.CORPORA)
    registry.task_or_corpus(name, "all")
    chosen = cast("Size", size)
    written = [(key, write_task(key, chosen, out, progress)) for key in tasks if name in (key, "all")]
    for key in corpora:
        if name in (key, "all"):
            written += [(key, folder) for folder in write_corpus(key, chosen, out, progress)]
    return written
