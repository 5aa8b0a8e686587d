"""Files to arrays in one axis order, and back: what the rest of the bench knows of files.

Whatever lies on disk (see `formats.py`), what comes out is in canonical RAS order, (C, D, H, W) with
D, H, W along patient x, y, z, or it is refused with a reason: a volume that cannot be trusted must not become a number
in a table.

Longer than 250 lines because reading, refusing, fingerprinting and writing must agree on one notion of a sound volume.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.contracts.configs import Shape3, Spacing
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.atomic import write_bytes
from bench.data.axes import (
    Affine,
    anisotropy_of,
    axis_order,
    depth_axis_of,
    orientation_name,
    settle,
    spacing_of,
)
from bench.data.formats import encode_h5, encode_nifti, encode_nrrd, grid, voxels
from bench.data.metaimage import voxels_file
from bench.data.place import SPACING_REMEDY, Place

GEOMETRY_TOLERANCE = 1e-3  # ours, per term of the affine
CODE_TOLERANCE = 1e-6  # ours, how far a float-coded label may lie from an integer
MIB = 1 << 20
_FRAME_REMEDY = "Give the record one frame per channel, or save one 3-D volume per file."
_AXES = ("x", "y", "z", "offset")


@dataclass(frozen=True)
class Header:
    """What a file says of its grid, in the file's own axis order; no voxels are read for it.

    `affine` maps the file's indices to RAS mm. `orientation` names the file's axes (`LAS`). `depth_axis` is the file's
    axis of largest spacing, `anisotropy` SPAD's degree DA (None where in-plane sizes differ by over 1 %),
    `dtype` the stored type as the file names it. `form_difference` is the largest term by which a NIfTI's two affines
    (qform, sform) differ, None where it has not both.
    """

    shape: Shape3
    spacing_mm: Spacing
    affine: Affine
    orientation: str
    depth_axis: int
    anisotropy: int | None
    dtype: str
    form_difference: float | None = None

    def canonical(self) -> Header:
        """The same grid with its axes in RAS order: that of every array `read_image` and `read_label` hand out."""
        order = axis_order(self.affine)
        x, y, z = order.taken
        return replace(
            self,
            shape=order.shape(self.shape),
            spacing_mm=(self.spacing_mm[x], self.spacing_mm[y], self.spacing_mm[z]),
            affine=order.affine(self.affine, self.shape),
            orientation="RAS",
            depth_axis=order.taken.index(self.depth_axis),
        )


@dataclass(frozen=True)
class Volume:
    """Voxels in canonical order with their size (mm, x y z) and affine. Images (C, D, H, W), labels (D, H, W) uint8."""

    array: NDArray[Any]
    spacing_mm: Spacing
    affine: Affine


def read_header(folder: Path, record: Record, *, stored_values: bool = False) -> Header:
    """The grid of a case's first image, in the file's own axis order, without reading voxels.

    h5 files hold no voxel size, and NRRD files may not: theirs comes from `record.spacing` (mm, in the file's order),
    and their axes are then taken as RAS. Raises DataMissing or DataUnsound naming the case.
    """
    return _header(_images(folder, record, stored_values)[0])


def read_image(folder: Path, record: Record, *, stored_values: bool = False) -> Volume:
    """A case's images as (C, D, H, W) in canonical order, channels as the record numbers them.

    int16 where every file holds integers that fit (a rescale slope applied), else float32; values are otherwise
    untouched. `stored_values` reads DICOM as `dicom.py` says. Raises DataUnsound for a damaged file, NaN or infinite voxels,
    a file that is 4-D where the record names no frame, and channels that do not share one grid.
    """
    places = _images(folder, record, stored_values)
    for other in places[1:]:
        _same_grid(places[0], _header(places[0]), other, _header(other))
    stored: dict[Path, NDArray[Any]] = {}
    channels = []
    for place in places:
        if place.path not in stored:
            stored = {place.path: voxels(place)}  # frames of one 4-D file follow each other; only that file is kept
        channels.append(_single_precision(_one_volume(stored[place.path], place), place))
    header = _header(places[0])
    order = axis_order(header.affine)
    array = np.empty((len(channels), *order.shape(header.shape)), np.result_type(*channels))
    for channel, native in zip(array, channels, strict=True):
        settle(order.to_canonical(native), channel)
    canonical = header.canonical()
    return Volume(array, canonical.spacing_mm, canonical.affine)


def read_label(folder: Path, record: Record, values: Mapping[int, int]) -> Volume:
    """A case's mask as (D, H, W) uint8 in canonical order.

    `values` maps what may stand in the file to labels 0..255 and is complete (see `label_map`); 0 is background whether
    it is listed or not. Codes stored as floats are rounded where they lie within 1e-6 of an integer. Raises DataUnsound
    for a damaged file, another grid than the image's, and values that are not listed; DataMissing where the case has no
    label.
    """
    place = _label(folder, record)
    check_geometry(folder, record)
    native = _mapped(_whole_numbers(_one_volume(voxels(place), place), place), values, place)
    header = _header(place)
    canonical = header.canonical()
    array = np.empty(canonical.shape, np.uint8)
    settle(axis_order(header.affine).to_canonical(native), array)
    return Volume(array, canonical.spacing_mm, canonical.affine)


def label_map(classes: int, values: Mapping[int, int]) -> dict[int, int]:
    """A complete map for `read_label`: 0 and 1..classes stand for themselves, but not a label that `values` codes otherwise.

    Example: label_map(3, {4: 3}) is {0: 0, 1: 1, 2: 2, 4: 3}, and a 3 in a file is refused.
    """
    return {**{label: label for label in range(classes + 1) if label not in values.values()}, **values}


def check_geometry(folder: Path, record: Record, *, label: bool = True) -> None:
    """Refuse a case whose images (and mask, if `label`) do not share shape and affine, from headers alone.

    Raises DataUnsound naming the first term that differs by more than 1e-3.
    """
    first, *others = _images(folder, record)
    if label and record.label.kind == "mask":
        others.append(_label(folder, record))
    header = _header(first)
    for place in others:
        _same_grid(first, header, place, _header(place))


def to_native(array: NDArray[Any], header: Header) -> NDArray[Any]:
    """Labels or probabilities (..., D, H, W) in canonical order, brought to the file's own axis order.

    The exact inverse of how `read_image` orders axes; returns a view. Raises ValueError where the array is not of the
    header's grid.
    """
    order = axis_order(header.affine)
    if array.shape[-3:] != order.shape(header.shape):
        raise ValueError(f"array {array.shape} is not on the canonical grid {order.shape(header.shape)} of the header")
    return order.to_native(array)


def quick_fingerprint(path: Path) -> str:
    """A file's identity without reading all of it: `quick:<bytes>:<sha256 of its first and last MiB>`.

    A change in the middle that keeps the size goes unseen. A file shorter than a MiB is hashed twice over. Of a folder of
    slices: the sum of bytes, and the sha256 of all names and sizes and of the first and the last file's fingerprints. Of an .mhd
    whose voxels lie beside it: the same of these two.
    Raises DataMissing where there is no such file.
    """
    try:
        if path.is_dir():
            return _together(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        beside = voxels_file(path)
        if beside is not None and beside.is_file():
            return _together((path, beside))
        return _of_file(path)
    except FileNotFoundError:
        raise DataMissing(f"no file '{path.name}' in '{path.parent}'.", remedy="Complete the download.") from None


@lru_cache(maxsize=65_536)  # an archive is asked for once per case, every file of a pool by more than one reader
def _file_fingerprint(name: str, _bytes: int, _changed_ns: int) -> str:
    with Path(name).open("rb") as file:
        digest = hashlib.sha256(file.read(MIB))
        size = file.seek(0, 2)
        file.seek(max(0, size - MIB))
        digest.update(file.read(MIB))
    return f"quick:{size}:{digest.hexdigest()}"


def _of_file(path: Path) -> str:
    found = path.stat()
    return _file_fingerprint(str(path), found.st_size, found.st_mtime_ns)


def _together(several: Iterable[Path]) -> str:
    files = sorted(several)
    sizes = [(path.name, path.stat().st_size) for path in files]
    ends = [_of_file(path) for path in (*files[:1], *files[-1:])]
    digest = hashlib.sha256(json.dumps([sizes, ends]).encode())
    return f"quick:{sum(size for _, size in sizes)}:{digest.hexdigest()}"


def voxel_fingerprint(volume: Volume) -> str:
    """`v1:` and the sha256 of canonical voxels (C order, little-endian), dtype, shape, spacing to 1e-4 mm (C.1).

    The same for a volume saved in another axis order, compression or container.
    """
    array = np.ascontiguousarray(volume.array, dtype=volume.array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(array.data)
    spacing = ",".join(f"{size:.4f}" for size in volume.spacing_mm)
    digest.update(f"|{array.dtype.name}|{array.shape}|{spacing}".encode())
    return f"v1:{digest.hexdigest()}"


def coarse_fingerprint(array: NDArray[Any]) -> str:
    """sha256 over at most 32 evenly spaced planes per axis of an image (C, D, H, W): equal for the same voxels, whatever file.

    Cheap enough to take of every case; an image changed between those planes goes unseen.
    """
    steps = tuple(slice(None, None, max(1, -(-size // 32))) for size in array.shape[1:])
    sample = np.ascontiguousarray(array[(slice(None), *steps)], dtype=np.float32)
    return hashlib.sha256(f"{array.shape}".encode() + sample.tobytes()).hexdigest()


def frames_of(path: Path) -> int:
    """Images in a NIfTI file as its header tells: the length of a 4-D file's last axis, 1 of a 3-D one.

    Raises DataUnsound where the header cannot be read.
    """
    record = Record(dataset="", adapter_version="", case_id=path.name, patient_id="", group="", images=())
    shape = grid(Place(path, path.name, "nifti", "", None, record)).shape
    return shape[3] if len(shape) == 4 else 1


def write_nifti(
    path: Path,
    array: NDArray[Any],
    *,
    affine: Affine,
    dtype: DTypeLike,
    scaling: tuple[float, float] = (1.0, 0.0),
) -> None:
    """Write an array, in the axis order that `affine` describes, as NIfTI-1 (gzip where the name ends so), atomically.

    The file keeps (array - intercept) / slope and the pair `scaling`; the same array gives the same bytes. Raises StoreError
    where it cannot be written, ValueError where an integer dtype cannot hold the values.
    """
    write_bytes(path, encode_nifti(array, affine, dtype, zipped=path.name.endswith(".gz"), scaling=scaling))


def write_h5(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as an h5 file, atomically: LA's layout has `image` and `label`. Raises StoreError."""
    write_bytes(path, encode_h5(arrays))


def write_nrrd(path: Path, array: NDArray[Any], *, affine: Affine) -> None:
    """Write an array, in the axis order that `affine` describes (RAS mm), as gzip NRRD, atomically.

    Raises StoreError where it cannot be written, BenchError where pynrrd is not installed.
    """
    write_bytes(path, encode_nrrd(array, affine))


def _images(folder: Path, record: Record, stored_values: bool = False) -> list[Place]:
    if not record.images:
        raise DataMissing("the record names no image.", case=record.case_id, remedy="Write the manifest anew.")
    files = sorted(record.images, key=lambda file: file.channel)
    return [replace(_place(folder, record, file, "image"), stored_values=stored_values) for file in files]


def _label(folder: Path, record: Record) -> Place:
    if record.label.kind != "mask" or record.label.path is None:
        found = "asked for a mask, found none in the record."
        raise DataMissing(found, case=record.case_id, remedy="Use a labelled case.")
    return _place(folder, record, record.label, "label")


def _place(folder: Path, record: Record, file: ImageFile | LabelFile, key: str) -> Place:
    name = str(file.path)
    path = folder / name
    is_folder = file.format in ("dicom", "slices", "hu_slices", "series_masks")
    if not (path.is_dir() if is_folder else path.is_file()):
        found = f"no {'folder' if is_folder else 'file'} '{name}' in '{folder}'."
        raise DataMissing(found, case=record.case_id, remedy="Complete the download or drop the case.")
    if isinstance(file, LabelFile):
        return Place(path, name, file.format, file.key or key, None, record)
    place = Place(path, name, file.format, file.key or key, file.frame, record, file.index)
    return replace(place, rescale=file.rescale, spacing_mm=file.spacing_mm)


def _header(place: Place) -> Header:
    found = grid(place)
    shape = found.shape
    if place.frame is not None and len(shape) == 4:
        shape = shape[:3]
    if len(shape) != 3:
        raise place.unsound(_wrong_dimensions(shape), remedy=_FRAME_REMEDY)
    if min(shape) < 1:
        raise place.unsound(f"is empty: shape {shape}; every axis needs at least one voxel.")
    spacing = spacing_of(found.affine)
    if not np.isfinite(np.asarray(found.affine)).all() or min(spacing) <= 0:
        told = f"has spacing {spacing} mm; every axis needs a finite size above 0."
        raise place.unsound(told, remedy=SPACING_REMEDY)
    try:
        orientation = orientation_name(found.affine)
    except (ValueError, np.linalg.LinAlgError):
        raise place.unsound("has a singular affine: its axes do not span space.", remedy=SPACING_REMEDY) from None
    depth_axis = depth_axis_of(spacing)
    anisotropy = anisotropy_of(spacing, depth_axis)
    three = (shape[0], shape[1], shape[2])
    return Header(three, spacing, found.affine, orientation, depth_axis, anisotropy, found.dtype, found.form_difference)


def _one_volume(array: NDArray[Any], place: Place) -> NDArray[Any]:
    if place.frame is None and array.ndim == 3:
        return array
    if place.frame is None:
        raise place.unsound(_wrong_dimensions(array.shape), remedy=_FRAME_REMEDY)
    if array.ndim != 4 or not 0 <= place.frame < array.shape[3]:
        raise place.unsound(f"has shape {array.shape}; asked for frame {place.frame} of a 4-D file.", _FRAME_REMEDY)
    frame: NDArray[Any] = array[..., place.frame]
    return frame


def _wrong_dimensions(shape: tuple[int, ...]) -> str:
    return f"is {len(shape)}-D where 3-D is due: found shape {tuple(shape)}."


def _single_precision(array: NDArray[Any], place: Place) -> NDArray[Any]:
    """int16 as it is, floats as finite float32. Raises DataUnsound where a voxel is NaN, infinite or beyond float32."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        single = array.astype(np.float32, copy=False)
    wrong = int(single.size - np.isfinite(single).sum())
    if wrong:
        raise place.unsound(f"holds {wrong} of {single.size} voxels that are NaN or infinite; all must be finite.")
    return single


def _whole_numbers(array: NDArray[Any], place: Place) -> NDArray[Any]:
    if array.dtype.kind != "f":
        return array
    nearest = np.rint(array)
    with np.errstate(invalid="ignore"):
        near = np.abs(array - nearest) < CODE_TOLERANCE  # False for NaN and infinity too
    if not near.all():
        found = array[~near]
        raise place.unsound(
            f"is a mask with {how_many(found.size, 'voxel')} such as {found[0]!s}; labels are whole numbers to {CODE_TOLERANCE:g}.",
            "Was it resampled with interpolation? Fetch the owner's file.",
        )
    return nearest.astype(np.int64)


def _mapped(codes: NDArray[Any], values: Mapping[int, int], place: Place) -> NDArray[np.uint8]:
    full = {0: 0, **values}
    low, high = min(full), max(full)
    strange = (codes < low) | (codes > high)
    if strange.any():
        raise _unknown_codes(codes[strange], full, place)
    table = np.zeros(high - low + 1, np.uint8)
    known = np.zeros(high - low + 1, bool)
    for code, label in full.items():
        table[code - low], known[code - low] = label, True
    index = codes - low if low else codes
    if not known.all() and not known[index].all():
        raise _unknown_codes(codes[~known[index]], full, place)
    mapped: NDArray[np.uint8] = table[index]
    return mapped


def _unknown_codes(found: NDArray[Any], values: Iterable[int], place: Place) -> DataUnsound:
    first = np.unique(found)[:5].tolist()
    return place.unsound(
        f"is a mask with {how_many(found.size, 'voxel')} of unknown values {first}; possible are {sorted(values)}.",
        "Check that the file is this task's mask, or give the card's `label_values` the missing ones.",
    )


def _same_grid(first: Place, header: Header, other: Place, found: Header) -> None:
    remedy = "Image and mask must come from the same release; fetch both again."
    if header.shape != found.shape:
        raise other.unsound(f"has shape {found.shape}, '{first.name}' has {header.shape}; they must be equal.", remedy)
    apart = np.abs(np.asarray(header.affine) - np.asarray(found.affine))
    if apart.max() > GEOMETRY_TOLERANCE:
        row, column = (int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
        raise other.unsound(
            f"lies elsewhere than '{first.name}': affine[{row}][{column}] ({_AXES[row]} by {_AXES[column]}) is "
            f"{found.affine[row][column]:.6g} against {header.affine[row][column]:.6g}; at most "
            f"{GEOMETRY_TOLERANCE:g} apart is possible.",
            remedy,
        )
