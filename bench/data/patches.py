"""Where in a volume a box lies: drawn, centred or on foreground; and arrays fitted to a size and back.

A start may be negative and a box may reach beyond its volume: readers fill what lies outside. A volume smaller than the
box lies in the box's middle, the odd voxel of padding at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Shape3

Box = tuple[slice, slice, slice]


class Labelled(Protocol):
    """What drawing on foreground needs to know of a set of cases (`CachedCases` offers it)."""

    def shape(self, case: str) -> Shape3: ...

    def foreground(self, case: str) -> Mapping[int, NDArray[np.int32]]:
        """Per class a sample of its voxels, (K, 3)."""
        ...

    def class_voxels(self, case: str) -> Mapping[int, int]:
        """Per class how many voxels it has in all."""
        ...


def uniform_start(shape: Shape3, size: Shape3, rng: np.random.Generator) -> Shape3:
    """A start drawn uniformly from all that keep the box inside; on axes shorter than the box, the centred one."""
    d, h, w = (int(rng.integers(0, n - s + 1)) if n > s else _centred(n, s) for n, s in zip(shape, size, strict=True))
    return d, h, w


def centred_start(shape: Shape3, size: Shape3) -> Shape3:
    """The start of the middle box; an odd rest, cut or padded, falls to the end: 5 voxels of 10 -> 2, 8 of 5 -> -1."""
    d, h, w = (_centred(n, s) for n, s in zip(shape, size, strict=True))
    return d, h, w


def start_around(voxel: Shape3, shape: Shape3, size: Shape3) -> Shape3:
    """The start of the box with `voxel` at its index size // 2, moved as little as keeps the box inside the volume."""
    d, h, w = (
        min(max(v - s // 2, 0), n - s) if n > s else _centred(n, s) for v, n, s in zip(voxel, shape, size, strict=True)
    )
    return d, h, w


def foreground_start(
    cases: Labelled,
    case: str,
    size: Shape3,
    positive: bool,
    rng: np.random.Generator,
    *,
    balanced: bool = False,
    among: Collection[int] | None = None,
) -> Shape3:
    """The start of a training crop: around a labelled voxel if `positive`, else uniform.

    All foreground voxels are equally likely (as in MONAI's RandCropByPosNegLabel, which MiM and MG-3D use); with
    `balanced` all classes present are, then the voxels of the class (SPAD). A class with more voxels than the cache
    keeps is represented by its sample. `among` names the labels that count as foreground (a target may leave some out).
    A case without foreground gives a uniform start.
    """
    shape = cases.shape(case)
    stored = cases.foreground(case) if positive else {}
    voxels = {label: sample for label, sample in stored.items() if among is None or label in among}
    if not voxels:
        return uniform_start(shape, size, rng)
    classes = sorted(voxels)
    counts = cases.class_voxels(case)
    weights = np.array([1.0 if balanced else counts[label] for label in classes])
    chosen = voxels[classes[int(rng.choice(len(classes), p=weights / weights.sum()))]]
    d, h, w = (int(x) for x in chosen[int(rng.integers(len(chosen)))])
    return start_around((d, h, w), shape, size)


def overlap(shape: Shape3, start: Shape3, size: Shape3) -> tuple[Box, Box]:
    """Which part of a volume a box covers, and where in the box that part lies: (slices of volume, slices of box).

    Both are empty on an axis where the box misses the volume. Example on one axis: 5 voxels, start -1, size 8 ->
    volume[0:5], box[1:6].
    """
    begin = [min(max(s, 0), n) for s, n in zip(start, shape, strict=True)]
    end = [min(max(s + z, b), n) for s, z, b, n in zip(start, size, begin, shape, strict=True)]
    inner = [slice(b, e) for b, e in zip(begin, end, strict=True)]
    outer = [slice(b - s, e - s) for b, e, s in zip(begin, end, start, strict=True)]
    return (inner[0], inner[1], inner[2]), (outer[0], outer[1], outer[2])


def pad_to(array: NDArray[Any], size: Shape3, fill: float = 0) -> NDArray[Any]:
    """The last three axes brought to `size`: padded evenly with `fill` or cut to the middle, the odd rest at the end.

    Always a copy. Source: ours.
    """
    shape = (array.shape[-3], array.shape[-2], array.shape[-1])
    (d, h, w), (d_out, h_out, w_out) = overlap(shape, centred_start(shape, size), size)
    out = np.full((*array.shape[:-3], *size), fill, array.dtype)
    out[..., d_out, h_out, w_out] = array[..., d, h, w]
    return out


def boxed(array: NDArray[Any], size: Shape3, *, at_top: bool = False) -> tuple[Shape3, NDArray[Any]]:
    """The last three axes cut or padded with 0 to a box, an axis of 0 left as it is; where the box begins, and its voxels.

    The box lies in the middle, the odd rest at the end; with `at_top` it ends where the volume ends along the third axis (the
    head), padding below. Source: STOIC's baseline.
    """
    shape = (array.shape[-3], array.shape[-2], array.shape[-1])
    d, h, w = (wanted or n for wanted, n in zip(size, shape, strict=True))
    start = centred_start(shape, (d, h, w))
    if at_top:
        start = (start[0], start[1], shape[2] - w)
    inner, outer = overlap(shape, start, (d, h, w))
    out = np.zeros((*array.shape[:-3], d, h, w), array.dtype)
    out[(..., *outer)] = array[(..., *inner)]
    return start, out


def unpad(array: NDArray[Any], shape: Shape3, fill: float = 0) -> NDArray[Any]:
    """Undo `pad_to` for an array once of `shape`: padding is cut off again, what was cut comes back as `fill`."""
    return pad_to(array, shape, fill)


def _centred(n: int, s: int) -> int:
    return (n - s) // 2 if n >= s else -((s - n) // 2)
