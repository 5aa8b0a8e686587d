"""NIfTI, h5 and NRRD files as arrays in their own axis order: what each format holds and how each can be broken.

Only `volumes.py` calls this file; everything above sees canonical arrays. A file that cannot be trusted is refused with
DataUnsound, never mended in silence. Other formats stand in `archive.py` (npz), `dicom.py`, `metaimage.py`, `slices.py`.
A little longer than 250 lines because each of three formats has its own ways of being broken.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.contracts.errors import BenchError
from bench.data import archive, dicom, hu_slices, metaimage, picture, series_masks, slices
from bench.data.axes import Affine, as_affine, plain_affine, with_spacing
from bench.data.place import SPACING_REMEDY, Grid, Place, scaled, told_spacing

_GZIP_MAGIC = b"\x1f\x8b"
_BROKEN = (EOFError, OSError, zlib.error)
_BROKEN_H5 = (OSError, RuntimeError, KeyError, ValueError)
_SCALING_AT = 112  # where a NIfTI-1 header keeps slope and intercept, two floats
_NIFTI_HEADER_BYTES = 540  # NIfTI-2; NIfTI-1 takes 348


def grid(place: Place) -> Grid:
    """The grid of one file from its header alone, voxel sizes from the owners' table where it tells them.

    Raises DataUnsound where the header cannot be trusted.
    """
    found = _READERS[place.format][0](place)
    if place.spacing_mm is None:
        return found
    return replace(found, affine=with_spacing(found.affine, place.spacing_mm), form_difference=None)


def voxels(place: Place) -> NDArray[Any]:
    """All voxels of one file, slope and intercept of its header or of the owners' table applied.

    int16 where that is exact, else float32 or float64.
    """
    stored = _READERS[place.format][1](place)
    return stored if place.rescale is None else scaled(stored, *place.rescale, place)


# NIfTI -------------------------------------------------------------------------------------------


def _nifti_head(place: Place, block: bytes) -> Any:
    import nibabel as nib

    told = int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")
    kind, length = (nib.Nifti2Header, 540) if 540 in told else (nib.Nifti1Header, 348)
    if length not in told:
        raise place.unsound(f"is no NIfTI file: it starts with {block[:4]!r} where a header's length is due.")
    if len(block) < length:
        raise place.unsound(f"is truncated: {len(block)} bytes where a header takes {length}.")
    header = kind(block[:length], check=False)  # nibabel's checks would mend a bad voxel size in silence
    if not bytes(header["magic"]).startswith(b"n+"):
        raise place.unsound("keeps its header and voxels apart; one file with both is due.", "Save it as .nii.gz.")
    header["pixdim"][0] = -1.0 if header["pixdim"][0] < 0 else 1.0  # its sign alone counts, and 0 is 1 (nifti1_io.c)
    return header


def _nifti_grid(place: Place) -> Grid:
    header = _nifti_head(place, _nifti_bytes(place, _NIFTI_HEADER_BYTES))
    sizes = tuple(float(x) for x in header["pixdim"][1:4])
    if not all(np.isfinite(size) and size > 0 for size in sizes):
        raise place.unsound(f"has spacing {sizes} mm; every axis needs a finite size above 0.", remedy=SPACING_REMEDY)
    try:
        affine = as_affine(header.get_best_affine())
        qform, sform = header.get_qform(coded=True)[0], header.get_sform(coded=True)[0]
    except (ValueError, ArithmeticError) as error:
        raise place.unsound(f"has no usable affine ({error}).", remedy=SPACING_REMEDY) from None
    difference = None if qform is None or sform is None else float(np.abs(qform - sform).max())
    return Grid(tuple(int(n) for n in header.get_data_shape()), affine, _nifti_form(place, header)[0].name, difference)


def _nifti_bytes(place: Place, limit: int | None = None) -> bytes:
    """The file's content, unpacked; with `limit` its beginning only. All of it is read to verify gzip's checksum."""
    try:
        with place.path.open("rb") as file:
            if not place.name.endswith(".gz"):
                return file.read(-1 if limit is None else limit)
            magic = file.read(2)
            if magic != _GZIP_MAGIC:
                raise place.unsound(f"is no gzip file though named so: it starts with {magic!r}, not {_GZIP_MAGIC!r}.")
            file.seek(0)
            if limit is None:
                return gzip.decompress(file.read())
            with gzip.GzipFile(fileobj=file) as unpacked:
                return unpacked.read(limit)
    except _BROKEN as error:
        raise place.unsound(f"is truncated or damaged ({error}).") from None


def _nifti_voxels(place: Place) -> NDArray[Any]:
    content = _nifti_bytes(place)
    header = _nifti_head(place, content)
    shape = header.get_data_shape()
    dtype, offset, slope, intercept = _nifti_form(place, header)
    count = int(np.prod(shape, dtype=np.int64))
    due = offset + count * dtype.itemsize
    if len(content) < due:
        raise place.unsound(f"is truncated: {len(content)} bytes where shape {tuple(shape)} needs {due}.")
    array = np.frombuffer(content, dtype, count, offset).reshape(shape, order="F")
    return scaled(array, slope, intercept, place)


def _nifti_form(place: Place, header: Any) -> tuple[np.dtype[Any], int, float, float]:
    """The voxels' type, where they begin, slope and intercept."""
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, intercept = header.get_slope_inter()
        slope, intercept = 1.0 if slope is None else float(slope), float(intercept or 0.0)
        dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
    except (HeaderDataError, KeyError, ValueError, ArithmeticError) as error:
        raise place.unsound(f"has a header that means nothing ({error}).") from None
    if offset < int(header["sizeof_hdr"]):
        raise place.unsound(f"says that its voxels begin at byte {offset}, inside its header.")
    return dtype, offset, slope, intercept


