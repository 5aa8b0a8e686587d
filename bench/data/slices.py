"""A folder of grey pictures, one per slice (PNG or JPEG), as one volume: (columns, rows, slices), in the order of their names.

Such folders hold no voxel size: the record's counts. Numbers in names count as numbers, so that `10.png` follows `9.png`.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.axes import plain_affine
from bench.data.place import Grid, Place, scaled, told_spacing

ENDINGS = (".png", ".jpg", ".jpeg")


def pictures(folder: Path) -> list[Path]:
    """The slices of a folder in order, hidden files left out."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    return sorted(found, key=lambda path: by_number(path.name))


def grid(place: Place) -> Grid:
    """The grid as the first slice and the number of slices tell it. Raises DataUnsound for an empty folder."""
    files = _files(place)
    columns, rows = _size(files[0], place)
    return Grid((columns, rows, len(files)), plain_affine(told_spacing(place)), "uint8")


def voxels(place: Place) -> NDArray[Any]:
    """All slices. Raises DataUnsound for a picture that cannot be read, is coloured, or has another size than the first."""
    shape = grid(place).shape
    out = np.empty(shape, np.uint8)
    for k, path in enumerate(_files(place)):
        picture = read_picture(path, place)
        if picture.shape != (shape[1], shape[0]):
            raise place.unsound(
                f"has slices of several sizes: '{path.name}' is {picture.shape[1]} x {picture.shape[0]}, the first "
                f"{shape[0]} x {shape[1]}.",
                "One folder must hold one series; fetch it again.",
            )
        out[:, :, k] = picture.T
    return scaled(out, 1.0, 0.0, place)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """A grey picture (rows, columns) as PNG in memory."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _files(place: Place) -> list[Path]:
    files = pictures(place.path)
    if not files:
        raise place.unsound("holds no slice (.png, .jpg).", "Unpack the archive again.")
    return files


def _size(path: Path, place: Place) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise place.unsound(f"holds '{path.name}', which is truncated or damaged ({error}).") from None


def read_picture(path: Path, place: Place) -> NDArray[np.uint8]:
    """One picture (rows, columns). Raises DataUnsound where it cannot be read or is coloured."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            shown = image.convert("RGB") if image.mode == "P" else image  # a palette's numbers are no greys
            picture = np.asarray(shown)
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise place.unsound(f"holds '{path.name}', which is truncated or damaged ({error}).") from None
    if picture.ndim == 3 and (picture[..., :1] == picture[..., :3]).all():  # grey saved as RGB
        picture = picture[..., 0]
    if picture.ndim != 2 or picture.dtype != np.uint8:
        raise place.unsound(
            f"holds '{path.name}' with {picture.dtype} {picture.shape}; one grey byte per pixel is due."
        )
    return picture


def by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts names with their numbers as numbers: `9.png` before `10.png`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name)]
