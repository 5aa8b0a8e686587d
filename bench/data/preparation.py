"""One case from its files to what the cache holds: oriented, resampled, normalised, cropped, its foreground sampled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Intensity, Shape3, Spacing
from bench.contracts.errors import SpecError
from bench.contracts.record import Record
from bench.data.cache_recipe import CacheRecipe, labelled
from bench.data.entry import CaseMeta
from bench.data.moments import moments, percentile_scaled
from bench.data.patches import boxed
from bench.data.percentile import percentile_image
from bench.data.resample import Placement, linear_slabs, resample_label, resampled_shape, resized
from bench.data.volumes import (
    Header,
    Volume,
    coarse_fingerprint,
    read_header,
    read_image,
    read_label,
)

SD_FLOOR = 1e-6  # ours
FOREGROUND_VOXELS = 4096  # ours, kept per class for drawing crops
_STORED: Mapping[str, type[np.generic]] = {"hu": np.int16, "zscore": np.float16, "asis": np.float16, "u8": np.uint8}


@dataclass(frozen=True)
class Prepared:
    """A prepared case: image (C, D, H, W) int16 HU or float16, mask (D, H, W) uint8 or None, foreground and meta."""

    image: NDArray[Any]
    label: NDArray[np.uint8] | None
    foreground: dict[int, NDArray[np.int32]]
    meta: CaseMeta


def prepared(folder: Path, record: Record, recipe: CacheRecipe) -> Prepared:
    """Read a case and apply the recipe.

    Order: mean and sd over all native voxels, then resampling (linear; masks nearest), then storage as int16 HU
    (rounded, unclipped) or float16, then the crop, then the box and its resizing. A pool taken by percentiles goes its own
    way (see `percentile.py`) and knows no masks. Raises what `read_image` and `read_label` raise.
    """
    header = read_header(folder, record, stored_values=recipe.stored_values)
    volume = read_image(folder, record, stored_values=recipe.stored_values)
    if recipe.intensity.kind == "percentile":
        return _by_percentiles(header, volume, record)
    wanted = recipe.spacing_mm or volume.spacing_mm
    intensity = recipe.intensity
    scaled = percentile_scaled(volume, intensity.clip_percentiles) if intensity.clip_percentiles else volume
    mean, sd = moments(scaled.array, intensity.over) if intensity.kind == "zscore" else ((), ())
    image, notes = _stored(scaled, wanted, intensity, mean, sd)
    label = None
    if labelled(record, recipe):
        truth = read_label(folder, record, recipe.label_values or {})
        label = resample_label(truth.array, truth.spacing_mm, wanted)
        notes += _lost(truth.array, label)
    full = (image.shape[1], image.shape[2], image.shape[3])
    start, shape = (0, 0, 0), full
    if recipe.crop_foreground:
        start, shape = _box_of(_foreground_voxels(image, intensity))
        box = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
        image = np.ascontiguousarray(image[(slice(None), *box)])
        label = None if label is None else np.ascontiguousarray(label[box])
    if recipe.brought():
        start, shape, image = _brought(image, start, recipe, record.case_id)
    native = (volume.array.shape[1], volume.array.shape[2], volume.array.shape[3])
    placement = Placement(native, volume.spacing_mm, full, wanted, start, shape)
    foreground, counts = _foreground(label, record.case_id)
    meta = CaseMeta(
        case=record.case_id,
        header=header,
        placement=placement,
        channels=len(image),
        labelled=label is not None,
        mean=mean,
        sd=sd,
        class_voxels=counts,
        notes=tuple(notes),
        fingerprint=coarse_fingerprint(volume.array),
    )
    return Prepared(image, label, foreground, meta)


def _brought(image: NDArray[Any], start: Shape3, recipe: CacheRecipe, case: str) -> tuple[Shape3, Shape3, NDArray[Any]]:
    """The volume cut or padded to the recipe's box and resized; start, shape and voxels. What lies outside is 0."""
    if recipe.label_values is not None:
        raise SpecError("a box or a stored size is for cases without masks.", case=case, remedy="Use spacing and crop.")
    box = recipe.box_voxels
    if recipe.box_share:
        d, h, w = (max(1, round(n * share)) for n, share in zip(_three(image), recipe.box_share, strict=True))
        box = (d, h, w)
    if box:
        moved, image = boxed(image, box, at_top=recipe.box_at_top)
        start = (start[0] + moved[0], start[1] + moved[1], start[2] + moved[2])
    if recipe.stored_voxels and recipe.stored_voxels != _three(image):
        values = resized(image, recipe.stored_voxels)
        image = (np.rint(values) if np.issubdtype(image.dtype, np.integer) else values).astype(image.dtype)
    return start, _three(image), image


