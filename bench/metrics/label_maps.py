"""Label maps as the metrics read them: checked, in the order memory holds them, a few planes at a time as 8-bit codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import DataUnsound, SpecError

Labels = NDArray[Any]
Bytes = NDArray[np.uint8]
Spacing = tuple[float, float, float]

_SLAB_VOXELS = 1 << 19  # a slab and its half dozen work arrays then stay near the core


@dataclass(frozen=True)
class LabelMap:
    """One label map of three axes. `class_ids` are ascending; the code of a class is its id where all ids fit into 8 bits,
    else its rank, counted from 1. `role` names the map in errors."""

    voxels: Labels
    class_ids: tuple[int, ...]
    role: str

    def planes(self, start: int, stop: int) -> Bytes:
        """Planes start..stop of the first axis as codes, C-contiguous; no copy where the map already is.

        Raises DataUnsound when a label is no class.
        """
        part = self.voxels[start:stop]
        if part.dtype == np.bool_:
            return np.ascontiguousarray(part).view(np.uint8)
        if part.dtype == np.uint8 and self.class_ids[-1] <= 255:
            return np.ascontiguousarray(part)
        if self.class_ids[-1] <= 255:
            codes: Bytes = part.astype(np.uint8, order="C")
            strangers = codes != part
        else:
            ids = np.asarray(self.class_ids)
            rank = np.minimum(np.searchsorted(ids, part), len(ids) - 1)
            known = ids[rank] == part
            codes = np.where(known, rank + 1, 0).astype(np.uint8)
            strangers = ~known & (part != 0)
        if strangers.any():
            raise self.unlisted(np.unique(part[strangers]).tolist())
        return codes

    def slabs(self) -> Iterator[tuple[int, int]]:
        """First and last-plus-one plane of consecutive slabs; each starts at a multiple of 8, so that words of 8 codes align."""
        planes = len(self.voxels)
        step = max(8, _SLAB_VOXELS // max(1, math.prod(self.voxels.shape[1:])) // 8 * 8)
        return ((start, min(start + step, planes)) for start in range(0, planes, step))

    def code(self, class_id: int) -> int:
        return class_id if self.class_ids[-1] <= 255 else self.class_ids.index(class_id) + 1

    def unlisted(self, labels: Iterable[int]) -> DataUnsound:
        found = list(labels)
        shown = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
        return DataUnsound(
            f"The {self.role} holds label {shown}, which is no class; classes are "
            f"{', '.join(map(str, self.class_ids))} and 0 is background.",
            remedy="Map the label to 0 or to a class before scoring.",
        )


def paired(pred: Labels, truth: Labels, classes: Iterable[int]) -> tuple[LabelMap, LabelMap, tuple[int, ...]]:
    """Check two label maps and put their axes in the order in which memory holds the truth, slowest first.

    No metric depends on the order of axes as long as the spacing follows, and a Fortran-ordered NIfTI array read
    against its grain costs several times more. Returns both maps and the order (axis i of the result is axis order[i]).

    Raises DataUnsound for other than three axes, unequal or empty shapes, labels that are not integers; SpecError for
    classes that are none, 0, negative or more than 255.
    """
    for role, labels in (("prediction", pred), ("truth", truth)):
        if not isinstance(labels, np.ndarray) or labels.ndim != 3:
            found = f"shape {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
            raise DataUnsound(f"The {role} must be a NumPy array of three axes, found {found}.", remedy=_THREE_AXES)
        if labels.dtype.kind not in "bui":
            raise DataUnsound(
                f"Labels of the {role} must be integers, found {labels.dtype}.",
                remedy="Take the argmax of probabilities or round float-coded labels first.",
            )
    if pred.shape != truth.shape:
        raise DataUnsound(
            f"Prediction and truth must have one shape, found {pred.shape} and {truth.shape}.",
            remedy="Put the prediction back on the truth's grid first.",
        )
    if 0 in truth.shape:
        raise DataUnsound(f"Prediction and truth hold no voxels: shape {truth.shape}.")
    class_ids = tuple(sorted(classes))
    if not class_ids or class_ids[0] < 1 or len(class_ids) > 255:
        raise SpecError(
            f"Classes must be 1 to 255 positive labels, found {len(class_ids)}"
            f"{f' from {class_ids[0]} on' if class_ids else ''}; 0 is background.",
            remedy="Leave the background out of `classes`.",
        )
    first, second, third = sorted(range(3), key=lambda axis: -abs(truth.strides[axis]))
    order = (first, second, third)
    return (
        LabelMap(pred.transpose(order), class_ids, "prediction"),
        LabelMap(truth.transpose(order), class_ids, "truth"),
        order,
    )


_THREE_AXES = "Only volumes have the surfaces that are measured here; leave out channel and batch axes."


def checked_spacing(spacing_mm: Iterable[float]) -> Spacing:
    """The spacing as three floats. Raises DataUnsound unless there are three, all positive and finite."""
    values = tuple(float(value) for value in spacing_mm)
    if len(values) != 3 or not all(math.isfinite(value) and value > 0 for value in values):
        raise DataUnsound(
            f"Spacing must be three positive numbers in mm, found {values}.",
            remedy="Read it from the image header; use (1, 1, 1) to measure in voxels on purpose.",
        )
    return values


def as_binary(mask: Labels, role: str) -> Labels:
    """A mask of 0 and 1 as bool. Raises DataUnsound for other values, so that a label map is never taken for a mask."""
    if not isinstance(mask, np.ndarray) or mask.dtype.kind not in "bui":
        found = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
        raise DataUnsound(f"The {role} must be a NumPy mask of bool or integers, found {found}.")
    if mask.dtype.kind == "b":
        return mask
    inside = mask != 0
    if mask.size and (mask.max() > 1 or mask.min() < 0):
        raise DataUnsound(
            f"The {role} must hold 0 and 1, found values from {mask.min()} to {mask.max()}.",
            remedy="Compare with one label first, or score all classes with label_map_scores.",
        )
    return inside


def unique_names(classes: Mapping[int, str]) -> None:
    """Raises SpecError when two labels carry one name, because rows would then be ambiguous."""
    names = list(classes.values())
    if len(set(names)) < len(names):
        raise SpecError(
            f"Class names must differ, found {', '.join(names)}.", remedy="Merge the labels before scoring."
        )
