"""What a training step is shown: image and label stay together through every variation, and draws do not depend on each other."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bench.contracts.configs import FineTuneConfig, Shape3
from bench.contracts.errors import SpecError
from bench.data.patches import overlap
from tasks.kinds.crops import LabelledCrop, VolumesThenCrops, around, turn_matrix

IDENTITY = tuple(range(6))
EVERYTHING = FineTuneConfig(
    flip_probability=0.5,
    rot90_probability=0.7,
    rotate_degrees=(20.0, 10.0, 45.0),
    rotate_probability=0.8,
    zoom=(0.8, 1.3),
    zoom_probability=0.8,
    intensity_scale=0.2,
    intensity_scale_probability=0.8,
    intensity_shift=0.3,
    intensity_shift_probability=0.8,
    positive_share=0.5,
)


class Labels:
    """Cases whose image is their label plus 10, so that a voxel tells of both; outside, both readers give 0."""

    def __init__(self, labels: Mapping[str, np.ndarray]) -> None:
        self.labels = dict(labels)
        self.cases = tuple(labels)

    def shape(self, case: str) -> Shape3:
        d, h, w = self.labels[case].shape
        return d, h, w

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray:
        return self._box(self.labels[case].astype(np.int16) + 10, start, size)[None]

    def read_label(self, case: str, start: Shape3, size: Shape3) -> np.ndarray:
        return self._box(self.labels[case], start, size)

    def foreground(self, case: str) -> dict[int, np.ndarray]:
        found = self.labels[case]
        return {int(k): np.argwhere(found == k).astype(np.int32) for k in np.unique(found) if k}

    def class_voxels(self, case: str) -> dict[int, int]:
        return {k: len(voxels) for k, voxels in self.foreground(case).items()}

    def _box(self, array: np.ndarray, start: Shape3, size: Shape3) -> np.ndarray:
        d, h, w = array.shape
        inner, outer = overlap((d, h, w), start, size)
        box = np.zeros(size, array.dtype)
        box[outer] = array[inner]
        return box


def labels(shape: Shape3, classes: int = 5) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, classes + 1, shape).astype(np.uint8)


def crop(
    shape: Shape3,
    recipe: FineTuneConfig = EVERYTHING,
    *,
    whole: bool = False,
    values: tuple[int, ...] = IDENTITY,
) -> LabelledCrop:
    return LabelledCrop(shape=shape, whole_volume=whole, values=values, recipe=recipe)


def shown(view: LabelledCrop, corpus: Labels, seed: int, case: str = "a") -> dict[str, Any]:
    return view(corpus, (case,), np.random.Generator(np.random.Philox(seed)))


VOLUMES: list[Shape3] = [(8, 8, 8), (12, 8, 5), (5, 14, 9), (3, 3, 3)]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("volume", VOLUMES)
def test_image_label_and_inside_stay_together_under_flips_and_quarter_turns(volume: Shape3, whole: bool) -> None:
    corpus = Labels({"a": labels(volume)})
    for seed in range(20):
        found = shown(crop((8, 8, 8), whole=whole), corpus, seed)
        assert found["volume"].shape == (1, 8, 8, 8) and found["label"].shape == found["inside"].shape == (8, 8, 8)
        inside = found["inside"].astype(bool)
        assert np.array_equal(found["volume"][0] != 0, inside)  # every voxel of a volume is at least 10
        assert np.array_equal(found["volume"][0][inside] - 10, found["label"][inside])
        assert not found["label"][~inside].any()


@pytest.mark.parametrize("volume", VOLUMES)
def test_inside_marks_as_many_voxels_as_a_crop_can_hold(volume: Shape3) -> None:
    corpus = Labels({"a": labels(volume)})
    for seed in range(10):
        found = shown(crop((8, 8, 8)), corpus, seed)
        assert found["inside"].sum() == np.prod([min(side, 8) for side in volume])
        assert set(np.unique(found["inside"])) <= {0, 1} and found["inside"].dtype == np.uint8


def test_flips_and_quarter_turns_reach_all_sixteen_positions_of_a_square_crop() -> None:
    """Flips along three axes and turns about the third: the symmetries of a square, times the third axis."""
    corpus = Labels({"a": labels((6, 6, 6))})
    recipe = dataclasses.replace(EVERYTHING, positive_share=0.0)
    seen = {shown(crop((6, 6, 6), recipe), corpus, seed)["label"].tobytes() for seed in range(400)}
    expected = set()
    for flips in itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in range(4)):
        for quarters in range(4):
            expected.add(np.ascontiguousarray(np.rot90(np.flip(corpus.labels["a"], flips), quarters)).tobytes())
    assert len(expected) == 16 and seen == expected


def test_a_crop_that_is_not_square_keeps_its_shape_and_is_turned_by_halves() -> None:
    corpus = Labels({"a": labels((6, 4, 5))})
    recipe = dataclasses.replace(EVERYTHING, flip_probability=0.0, rot90_probability=1.0)
    seen = {shown(crop((6, 4, 5), recipe), corpus, seed)["label"].tobytes() for seed in range(40)}
    assert seen == {np.ascontiguousarray(np.rot90(corpus.labels["a"], 2)).tobytes()}


def test_a_turn_that_comes_seldom_is_still_by_one_two_or_three_quarters() -> None:
    corpus = Labels({"a": labels((5, 5, 5))})
    recipe = dataclasses.replace(EVERYTHING, flip_probability=0.0, rot90_probability=0.2)
    seen = {shown(crop((5, 5, 5), recipe), corpus, seed)["label"].tobytes() for seed in range(200)}
    assert seen == {np.ascontiguousarray(np.rot90(corpus.labels["a"], quarters)).tobytes() for quarters in range(4)}


def test_axes_that_are_not_to_be_flipped_never_are() -> None:
    corpus = Labels({"a": labels((6, 5, 4))})
    recipe = dataclasses.replace(EVERYTHING, flip_axes=(0,), rot90_probability=0.0)
    seen = {shown(crop((6, 5, 4), recipe), corpus, seed)["label"].tobytes() for seed in range(40)}
    array = corpus.labels["a"]
    assert seen == {array.tobytes(), np.ascontiguousarray(array[::-1]).tobytes()}


@pytest.mark.parametrize("axes", [(-1,), (3,), (0, 0)])
def test_an_axis_counted_from_the_end_is_refused_for_image_and_mask_would_be_mirrored_along_others(
    axes: tuple[int, ...],
) -> None:
    with pytest.raises(SpecError, match="flip_axes are axes of a volume, 0, 1 and 2, each once; found"):
        dataclasses.replace(EVERYTHING, flip_axes=axes)


def test_a_step_without_crops_is_refused() -> None:
    with pytest.raises(SpecError, match="crops_per_volume must be 1 or more, found 0"):
        dataclasses.replace(EVERYTHING, crops_per_volume=0)


# Which crops ---------------------------------------------------------------------------------------------


def one_voxel() -> Labels:
    sparse = np.zeros((30, 30, 30), np.uint8)
    sparse[3, 25, 14], sparse[20, 4, 4] = 1, 2
    return Labels({"a": sparse})


def test_positive_crops_hold_foreground_and_others_are_drawn_everywhere() -> None:
    always = dataclasses.replace(EVERYTHING, positive_share=1.0)
    never = dataclasses.replace(EVERYTHING, positive_share=0.0)
    assert all(shown(crop((8, 8, 8), always), one_voxel(), seed)["label"].any() for seed in range(30))
    assert not all(shown(crop((8, 8, 8), never), one_voxel(), seed)["label"].any() for seed in range(30))


def test_classes_are_centred_on_by_their_voxels_or_alike_as_the_recipe_says() -> None:
    """Of 100 labelled voxels one is of class 1, far from the others: one crop in a hundred shows it, or every second."""
    sparse = np.zeros((30, 30, 30), np.uint8)
    sparse[4, 4, 4], sparse[20:23, 20:23, 10:21] = 1, 2
    corpus = Labels({"a": sparse})
    count = {}
    for balanced in (False, True):
        recipe = dataclasses.replace(EVERYTHING, positive_share=1.0, balanced_classes=balanced)
        count[balanced] = sum(bool((shown(crop((8, 8, 8), recipe), corpus, s)["label"] == 1).any()) for s in range(200))
    assert count[False] < 12 and 70 < count[True] < 130  # 2 and 100 expected, ten and four standard deviations


def test_a_target_merges_and_drops_classes_and_centres_on_what_it_keeps() -> None:
    always = dataclasses.replace(EVERYTHING, positive_share=1.0)
    kept_second = crop((8, 8, 8), always, values=(0, 0, 1))
    for seed in range(30):
        assert set(np.unique(shown(kept_second, one_voxel(), seed)["label"])) == {0, 1}
    merged = crop((30, 30, 30), always, values=(0, 1, 1))
    assert shown(merged, one_voxel(), 0)["label"].sum() == 2


def test_a_case_without_foreground_is_still_shown() -> None:
    always = dataclasses.replace(EVERYTHING, positive_share=1.0)
    empty = Labels({"a": np.zeros((9, 9, 9), np.uint8)})
    assert shown(crop((8, 8, 8), always), empty, 0)["volume"].shape == (1, 8, 8, 8)


def test_every_epoch_shows_every_volume_once_and_crops_of_one_volume_follow_each_other() -> None:
    corpus = Labels({name: labels((4, 4, 4)) for name in "abcdef"})
    draw = VolumesThenCrops(2)
    steps = [draw(corpus, 6, step, 7) for step in range(6)]
    assert all(len(step) == 6 and [s[0] for s in step[::2]] == [s[0] for s in step[1::2]] for step in steps)
    epochs = ["".join(s[0] for step in steps[k : k + 2] for s in step[::2]) for k in (0, 2, 4)]
    assert all(sorted(epoch) == list("abcdef") for epoch in epochs) and len(set(epochs)) == 3
    assert steps == [draw(corpus, 6, step, 7) for step in range(6)]
    assert steps != [draw(corpus, 6, step, 8) for step in range(6)]  # another seed, another order
    assert [s[0] for s in VolumesThenCrops(4)(corpus, 6, 0, 7)][4] != steps[0][0][0]  # the last volume gives fewer
    uneven = [VolumesThenCrops(4)(corpus, 6, step, 7) for step in range(3)]  # two volumes a step
    assert [len(step) for step in uneven] == [6] * 3 and {s[0] for step in uneven for s in step} == set("abcdef")


# Draws ---------------------------------------------------------------------------------------------------

SWITCHES: list[tuple[dict[str, Any], set[str]]] = [
    ({"flip_probability": 0.0}, {"volume", "label", "inside"}),
    ({"rot90_probability": 0.0}, {"volume", "label", "inside"}),
    ({"rotate_probability": 0.0}, {"turn"}),
    ({"zoom_probability": 0.0}, {"turn"}),
    ({"intensity_scale_probability": 0.0}, {"gain"}),
    ({"intensity_shift_probability": 0.0}, {"offset"}),
]


@pytest.mark.parametrize(("change", "moved"), SWITCHES, ids=lambda value: min(value))
def test_switching_one_variation_off_leaves_the_numbers_of_all_others(change: dict[str, Any], moved: set[str]) -> None:
    corpus = Labels({"a": labels((9, 9, 9))})
    differing = set()
    for seed in range(30):
        full = shown(crop((8, 8, 8)), corpus, seed)
        less = shown(crop((8, 8, 8), dataclasses.replace(EVERYTHING, **change)), corpus, seed)
        differing |= {name for name in full if not np.array_equal(full[name], less[name])}
    assert differing == moved - {"inside"}  # the crop is full here, so what is inside looks the same from all sides


def test_rotation_off_leaves_the_zoom_and_zoom_off_the_rotation() -> None:
    still = dataclasses.replace(EVERYTHING, rotate_probability=0.0)
    unzoomed = dataclasses.replace(EVERYTHING, zoom_probability=0.0)
    for seed in range(30):
        both, zoom, rotation = (
            turn_matrix(recipe, np.random.default_rng(seed)).astype(float) for recipe in (EVERYTHING, still, unzoomed)
        )
        assert np.allclose(both, rotation @ zoom, atol=1e-6)
        assert np.allclose(zoom, zoom[0, 0] * np.eye(3), atol=1e-7)
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6) and np.linalg.det(rotation) > 0


def test_turns_stay_within_their_degrees_and_zooms_within_their_factors() -> None:
    about_third = FineTuneConfig(rotate_degrees=(0.0, 0.0, 30.0), zoom=(0.5, 2.0))
    factors, angles = [], []
    for seed in range(300):
        matrix = turn_matrix(about_third, np.random.default_rng(seed)).astype(float)
        factors.append(1 / np.cbrt(np.linalg.det(matrix)))
        angles.append(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
    assert 0.5 <= min(factors) < 0.6 and 1.9 < max(factors) <= 2.0
    assert -30.0 <= min(angles) < -27.0 and 27.0 < max(angles) <= 30.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_axis_is_turned_about_by_its_own_degrees(axis: int) -> None:
    degrees = tuple(30.0 * (axis == k) for k in range(3))
    recipe = FineTuneConfig(rotate_degrees=(degrees[0], degrees[1], degrees[2]))
    for seed in range(10):
        matrix, still = turn_matrix(recipe, np.random.default_rng(seed)).astype(float), np.eye(3)[axis]
        assert np.allclose(matrix @ still, still) and not np.allclose(matrix, np.eye(3))


def test_a_gain_and_an_offset_come_each_by_a_chance_of_its_own() -> None:
    corpus = Labels({"a": labels((9, 9, 9))})
    half = dataclasses.replace(EVERYTHING, intensity_scale_probability=0.5, intensity_shift_probability=0.5)
    found = [shown(crop((8, 8, 8), half), corpus, seed) for seed in range(60)]
    both = {(bool(sample["gain"] != 1), bool(sample["offset"] != 0)) for sample in found}
    assert both == set(itertools.product((False, True), repeat=2))


def test_a_gain_and_an_offset_lie_on_both_sides_of_what_they_are_without_them() -> None:
    drawn = [float(around(1.0, 0.2, True, np.random.default_rng(seed))[0]) for seed in range(100)]
    assert 0.8 <= min(drawn) < 0.85 and 1.15 < max(drawn) <= 1.2
    assert around(1.0, 0.2, False, np.random.default_rng(0)) == np.float32(1)
