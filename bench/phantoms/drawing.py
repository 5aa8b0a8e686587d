"""Turn a latent person into voxels: choose a view, paint it, and read off the labels a task asks for.

The field of view of a view always fills the grid, so a small grid shows the whole anatomy coarsely. Header spacings of
a phantom are therefore those of a miniature; `Drawing.voxel_mm` says how many millimetres of body a voxel spans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.contracts.errors import SpecError
from bench.phantoms.abdomen import paint_abdomen
from bench.phantoms.body import Person, Point
from bench.phantoms.brain import paint_brain
from bench.phantoms.canvas import Canvas
from bench.phantoms.colon import paint_colon_tumor
from bench.phantoms.covid import paint_covid_lesions
from bench.phantoms.glioma import paint_head
from bench.phantoms.great_vessels import paint_great_vessels
from bench.phantoms.heart import paint_heart
from bench.phantoms.pelvis import paint_pelvis
from bench.phantoms.tissue import Tissue
from bench.phantoms.torso import paint_lung_lesion, paint_lungs, paint_wall
from bench.phantoms.views import Shape3, View, view_named


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What a view of a person holds, in RAS (x, y, z) order.

    `tissue` uint8, the number of a `Tissue` per fine voxel, `fine` times the shape of `label`; `label` uint8, the class
    numbers of the view, 0 for all else; `voxel_mm` millimetres of body per voxel of `label`.
    """

    view: str
    tissue: NDArray[np.uint8]
    label: NDArray[np.uint8]
    fine: Shape3
    voxel_mm: Point
    classes: tuple[str, ...]

    def holds_matter(self) -> NDArray[np.bool_]:
        """Where a voxel of `label`'s grid is not wholly air."""
        return np.asarray(fine_sum((self.tissue != Tissue.AIR).view(np.uint8), self.fine) > 0)


def draw(
    person: Person,
    view: str,
    shape: Shape3,
    *,
    fine: Shape3 | None = None,
    signs: Callable[[Canvas], None] | None = None,
) -> Drawing:
    """Draw a view of a person on a grid of `shape` voxels (x, y, z in RAS order) with exact labels.

    The grid is painted `fine` times finer along each axis (the view's own number when None); a voxel takes the label
    that most of its fine voxels carry, and among equals a class goes before the background and a lower class before a
    higher. `signs` paints what a disease adds to a finished trunk.
    Raises SpecError for an unknown view or an axis of fewer than 8 voxels.
    """
    chosen = view_named(view)
    if len(shape) != 3 or min(shape) < 8:
        raise SpecError(
            f"A phantom needs three axes of at least 8 voxels, asked was {shape}.", remedy="Ask for a larger grid."
        )
    finer = chosen.fine if fine is None else fine
    large = (shape[0] * finer[0], shape[1] * finer[1], shape[2] * finer[2])
    canvas = Canvas(
        person, chosen.low_mm, chosen.high_mm, large,
        warp_ratio=chosen.warp_ratio, mirrored=chosen.mirrors and person.mirrored,
    )  # fmt: skip
    if chosen.part == "hippocampus":
        paint_brain(canvas, person)
    elif chosen.part == "head":
        paint_head(canvas, person)
    else:
        _paint_torso(canvas, person, chosen)
    if signs is not None:
        signs(canvas)
    x, y, z = ((high - low) / count for low, high, count in zip(chosen.low_mm, chosen.high_mm, shape, strict=True))
    label = _vote(canvas.tissue, chosen.labels, finer)
    return Drawing(view=view, tissue=canvas.tissue, label=label, fine=finer, voxel_mm=(x, y, z), classes=chosen.classes)


def fine_sum(array: NDArray[np.uint8] | NDArray[np.float32], fine: Shape3) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Add up the fine voxels of each voxel, always in the same order, in the array's own number type."""
    for axis, count in enumerate(fine):
        if count == 1:
            continue
        pick: list[slice] = [slice(None)] * 3
        pick[axis] = slice(0, None, count)
        total = array[tuple(pick)].copy()
        for start in range(1, count):
            pick[axis] = slice(start, None, count)
            total += array[tuple(pick)]
        array = total
    return array


def _paint_torso(canvas: Canvas, person: Person, view: View) -> None:
    paint_wall(canvas, person)
    paint_lungs(canvas, person)
    paint_great_vessels(canvas, person)
    paint_heart(canvas, person)
    if view.pelvis:
        paint_pelvis(canvas, person)
    paint_abdomen(canvas, person, lesions=view.lesions)
    for lesion in person.lesions:
        if lesion.organ == "lung" and "lung" in view.lesions:
            paint_lung_lesion(canvas, person, lesion)
    if "colon" in view.lesions:
        paint_colon_tumor(canvas, person)
    if "covid" in view.lesions:
        paint_covid_lesions(canvas, person)


def _vote(tissue: NDArray[np.uint8], labels: Mapping[Tissue, int], fine: Shape3) -> NDArray[np.uint8]:
    numbers = np.zeros(256, dtype=np.uint8)
    for name, number in labels.items():
        numbers[name] = number
    classes = numbers[tissue]
    if fine == (1, 1, 1):
        return classes
    label = np.zeros(tuple(size // count for size, count in zip(tissue.shape, fine, strict=True)), dtype=np.uint8)
    most = np.full(label.shape, np.uint8(fine[0] * fine[1] * fine[2]), dtype=np.uint8)
    most -= fine_sum((classes > 0).view(np.uint8), fine).astype(np.uint8)  # fine voxels of background
    most = np.maximum(most, 1)
    for number in range(max(labels.values()), 0, -1):
        votes = fine_sum((classes == number).view(np.uint8), fine)
        wins = votes >= most
        label[wins] = number
        most[wins] = votes[wins]
    return label
