"""What the runs of a study say: each start against scratch on the same cases, and how fine-tuning went."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.compare import compare
from bench.compare_sides import Side
from bench.contracts.record import Cell
from bench.data.atomic import write_bytes, write_json
from bench.figures.courses import Course
from bench.run import Place, resolve_at
from bench.stats.paired import Paired
from bench.store import Store
from bench.study import Arm, Pool, Start, Way


@dataclass(frozen=True)
class Line:
    """What one arm, over its seeds, says against scratch on the same cases; `compared` is None for scratch itself. Its interval
    is over cases; how much seeds matter is told by `by_seed`, the difference of means for each seed that both have. They are seeds
    of fine-tuning, after one and the same pre-training. `losses` are means over the first and the last tenth of the log of each
    of its phases: did it learn what it was asked?
    `processors` are those that made the runs of both sides: the same run ends apart on two of them. `mean` is that of
    `scores`, one of each seed."""

    pool: str
    metric: str
    method: str
    start: Start
    way: Way
    ratio: float
    seeds: int
    mean: float
    compared: Paired | None
    by_seed: Mapping[int, float]
    losses: Mapping[str, Sequence[float]]
    processors: Sequence[str] = ()
    scores: Mapping[int, float] = field(default_factory=dict)


def recorded(kept: Sequence[Arm], place: Place) -> list[tuple[Arm, Cell]]:
    """The arms that have a cell, with it: all that a report needs, so that committed cells tell it anywhere."""
    store = Store(place.results)
    found = ((arm, store.find(resolve_at(arm.spec, place).key)) for arm in kept)
    return [(arm, cell) for arm, cell in found if cell is not None]


def report(found: Sequence[tuple[Arm, Cell]], store: Store) -> list[Line]:
    """Each arm's mean score over seeds, and its cases paired with those of scratch; a case counts as the mean over seeds."""
    groups: dict[tuple[Pool, str, Start, Way, float], list[Cell]] = {}
    for arm, cell in found:
        groups.setdefault((arm.pool, arm.method, arm.start, arm.way, arm.spec.ratio), []).append(cell)
    sides = {
        group: Side(f"{group[1]} {group[2]}", tuple(cells), tuple(store.rows(cell.name) for cell in cells))
        for group, cells in groups.items()
    }
    lines = []
    for group, side in sides.items():
        pool, method, start, way, ratio = group
        base = sides.get((pool, method, "scratch", way, ratio))
        both = None if start == "scratch" or base is None else paired_over_seeds(side, base, pool.metric)
        scores = {cell.seed: score for cell in side.cells if (score := cell.scores.get(pool.metric)) is not None}
        mean = statistics.fmean(scores.values()) if scores else math.nan
        words = (pool.name, pool.metric, method, start, way, ratio)
        apart = gaps(side.cells, base.cells, pool.metric) if both and base else {}
        made_on = processors((*side.cells, *(base.cells if both and base else ())))
        losses = pretraining_losses(side.cells[-1])
        lines.append(Line(*words, len(side.cells), mean, both, apart, losses, made_on, scores))
    return lines


def paired_over_seeds(side: Side, base: Side, metric: str) -> Paired | None:
    """The cases of two sides, over the seeds that both have: else a seed that only one has would count as a difference."""
    shared = {cell.seed for cell in side.cells} & {cell.seed for cell in base.cells}
    return compare([_of_seeds(side, shared), _of_seeds(base, shared)], metric)[0].paired if shared else None


def _of_seeds(side: Side, seeds: Set[int]) -> Side:
    kept = [(cell, rows) for cell, rows in zip(side.cells, side.rows, strict=True) if cell.seed in seeds]
    return Side(side.name, tuple(cell for cell, _ in kept), tuple(rows for _, rows in kept))


def gaps(cells: Sequence[Cell], others: Sequence[Cell], metric: str) -> dict[int, float]:
    """Seed -> score less the other's of the same seed, where both have one."""
    scores, theirs = ({cell.seed: cell.scores.get(metric) for cell in side} for side in (cells, others))
    pairs = {seed: (score, theirs.get(seed)) for seed, score in sorted(scores.items())}
    return {seed: own - other for seed, (own, other) in pairs.items() if own is not None and other is not None}


