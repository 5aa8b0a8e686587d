"""A DICOM series in a folder as one volume, read by pydicom: sorted by position, rescaled, refused where slices lack.

(columns, rows, slices) with the affine that the slices' positions give. With `stored_values` the pixels are as stored,
slices go by their InstanceNumber, those of another size than most are dropped, and the grid is the identity: what some
published code does. An extra: pydicom is imported when used.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import BenchError
from bench.data.atomic import write_bytes
from bench.data.axes import Affine, as_affine, plain_affine
from bench.data.place import Grid, Place, scaled

GAP_TOLERANCE = 0.01  # ours, relative to the median distance of slices
_TAGS = (
    *("SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("Rows", "Columns", "RescaleSlope", "RescaleIntercept", "SliceThickness", "Modality"),
)
Shuffled = Literal["nothing", "names", "numbers"]
_CT_STORAGE, _MR_STORAGE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
_FETCH = "Fetch the series again; a series that its owner broke can be left out with --partial."


@dataclass(frozen=True)
class Slice:
    """What the header of one slice tells. `position` and `orientation` are in LPS mm, None where it has none."""

    path: Path
    series: str
    modality: str
    number: int
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, float] | None
    slope: float
    intercept: float


def slices_of(folder: Path) -> tuple[Slice, ...]:
    """The headers of all DICOM files in a folder, by name; other files are passed over. No pixels are read."""
    return _headers(str(folder), folder.stat().st_mtime_ns)


def first_slice(folder: Path) -> Slice | None:
    """The header of the first DICOM file of a folder by name; None where there is none. One file is read."""
    for path in sorted(folder.iterdir()):
        slice_like = path.suffix.lower() == ".dcm" and not path.name.startswith(".")
        found = _header_of(path) if slice_like else None
        if found is not None:
            return found
    return None


def grid(place: Place) -> Grid:
    """The grid of a series from its headers. Raises DataUnsound for mixed series, doubled or missing slices."""
    found = ordered(place)
    first, shape = found[0], (found[0].columns, found[0].rows, len(found))
    if place.stored_values:
        return Grid(shape, plain_affine((1.0, 1.0, 1.0)), "int16")
    assert first.orientation is not None and first.position is not None and first.spacing_mm is not None
    along = np.asarray(found[-1].position) - np.asarray(first.position)
    matrix = np.eye(4)
    matrix[:3, 0] = np.asarray(first.orientation[:3]) * first.spacing_mm[1]
    matrix[:3, 1] = np.asarray(first.orientation[3:]) * first.spacing_mm[0]
    matrix[:3, 2] = along / (len(found) - 1)
    matrix[:3, 3] = first.position
    matrix[:2] *= -1  # LPS to RAS
    return Grid(shape, as_affine(matrix), "int16")


def voxels(place: Place) -> NDArray[Any]:
    """All voxels (columns, rows, slices), rescaled slice by slice unless stored values are asked for."""
    pydicom, found = _pydicom(), ordered(place)
    planes = []
    for one in found:
        try:
            stored = pydicom.dcmread(one.path).pixel_array
        except Exception as error:  # pydicom raises whatever its decoders raise
            raise place.unsound(f"holds '{one.path.name}', which is truncated or damaged ({error}).", _FETCH) from None
        slope, intercept = (1.0, 0.0) if place.stored_values else (one.slope, one.intercept)
        planes.append(scaled(np.asarray(stored).T, slope, intercept, place))
    return np.stack(planes, axis=-1)


def write_series(
    folder: Path,
    array: NDArray[Any],
    *,
    affine: Affine,
    name: str,
    slope: float = 1.0,
    intercept: float = -1024.0,
    modality: str = "CT",
    patient: str = "",
    backwards: bool = False,
    shuffled: Shuffled = "nothing",
) -> list[Path]:
    """Write (columns, rows, slices) with a RAS affine as a series, one file `1-NNN.dcm` per slice; returns them as slices lie.

    `name` decides every UID, so equal words give equal bytes. Values are stored as (value - intercept) / slope; `backwards`
    numbers the slices from the last to the first. `shuffled` deals out the files' names, or their names and InstanceNumbers
    alike, by hash: then their places alone tell the order. Raises BenchError without pydicom.
    """
    pydicom, matrix = _pydicom(), np.asarray(affine)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    stored = np.rint((array.astype(np.float64) - intercept) / slope).astype(np.int16)
    count, files = array.shape[2], []
    in_order = range(count, 0, -1) if backwards else range(1, count + 1)
    dealt = sorted(in_order, key=lambda number: _uid(name, "order", str(number)))
    numbers = dealt if shuffled == "numbers" else in_order
    names = in_order if shuffled == "nothing" else dealt
    for k, number in enumerate(numbers):
        head = pydicom.Dataset()
        head.SOPClassUID, head.SOPInstanceUID = _CT_STORAGE if modality == "CT" else _MR_STORAGE, _uid(name, str(k))
        head.SeriesInstanceUID, head.StudyInstanceUID = _uid(name), _uid(name, "study")
        head.Modality, head.PatientID, head.InstanceNumber = modality, patient, number
        head.Rows, head.Columns = array.shape[1], array.shape[0]
        head.ImageOrientationPatient = [f"{x:.6g}" for x in (*lps[:3, 0] / sizes[0], *lps[:3, 1] / sizes[1])]
        head.ImagePositionPatient = [f"{x:.6g}" for x in lps[:3, 3] + k * lps[:3, 2]]
        head.PixelSpacing = [f"{sizes[1]:.6g}", f"{sizes[0]:.6g}"]
        head.SliceThickness = f"{sizes[2]:.6g}"
        head.RescaleSlope, head.RescaleIntercept = f"{slope:g}", f"{intercept:g}"
        head.SamplesPerPixel, head.PhotometricInterpretation = 1, "MONOCHROME2"
        head.BitsAllocated, head.BitsStored, head.HighBit, head.PixelRepresentation = 16, 16, 15, 1
        head.PixelData = np.ascontiguousarray(stored[:, :, k].T).tobytes()
        head.file_meta = pydicom.dataset.FileMetaDataset()
        head.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, head, enforce_file_format=True)
        path = folder / f"1-{names[k]:03d}.dcm"
        write_bytes(path, buffer.getvalue())
        files.append(path)
    return files


def _uid(*parts: str) -> str:
    return f"2.25.{int.from_bytes(hashlib.sha256('|'.join(parts).encode()).digest()[:15], 'big')}"


def ordered(place: Place) -> list[Slice]:
    """The slices of one series as they lie, or by number where stored values are asked for. Raises DataUnsound as `grid`."""
    found = [one for one in slices_of(place.path) if place.key in ("image", "label", one.series)]
    if not found:
        raise place.unsound("holds no DICOM slice of this series.", _FETCH)
    series = sorted({one.series for one in found})
    if len(series) > 1:
        told = f"mixes {len(series)} series in one folder: {', '.join(series[:3])}."
        raise place.unsound(told, "Keep one series per folder.")
    if place.stored_values:
        (most, _), *_ = Counter((one.columns, one.rows) for one in found).most_common(1)
        return sorted((one for one in found if (one.columns, one.rows) == most), key=lambda one: one.number)
    sizes = sorted({(one.columns, one.rows) for one in found})
    if len(sizes) > 1:
        raise place.unsound(f"has slices of several sizes: {sizes}.", _FETCH)
    return _by_position(found, place)


def _by_position(found: list[Slice], place: Place) -> list[Slice]:
    """Slices along their common normal. Raises DataUnsound where one lies on another or one is missing."""
    bare = next((s for s in found if s.position is None or s.orientation is None or s.spacing_mm is None), None)
    if bare is not None:
        raise place.unsound(f"holds '{bare.path.name}', which tells no position, orientation or pixel size.", _FETCH)
    if len(found) < 2:
        raise place.unsound("holds one slice; a volume takes two or more.", _FETCH)
    directions = np.asarray([one.orientation for one in found])
    if np.abs(directions - directions[0]).max() > 1e-3:
        raise place.unsound("holds slices that do not lie parallel.", "Is it a localiser? Leave the series out.")
    normal = np.cross(directions[0, :3], directions[0, 3:])
    heights = np.asarray([one.position for one in found]) @ normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    usual = float(
        np.sort(gaps)[(len(gaps) - 1) // 2]
    )  # the lower median: of one gap that lacks a slice and one whole, the whole
    place_of = [found[int(i)] for i in order]
    if (gaps < 1e-4).any() or usual <= 0:
        k = int(np.argmin(gaps))
        told = f"holds two slices at one place: '{place_of[k].path.name}' and '{place_of[k + 1].path.name}'."
        raise place.unsound(told, "Keep one of them.")
    if np.abs(gaps - usual).max() > GAP_TOLERANCE * usual:
        k = int(np.argmax(np.abs(gaps - usual)))
        raise place.unsound(
            f"lies unevenly: {gaps[k]:.3f} mm between '{place_of[k].path.name}' and '{place_of[k + 1].path.name}', "
            f"{usual:.3f} mm elsewhere; a slice is missing.",
            _FETCH,
        )
    return place_of


@lru_cache(maxsize=32)
def _headers(folder: str, _changed_ns: int) -> tuple[Slice, ...]:
    files = (path for path in sorted(Path(folder).iterdir()) if path.is_file() and not path.name.startswith("."))
    return tuple(found for path in files if (found := _header_of(path)) is not None)


def _header_of(path: Path) -> Slice | None:
    """What one file tells; None where it is no DICOM image."""
    pydicom = _pydicom()
    try:
        head = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (pydicom.errors.InvalidDicomError, OSError, EOFError):
        return None
    return _slice(path, head) if "Rows" in head else None


def _slice(path: Path, head: Any) -> Slice:
    def numbers(name: str) -> tuple[float, ...] | None:
        value = head.get(name)
        return None if value is None or len(value) == 0 else tuple(float(x) for x in value)

    pixel = numbers("PixelSpacing")
    return Slice(
        path=path,
        series=str(head.get("SeriesInstanceUID", "")),
        modality=str(head.get("Modality", "")),
        number=int(head.get("InstanceNumber") or 0),
        rows=int(head.Rows),
        columns=int(head.Columns),
        position=numbers("ImagePositionPatient"),
        orientation=numbers("ImageOrientationPatient"),
        spacing_mm=None if pixel is None else (pixel[0], pixel[1]),
        slope=float(head.get("RescaleSlope") or 1.0),
        intercept=float(head.get("RescaleIntercept") or 0.0),
    )


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError:
        message = "DICOM files need the package pydicom, which is not installed."
        raise BenchError(message, remedy="pip install 'ssl3d-bench[dicom]'") from None
    return pydicom
