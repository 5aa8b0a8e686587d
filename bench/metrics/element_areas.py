"""Area of the surface inside a cell of 2x2x2 voxels, for each of the 256 ways in which its corners can lie inside a mask.

The surface is that of marching cubes (Lorensen and Cline, SIGGRAPH 1987): it meets a cube's edge half-way between a
corner inside and one outside. Three choices fix it, derived here from geometry and not from a printed table:

1. Inside and outside are treated alike: where a face is a chequerboard, the corners of the kind that the cube has
   fewer of are cut off, each by itself (with four of either kind both choices give one area).
2. On every face the crossings are joined by lines; the lines close to polygons of three to six corners.
3. A polygon that is not flat is split into triangles so that its area on the unit cube is largest. Where several
   splits are equally large there, they are so at every spacing.

With these the areas equal those of google-deepmind/surface-distance and of MONAI's sub-voxel surface Dice.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.metrics.label_maps import Spacing

Corner = tuple[int, int, int]
Crossing = tuple[int, int, int]  # in half voxels, so that the middle of an edge is a whole number
Triangle = tuple[int, int, int]

CORNERS: tuple[Corner, ...] = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))


def element_areas_mm2(spacing_mm: Spacing) -> NDArray[np.float64]:
    """Area in mm2 by code (256). Corner number n of CORNERS inside the mask sets the bit 128 >> n, as np.packbits does.

    Example: one corner inside cuts off a triangle with corners at half a voxel; at 1 mm its area is
    sqrt(3) / 8 = 0.2165 mm2. Four corners of one plane give a flat square of 1 mm2.
    """
    first, second, third = spacing_mm
    stretch = np.array([second * third, third * first, first * second])  # how the parts of an area vector grow
    lengths = np.linalg.norm(_triangle_vectors() * stretch, axis=-1)
    areas: NDArray[np.float64] = lengths.sum(axis=-1)
    return areas


@cache
def _triangle_vectors() -> NDArray[np.float64]:
    """(256, 4, 3) area vectors on the unit cube; unused triangles are zero. No code needs more than four."""
    vectors = np.zeros((256, 4, 3))
    for code in range(1, 255):
        found = [vector for polygon in _polygons(code) for vector in _split(polygon)]
        vectors[code, : len(found)] = found
    return vectors


def _polygons(code: int) -> list[list[Crossing]]:
    """Closed lines in which the surface meets the faces of the cube."""
    inside = {corner: bool(code & (128 >> number)) for number, corner in enumerate(CORNERS)}
    rare = sum(inside.values()) <= 4  # the kind of corner that is cut off where a face leaves the choice
    joined: dict[Crossing, list[Crossing]] = {}
    for axis, side in itertools.product(range(3), (0, 1)):
        for one, other in _lines([(corner, inside[corner]) for corner in _around(axis, side)], rare):
            joined.setdefault(one, []).append(other)
            joined.setdefault(other, []).append(one)
    polygons = []
    while joined:
        start = next(iter(joined))
        polygon, here = [start], joined.pop(start)[0]
        while here != start:
            polygon.append(here)
            here = next(there for there in joined.pop(here) if there in joined or (there == start and len(polygon) > 2))
        polygons.append(polygon)
    return polygons


def _around(axis: int, side: int) -> list[Corner]:
    """The four corners of a face, in the order in which its border passes them."""
    border = []
    for one, other in ((0, 0), (0, 1), (1, 1), (1, 0)):
        corner = [one, other]
        corner.insert(axis, side)
        border.append((corner[0], corner[1], corner[2]))
    return border


def _lines(border: list[tuple[Corner, bool]], rare: bool) -> list[tuple[Crossing, Crossing]]:
    """The lines in which the surface meets one face."""
    crossings = [_middle(border[n][0], border[n - 3][0]) for n in range(4)]  # between corner n and the next
    changes = [n for n in range(4) if border[n][1] != border[n - 3][1]]
    if len(changes) == 4:
        return [(crossings[n - 1], crossings[n]) for n in range(4) if border[n][1] == rare]
    return [(crossings[changes[0]], crossings[changes[1]])] if changes else []


def _middle(one: Corner, other: Corner) -> Crossing:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _split(polygon: list[Crossing]) -> NDArray[np.float64]:
    """Area vectors of the triangles of the largest split."""
    points = np.asarray(polygon) / 2
    splits = [
        np.array([np.cross(points[b] - points[a], points[c] - points[a]) / 2 for a, b, c in triangles])
        for triangles in _splits(0, len(polygon) - 1)
    ]
    return max(splits, key=lambda vectors: round(float(np.linalg.norm(vectors, axis=1).sum()), 9))


def _splits(first: int, last: int) -> list[list[Triangle]]:
    """All ways to split the polygon first..last into triangles."""
    if last - first < 2:
        return [[]]
    return [
        [*below, *above, (first, middle, last)]
        for middle in range(first + 1, last)
        for below in _splits(first, middle)
        for above in _splits(middle, last)
    ]
