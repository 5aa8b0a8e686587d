"""A folder of grey pictures that mask a DICOM series, one per slice: the k-th picture by name belongs to the k-th file by name.

The pictures hold no place of their own, so theirs is that of the case's first image. They are never paired by number in the
name: one mask may serve two series that share out the numbers between them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.counts import how_many
from bench.data import dicom
from bench.data.place import Grid, Place
from bench.data.slices import by_number, pictures, read_picture

_FETCH = "Series and masks must come from one release; fetch both again."


def grid(place: Place) -> Grid:
    """The grid of the series, in voxels of the pictures. Raises DataUnsound where there are not as many as slices."""
    series = dicom.grid(_series(place))
    files = pictures(place.path)
    if len(files) != series.shape[2]:
        slices = how_many(series.shape[2], "slice")
        raise place.unsound(f"holds {how_many(len(files), 'picture')} for {slices}; one each is due.", _FETCH)
    rows, columns = read_picture(files[0], place).shape
    return Grid((columns, rows, len(files)), series.affine, "uint8")


def voxels(place: Place) -> NDArray[Any]:
    """(columns, rows, slices) uint8 in the order in which the slices lie."""
    shape = grid(place).shape
    slices = dicom.ordered(_series(place))
    rank = {name: k for k, name in enumerate(sorted((one.path.name for one in slices), key=by_number))}
    files = pictures(place.path)
    out = np.empty(shape, np.uint8)
    for z, one in enumerate(slices):
        path = files[rank[one.path.name]]
        picture = read_picture(path, place)
        if picture.shape != (shape[1], shape[0]):
            told = f"has pictures of several sizes: '{path.name}' is {picture.shape[1]} x {picture.shape[0]}."
            raise place.unsound(told, _FETCH)
        out[:, :, z] = picture.T
    return out.astype(np.int16)


def _series(place: Place) -> Place:
    """The place of the case's first image."""
    first = min(place.record.images, key=lambda image: image.channel)
    root = place.path
    for _ in place.name.split("/"):
        root = root.parent
    return replace(place, path=root / first.path, name=first.path, format=first.format, key=first.key or "image")
