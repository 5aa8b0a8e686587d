"""What can be told of a case's class without looking: from its header, its mean and spread, or its raw voxels; and by chance.

A probe is cross-validated: groups (patients, scans) stay together, folds keep the classes' shares, and its AUC is the mean
over folds of the mean over classes of one against the rest.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.contracts.record import Record
from bench.data.volumes import Volume, read_header, read_image

FOLDS = 5
CROP_MM = 48.0  # a candidate's cube, as its task shows it
HEADER = (
    *(f"{what}_{axis}" for what in ("voxels", "mm", "axis", "direction") for axis in "xyz"),
    "bytes",
    "files",
    "mean",
    "variance",
    *(f"centre_{axis}" for axis in "xyz"),
    "to_border",
    "place",
    "place_in_group",
)
Table = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Probed:
    """What a probe reached: `auc`, and the standard error that it would have by chance alone (Mann-Whitney, per fold)."""

    auc: float
    chance_se: float
    n: int

    @property
    def above_chance(self) -> float:
        """Standard errors above 0.5."""
        return (self.auc - 0.5) / self.chance_se


@dataclass(frozen=True)
class Sample:
    """Cases of one task: `header` (n, len(HEADER)), `voxels` (n, p) in HU or grey values, and whose and what they are."""

    header: Table
    voxels: NDArray[np.float32]
    labels: Labels
    groups: tuple[str, ...]


def header_model() -> Any:
    """Logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def voxel_model() -> Any:
    """Ridge regression on raw voxels, its penalty chosen by leaving one training case out."""
    return RidgeClassifierCV(alphas=10.0 ** np.arange(2, 9))


def cross_validated(features: NDArray[Any], labels: Labels, groups: Sequence[str], model: Callable[[], Any]) -> Probed:
    """The AUC of a model on cases of groups that it was not fitted to. Every class needs a case in each fold."""
    cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    classes = np.unique(labels)
    found, variances = [], []
    for train, test in cut.split(features, labels, groups):
        fitted = model()
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            fitted.fit(features[train], labels[train])
        scores = fitted.decision_function(features[test])
        columns = scores[:, None] if scores.ndim == 1 else scores
        asked = classes[1:] if len(classes) == 2 else classes
        truths = [labels[test] == value for value in asked]
        found.append(np.mean([roc_auc_score(t, columns[:, k]) for k, t in enumerate(truths)]))
        variances.append(np.mean([_chance_variance(int(t.sum()), int((~t).sum())) for t in truths]))
    return Probed(float(np.mean(found)), math.sqrt(float(np.sum(variances))) / FOLDS, len(labels))


def _chance_variance(positive: int, negative: int) -> float:
    """Variance of an AUC whose scores say nothing. Example: one of each gives 1/4, that of a coin."""
    return (positive + negative + 1) / (12 * positive * negative)


def permuted(labels: Labels, seed: int) -> Labels:
    """The same labels, each at another case."""
    return np.random.default_rng(seed).permutation(labels)


def sample(folder: Path, records: Sequence[Record], labels: Sequence[int], side: int) -> Sample:
    """Read cases: their headers, and their voxels (a candidate's cube of `CROP_MM`) on `side` voxels an axis."""
    order: dict[str, list[str]] = {}
    for record in records:
        order.setdefault(record.group, []).append(record.case_id)
    headers, voxels = [], []
    scan, volume = "", None
    for place, record in enumerate(records):
        if volume is None or not scan or record.scan_id != scan:
            scan, volume = record.scan_id, read_image(folder, record)
        seen, centre = _seen(volume, record)
        whole = seen.astype(np.float64)
        at = (*centre, min(min(share, 1 - share) for share in centre))
        told = (float(whole.mean()), float(whole.var()), *at, place, order[record.group].index(record.case_id))
        headers.append([*_of_file(folder, record), *told])
        voxels.append(_coarse(seen, side))
    return Sample(
        np.asarray(headers, np.float64), np.stack(voxels), np.asarray(labels, np.int64), tuple(r.group for r in records)
    )


def _of_file(folder: Path, record: Record) -> list[float]:
    """Shape, spacing, which anatomical axis each stored axis runs along and whither; bytes and number of files."""
    header = read_header(folder, record)
    axes = [next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair) for letter in header.orientation]
    whither = [1.0 if letter in "RAS" else -1.0 for letter in header.orientation]
    files = [file for path in sorted({image.path for image in record.images}) for file in _files(folder / path)]
    size = float(sum(file.stat().st_size for file in files))
    return [*header.shape, *header.spacing_mm, *axes, *whither, size, float(len(files))]


def _files(path: Path) -> list[Path]:
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    return [*inside, path.with_suffix(".raw")] if path.suffix == ".mhd" else inside


def _seen(volume: Volume, record: Record) -> tuple[NDArray[Any], list[float]]:
    """What a task shows of a case, (C, D, H, W), and where its middle lies as shares of the volume.

    That is the whole, or the cube about a candidate, filled up with the volume's lowest value where the scan ends.
    """
    image, shape = volume.array, volume.array.shape[1:]
    if record.centre_mm is None:
        return image, [0.5, 0.5, 0.5]
    to_voxels = np.linalg.inv(np.asarray(volume.affine))
    middle = (to_voxels[:3, :3] @ np.asarray(record.centre_mm) + to_voxels[:3, 3]).tolist()
    half = [round(CROP_MM / 2 / step) for step in volume.spacing_mm]
    padded = np.pad(image, [(0, 0), *((h, h) for h in half)], constant_values=image.min())
    box = tuple(slice(round(m), round(m) + 2 * h) for m, h in zip(middle, half, strict=True))
    return padded[(slice(None), *box)], [m / max(n - 1, 1) for m, n in zip(middle, shape, strict=True)]


def _coarse(array: NDArray[Any], side: int) -> NDArray[np.float32]:
    """An image (C, D, H, W) on a grid of `side` voxels an axis (1 where it has one slice), nearest neighbours, flat."""
    picks = [np.linspace(0, n - 1, side if n > 1 else 1).round().astype(int) for n in array.shape[1:]]
    return np.stack([channel[np.ix_(*picks)] for channel in array]).astype(np.float32).ravel()
