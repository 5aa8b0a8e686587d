"""Score any folder of label maps against another: ours or not, no task needed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.case_rows import CaseRow
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, DataUnsound, SpecError, nearest
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.volumes import GEOMETRY_TOLERANCE, Volume, read_label
from bench.metrics import parse_metric
from bench.metrics.surface import CaseScores, label_map_scores
from bench.score import summarise

SUFFIXES = (".nii.gz", ".nii")
ANY_LABEL = {value: value for value in range(256)}
SPACINGS = ("truth", "prediction", "voxels")


def score_folders(
    predictions: Path, truth: Path, metrics: Sequence[str], spacing_from: str, classes: str
) -> tuple[list[CaseRow], dict[str, dict[str, float]], list[str]]:
    """Rows per case, class and metric; means by metric and class; notes on what was undefined, left out or doubtful.

    Files are matched by name without suffix. A truth without a prediction raises DataMissing: a forgotten case must not
    improve a mean. Classes are named by their number and default to all labels that occur in the truth; a prediction with a
    further label then raises DataUnsound. With `classes` every other label counts as background, in truth and prediction.
    """
    if spacing_from not in SPACINGS:
        raise SpecError(
            f"No spacing '{spacing_from}'. {nearest(spacing_from, SPACINGS)}Possible: {', '.join(SPACINGS)}.",
            remedy="Name one of them with --spacing-from.",
        )
    measured = _metrics_asked(metrics)
    guesses, truths = _label_maps(predictions), _label_maps(truth)
    lost = sorted(set(truths) - set(guesses))
    if lost:
        raise DataMissing(
            f"{predictions} holds no prediction of {len(lost)} of {how_many(len(truths), 'case')}; first: {', '.join(lost[:3])}.",
            case=lost[0],
            remedy="Predict them, or leave them out of --truth.",
        )
    asked = _classes_asked(classes)
    named = asked or {value: str(value) for value in _labels_in(truths)}
    rows: list[CaseRow] = []
    counts: Counter[str] = Counter()
    doubts: Counter[str] = Counter()
    for case in sorted(truths):
        reference, guess = _read(truths[case], case), _read(guesses[case], case)
        if reference.array.shape != guess.array.shape:
            raise DataUnsound(
                f"prediction has {guess.array.shape} voxels, truth {reference.array.shape}.",
                case=case,
                remedy="Resample the prediction to the truth's grid.",
            )
        others = sorted({*np.unique(guess.array).tolist(), *np.unique(reference.array).tolist()} - {0, *named})
        if others and not asked:
            raise DataUnsound(
                f"the prediction holds label {others[0]}, which no truth holds; labels of the truth are "
                f"{', '.join(named.values())}.",
                case=case,
                remedy=f"Mend the prediction, or say --classes {','.join(named.values())} to take it as background.",
            )
        spacing = {"truth": reference.spacing_mm, "prediction": guess.spacing_mm, "voxels": (1.0, 1.0, 1.0)}
        scored = label_map_scores(
            _only(guess.array, named),
            _only(reference.array, named),
            classes=named,
            spacing_mm=spacing[spacing_from],
            metrics=measured,
        )
        rows += [CaseRow(case, row.class_, row.metric, row.value) for row in scored.rows]
        counts.update(scored.counts() | _stray(scored, guess if spacing_from == "prediction" else reference))
        doubts.update(f"label {label} counted as background" for label in others)
        doubts.update(_doubts(guess, reference))
    _, by_class = summarise(rows, "class_then_case", measured)
    means = {metric: {name: by_class[name][metric] for name in by_class} for metric in measured}
    return rows, means, _notes(counts, doubts, sorted(set(guesses) - set(truths)))


def _stray(scored: CaseScores, grid: Volume) -> dict[str, int]:
    """The volume that was predicted where there is nothing; in mm3, in whatever unit distances are."""
    voxels = sum(found.voxels_pred for found in scored.by_class.values() if found.empty_truth)
    return {"false_positive_mm3": round(voxels * math.prod(grid.spacing_mm))}


def _metrics_asked(typed: Sequence[str]) -> list[str]:
    """The metrics as they spell themselves, each once."""
    try:
        return list(dict.fromkeys(str(parse_metric(word)) for word in typed))
    except SpecError as error:
        raise SpecError(error.message, case=error.case, remedy="Name one of these with --metrics.") from error


def _classes_asked(typed: str) -> dict[int, str]:
    words = [word.strip() for word in typed.split(",") if word.strip()]
    wrong = next((word for word in words if not (word.isdecimal() and 0 < int(word) < 256)), None)
    if wrong is not None:
        raise SpecError(
            f"--classes takes labels from 1 to 255 joined by commas, found '{wrong}'.",
            case=wrong,
            remedy="For example: --classes 1,2",
        )
    return {int(word): word for word in words}


def _label_maps(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for suffix in SUFFIXES:
        for path in sorted(folder.glob(f"*{suffix}")):
            case = path.name.removesuffix(suffix)
            if path.name.startswith("._"):
                continue
            if case in found:
                raise DataUnsound(
                    f"'{found[case].name}' and '{path.name}' in {folder} bear one name.",
                    case=case,
                    remedy="Keep one of them.",
                )
            found[case] = path
    if not found:
        raise DataMissing(f"No label map (.nii, .nii.gz) in '{folder}'.", remedy="Point at the folder that holds them.")
    return found


def _labels_in(truths: Mapping[str, Path]) -> list[int]:
    values: set[int] = set()
    for case, path in truths.items():
        values.update(int(value) for value in np.unique(_read(path, case).array))
    labels = sorted(values - {0})
    if not labels:
        raise DataUnsound("No truth holds a label other than 0.", remedy="Is --truth the folder of the masks?")
    return labels


def _read(path: Path, case: str) -> Volume:
    file = ImageFile(path=path.name, format="nifti")
    record = Record(
        dataset="", adapter_version="", case_id=case, patient_id=case, group=case, images=(file,),
        label=LabelFile(kind="mask", path=path.name),
    )  # fmt: skip
    try:
        return read_label(path.parent, record, ANY_LABEL)
    except DataUnsound as error:
        found, mask, _ = error.message.rpartition(";")
        if not (mask and "is a mask with" in found):
            raise
        raise DataUnsound(
            f"{found}; labels are whole numbers from 0 to 255.",
            case=error.case,
            remedy="Point --predictions and --truth at folders of label maps, not of images or probabilities.",
        ) from error


def _only(array: NDArray[np.uint8], named: Mapping[int, str]) -> NDArray[np.uint8]:
    """A label map without the labels that are not scored."""
    kept = np.zeros(256, np.uint8)
    kept[list(named)] = list(named)
    scored: NDArray[np.uint8] = kept[array]
    return scored


def _doubts(guess: Volume, reference: Volume) -> list[str]:
    apart = np.abs(np.asarray(guess.affine) - np.asarray(reference.affine)).max()
    if apart > GEOMETRY_TOLERANCE:
        return ["prediction and truth have other affines; voxels were compared index by index in RAS order"]
    return []


def _notes(counts: Mapping[str, int], doubts: Mapping[str, int], extra: Sequence[str]) -> list[str]:
    notes = [f"{name.replace('_', ' ')}: {count}" for name, count in counts.items() if count]
    notes += [f"{doubt}: {how_many(cases, 'case')}" for doubt, cases in doubts.items()]
    if extra:
        notes.append(f"left out, for want of a truth: {how_many(len(extra), 'prediction')} ({', '.join(extra[:3])})")
    return notes
