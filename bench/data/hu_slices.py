"""A range of 16-bit pictures of a folder as one CT: what DeepLesion ships, pixels being HU + 32768.

The record's `key` names the range of slice numbers (`103-115`, both included), its `spacing` the voxel size. Pictures are
called `NNN.png`; columns run to the patient's left, rows to the back, slice numbers to the feet, as the owners' own
conversion to NIfTI has it.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.axes import as_affine
from bench.data.place import Grid, Place, told_spacing

OFFSET_HU = 32768


def name_of(number: int) -> str:
    """The file name of a slice."""
    return f"{number:03d}.png"


def grid(place: Place) -> Grid:
    """The grid as the range and its first picture tell it. Raises DataUnsound where that picture is missing or damaged."""
    first, last = _range(place)
    picture = _picture(place, first)
    x_mm, y_mm, z_mm = told_spacing(place)
    affine = as_affine(np.diag([-x_mm, -y_mm, -z_mm, 1.0]))
    return Grid((*picture.shape, last - first + 1), affine, "uint16")


def voxels(place: Place) -> NDArray[np.int16]:
    """All slices of the range in HU (columns, rows, slices). Raises DataUnsound for a missing, damaged or odd-sized one."""
    first, last = _range(place)
    pictures = [_picture(place, number) for number in range(first, last + 1)]
    odd = next((k for k, picture in enumerate(pictures) if picture.shape != pictures[0].shape), None)
    if odd is not None:
        raise place.unsound(
            f"has slices of several sizes: '{name_of(first + odd)}' is {pictures[odd].shape}, the first {pictures[0].shape}."
        )
    return (np.stack(pictures, axis=2).astype(np.int32) - OFFSET_HU).astype(np.int16)


def encode_png(slice_hu: NDArray[np.int16]) -> bytes:
    """A slice (columns, rows) in HU as such a picture in memory."""
    from PIL import Image

    buffer = io.BytesIO()
    stored = (slice_hu.T.astype(np.int32) + OFFSET_HU).astype(np.uint16)
    Image.fromarray(np.ascontiguousarray(stored)).save(buffer, format="PNG")
    return buffer.getvalue()


def _range(place: Place) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-(\d+)", place.key)
    if match is None or int(match[1]) > int(match[2]):
        raise place.unsound(f"is asked for slices '{place.key}'; a range such as 103-115 is due.", "Mend the table.")
    return int(match[1]), int(match[2])


def _picture(place: Place, number: int) -> NDArray[np.uint16]:
    """One picture as (columns, rows)."""
    from PIL import Image, UnidentifiedImageError

    path: Path = place.path / name_of(number)
    if not path.is_file():
        raise place.unsound(f"lacks slice '{path.name}' of {place.key}.", "Complete the download.")
    try:
        with Image.open(path) as image:
            stored = np.asarray(image)
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise place.unsound(f"holds '{path.name}', which is truncated or damaged ({error}).") from None
    if stored.ndim != 2 or stored.dtype.kind not in "ui" or stored.dtype.itemsize < 2:
        raise place.unsound(f"holds '{path.name}' with {stored.dtype} {stored.shape}; 16-bit grey is due.")
    columns: NDArray[np.uint16] = stored.T.astype(np.uint16)
    return columns
