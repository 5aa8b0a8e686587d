"""The best, the median and the worst case of a run, read from disk and drawn."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.case_rows import CaseRow
from bench.contracts.cards import Spacing
from bench.contracts.errors import DataMissing
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.figure_overlays import Volume, overlays

if TYPE_CHECKING:
    from bench.contracts.kind import Setup


@dataclass(frozen=True)
class CaseImages:
    """What is drawn of a case: three arrays (D, H, W) in canonical RAS order; spacing None where none is known."""

    image: Volume
    truth: Volume
    prediction: Volume
    spacing_mm: Spacing | None


def best_median_worst(
    rows: Sequence[CaseRow],
    predictions: Path,
    data: Path,
    records: Mapping[str, Record],
    setup: Setup,
    out: Path,
    cases: Any = None,
    *,
    metric: str = "dice",
) -> dict[str, Path]:
    """Draw the best, the median and the worst case of a segmentation by mean Dice, as `best.png`, ... in `out`.

    `predictions` holds a `<case>.nii.gz` per case, `data` is the dataset's folder, `records` maps case -> record. A
    protocol that scores on the network's grid needs `cases` (the cached volumes); without them nothing is drawn
    and the answer is empty, as it is when no case has a defined value: a picture more or less decides no result.
    """
    unseen = setup.protocol.score_grid == "resampled" and cases is None
    if unseen or not rank_cases(rows, metric):
        return {}
    intensity = setup.protocol.intensity
    window = intensity.window_hu if intensity.kind == "hu" else None

    def load(case: str) -> CaseImages:
        return load_case(records[case], predictions, data, setup, cases)

    return draw_extremes(rows, load, setup.classes, out, metric=metric, window=window)


def draw_extremes(
    rows: Sequence[CaseRow],
    load: Callable[[str], CaseImages],
    classes: Sequence[str],
    out: Path,
    *,
    metric: str = "dice",
    window: tuple[float, float] | None = None,
) -> dict[str, Path]:
    """Draw the best, the median and the worst case by mean Dice; returns `best`, `median`, `worst` -> PNG in `out`.

    Of an even number of cases the lower median is drawn. Raises DataMissing when no case has a defined value.
    """
    ranked = rank_cases(rows, metric)
    if not ranked:
        raise DataMissing(f"No case has a defined {metric}.", case=str(out), remedy="Score the predictions first.")
    picked = {"best": ranked[-1], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[0]}
    drawn = {}
    for word, (score, case) in picked.items():
        held, title = load(case), f"{word} of {len(ranked)}: {case}, mean {metric} {score:.3f}"
        place = out / f"{word}.png"
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


def load_case(record: Record, predictions: Path, data: Path, setup: Setup, cases: Any = None) -> CaseImages:
    """A case as it was scored: on the grid of its own file, or on the network's with `cases`; of the first channel."""
    from bench.data.volumes import label_map, read_image, read_label

    file = f"{record.case_id}.nii.gz"
    label = LabelFile(kind="mask", path=file)
    update = {"images": (ImageFile(path=file, format="nifti"),), "label": label, "spacing": None}
    prediction = read_label(predictions, record.model_copy(update=update), label_map(len(setup.classes), {})).array
    if setup.protocol.score_grid == "resampled":
        case, size = record.case_id, cases.shape(record.case_id)
        image, stored = cases.read(case, (0, 0, 0), size)[0], cases.read_label(case, (0, 0, 0), size)
        return CaseImages(image, _of_target(stored, setup.values), prediction, cases.spacing(case))
    volume = read_image(data, record)
    truth = read_label(data, record, label_map(len(setup.task.classes), setup.task.label_values))
    spacing = None if setup.protocol.distance_unit == "voxels" else volume.spacing_mm
    return CaseImages(volume.array[0], _of_target(truth.array, setup.values), prediction, spacing)


def _of_target(label: Volume, values: Mapping[int, int]) -> Volume:
    """Stored labels as classes of the target; what the target leaves out is background."""
    table = np.zeros(256, np.uint8)
    table[list(values)] = list(values.values())
    return table[label]
