"""SPAD's batches and crops: one anisotropy each, images by their weights, zooms that count, nothing invented outside."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from bench.contracts.configs import Intensity
from bench.contracts.errors import DataMissing
from bench.data.axes import FLAT_MM
from bench.nets.spad import Grid, crop_depth
from methods.parts.equal_anisotropy import EqualAnisotropy, Zoomed, effective_degree, held_out, zooms
from methods.parts.lie import lie_of, lie_of_case, to_unit_range
from methods.parts.photometry import vary_intensity
from methods.parts.zoomed_crop import ZoomedCrop, centred_crop, cut, turn
from tests.methods.spad_pool import Image, Pool, mixed

DRAW = EqualAnisotropy(side=32, buffer=64, hold_out=False)


def test_the_depth_axis_is_the_one_of_largest_spacing_or_what_the_owners_say() -> None:
    assert lie_of((4, 5, 6), (3.0, 0.7, 0.8), even_axis=2).axis == 0
    assert lie_of((4, 5, 6), (1.0, 1.0, 1.0), even_axis=2).axis == 2
    assert lie_of((4, 5, 6), (1.0, 1.0, 1.0), even_axis=0).axis == 0
    told = lie_of((4, 5, 6), (3.0, 0.7, 0.8), even_axis=2, told_axis=1)
    assert (told.axis, told.shape, told.ratio) == (1, (5, 4, 6), 0.7 / 0.8)
    assert lie_of((4, 5, 6), (3.0, 0.7, 0.8), even_axis=2).plane_mm == 0.7


def test_a_volume_of_one_slice_without_a_spacing_is_a_flat_image_and_any_other_is_made_of_cubes() -> None:
    assert lie_of((1, 50, 60), None, even_axis=2).ratio == FLAT_MM
    assert lie_of((1, 50, 60), None, even_axis=2).axis == 0
    assert lie_of((28, 28, 28), None, even_axis=2).ratio == 1.0


def test_ten_thousand_batches_have_one_anisotropy_each_that_agrees_with_the_pending_halvings() -> None:
    pool, degrees = mixed(), Counter[int]()
    for step in range(10_000):
        batch = DRAW(pool, 4, step, seed=0)
        assert len(batch) == 4 and len({sample.da for sample in batch}) == 1
        for sample in batch:
            lie = lie_of_case(pool, sample[0], 2)
            slices, plane = lie.slice_mm * sample.along_depth, lie.plane_mm * sample.in_plane
            for n in range(5):
                grid = Grid(sample.da, n)
                ratio = min(max(slices / plane, 1.0), 32.0) / 2.0**n
                assert (grid.pending > 0) == (ratio >= 2.0)
            degrees[sample.da] += 1
    assert {0, 1, 2, 3, 5} <= set(degrees)


def test_images_are_drawn_as_often_as_their_weights_say() -> None:
    """Two thousand images in buffers of 64, so that drawing without replacement hardly flattens the weights."""
    weights = np.where(np.arange(2_000) % 4 == 0, 3.0, np.where(np.arange(2_000) % 4 == 1, 0.25, 1.0))
    pool = Pool({f"c{n}": Image((40, 40, 40), fields={"weight": w}) for n, w in enumerate(weights.tolist())})
    for draw, expected in (
        (DRAW, weights / weights.sum()),
        (EqualAnisotropy(side=32, buffer=64, weighted=False), None),
    ):
        counts = np.zeros(4)
        for step in range(2_000):
            for (case,) in draw(pool, 16, step, 1):
                counts[int(case[1:]) % 4] += 1
        shares = [expected[k::4].sum() if expected is not None else 0.25 for k in range(4)]
        sd = np.sqrt(np.array(shares) * (1 - np.array(shares)) / counts.sum())
        assert np.all(np.abs(counts / counts.sum() - shares) < 4 * sd + 0.01)


def test_even_data_sets_leave_near_duplicates_their_weights() -> None:
    """Half of 2,000 images are frames of weight 0.2 (Sec. 1.2) of a set of weight 0.5: a sixth is drawn, not a half or a tenth."""
    frame = {"weight": 0.1, "image_weight": 0.2}
    pool = Pool({f"c{n}": Image((40, 40, 40), fields=frame if n % 2 else {}) for n in range(2_000)})
    draw = EqualAnisotropy(side=32, buffer=64, weighted=False, hold_out=False)
    drawn = [int(case[1:]) % 2 for step in range(1_000) for (case,) in draw(pool, 16, step, 1)]
    assert sum(drawn) / len(drawn) == pytest.approx(1 / 6, abs=0.012)  # 4 standard errors


def test_a_buffer_is_gone_through_without_repetition_and_the_next_goes_on() -> None:
    pool = Pool({f"c{n}": Image((40, 40, 40), (1.0, 1.0, 8.0)) for n in range(10)})
    drawn = [case for step in range(10) for (case,) in EqualAnisotropy(side=99, hold_out=False)(pool, 2, step, 0)]
    counts = Counter(drawn)
    assert set(counts) <= set(pool.cases) and len(drawn) == 20
    assert max(counts.values()) <= 3


def test_what_a_buffer_leaves_over_comes_first_in_the_next_so_that_all_come_equally_often() -> None:
    """Five cubes in threes: 15 draws are three buffers whole, although none of them fills its last batch."""
    pool, draw = Pool({f"c{n}": Image((40, 40, 40)) for n in range(5)}), EqualAnisotropy(side=32, hold_out=False)
    counts = Counter(case for step in range(5) for (case,) in draw(pool, 3, step, 0))
    assert counts == dict.fromkeys(pool.cases, 3)


def test_batches_come_in_the_order_in_which_images_were_drawn_and_each_buffer_has_an_order_of_its_own() -> None:
    """Twenty cubes and twenty flat images, one a batch: neither sorted by name nor by their anisotropy."""
    cube, flat = Image((40, 40, 40)), Image((1, 40, 40), (1e8, 1.0, 1.0))
    pool = Pool({f"c{n:02d}": cube if n < 20 else flat for n in range(40)})
    draw = EqualAnisotropy(side=32, hold_out=False)
    drawn = [draw(pool, 1, step, 0)[0] for step in range(80)]
    first, second = ([case for (case,) in drawn[k : k + 40]] for k in (0, 40))
    assert sorted(first) == sorted(second) == list(pool.cases)
    assert first != second and list(pool.cases) not in (first, second)
    changes = sum(one.da != other.da for one, other in itertools.pairwise(drawn[:40]))
    assert changes > 10  # 20 by chance, 1 where one degree follows the other


def test_zooms_are_bounded_by_the_slices_of_a_volume_and_not_by_their_number() -> None:
    """Four slices of 40 x 40 voxels at a crop of 32: fields of view from 0.75 to 40 / 32."""
    pool, draw = Pool({f"c{n}": Image((40, 40, 4), (1.0, 1.0, 5.0)) for n in range(8)}), DRAW
    seen = [sample.in_plane for step in range(60) for sample in draw(pool, 4, step, 0)]
    assert 0.75 <= min(seen) < 0.8 and 1.2 < max(seen) <= 1.25


def test_a_draw_that_is_handed_another_corpus_draws_from_it() -> None:
    draw = EqualAnisotropy(side=32, hold_out=False)
    for name in "ab":
        pool = Pool({f"{name}{n}": Image((40, 40, 40)) for n in range(4)})
        assert {case[0] for (case,) in draw(pool, 4, 0, 0)} == {name}


def test_what_a_step_is_given_does_not_depend_on_what_was_asked_before() -> None:
    pool = mixed()

    def of(draw: EqualAnisotropy, step: int) -> list[tuple[str, int, float, float]]:
        return [(s[0], s.da, s.in_plane, s.along_depth) for s in draw(pool, 4, step, 7)]

    forward = EqualAnisotropy(side=32, buffer=64)
    there = [of(forward, step) for step in range(40)]
    for step in (39, 3, 17, 0, 25):
        assert of(EqualAnisotropy(side=32, buffer=64), step) == there[step] == of(forward, step)
    assert of(forward, 5) != [(s[0], s.da, s.in_plane, s.along_depth) for s in forward(pool, 4, 5, 8)]


def test_zooms_are_where_and_as_often_as_the_code_has_them() -> None:
    rng = np.random.default_rng(0)
    n = 40_000
    plane, depth = zooms(np.full(n, 1.5), np.full(n, 160.0), 128, rng)
    assert abs((plane != 1).mean() - 0.5) < 0.01 and abs((depth != 1).mean() - 0.3) < 0.01
    assert plane.min() >= 0.75 and plane.max() <= 1.25 and plane.max() > 1.24
    assert 0.8 <= depth.min() < 0.81 and 1.24 < depth.max() <= 1.25
    assert (zooms(np.full(n, 1.6), np.full(n, 160.0), 128, rng)[1] == 1).all()
    crossed = zooms(np.full(n, 1.0), np.full(n, 64.0), 128, rng)[0]
    assert 0.5 <= crossed.min() < 0.51 and crossed[crossed != 1].max() <= 0.75


def test_a_zoom_shifts_the_degree_of_anisotropy_which_ends_at_five() -> None:
    ratio = np.array([2.0, 2.0, 2.0, 1e8, 0.3])
    found = effective_degree(ratio, np.array([1.0, 1.2, 0.5, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0, 1.0]))
    assert found.tolist() == [1, 0, 2, 5, 0]


def test_one_image_per_set_and_modality_is_held_out_and_never_drawn() -> None:
    images = {
        f"{d}{m}{n}": Image((40, 40, 40), fields={"dataset": d, "modality": m})
        for d in "ab"
        for m in "xy"
        for n in range(5)
    }
    images["lone"] = Image((40, 40, 40), fields={"dataset": "c", "modality": "x"})
    pool, draw = Pool(images), EqualAnisotropy(side=32, buffer=64)
    spared = held_out(pool)
    assert len(spared) == 4 and "lone" not in spared and {case[:2] for case in spared} == {"ax", "ay", "bx", "by"}
    assert {case for step in range(50) for (case,) in draw(pool, 4, step, 0)} == set(images) - set(spared)


def test_the_held_out_image_of_a_set_is_drawn_by_weight() -> None:
    """Of two images of weights 3 and 1 the first is taken in three sets of four: 300 of 400, with a standard error of 8.7."""
    images = {
        f"{n}{name}": Image((40, 40, 40), fields={"dataset": str(n), "weight": weight})
        for n in range(400)
        for name, weight in (("heavy", 3.0), ("light", 1.0))
    }
    assert abs(sum(case.endswith("heavy") for case in held_out(Pool(images))) - 300) < 27


def test_sets_with_test_images_of_the_papers_tasks_can_be_left_out() -> None:
    images = {f"c{n}": Image((40, 40, 40), fields={"overlaps": ("btcv",) if n % 2 else ()}) for n in range(10)}
    assert set(EqualAnisotropy(side=32, exclude_overlap=True, hold_out=False).pool(Pool(images))) == {
        f"c{n}" for n in range(0, 10, 2)
    }
    with pytest.raises(DataMissing, match="holds no case"):
        EqualAnisotropy(side=32, exclude_overlap=True, hold_out=False)(Pool({"c": images["c1"]}), 1, 0, 0)


@pytest.mark.parametrize("da", range(6))
def test_crops_have_the_shape_of_their_anisotropy_and_flat_ones_three_channels(da: int) -> None:
    pool, views = mixed(), ZoomedCrop(32, 4, 8)
    for case in pool.cases[:6]:
        channels = pool.images[case].channels
        if channels == 3 and da < 5:
            continue
        shown = views(pool, Zoomed(case, da, 0.9, 1.0), np.random.default_rng(3))["volume"]
        assert shown.shape == (3 if da == 5 else channels, crop_depth(da, 4, 8), 32, 32)
        assert shown.dtype == np.float16 and shown.min() >= 0 and shown.max() <= 1 and shown.max() > 0


def test_of_several_modalities_one_is_shown_each_as_often() -> None:
    pool, views, shown = Pool({"a": Image((40, 40, 40), channels=4)}), ZoomedCrop(32, 4, 8), Counter[int]()
    for n in range(60):
        crop = views(pool, Zoomed("a", 0, 1.0, 1.0), np.random.default_rng(n))["volume"]
        assert crop.shape == (1, 32, 32, 32)
        shown[int(crop.max() * 4 - 1e-3)] += 1  # each quarter of the values is a channel
    assert set(shown) == {0, 1, 2, 3} and min(shown.values()) >= 6
    assert centred_crop(pool, "a", lie_of_case(pool, "a", 2), (8, 8, 8)).shape == (1, 8, 8, 8)


def test_an_unturned_crop_is_a_box_of_the_image_depth_first() -> None:
    pool = Pool({"a": Image((40, 44, 12), (1.0, 1.0, 2.5))})
    lie = lie_of_case(pool, "a", 2)
    found = cut(pool, "a", lie, (0, 12), np.eye(3), np.array([3.5, 9.5, 20.5]), (4, 8, 6))
    expected = np.moveaxis(pool.whole("a"), 3, 1)[:, 2:6, 6:14, 18:24].astype(np.float32)
    np.testing.assert_array_equal(found, expected)


def test_outside_the_image_and_outside_the_slices_read_stands_zero() -> None:
    pool = Pool({"a": Image((6, 6, 6))})
    lie = lie_of_case(pool, "a", 2)
    found = cut(pool, "a", lie, (1, 5), np.eye(3), np.array([2.5, 2.5, 2.5]), (10, 10, 10))
    inside = np.zeros((10, 10, 10), bool)
    inside[3:7, 2:8, 2:8] = True
    assert (found[0][~inside] == 0).all() and (found[0][inside] > 0).all()


@pytest.mark.parametrize("turned", [True, False])
def test_a_zoomed_crop_is_the_linear_interpolation_of_scipy_turned_or_not(turned: bool) -> None:
    from scipy.ndimage import map_coordinates

    pool = Pool({"a": Image((30, 34, 20), (1.0, 1.0, 1.2))})
    lie = lie_of_case(pool, "a", 2)
    rng = np.random.default_rng(1)
    matrix = next(m for m in (turn(rng, tilted=True) for _ in range(100)) if not np.array_equal(m, np.eye(3)))
    matrix = (matrix if turned else np.eye(3)) @ np.diag([1.1, 0.8, 0.8])
    centre, size = np.array([9.7, 14.2, 16.9]), (7, 10, 11)
    found = cut(pool, "a", lie, (0, 20), matrix, centre, size)[0]
    o = np.stack(np.meshgrid(*(np.arange(s) - (s - 1) / 2 for s in size), indexing="ij"))
    places = np.einsum("ij,jdhw->idhw", matrix, o) + centre[:, None, None, None]
    whole = np.moveaxis(pool.whole("a")[0], 2, 0).astype(np.float64)
    np.testing.assert_allclose(found, map_coordinates(whole, places, order=1, mode="grid-constant"), atol=2e-4)


def test_a_larger_field_of_view_sees_more_of_the_image() -> None:
    pool = Pool({"a": Image((40, 40, 40))})
    lie = lie_of_case(pool, "a", 2)
    middle = np.array([19.5, 19.5, 19.5])
    near, far = (cut(pool, "a", lie, (0, 40), np.eye(3) * f, middle, (8, 8, 8)) for f in (0.75, 2.0))
    assert np.ptp(far) > 2 * np.ptp(near)


def test_turns_keep_lengths_and_leave_the_plane_only_when_tilted() -> None:
    turns = [turn(np.random.default_rng(n), tilted=bool(n % 2)) for n in range(400)]
    moved = [(n, m) for n, m in enumerate(turns) if not np.array_equal(m, np.eye(3))]
    assert 0.22 < len(moved) / 400 < 0.38
    for n, matrix in moved:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert (abs(matrix[0, 0] - 1) > 1e-9) == bool(n % 2)
        assert matrix[0, 0] > np.cos(np.deg2rad(30)) ** 2 - 1e-9


def test_a_centred_crop_is_the_middle_of_the_image() -> None:
    pool = Pool({"a": Image((9, 12, 7))})
    found = centred_crop(pool, "a", lie_of_case(pool, "a", 2), (3, 4, 4))
    expected = np.moveaxis(pool.whole("a"), 3, 1)[:, 2:5, 2:6, 4:8].astype(np.float32)
    np.testing.assert_array_equal(found, expected)


def test_every_way_of_storing_voxels_ends_in_the_unit_range() -> None:
    x = np.array([-2000, -1000, 0, 1000], np.int16)
    assert to_unit_range(x, Intensity("hu")).tolist() == [0, 0, 0.5, 1]
    assert to_unit_range(np.array([0.25], np.float16), Intensity("percentile")).tolist() == [0.25]
    np.testing.assert_allclose(to_unit_range(np.array([-9.0, 0.0, 2.576]), Intensity("zscore")), [0, 0.5, 1], atol=1e-6)


def test_intensities_vary_per_sample_within_the_unit_range_as_often_as_the_code_says() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 1, 2, 4, 4).expand(4_000, -1, -1, -1, -1)
    y = vary_intensity(x, by_colour=True)
    assert y.min() >= 0 and y.max() <= 1
    untouched = (y == x).flatten(1).all(1).float().mean().item()
    assert untouched == pytest.approx(0.85 * 0.85 * 0.7, abs=0.03)
    assert not any(torch.equal(y[a], y[b]) for a, b in itertools.pairwise(range(40)) if not torch.equal(y[a], x[a]))
