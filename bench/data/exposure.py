"""The exposure ledger: which test cases a pre-training has seen.

Source   the papers' corpora hold images of their own downstream tests; a result must say so (MiM-1k holds 185 of the 199
         COVID-19-20 scans, SPAD's pool all of BTCV)
Three ways to know, the surest first: the same voxels (whatever the file), the same name where corpus and task take their
names from one source, and what a corpus' card declares where names were changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.contracts.cards import CorpusCard
from bench.data.atomic import write_json

LEDGER = "seen.json"
UNKNOWN_FILE = "unknown: the weights come from a file, and what made them is not told"
UNKNOWN_OLD = "unknown: the pre-training left no list of what it saw"


@dataclass(frozen=True)
class SeenCase:
    """One volume of a pre-training: the set it belongs to, its name there, and the fingerprint of its voxels."""

    dataset: str
    case: str
    fingerprint: str


@dataclass(frozen=True)
class Exposure:
    """Test cases known to have been seen, each with how that is known, and one sentence for whoever reads the result."""

    cases: Mapping[str, str]
    summary: str


def write_seen(folder: Path, seen: Iterable[SeenCase]) -> None:
    """Leave the list of what a pre-training sees beside it, once: the folder's key decides what it holds."""
    if not (folder / LEDGER).exists():
        write_json(folder / LEDGER, [asdict(case) for case in seen])


def read_seen(folder: Path) -> list[SeenCase] | None:
    """What a pre-training saw; None where it left no list."""
    path = folder / LEDGER
    if not path.is_file():
        return None
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [SeenCase(**case) for case in found]


def exposure_of(
    tests: Mapping[str, str],
    seen: Iterable[SeenCase],
    *,
    shared_names: Iterable[str] = (),
    scans: Mapping[str, str] | None = None,
    declared: str = "",
) -> Exposure:
    """Which test cases (name -> fingerprint of its voxels) a pre-training has seen.

    `shared_names` are the datasets of the corpus whose names are the task's own; where several cases lie in one scan, `scans`
    says in which, for a corpus holds scans. `declared` is what the corpus' card says of the task: '' nothing, a text that
    starts with `all` counts every test case as seen, any other text is passed on.

    Example: of two test cases one is in the corpus under its own name: `1 of 2 test cases were seen in pre-training`.
    """
    everything, own_names, scan_of = list(seen), set(shared_names), scans or {}
    by_voxels = {case.fingerprint: case for case in everything if case.fingerprint}
    names = {case.case for case in everything if case.dataset in own_names}
    cases: dict[str, str] = {}
    for case, fingerprint in tests.items():
        if fingerprint in by_voxels:
            twin = by_voxels[fingerprint]
            cases[case] = f"the same voxels as {twin.dataset}/{twin.case}"
        elif case in names:
            cases[case] = "the same name in the corpus"
        elif scan_of.get(case) and scan_of[case] in names:
            cases[case] = "its scan is in the corpus under the same name"
        elif declared.startswith("all"):
            cases[case] = "declared on the corpus' card"
    said = f"{len(cases)} of {len(tests)} test cases were seen in pre-training" if cases else "no test case was seen"
    return Exposure(cases, f"{said}; the corpus' card says: {declared}" if declared else said)


def declared_by(card: CorpusCard, here: Collection[str]) -> dict[str, str]:
    """Task -> what a pool declares of its test cases, judged by those of its sets that are at hand (`here`, their keys).

    A set that holds a task's images (`overlaps`) has shown all of them, unless the card says otherwise of that task, the set bears
    the task's own names (`named_as`: then each case is looked up), or the set says itself that it holds a part (`exposes`).

    Example: a pool whose set `lits` overlaps with `msd03`: `{"msd03": "all: the pool's set lits holds its images"}`.
    """
    sets: dict[str, list[str]] = {}
    parts: dict[str, str] = {}
    for member in card.members:
        for task in member.overlaps if member.key in here else ():
            if task in member.exposes:
                parts.setdefault(task, member.exposes[task])
            else:
                sets.setdefault(task, []).extend([] if task in member.named_as else [member.key])
    holding = {
        task: f"all: the pool's set {' and '.join(keys)} holds its images" for task, keys in sets.items() if keys
    }
    return {**parts, **holding, **{task: words for task, words in card.exposes.items() if task in sets}}
