"""npz archives whose arrays hold one image per row (MedMNIST): an array is unpacked once, however many cases it holds.

A 3-D image is (D, H, W) as stored. A 2-D image (H, W) or (H, W, C) becomes one slice, (H, W, 1); where the record names a
frame, that is the channel.
"""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.counts import how_many
from bench.data.axes import plain_affine
from bench.data.place import FETCH_AGAIN, Grid, Place, scaled, told_spacing

KEPT = 3  # arrays held in memory at a time
BadArchive = zipfile.BadZipFile
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError),
    *(NotImplementedError, tokenize.TokenError),  # an unknown way of packing, an array's header that is no Python
)


def grid(place: Place) -> Grid:
    """The grid of one image, from the array's header; its voxel size is what the record tells."""
    shape, dtype = _form(place)
    if place.index is None or not 0 <= place.index < shape[0]:
        raise place.unsound(
            f"holds {how_many(shape[0], 'image')} in '{place.key}'; asked for number {place.index}.", FETCH_AGAIN
        )
    return Grid(_shape_of_one(shape[1:], place), plain_affine(told_spacing(place)), dtype.name)


def voxels(place: Place) -> NDArray[Any]:
    """The voxels of one image, int16 where they are bytes."""
    shape = grid(place).shape
    rows = array(place)
    return scaled(np.asarray(rows[place.index]).reshape(shape), 1.0, 0.0, place)


def array(place: Place) -> NDArray[Any]:
    """The whole array, unpacked; the last few stay in memory. Raises DataUnsound for an archive that is cut short."""
    _form(place)
    try:
        return _unpacked(str(place.path), place.key, place.path.stat().st_mtime_ns)
    except _BROKEN as error:
        raise place.unsound(f"is truncated or damaged ({error}).") from None


def names(path: Path) -> tuple[str, ...]:
    """The arrays of an archive, by name; empty for a file that is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(sorted(name.removesuffix(".npy") for name in archive.namelist()))
    except _BROKEN:
        return ()


def small_array(path: Path, name: str) -> NDArray[Any]:
    """An array of labels. Raises ValueError, KeyError or OSError for what is not there."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        found: NDArray[Any] = archive[name]
    return found


def encode_npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    """An npz in memory, packed as the owners pack theirs; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(values), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def _form(place: Place) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        return _header(str(place.path), place.key, place.path.stat().st_mtime_ns)
    except KeyError:
        found = f"has no array '{place.key}'; it holds {', '.join(names(place.path))}."
        raise place.unsound(found, FETCH_AGAIN) from None
    except _BROKEN as error:
        raise place.unsound(f"is truncated or damaged ({error}).") from None


def _shape_of_one(shape: tuple[int, ...], place: Place) -> tuple[int, ...]:
    if len(shape) == 3 and place.frame is not None:  # channels last
        return (shape[0], shape[1], 1, shape[2])
    return (*shape, 1) if len(shape) == 2 else shape


@lru_cache(maxsize=64)
def _header(path: str, key: str, _changed_ns: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if not shape:
        raise ValueError(f"'{key}' is a single number")
    return shape, dtype


@lru_cache(maxsize=KEPT)
def _unpacked(path: str, key: str, _changed_ns: int) -> NDArray[Any]:
    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
        whole: NDArray[Any] = archive[key]
    return whole
