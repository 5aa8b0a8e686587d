"""Resampling: right places, right edges, the same bits where nothing changes, and back to the owners' grid."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from bench.data import resample
from bench.data.axes import as_affine
from bench.data.resample import (
    Placement,
    native_labels,
    native_probabilities,
    resample_image,
    resample_label,
    resampled_shape,
    resized,
    voxel_at,
)

ONE = (1.0, 1.0, 1.0)
spacings = st.tuples(*(st.sampled_from([0.5, 0.7, 0.8, 1.0, 1.5, 2.5, 3.0]) for _ in range(3)))
shapes = st.tuples(*(st.integers(1, 9) for _ in range(3)))


def placed(shape: tuple[int, int, int], old: tuple[float, ...], new: tuple[float, ...]) -> np.ndarray:
    """Old coordinates of new voxels, from positions in mm about the common centre."""
    size = resampled_shape(shape, old, new)
    axes = [
        ((np.arange(m) - (m - 1) / 2) * to) / frm + (n - 1) / 2
        for m, n, frm, to in zip(size, shape, old, new, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def test_shape_follows_spacing() -> None:
    assert resampled_shape((100, 100, 3), (0.7, 1.0, 5.0), (1.5, 1.0, 50.0)) == (47, 100, 1)


@settings(deadline=None)
@given(shape=shapes, old=spacings, new=spacings, seed=st.integers(0, 99))
def test_images_agree_with_scipy_at_the_same_places(
    shape: tuple[int, int, int], old: tuple[float, ...], new: tuple[float, ...], seed: int
) -> None:
    image = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    ours = resample_image(image, old, new)
    for channel, result in zip(image, ours, strict=True):
        expected = map_coordinates(channel.astype(float), placed(shape, old, new), order=1, mode="nearest")
        np.testing.assert_allclose(result, expected, atol=1e-5)


@settings(deadline=None)
@given(shape=shapes, old=spacings, new=spacings, seed=st.integers(0, 99))
def test_masks_take_the_nearest_voxel(
    shape: tuple[int, int, int], old: tuple[float, ...], new: tuple[float, ...], seed: int
) -> None:
    label = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    ours = resample_label(label, old, new)
    nearest = np.floor(placed(shape, old, new) + 0.5).astype(int)
    clipped = [np.clip(axis, 0, n - 1) for axis, n in zip(nearest, shape, strict=True)]
    np.testing.assert_array_equal(ours, label[tuple(clipped)])
    assert ours.dtype == np.uint8


def test_equal_spacing_returns_the_very_same_voxels() -> None:
    image = np.random.default_rng(0).integers(-1000, 1000, (1, 4, 5, 6)).astype(np.int16)
    assert resample_image(image, (0.7, 0.7, 3.0), (0.7, 0.7, 3.0)) is image
    assert resample_label(image[0].astype(np.uint8), ONE, ONE).base is None
    assert resample_image(image, (0.699999988, 0.7, 3.0), (0.7, 0.7, 3.0)) is image  # a header's float32


def test_a_spacing_that_differs_by_more_than_a_headers_rounding_is_brought_to_the_one_asked_for() -> None:
    wide = np.arange(512, dtype=np.int16).reshape(1, 1, 1, 512)
    found = resample_image(wide, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0004)).ravel()
    np.testing.assert_allclose(found, 255.5 + (np.arange(512) - 255.5) * 1.0004, atol=0.11)  # the last ends at 511
    np.testing.assert_allclose(found[2:-2] - np.arange(2, 510), (np.arange(2, 510) - 255.5) * 4e-4, atol=1e-3)


def test_a_straight_ramp_stays_straight_inside_and_flat_beyond_the_last_voxel_centre() -> None:
    ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)  # 4 voxels of 1 mm; new: 8 of 0.5 mm
    found = resample_image(ramp, ONE, (1.0, 1.0, 0.5)).ravel()
    np.testing.assert_allclose(found, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_slabs_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(1).normal(size=(2, 13, 7, 6)).astype(np.float32)
    whole = resample_image(image, ONE, (0.6, 1.7, 0.9))
    monkeypatch.setattr(resample, "SLAB_VOXELS", 1)
    np.testing.assert_array_equal(resample_image(image, ONE, (0.6, 1.7, 0.9)), whole)


def placement(
    shape: tuple[int, int, int], old: tuple[float, ...], new: tuple[float, ...], crop: tuple[slice, ...] | None = None
) -> Placement:
    full = resampled_shape(shape, old, new)
    box = crop or tuple(slice(0, n) for n in full)
    start, size = tuple(s.start for s in box), tuple(s.stop - s.start for s in box)
    return Placement(shape, old, full, new, start, size)


@settings(deadline=None)
@given(shape=shapes, old=spacings, new=spacings)
def test_probabilities_that_are_linear_in_space_come_back_as_they_were(
    shape: tuple[int, int, int], old: tuple[float, ...], new: tuple[float, ...]
) -> None:
    """A field a + b x + c y + d z (mm about the centre) must survive wherever the coarse grid reaches."""

    def field(size: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
        mm = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(size, spacing, strict=True)]
        x, y, z = np.meshgrid(*mm, indexing="ij")
        return 0.5 + 0.01 * x - 0.02 * y + 0.005 * z, mm

    there = placement(shape, old, new)
    coarse, reach = field(there.resampled_shape, new)
    expected, mm = field(shape, old)
    found = np.empty((2, *shape), np.float32)
    for rows, block in native_probabilities(np.stack([coarse, 1 - coarse]), there):
        found[:, rows] = block
    covered = np.ix_(*((a >= r[0] - 1e-9) & (a <= r[-1] + 1e-9) for a, r in zip(mm, reach, strict=True)))
    np.testing.assert_allclose(found[0][covered], expected[covered], atol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_labels_survive_there_and_back_where_no_axis_changes() -> None:
    label = np.random.default_rng(2).integers(0, 3, (5, 6, 7)).astype(np.uint8)
    onehot = np.eye(3, dtype=np.float16)[label].transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(native_labels(onehot, placement((5, 6, 7), ONE, ONE)), label)


def test_a_block_at_double_spacing_comes_back_to_its_place() -> None:
    truth = np.zeros((16, 16, 16), np.uint8)
    truth[4:12, 2:8, 6:16] = 1
    coarse = resample_label(truth, ONE, (2.0, 2.0, 2.0))
    onehot = np.eye(2, dtype=np.float32)[coarse].transpose(3, 0, 1, 2)
    back = native_labels(onehot, placement((16, 16, 16), ONE, (2.0, 2.0, 2.0)))
    overlap = 2 * np.sum((back == 1) & (truth == 1)) / (np.sum(back == 1) + np.sum(truth == 1))
    assert overlap > 0.97  # edges of the block fall on borders of coarse voxels; only its corners are rounded


def test_what_was_cropped_away_comes_back_as_background() -> None:
    there = placement((6, 5, 4), ONE, ONE, (slice(2, 5), slice(0, 5), slice(1, 4)))
    probabilities = np.zeros((2, 3, 5, 3), np.float32)
    probabilities[1] = 1
    expected = np.zeros((6, 5, 4), np.uint8)
    expected[2:5, :, 1:4] = 1
    np.testing.assert_array_equal(native_labels(probabilities, there), expected)


def test_a_crop_reaches_to_the_edges_of_its_voxels_and_beyond_them_lies_background_alone() -> None:
    """Eight voxels of 1 mm, four of 2 mm, the middle two of which were kept: they cover native voxels 2 to 5."""
    there = placement((8, 1, 1), ONE, (2.0, 1.0, 1.0), (slice(1, 3), slice(0, 1), slice(0, 1)))
    sure = np.zeros((2, 2, 1, 1), np.float32)
    sure[1] = 1
    found = np.concatenate([block for _, block in native_probabilities(sure, there)], axis=1)[:, :, 0, 0]
    assert found[1].tolist() == [0, 0, 1, 1, 1, 1, 0, 0] and found[0].tolist() == [1, 1, 0, 0, 0, 0, 1, 1]


def test_the_rim_that_a_coarser_grid_falls_short_of_takes_the_outermost_value() -> None:
    """Ten voxels of 1 mm become round(2.5) = 2 of 4 mm, which end half a voxel before the outermost centres."""
    sure = np.zeros((2, 2, 1, 1), np.float32)
    sure[1] = 1
    assert native_labels(sure, placement((10, 1, 1), ONE, (4.0, 1.0, 1.0))).all()


def test_a_point_in_the_patient_is_found_in_the_prepared_crop() -> None:
    """Ten voxels of 1 mm from -3 mm on, in five of 2 mm: the middle, 1.5 mm, is coarse voxel 2, less what was cropped before it."""
    affine = as_affine(np.array([[1.0, 0, 0, -3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    there = Placement((10, 10, 10), ONE, (5, 5, 10), (2.0, 2.0, 1.0), (1, 0, 4), (4, 5, 6))
    assert voxel_at((1.5, 4.5, 4.5), affine, there) == pytest.approx((1, 2, 0.5))
    assert voxel_at((3.5, 2.5, 6.5), affine, there) == pytest.approx((2, 1, 2.5))


def test_stretching_gives_each_voxel_its_share_of_the_volume() -> None:
    """New voxel i of m stands at (i + 1/2) n / m - 1/2: of 2 to 4 at -1/4, 1/4, 3/4, 5/4; of 4 to 2 at 1/2 and 5/2."""
    pair, ramp = np.array([0.0, 2]).reshape(1, 1, 2, 1), np.arange(4.0).reshape(1, 1, 4, 1)
    assert resized(pair, (1, 4, 1)).ravel().tolist() == [0, 0.5, 1.5, 2]
    assert resized(ramp, (1, 2, 1)).ravel().tolist() == [0.5, 2.5]


def test_of_equal_probabilities_the_lowest_class_wins() -> None:
    assert not native_labels(np.full((3, 2, 2, 2), 1 / 3, np.float32), placement((2, 2, 2), ONE, ONE)).any()


def test_probabilities_from_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="not on the prepared grid"):
        native_labels(np.zeros((2, 3, 3, 3), np.float32), placement((4, 4, 4), ONE, ONE))


def test_memory_stays_within_slabs_however_many_classes_there_are() -> None:
    shape, old, new = (40, 320, 320), (0.75, 0.75, 0.75), (3.0, 3.0, 3.0)
    there = placement(shape, old, new)
    probabilities = np.full((14, *there.crop_shape), 1 / 14, np.float32)
    tracemalloc.start()
    labels = native_labels(probabilities, there)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    full = 14 * labels.size * 4
    assert peak - labels.nbytes < 80 << 20 < full * 0.4