def encode_nifti(
    array: NDArray[Any], affine: Affine, dtype: DTypeLike, *, zipped: bool, scaling: tuple[float, float] = (1.0, 0.0)
) -> bytes:
    """A NIfTI-1 file in memory, under a slope and an intercept where `scaling` tells them.

    Raises ValueError where an integer dtype cannot hold the values.
    """
    import nibabel as nib

    wanted, (slope, intercept) = np.dtype(dtype), scaling
    if scaling != (1.0, 0.0):
        array = (array - intercept) / slope
        array = np.rint(array) if wanted.kind in "iu" else array
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        if array.min() < limits.min or array.max() > limits.max:
            raise ValueError(f"values {array.min()} to {array.max()} do not fit into {wanted}")
    image = nib.Nifti1Image(array.astype(wanted, copy=False), np.asarray(affine), dtype=wanted)
    image.header.set_xyzt_units("mm")
    content: bytes = image.to_bytes()
    if scaling != (1.0, 0.0):  # nibabel tells a slope only where it has drawn one itself
        content = content[:_SCALING_AT] + struct.pack("<ff", slope, intercept) + content[_SCALING_AT + 8 :]
    return gzip.compress(content, 1, mtime=0) if zipped else content


# h5 ----------------------------------------------------------------------------------------------


def _h5_dataset(place: Place, file: Any) -> Any:
    if place.key not in file:
        found = f"has no dataset '{place.key}'; it holds {sorted(file)}."
        raise place.unsound(found, "Fetch the file again, or name one of these in the record.")
    return file[place.key]


def _h5_grid(place: Place) -> Grid:
    import h5py

    try:
        with h5py.File(place.path, "r") as file:
            data = _h5_dataset(place, file)
            return Grid(tuple(data.shape), plain_affine(told_spacing(place)), data.dtype.name)
    except _BROKEN_H5 as error:
        raise place.unsound(f"is truncated or damaged ({error}).") from None


def _h5_voxels(place: Place) -> NDArray[Any]:
    import h5py

    try:
        with h5py.File(place.path, "r") as file:
            return scaled(np.asarray(_h5_dataset(place, file)[()]), 1.0, 0.0, place)
    except _BROKEN_H5 as error:
        raise place.unsound(f"is truncated or damaged ({error}).") from None


