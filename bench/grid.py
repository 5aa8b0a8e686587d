"""Every method on every task, on smoke phantoms, in one process: does each pair that may be paired run from end to end?

One process, because imports cost more than a tiny run; each method pre-trains once, on its own paper's corpus, and all tasks
share that. A pair that was finished before is read, so an interrupted walk goes on where it stopped.
"""

from __future__ import annotations

import json
import statistics
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.blueprint import blueprint
from bench.check_words import check_words
from bench.contracts.errors import BenchError, SpecError, StoreError
from bench.data.atomic import write_json
from bench.run import Place, run
from bench.spec import RunSpec, make_spec

SUMMARY = "grid.json"


@dataclass(frozen=True)
class Pair:
    """What became of one method on one task. `seconds` is of this walk: next to nothing for a pair finished before."""

    method: str
    task: str
    state: Literal["ok", "skipped", "failed"]
    seconds: float
    reason: str = ""
    cell: str = ""


def chosen(shelf: registry.Shelf, words: str) -> tuple[str, ...]:
    """`all`, or names joined by commas; SpecError with the nearest for a name that is not there, and for none."""
    if words == "all":
        return registry.names(shelf)
    found = tuple(registry.known(shelf, word.strip()) for word in words.split(",") if word.strip())
    if not found:  # a walk over nothing would end like one in which all went well
        raise SpecError(
            f"'{words}' names nothing.", remedy="Leave it out for all: bench list methods, bench list tasks"
        )
    return found


def walk(methods: Sequence[str], tasks: Sequence[str], place: Place) -> Iterator[Pair]:
    """Run each pair at preset `tiny` on phantoms, method by method, and say what became of it."""
    for method in methods:
        for task in tasks:
            yield _pair(make_spec(method=method, task=task, preset="tiny", phantom=True), place)


def _pair(spec: RunSpec, place: Place) -> Pair:
    begun = time.monotonic()

    def told(state: Literal["ok", "skipped", "failed"], reason: str = "", cell: str = "") -> Pair:
        return Pair(spec.method, spec.task, state, time.monotonic() - begun, reason, cell)

    try:
        try:
            check_words(spec)
            blueprint(spec)
        except SpecError as error:  # these two do not go together, whatever data there are
            return told("skipped", error.message)
        cell = run(spec, place)
    except BenchError as error:
        return told("failed", f"{error.case}: {error.message}")
    except Exception as error:  # one broken pair must not hide the state of all others
        last = traceback.extract_tb(error.__traceback__)[-1]
        return told("failed", f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")
    assert cell is not None, "the grid is one process"
    return told("ok", cell=cell.name)


def summary(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Counts, the median seconds of a pair that ran, and every pair."""
    ran = [pair.seconds for pair in pairs if pair.state == "ok"]
    states = {state: sum(pair.state == state for pair in pairs) for state in ("ok", "skipped", "failed")}
    median = round(statistics.median(ran), 2) if ran else None
    return {
        **states,
        "median_s": median,
        "total_s": round(sum(pair.seconds for pair in pairs), 1),
        "pairs": [asdict(p) for p in pairs],
    }


def write_summary(path: Path, pairs: Sequence[Pair]) -> None:
    """Leave the summary as JSON. Pairs of an earlier walk that this one has not come to stay in it as they were."""
    walked = {(pair.method, pair.task) for pair in pairs}
    earlier = [pair for pair in read_summary(path) if (pair.method, pair.task) not in walked]
    write_json(path, summary([*earlier, *pairs]))


def matrix(pairs: Sequence[Pair]) -> tuple[list[str], list[list[str]], list[str]]:
    """Columns, rows (a task each, seconds or a sign per method) and the reasons behind the signs, numbered."""
    methods = list(dict.fromkeys(pair.method for pair in pairs))
    found = {(pair.method, pair.task): pair for pair in pairs}
    reasons: dict[str, int] = {}
    rows = []
    for task in dict.fromkeys(pair.task for pair in pairs):
        row = [task]
        for method in methods:
            pair = found.get((method, task))
            if pair is None:
                row.append("")
            elif pair.state == "ok":
                row.append(f"{pair.seconds:.1f}")
            else:
                number = reasons.setdefault(_general(pair), len(reasons) + 1)
                row.append(f"{'-' if pair.state == 'skipped' else 'FAILED'} [{number}]")
        rows.append(row)
    return ["task", *methods], rows, [f"[{number}] {reason}" for reason, number in reasons.items()]


def _general(pair: Pair) -> str:
    """A reason without the names in it, so that one reason has one number."""
    told = pair.reason.replace(f"The method '{pair.method}'", "The method").replace(f"'{pair.method}'", "the method")
    return told.replace(f"'{pair.task}'", "the task")


def read_summary(path: Path) -> list[Pair]:
    """The pairs of a summary that was written before, none where there is none. Raises StoreError for what is no summary."""
    try:
        return [Pair(**pair) for pair in json.loads(path.read_text(encoding="utf-8"))["pairs"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = f"{path} holds no summary of a walk: {type(error).__name__}: {error}."
        raise StoreError(
            told, case=path.name, remedy=f"Move {path} away; what was finished is in the cells."
        ) from error
