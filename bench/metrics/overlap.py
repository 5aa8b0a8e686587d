"""Overlap and volumes of masks and of label maps: Dice, RAVD, and the voxel counts of all classes from one pass over both maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound
from bench.metrics import MetricId, value_if_empty
from bench.metrics.label_maps import Bytes, LabelMap, Labels, as_binary

Box = tuple[slice, slice, slice]
_WORD = 8  # labels that one 64-bit word holds


def dice(pred: Labels, truth: Labels) -> float:
    """Dice of two masks (bool, or integers 0 and 1) of any equal shape: how much of both they share.

    2 |P and T| / (|P| + |T|); Dice, Ecology 1945. Truth empty: NaN; prediction alone empty: 0.
    Raises DataUnsound for unequal shapes or other values.

    Example: two cubes of 8 voxels that share 4 have dice 2 * 4 / (8 + 8) = 0.5.
    """
    return dice_from_counts(*_counted(pred, truth))


def dice_from_counts(n_pred: int, n_truth: int, n_shared: int) -> float:
    """Dice from voxel counts, the empty rule included. Example: ``dice_from_counts(8, 8, 4) == 0.5``."""
    empty = value_if_empty(MetricId("dice"), n_pred=n_pred, n_truth=n_truth)
    return 2 * n_shared / (n_pred + n_truth) if empty is None else empty


def ravd(pred: Labels, truth: Labels) -> float:
    """Relative absolute volume difference of two masks (bool, or integers 0 and 1): how wrong the predicted volume is.

    ||P| - |T|| / |T|, a fraction that may exceed 1; tables show it in percent, as CHAOS does (Kavur et al., Medical Image
    Analysis 2021). Both masks lie on one grid, so that voxels stand for mm3. Where the masks lie plays no part. Truth empty:
    NaN; prediction alone empty: 1.
    Raises DataUnsound for unequal shapes or other values.

    Example: a prediction of 6 voxels for a truth of 8 has ravd 2 / 8 = 0.25, wherever it lies.
    """
    return ravd_from_counts(*_counted(pred, truth))


def ravd_from_counts(n_pred: int, n_truth: int, n_shared: int) -> float:
    """RAVD from voxel counts, the empty rule included; what is shared plays no part.

    Example: ``ravd_from_counts(6, 8, 0) == 0.25``.
    """
    empty = value_if_empty(MetricId("ravd"), n_pred=n_pred, n_truth=n_truth)
    return abs(n_pred - n_truth) / n_truth if empty is None else empty


def _counted(pred: Labels, truth: Labels) -> tuple[int, int, int]:
    """Voxels of the prediction, of the truth and of both."""
    pred, truth = as_binary(pred, "prediction"), as_binary(truth, "truth")
    if pred.shape != truth.shape:
        raise DataUnsound(f"Prediction and truth must have one shape, found {pred.shape} and {truth.shape}.")
    return int(np.count_nonzero(pred)), int(np.count_nonzero(truth)), int(np.count_nonzero(pred & truth))


@dataclass(frozen=True)
class LabelCounts:
    """Voxels by code (256 bins each; bin 0 is not counted) and a box that holds the foreground of both maps (may be loose)."""

    pred: NDArray[np.int64]
    truth: NDArray[np.int64]
    shared: NDArray[np.int64]
    box: Box


def label_counts(pred: LabelMap, truth: LabelMap) -> LabelCounts:
    """Count every class of both maps in one pass that skips words of background; find the foreground's box on the way.

    Raises DataUnsound when a label is no class.
    """
    joint = np.zeros(256 * 256, dtype=np.int64)
    rows, columns = truth.voxels.shape[1:]
    hit_planes = np.zeros(len(truth.voxels), dtype=bool)
    hit_rows = np.zeros(rows, dtype=bool)
    hit_columns = np.zeros(columns + _WORD, dtype=bool)
    for start, stop in truth.slabs():
        pred_words, truth_words = _words(pred.planes(start, stop)), _words(truth.planes(start, stop))
        at = np.flatnonzero(pred_words | truth_words)
        if not len(at):
            continue
        pairs = pred_words[at].view(np.uint8).astype(np.uint16) << 8
        pairs |= truth_words[at].view(np.uint8)
        joint += np.bincount(pairs, minlength=joint.size)
        line, column = np.divmod(at * _WORD, columns)
        last_line = np.minimum((at * _WORD + _WORD - 1) // columns, (stop - start) * rows - 1)
        hit_columns[column] = True
        for part in (line, last_line):
            hit_planes[start + part // rows] = True
            hit_rows[part % rows] = True
        if columns < _WORD:  # a word then covers more than two lines
            hit_planes[start:stop] = hit_rows[:] = hit_columns[:] = True
    table = joint.reshape(256, 256)
    counts = LabelCounts(
        pred=_foreground(table.sum(axis=1)),
        truth=_foreground(table.sum(axis=0)),
        shared=_foreground(np.diagonal(table).copy()),
        box=(_span(hit_planes), _span(hit_rows), _span(_smeared(hit_columns, columns))),
    )
    for labels, found in ((pred, counts.pred), (truth, counts.truth)):
        strangers = set(np.flatnonzero(found).tolist()) - {labels.code(class_id) for class_id in labels.class_ids}
        if strangers:
            raise labels.unlisted(sorted(strangers))
    return counts


def _words(codes: Bytes) -> NDArray[np.uint64]:
    flat = codes.reshape(-1)
    spare = -len(flat) % _WORD
    return (np.pad(flat, (0, spare)) if spare else flat).view(np.uint64)


def _foreground(by_code: NDArray[np.int64]) -> NDArray[np.int64]:
    by_code[0] = 0
    return by_code


def _smeared(word_starts: NDArray[np.bool_], columns: int) -> NDArray[np.bool_]:
    """Columns that a word starting in a marked column may cover, those after a line's end counting from its begin."""
    covered = word_starts.copy()
    for shift in range(1, _WORD):
        covered[shift:] |= word_starts[:-shift]
    covered[: min(_WORD, columns)] |= covered[columns : columns + min(_WORD, columns)]
    return covered[:columns]


def _span(hit: NDArray[np.bool_]) -> slice:
    at = np.flatnonzero(hit)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)
