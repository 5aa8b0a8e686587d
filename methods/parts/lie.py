"""How a case lies for a network that wants its depth axis first: which axis, how thick its slices, how large.

Source   SPAD, Sec. 3.1 and App. C: official description, then metadata, then the most anisotropic axis, which its released
         code finds by the closest in-plane pair; a 2-D image is one slice, as thick as one likes
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.contracts.configs import Intensity, Shape3, Spacing
from bench.contracts.method import Corpus
from bench.data.axes import FLAT_MM, SAME_SPACING
from bench.nets.spad import along_first


@dataclass(frozen=True)
class Lie:
    """A case's depth axis among (D, H, W), its shape depth first, and voxel sizes across and along slices (any unit)."""

    axis: int
    shape: Shape3
    slice_mm: float
    plane_mm: float

    @property
    def ratio(self) -> float:
        return self.slice_mm / self.plane_mm


def lie_of(shape: Shape3, spacing_mm: Spacing | None, *, even_axis: int, told_axis: int | None = None) -> Lie:
    """The lie of a volume. `told_axis` is what the corpus knows; `even_axis` is taken where the sizes across it agree.

    Without a spacing voxels count as cubes, and a volume of one slice as a 2-D image.
    """
    flat = [axis for axis, side in enumerate(shape) if side == 1]
    if spacing_mm is None:
        spacing_mm = (1.0, 1.0, 1.0)
        if len(flat) == 1:
            told_axis = flat[0]
            d, h, w = (FLAT_MM if axis == told_axis else 1.0 for axis in range(3))
            spacing_mm = (d, h, w)
    axis = _stands_out(spacing_mm, even_axis) if told_axis is None else told_axis
    plane = min(size for at, size in enumerate(spacing_mm) if at != axis)
    return Lie(axis, along_first(shape, axis), spacing_mm[axis], plane)


def lie_of_case(corpus: Corpus, case: str, even_axis: int) -> Lie:
    """The lie of a corpus' case; `depth_axis` among its fields is what its owners say."""
    told = corpus.fields(case).get("depth_axis")
    return lie_of(corpus.shape(case), corpus.spacing(case), even_axis=even_axis, told_axis=told)


def depth_first_array(array: NDArray[np.generic], axis: int) -> NDArray[np.generic]:
    """(C, D, H, W) with spatial axis `axis` moved to the front: a view."""
    return np.moveaxis(array, 1 + axis, 1)


def to_unit_range(voxels: NDArray[np.generic], intensity: Intensity) -> NDArray[np.float32]:
    """Stored voxels to [0, 1], float32: HU by the window, percentiles as stored; z-scores and files as their owners
    normalised them by +-2.576, where a Gaussian has its 0.5th and 99.5th percentiles (ours)."""
    x = voxels.astype(np.float32)
    low, high = {"hu": intensity.window_hu, "percentile": (0.0, 1.0), "u8": (0.0, 255.0)}.get(
        intensity.kind, (-2.576, 2.576)
    )
    return np.clip((x - low) / (high - low), 0.0, 1.0, dtype=np.float32)


def _stands_out(spacing_mm: Spacing, even_axis: int) -> int:
    """`even_axis` where the sizes across it agree; else the axis whose two others are closest, thick slices or thin."""

    def apart(axis: int) -> float:
        first, second = (size for at, size in enumerate(spacing_mm) if at != axis)
        return abs(first - second) / max(first, second)

    return even_axis if apart(even_axis) <= SAME_SPACING else min(range(3), key=apart)
