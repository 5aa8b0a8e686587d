"""Where one array lies on disk and what its header says: what every reader of a file format is handed and hands back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Spacing
from bench.contracts.errors import DataUnsound
from bench.contracts.record import Record
from bench.data.axes import Affine

FETCH_AGAIN = "Fetch the file again and compare its checksum with the owner's."
SPACING_REMEDY = "Fetch the file again, or mend its header from the scanner's report."


@dataclass(frozen=True)
class Place:
    """One array on disk: a file or a folder of slices, how to read it, and what inside it is meant.

    `key` is an array in h5 or npz or a series' uid, `frame` one of a 4-D file's, `index` the place along an npz array's first
    axis. `stored_values` asks for DICOM pixels as they are stored, without rescale. `rescale` and `spacing_mm` are what the
    owners' table says in place of the header.
    """

    path: Path
    name: str
    format: str
    key: str
    frame: int | None
    record: Record
    index: int | None = None
    stored_values: bool = False
    rescale: tuple[float, float] | None = None
    spacing_mm: Spacing | None = None

    def unsound(self, message: str, remedy: str = FETCH_AGAIN) -> DataUnsound:
        """The error to raise: names the case, then the file and what is wrong with it."""
        return DataUnsound(f"'{self.name}' {message}", case=self.record.case_id, remedy=remedy)


@dataclass(frozen=True)
class Grid:
    """What a file's header says, in the file's axis order; `form_difference` as in `volumes.Header`."""

    shape: tuple[int, ...]
    affine: Affine
    dtype: str
    form_difference: float | None = None


def scaled(array: NDArray[Any], slope: float, intercept: float, place: Place) -> NDArray[Any]:
    """Stored numbers times slope plus intercept: int16 where that is exact, else floating point."""
    if array.dtype.kind not in "iufb" or array.dtype.itemsize > 8:
        raise place.unsound(f"holds {array.dtype}; plain integers or floats are due.", "Save it as int16 or float32.")
    untouched = slope == 1.0 and intercept == 0.0
    if not (array.dtype.kind in "iub" and slope.is_integer() and intercept.is_integer()):
        exact: NDArray[Any] = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
        return exact if untouched else exact * exact.dtype.type(slope) + exact.dtype.type(intercept)
    if untouched and (array.dtype.itemsize == 1 or array.dtype.newbyteorder("=") == np.int16):
        return array.astype(np.int16, copy=False)
    wide = array.astype(np.int64) * int(slope) + int(intercept)
    limits = np.iinfo(np.int16)
    fits = wide.size == 0 or (wide.min() >= limits.min and wide.max() <= limits.max)
    return wide.astype(np.int16) if fits else wide.astype(np.float64)


def told_spacing(place: Place) -> Spacing:
    """The voxel size a record gives for a file that holds none."""
    spacing = place.record.spacing
    if spacing is None:
        raise place.unsound("holds no voxel size and its record gives none.", "Give `spacing` (mm) in the record.")
    if not all(np.isfinite(size) and size > 0 for size in spacing):
        raise place.unsound(f"has spacing {spacing} mm; every axis needs a finite size above 0.", remedy=SPACING_REMEDY)
    return spacing
