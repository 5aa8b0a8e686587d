"""Areas of the marching-cubes surface in a cell: by hand, by symmetry, and against MONAI's table."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bench.metrics.element_areas import CORNERS, element_areas_mm2
from tests.metrics.plain_surface import monai_areas

SPACINGS_MM = [(1.0, 1.0, 1.0), (0.76, 0.76, 3.0), (3.0, 0.5, 1.2), (0.1, 1.0, 10.0), (5.0, 4.0, 0.3)]


def code_of(*inside: tuple[int, int, int]) -> int:
    return sum(128 >> CORNERS.index(corner) for corner in inside)


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_all_256_areas_equal_monais(spacing_mm: tuple[float, float, float]) -> None:
    assert element_areas_mm2(spacing_mm) == pytest.approx(monai_areas(spacing_mm), rel=1e-5, abs=1e-6)


def test_cells_of_one_kind_hold_no_surface() -> None:
    areas = element_areas_mm2((1.0, 2.0, 3.0))
    assert areas[0] == areas[255] == 0
    assert (areas[1:255] > 0).all()


def test_one_corner_cuts_off_a_triangle_and_four_of_one_plane_a_rectangle() -> None:
    areas = element_areas_mm2((1.0, 2.0, 3.0))
    legs = np.array([[-0.5, 1.0, 0.0], [-0.5, 0.0, 1.5]])
    assert areas[code_of((0, 0, 0))] == pytest.approx(np.linalg.norm(np.cross(*legs)) / 2)
    assert areas[code_of(*[corner for corner in CORNERS if corner[0] == 0])] == pytest.approx(2.0 * 3.0)
    assert element_areas_mm2((1.0, 1.0, 1.0))[code_of((1, 0, 1))] == pytest.approx(math.sqrt(3) / 8)


def test_two_corners_of_an_edge_cut_off_a_bevel() -> None:
    areas = element_areas_mm2((1.0, 2.0, 3.0))
    assert areas[code_of((0, 0, 0), (0, 0, 1))] == pytest.approx(3.0 * math.hypot(0.5, 1.0))


def test_inside_and_outside_have_the_same_surface() -> None:
    areas = element_areas_mm2((0.7, 1.1, 2.3))
    assert areas == pytest.approx(areas[::-1])


def test_turned_and_mirrored_cells_have_turned_areas() -> None:
    spacing_mm = (0.7, 1.1, 2.3)
    areas = element_areas_mm2(spacing_mm)
    for order in itertools.permutations(range(3)):
        turned_areas = element_areas_mm2((spacing_mm[order[0]], spacing_mm[order[1]], spacing_mm[order[2]]))
        for flips in itertools.product((0, 1), repeat=3):
            for code in range(256):
                inside = [corner for n, corner in enumerate(CORNERS) if code & (128 >> n)]
                moved = [
                    tuple(corner[axis] ^ flip for axis, flip in zip(order, flips, strict=True)) for corner in inside
                ]
                assert turned_areas[code_of(*moved)] == pytest.approx(areas[code])  # type: ignore[arg-type]


def test_a_large_ball_has_about_the_area_of_a_sphere_at_any_spacing() -> None:
    spacing_mm, radius_mm = (0.5, 0.8, 1.0), 20.0
    axes = [np.arange(-25, 25, step) for step in spacing_mm]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    ball = x**2 + y**2 + z**2 < radius_mm**2
    codes = sum(
        (128 >> n) * np.pad(ball, 1)[tuple(slice(c, c + size + 1) for c, size in zip(corner, ball.shape, strict=True))]
        for n, corner in enumerate(CORNERS)
    )
    area_mm2 = element_areas_mm2(spacing_mm)[codes].sum()
    assert area_mm2 == pytest.approx(4 * math.pi * radius_mm**2, rel=0.12)  # a staircase overstates a slope
    assert area_mm2 > 4 * math.pi * radius_mm**2