def processors(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Which processors cells were made on, each once, in the order of names; a cell that does not tell is left out."""
    return tuple(sorted({str(name) for cell in cells if (name := cell.provenance.get("processor"))}))


def pretraining_losses(cell: Cell) -> dict[str, Sequence[float]]:
    """Phase -> mean loss in the first and last tenth of the log of a cell's pre-training. A phase without a log is left out."""
    return {name: told["losses"] for name, told in cell.training.items() if name != "finetune" and told.get("losses")}


def courses(found: Sequence[tuple[Arm, Cell]]) -> list[Course]:
    """How the arms that were run fared while they were fine-tuned."""
    told = ((arm, cell.training.get("finetune", {}).get("evaluations")) for arm, cell in found)
    return [
        Course(
            panel=f"{arm.pool.metric}, {arm.spec.ratio:.0%} of labels\n{arm.pool.name}\n{arm.way}",
            method=arm.method,
            start=arm.start,
            scores=tuple((step, math.nan if score is None else score) for step, score in sorted(scores)),
        )
        for arm, scores in told
        if scores
    ]


COLUMNS = (
    *("pool", "method", "way", "ratio", "start", "mean", "less scratch", "95 % interval", "p", "cases", "seeds"),
    *("less scratch by seed", "pre-training loss"),
)


def rows_of(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """The report as text, one row an arm."""
    return [
        (
            line.pool,
            line.method,
            line.way,
            f"{line.ratio:g}",
            line.start,
            f"{line.mean:.4f}",
            *(_compared(line.compared) if line.compared else ("", "", "", "")),
            str(line.seeds),
            ", ".join(f"{gap:+.3f}" for gap in line.by_seed.values()),
            "; ".join(f"{_phase(name)}{first:.2f} to {last:.2f}" for name, (first, last) in line.losses.items()),
        )
        for line in lines
    ]


def _phase(name: str) -> str:
    return "" if name == "pretrain" else f"{name} "


def _compared(found: Paired) -> tuple[str, str, str, str]:
    change = found.difference
    return (
        f"{change.mean:+.4f}",
        f"{change.low:+.4f} to {change.high:+.4f}",
        "< 0.001" if found.p < 0.001 else f"{found.p:.3f}",
        str(found.n),
    )


def write_report(
    folder: Path, size: str, lines: Sequence[Line], planned: int, refused: Sequence[str], machine: Mapping[str, Any]
) -> Path:
    """Leave `<size>.json` and `<size>.md` in `folder`; returns the Markdown file. `planned` counts the runs of the whole study,
    `machine` is where the report was written: the runs may be of others."""
    done = sum(line.seeds for line in lines)
    told = {
        "size": size,
        "runs": {"done": done, "planned": planned},
        "machine": dict(machine),
        "left_out": list(refused),
        "lines": [asdict(line) for line in lines],
    }
    write_json(folder / f"{size}.json", told)
    table = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS), *(" | ".join(row) for row in rows_of(lines))]
    left_out = ["", "Left out:", *(f"- {reason}" for reason in refused)] if refused else []
    count = [] if done == planned else [f"So far: {done} of {planned} runs.", ""]
    mixed = [*left_out, *_of_several_processors(lines)]
    text = "\n".join([f"# Do they learn? ({size})", "", *count, *(f"| {row} |" for row in table), *mixed, ""])
    path = folder / f"{size}.md"
    write_bytes(path, text.encode())
    return path


def _of_several_processors(lines: Sequence[Line]) -> list[str]:
    """What a reader must know where a start and scratch, or the seeds of one, were not made on one processor."""
    mixed = [line for line in lines if len(line.processors) > 1]
    if not mixed:
        return []
    names = sorted({name for line in mixed for name in line.processors})
    told = (f"- {m.pool}, {m.method}, {m.way}, {m.ratio:g}, {m.start}" for m in mixed)
    return ["", f"Of runs on several processors ({', '.join(names)}), which end apart by themselves:", *told]