def _by_percentiles(header: Header, volume: Volume, record: Record) -> Prepared:
    """An image of a pool; where its box lay in the native volume is not kept."""
    axis = record.meta.get("depth_axis")
    depth_axis = header.canonical().depth_axis if axis is None else int(axis)
    pictures = record.images[0].format == "png"
    image, spacing = percentile_image(volume.array, volume.spacing_mm, depth_axis, eight_bits=pictures)
    shape = _three(image)
    placement = Placement(_three(volume.array), volume.spacing_mm, shape, spacing, (0, 0, 0), shape)
    meta = CaseMeta(
        case=record.case_id,
        header=header,
        placement=placement,
        channels=len(image),
        labelled=False,
        mean=(),
        sd=(),
        class_voxels={},
        notes=(),
        fingerprint=coarse_fingerprint(volume.array),
    )
    return Prepared(image, None, {}, meta)


def _stored(
    volume: Volume, wanted: Spacing, intensity: Intensity, mean: tuple[float, ...], sd: tuple[float, ...]
) -> tuple[NDArray[Any], list[str]]:
    """The volume resampled and in the type the cache holds; values the type cannot hold are clipped and noted."""
    kind = intensity.kind
    unchanged = resampled_shape(_three(volume.array), volume.spacing_mm, wanted) == _three(volume.array)
    if kind == "hu" and volume.array.dtype == np.int16 and unchanged and volume.spacing_mm == wanted:
        return volume.array, []
    dtype = np.dtype(_STORED[kind])
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    low, high = float(limits.min), float(limits.max)
    shape = resampled_shape(_three(volume.array), volume.spacing_mm, wanted)
    image = np.empty((len(volume.array), *shape), dtype)
    centre = np.asarray(mean or (0.0,), np.float32).reshape(-1, 1, 1, 1)
    scale = np.maximum(np.asarray(sd or (1.0,), np.float32), np.float32(SD_FLOOR)).reshape(-1, 1, 1, 1)
    clipped = 0
    for rows, block in linear_slabs(volume.array, volume.spacing_mm, wanted):
        values = (block - centre) / scale if kind == "zscore" else np.rint(block) if dtype.kind in "iu" else block
        values = np.where(block == 0, 0, values) if intensity.over == "nonzero" else values
        clipped += int(((values < low) | (values > high)).sum())
        image[:, rows] = np.clip(values, low, high)
    return image, [f"{clipped} voxels clipped to [{low:g}, {high:g}]"] if clipped else []


def _lost(native: NDArray[np.uint8], label: NDArray[np.uint8]) -> list[str]:
    before, after = (np.flatnonzero(np.bincount(a.ravel(), minlength=256)) for a in (native, label))
    lost = sorted(set(before.tolist()) - set(after.tolist()))
    return [f"labels {lost} vanished when the mask was resampled"] if lost else []


def _foreground_voxels(image: NDArray[Any], intensity: Intensity) -> NDArray[np.bool_]:
    """(C, D, H, W) True above the window (`hu`), where not 0 (`over` nonzero), else above the least value."""
    if intensity.over == "nonzero":
        return np.asarray(image != 0)
    return np.asarray(image > (intensity.window_hu[0] if intensity.kind == "hu" else image.min()))


def _box_of(foreground: NDArray[np.bool_]) -> tuple[Shape3, Shape3]:
    """Start and shape of the least box holding all voxels that are True in any channel."""
    above: NDArray[np.bool_] = np.any(foreground, axis=0)
    bounds = []
    for axis in range(3):
        hit = np.flatnonzero(np.any(above, axis=tuple(a for a in range(3) if a != axis)))
        bounds.append((int(hit[0]), int(hit[-1]) + 1) if hit.size else (0, above.shape[axis]))
    (d, d_end), (h, h_end), (w, w_end) = bounds
    return (d, h, w), (d_end - d, h_end - h, w_end - w)


def _foreground(label: NDArray[np.uint8] | None, case: str) -> tuple[dict[int, NDArray[np.int32]], dict[int, int]]:
    """Per class present, up to 4096 voxels drawn without replacement by a seed from case and class; and all counts."""
    if label is None:
        return {}, {}
    flat = label.ravel()
    counts = np.bincount(flat, minlength=256)
    voxels: dict[int, NDArray[np.int32]] = {}
    for name in np.flatnonzero(counts[1:]) + 1:
        where = np.flatnonzero(flat == name)
        if len(where) > FOREGROUND_VOXELS:
            seed = int.from_bytes(hashlib.sha256(f"foreground|{case}|{name}".encode()).digest()[:8], "little")
            rng = np.random.Generator(np.random.Philox(seed))
            where = where[np.sort(rng.choice(len(where), FOREGROUND_VOXELS, replace=False, shuffle=False))]
        voxels[int(name)] = np.stack(np.unravel_index(where, label.shape), axis=1).astype(np.int32)
    return voxels, {name: int(counts[name]) for name in voxels}


def _three(array: NDArray[Any]) -> Shape3:
    return array.shape[-3], array.shape[-2], array.shape[-1]
