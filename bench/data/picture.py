"""A picture (PNG, JPEG and what else Pillow reads) as a volume of one slice: (1, rows, columns), and three colours as frames.

Pictures hold no voxel size: the record's counts, which for a flat image is a slice as thick as one likes.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.axes import FLAT_MM, plain_affine
from bench.data.place import Grid, Place


def grid(place: Place) -> Grid:
    """The grid from the file's header; with a frame asked for, three colours follow. Raises DataUnsound if it is none."""
    with _opened(place) as picture:
        columns, rows = picture.size
    shape = (1, rows, columns) if place.frame is None else (1, rows, columns, 3)
    return Grid(shape, plain_affine(place.record.spacing or (FLAT_MM, 1.0, 1.0)), "uint8")


def voxels(place: Place) -> NDArray[Any]:
    """Grey values 0 to 255 (1, rows, columns) int16, or red, green, blue (1, rows, columns, 3). Transparency is dropped;
    16-bit greys are brought to 8 bits."""
    with _opened(place) as picture:
        try:
            wide = picture.mode.startswith(("I", "F"))
            if wide:
                deep = np.asarray(picture, dtype=np.float64)
                grey = np.rint(deep * (255.0 / max(float(deep.max()), 255.0))).astype(np.int16)
                found = grey if place.frame is None else np.stack([grey] * 3, -1)
            else:
                found = np.asarray(picture.convert("L" if place.frame is None else "RGB")).astype(np.int16)
        except (OSError, SyntaxError, ValueError) as error:
            raise place.unsound(f"is a damaged picture: {error}.") from error
    return found[None]


def encode_picture(picture: NDArray[np.uint8], ending: str) -> bytes:
    """A picture (rows, columns[, 3]) in memory, in the format of a file's ending."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format={".png": "PNG", ".bmp": "BMP", ".tif": "TIFF"}.get(ending, "JPEG"))
    return buffer.getvalue()


def _opened(place: Place) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(place.path)
    except (UnidentifiedImageError, OSError) as error:
        raise place.unsound("is no picture that can be read.") from error
