"""The best, the median and the worst case of a run, drawn."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.case_rows import CaseRow
from bench.contracts.configs import Spacing
from bench.contracts.errors import DataMissing
from bench.figures.overlays import Volume, overlays


@dataclass(frozen=True)
class CaseImages:
    """What is drawn of a case: three arrays (D, H, W) in canonical RAS order; spacing None where none is known."""

    image: Volume
    truth: Volume
    prediction: Volume
    spacing_mm: Spacing | None


def best_median_worst(
    rows: Sequence[CaseRow],
    load: Callable[[str], CaseImages],
    classes: Sequence[str],
    folder: Path,
    *,
    metric: str = "dice",
    window: tuple[float, float] | None = None,
) -> dict[str, Path]:
    """Draw the best, the median and the worst case by mean Dice; returns `best`, `median`, `worst` -> PNG in `folder`.

    Of an even number of cases the lower median is drawn. Raises DataMissing when no case has a defined value.
    """
    ranked = rank_cases(rows, metric)
    if not ranked:
        raise DataMissing(f"No case has a defined {metric}.", case=str(folder), remedy="Score the predictions first.")
    picked = {"best": ranked[-1], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[0]}
    drawn = {}
    for word, (score, case) in picked.items():
        held, title = load(case), f"{word} of {len(ranked)}: {case}, mean {metric} {score:.3f}"
        place = folder / f"{word}.png"
        drawn[word] = overlays(
            held.image, held.truth, held.prediction, held.spacing_mm, classes, place, title, window=window
        )
    return drawn


def rank_cases(rows: Sequence[CaseRow], metric: str = "dice") -> list[tuple[float, str]]:
    """(mean over defined classes, case) of every case that has one, from the least up.

    Example: a case with liver 0.9 and spleen undefined has 0.9.
    """
    held: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.metric == metric and not math.isnan(row.value):
            held[row.case].append(row.value)
    return sorted((math.fsum(values) / len(values), case) for case, values in held.items())
