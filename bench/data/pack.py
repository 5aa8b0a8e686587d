"""Many small images of one archive as one memory-mapped array: tens of thousands of cases cost no file each.

A pack holds all images of one array of an npz, in the archive's order and in the type that the cache stores, so that any
split of any protocol reads the same file. It is named by what decides its content, as every entry of the cache is.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Intensity, Shape3
from bench.contracts.counts import how_many
from bench.contracts.record import Record
from bench.data.archive import array
from bench.data.atomic import publish, stage_bytes
from bench.data.cache_recipe import CacheRecipe
from bench.data.place import Place
from bench.data.preparation import SD_FLOOR
from bench.data.volumes import quick_fingerprint

SUFFIX = ".pack"
_ROWS = 4096


@dataclass(frozen=True)
class Row:
    """Where one case lies: a pack, and its place in it."""

    path: Path
    index: int
    shape: Shape3
    channels: int


def packable(record: Record, recipe: CacheRecipe) -> bool:
    """Whether a case lies in an archive and the recipe keeps its voxels on their grid."""
    one_array = len({(image.format, image.path, image.key, image.index) for image in record.images}) == 1
    same_grid = recipe.spacing_mm in (None, record.spacing) and not recipe.crop_foreground and not recipe.brought()
    return record.images[0].format == "npz" and one_array and same_grid


class Packs:
    """Packs below a cache folder, each made when its first case is asked for."""

    def __init__(self, folder: Path, recipe: CacheRecipe, cache_folder: Path) -> None:
        self.folder, self.recipe, self.cache_folder = folder, recipe, cache_folder
        self._made: dict[tuple[str, str], tuple[Path, tuple[int, ...]]] = {}

    def row(self, record: Record) -> Row:
        """The place of a case; the pack is written if need be. Raises what reading the archive raises."""
        image = record.images[0]
        name = (image.path, str(image.key))
        if name not in self._made:
            self._made[name] = self._pack(record)
        path, shape = self._made[name]
        if image.index is None or not 0 <= image.index < shape[0]:
            place = self._place(record)
            raise place.unsound(
                f"holds {how_many(shape[0], 'image')} in '{place.key}'; asked for number {image.index}."
            )
        return Row(path, image.index, (shape[2], shape[3], shape[4]), shape[1])

    def _place(self, record: Record) -> Place:
        image = record.images[0]
        return Place(self.folder / image.path, image.path, "npz", str(image.key), image.frame, record, image.index)

    def _pack(self, record: Record) -> tuple[Path, tuple[int, ...]]:
        place, kind = self._place(record), self.recipe.intensity.kind
        parts = [quick_fingerprint(place.path), place.key, place.frame is None, kind, self.recipe.version]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        path = self.cache_folder / f"{place.path.stem}-{place.key}-{digest[:16]}{SUFFIX}"
        found = opened(path)
        if found is None:
            rows = array(place)
            image_shape = _shape_of_one(rows.shape[1:], coloured=place.frame is not None)
            stored = np.concatenate(
                [_stored(rows[i : i + _ROWS], image_shape, self.recipe.intensity) for i in range(0, len(rows), _ROWS)]
            )
            publish(stage_bytes(path, _as_npy(stored)), path)
            opened.cache_clear()
            found = opened(path)
            assert found is not None
        return path, found.shape


@lru_cache(maxsize=16)
def opened(path: Path) -> NDArray[Any] | None:
    """The images of a pack (n, C, D, H, W), memory-mapped; None where there is none or it is cut short."""
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found


def _shape_of_one(shape: tuple[int, ...], *, coloured: bool) -> tuple[int, ...]:
    """(C, D, H, W) of one image: colours come last in the archive, a 2-D image is one slice."""
    if coloured:
        return (shape[2], shape[0], shape[1], 1)
    return (1, *shape, 1) if len(shape) == 2 else (1, *shape)


def _stored(rows: NDArray[Any], shape: tuple[int, ...], intensity: Intensity) -> NDArray[Any]:
    """A block of images in the cache's type, channels first."""
    block = np.moveaxis(rows, -1, 1) if shape[0] > 1 else rows
    block = block.reshape(len(rows), *shape)
    if intensity.kind == "u8":
        return np.clip(block, 0, 255).astype(np.uint8)
    if intensity.kind == "zscore":
        axes = (2, 3, 4)
        mean = block.mean(axis=axes, dtype=np.float64, keepdims=True)
        sd = np.maximum(block.std(axis=axes, dtype=np.float64, keepdims=True), SD_FLOOR)
        return ((block - mean) / sd).astype(np.float16)
    return block.astype(np.int16 if intensity.kind == "hu" else np.float16)


def _as_npy(stored: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, stored, allow_pickle=False)
    return buffer.getvalue()
