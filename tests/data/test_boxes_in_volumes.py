"""Boxes drawn, centred and padded: where they lie, and that padding can be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.data.patches import (
    boxed,
    centred_start,
    foreground_start,
    overlap,
    pad_to,
    start_around,
    uniform_start,
    unpad,
)

shapes = st.tuples(*(st.integers(1, 9) for _ in range(3)))


class Cases:
    """Two classes in a 20-voxel cube: one voxel of class 1, ninety-nine of class 2."""

    def shape(self, case: str) -> tuple[int, int, int]:
        return (20, 20, 20)

    def foreground(self, case: str) -> Mapping[int, np.ndarray]:
        if case == "empty":
            return {}
        return {1: np.array([[10, 10, 10]], np.int32), 2: np.array([[0, 5, 19]], np.int32)}

    def class_voxels(self, case: str) -> Mapping[int, int]:
        return {1: 1, 2: 99}


def test_uniform_starts_reach_every_place_equally_often() -> None:
    rng = np.random.default_rng(0)
    found = Counter(uniform_start((5, 4, 3), (4, 4, 5), rng) for _ in range(4000))
    assert set(found) == {(0, 0, -1), (1, 0, -1)}
    assert abs(found[0, 0, -1] - 2000) < 200


def test_an_odd_rest_falls_to_the_end_in_cuts_and_in_padding() -> None:
    assert centred_start((10, 5, 8), (5, 8, 8)) == (2, -1, 0)
    line = np.arange(1, 6).reshape(1, 1, 5)
    assert pad_to(line, (1, 1, 8)).ravel().tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert pad_to(line, (1, 1, 2)).ravel().tolist() == [2, 3]


def test_a_hippocampus_is_padded_as_tasks_md_says() -> None:
    padded = pad_to(np.ones((1, 35, 51, 35), np.float16), (48, 64, 48))
    assert padded.shape == (1, 48, 64, 48) and padded.dtype == np.float16
    inside = np.argwhere(padded[0])
    assert inside.min(0).tolist() == [6, 6, 6] and inside.max(0).tolist() == [40, 56, 40]


@given(array=hnp.arrays(np.int16, st.tuples(st.just(2), *(st.integers(1, 9) for _ in range(3)))), size=shapes)
def test_unpad_undoes_pad_to(array: np.ndarray, size: tuple[int, int, int]) -> None:
    shape = array.shape[1:]
    back = unpad(pad_to(array, size, fill=7), (shape[0], shape[1], shape[2]), fill=7)
    assert back.shape == array.shape
    if all(s >= n for s, n in zip(size, shape, strict=True)):
        np.testing.assert_array_equal(back, array)
    kept = tuple(
        slice(max(0, (n - s) // 2), max(0, (n - s) // 2) + min(n, s)) for n, s in zip(shape, size, strict=True)
    )
    np.testing.assert_array_equal(back[(slice(None), *kept)], array[(slice(None), *kept)])
    outside = np.ones(array.shape, bool)
    outside[(slice(None), *kept)] = False
    assert (back[outside] == 7).all()


@given(shape=shapes, size=shapes, start=st.tuples(*(st.integers(-12, 12) for _ in range(3))))
def test_overlap_pairs_each_voxel_of_the_box_with_its_own(
    shape: tuple[int, int, int], size: tuple[int, int, int], start: tuple[int, int, int]
) -> None:
    volume = np.arange(1, np.prod(shape) + 1).reshape(shape)
    inner, outer = overlap(shape, start, size)
    box = np.zeros(size, int)
    box[outer] = volume[inner]
    for voxel in np.ndindex(*size):
        place = tuple(v + s for v, s in zip(voxel, start, strict=True))
        inside = all(0 <= p < n for p, n in zip(place, shape, strict=True))
        assert box[voxel] == (volume[place] if inside else 0)


def test_a_box_lies_in_the_middle_or_ends_at_the_head_and_an_axis_of_none_stays_as_it_is() -> None:
    """Along the third axis of 6 voxels: 4 in the middle begin at 1, 4 at the head at 2; 8 at the head have 2 of padding below."""
    line = np.arange(1, 7).reshape(1, 1, 1, 6)
    for size, at_top, start, held in (
        (4, False, 1, [2, 3, 4, 5]),
        (4, True, 2, [3, 4, 5, 6]),
        (8, True, -2, [0, 0, 1, 2, 3, 4, 5, 6]),
        (0, True, 0, [1, 2, 3, 4, 5, 6]),
    ):
        found, box = boxed(line, (0, 1, size), at_top=at_top)
        assert found == (0, 0, start) and box.ravel().tolist() == held


def test_a_box_around_a_voxel_holds_it_and_stays_inside() -> None:
    assert start_around((10, 10, 10), (20, 20, 20), (6, 6, 6)) == (7, 7, 7)
    assert start_around((0, 19, 1), (20, 20, 3), (6, 6, 6)) == (0, 14, -1)


def test_all_foreground_voxels_are_equally_likely_unless_classes_are_balanced() -> None:
    rng = np.random.default_rng(1)
    near, far = (7, 7, 7), (0, 2, 14)
    drawn = Counter(foreground_start(Cases(), "full", (6, 6, 6), True, rng) for _ in range(2000))
    assert set(drawn) == {near, far} and drawn[near] < 60  # 20 expected
    even = Counter(foreground_start(Cases(), "full", (6, 6, 6), True, rng, balanced=True) for _ in range(2000))
    assert set(even) == {near, far} and abs(even[near] - 1000) < 150
    assert foreground_start(Cases(), "full", (6, 6, 6), True, rng, among=(1,)) == near


@pytest.mark.parametrize(("case", "positive"), [("empty", True), ("full", False)])
def test_without_foreground_or_wish_for_it_a_start_is_uniform(case: str, positive: bool) -> None:
    ours = foreground_start(Cases(), case, (6, 6, 6), positive, np.random.default_rng(2))
    assert ours == uniform_start((20, 20, 20), (6, 6, 6), np.random.default_rng(2))
