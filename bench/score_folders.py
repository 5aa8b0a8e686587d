"""Score any folder of label maps against another: ours or not, no task needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.contracts.errors import DataMissing, DataUnsound, SpecError, nearest
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.volumes import Volume, read_label
from bench.metrics.surface import label_map_scores
from bench.score import summarise
from bench.store import CaseRow

SUFFIXES = (".nii.gz", ".nii")
ANY_LABEL = {value: value for value in range(256)}
SPACINGS = ("truth", "prediction", "voxels")


def score_folders(
    predictions: Path, truth: Path, metrics: Sequence[str], spacing_from: str, classes: str
) -> tuple[list[CaseRow], dict[str, dict[str, float]], list[str]]:
    """Rows per case, class and metric; means by metric and class; notes on what was left out.

    Files are matched by name without suffix. A truth without a prediction raises DataMissing: a forgotten case must not
    improve a mean. Classes default to all labels that occur in the truth, named by their number.
    """
    if spacing_from not in SPACINGS:
        raise SpecError(
            f"No spacing '{spacing_from}'. {nearest(spacing_from, SPACINGS)}Possible: {', '.join(SPACINGS)}."
        )
    guesses, truths = _label_maps(predictions), _label_maps(truth)
    lost = sorted(set(truths) - set(guesses))
    if lost:
        raise DataMissing(
            f"{len(lost)} of {len(truths)} cases have no prediction in {predictions}; first: {', '.join(lost[:3])}.",
            case=lost[0],
            remedy="Predict them, or leave them out of --truth.",
        )
    rows: list[CaseRow] = []
    counts: Counter[str] = Counter()
    named = {int(word): word.strip() for word in classes.split(",") if word.strip()} if classes else None
    named = named or {value: str(value) for value in _labels_in(truths)}
    for case in sorted(truths):
        reference, guess = _read(truths[case], case), _read(guesses[case], case)
        if reference.array.shape != guess.array.shape:
            raise DataUnsound(
                f"prediction has {guess.array.shape} voxels, truth {reference.array.shape}.",
                case=case,
                remedy="Resample the prediction to the truth's grid.",
            )
        spacing = {"truth": reference.spacing_mm, "prediction": guess.spacing_mm, "voxels": (1.0, 1.0, 1.0)}[
            spacing_from
        ]
        scored = label_map_scores(
            guess.array, reference.array, classes=named, spacing_mm=spacing, metrics=list(metrics)
        )
        rows += [CaseRow(case, row.class_, row.metric, row.value) for row in scored.rows]
        counts.update(scored.counts())
    _, by_class = summarise(rows, "class_then_case")
    means = {metric: {name: by_class[name][metric] for name in by_class} for metric in metrics}
    extra = sorted(set(guesses) - set(truths))
    return rows, means, _notes(counts, extra)


def _label_maps(folder: Path) -> dict[str, Path]:
    found = {
        path.name.removesuffix(suffix): path
        for suffix in SUFFIXES
        for path in sorted(folder.glob(f"*{suffix}"))
        if not path.name.startswith("._")
    }
    if not found:
        raise DataMissing(f"No label map (.nii, .nii.gz) in '{folder}'.", remedy="Point at the folder that holds them.")
    return found


def _labels_in(truths: Mapping[str, Path]) -> list[int]:
    values: set[int] = set()
    for case, path in truths.items():
        values.update(int(value) for value in np.unique(_read(path, case).array))
    return sorted(values - {0})


def _read(path: Path, case: str) -> Volume:
    file = ImageFile(path=path.name, format="nifti")
    record = Record(
        dataset="", adapter_version="", case_id=case, patient_id=case, group=case, images=(file,),
        label=LabelFile(kind="mask", path=path.name),
    )  # fmt: skip
    return read_label(path.parent, record, ANY_LABEL)


def _notes(counts: Mapping[str, int], extra: Sequence[str]) -> list[str]:
    notes = [f"{name.replace('_', ' ')}: {count}" for name, count in counts.items() if count]
    return notes + (
        [f"{len(extra)} predictions without a truth were left out: {', '.join(extra[:3])}"] if extra else []
    )