def encode_h5(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An h5 file in memory with one gzip dataset per name; equal arrays give equal bytes."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip", track_times=False)
    return buffer.getvalue()


# NRRD --------------------------------------------------------------------------------------------

# An NRRD says in which space its directions stand; these signs bring them to RAS.
_NRRD_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}


def _nrrd() -> Any:
    try:
        import nrrd
    except ImportError:
        message = "NRRD files need the package pynrrd, which is not installed."
        raise BenchError(message, remedy="pip install 'ssl3d-bench[nrrd]'") from None
    return nrrd


def _nrrd_grid(place: Place) -> Grid:
    nrrd = _nrrd()
    try:
        header = nrrd.read_header(str(place.path))
    except (*_BROKEN, nrrd.NRRDError, KeyError, ValueError) as error:
        raise place.unsound(f"is truncated or damaged ({error}).") from None
    try:
        shape = tuple(int(n) for n in header["sizes"])
        flat = plain_affine((1.0, 1.0, 1.0))  # a grid that is refused by its shape
        affine = _nrrd_affine(place, header) if len(shape) == 3 else flat
        return Grid(shape, affine, str(header["type"]))
    except (KeyError, ValueError, TypeError) as error:
        raise place.unsound(f"has a header that means nothing ({error}).") from None


def _nrrd_affine(place: Place, header: Mapping[str, Any]) -> Affine:
    directions = header.get("space directions")
    if directions is None:
        spacings = header.get("spacings")
        if spacings is None or not np.isfinite(spacings).all():
            return plain_affine(told_spacing(place))
        return plain_affine((float(spacings[0]), float(spacings[1]), float(spacings[2])))
    space = str(header.get("space", "right-anterior-superior")).lower()
    if space not in _NRRD_SPACES:
        raise place.unsound(f"stands in space '{space}'; possible are {sorted(_NRRD_SPACES)}.", "Save it anew as LPS.")
    signs = np.asarray(_NRRD_SPACES[space], dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(directions, dtype=float).T * signs[:, None]
    matrix[:3, 3] = np.asarray(header.get("space origin", np.zeros(3)), dtype=float) * signs
    return as_affine(matrix)


def _nrrd_voxels(place: Place) -> NDArray[Any]:
    nrrd = _nrrd()
    try:
        array, _ = nrrd.read(str(place.path))
    except (*_BROKEN, nrrd.NRRDError, KeyError, ValueError) as error:
        raise place.unsound(f"is truncated or damaged ({error}).") from None
    return scaled(np.asarray(array), 1.0, 0.0, place)


def encode_nrrd(array: NDArray[Any], affine: Affine) -> bytes:
    """A gzip NRRD file in memory, its directions in RAS mm."""
    matrix = np.asarray(affine)
    header = {
        "space": "right-anterior-superior",
        "space directions": matrix[:3, :3].T,
        "space origin": matrix[:3, 3],
        "encoding": "gzip",
    }
    buffer = io.BytesIO()
    _nrrd().write(buffer, array, header, compression_level=1)
    return buffer.getvalue()


_READERS: Mapping[str, tuple[Callable[[Place], Grid], Callable[[Place], NDArray[Any]]]] = {
    "nifti": (_nifti_grid, _nifti_voxels),
    "h5": (_h5_grid, _h5_voxels),
    "nrrd": (_nrrd_grid, _nrrd_voxels),
    "npz": (archive.grid, archive.voxels),
    "dicom": (dicom.grid, dicom.voxels),
    "metaimage": (metaimage.grid, metaimage.voxels),
    "slices": (slices.grid, slices.voxels),
    "hu_slices": (hu_slices.grid, hu_slices.voxels),
    "series_masks": (series_masks.grid, series_masks.voxels),
    "png": (picture.grid, picture.voxels),
}
