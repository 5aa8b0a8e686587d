"""The sequences of AR: crop rule, percentiles, slabs and their overlap, the entry list and what a corpus lacks."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.errors import DataMissing, SpecError
from methods.ar import AR, METHOD
from methods.parts.families import SequenceDraw
from methods.parts.slabs import (
    SlabSequence,
    crop_count,
    crop_generator,
    fitted,
    overlapping,
    random_box,
    span_around,
    to_unit_range,
    to_unit_range_by_table,
)


class Shelf:
    """Volumes (C, D, H, W) in memory with what a corpus tells of them; reads must lie inside."""

    def __init__(self, volumes: Mapping[str, np.ndarray], told: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.volumes, self._told = volumes, told or {}
        self.cases = tuple(volumes)
        channels = {len(volume) for volume in volumes.values()} or {1}
        self.sight = Sight(channels.pop(), (8, 8, 8), None, Intensity("zscore"))

    def shape(self, case: str) -> Shape3:
        d, h, w = self.volumes[case].shape[1:]
        return d, h, w

    def spacing(self, case: str) -> None:
        return None

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        assert all(a >= 0 and a + b <= n for a, b, n in zip(start, size, self.shape(case), strict=True)), (start, size)
        return self.volumes[case][(slice(None), *(slice(a, a + b) for a, b in zip(start, size, strict=True)))]

    def fields(self, case: str) -> Mapping[str, Any]:
        return {"modality": "CT", **self._told.get(case, {})}


def noise(shape: Shape3, seed: int = 0, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, *shape)).astype(np.float16)


def views(**changes: Any) -> SlabSequence:
    plain = SlabSequence(shape=(16, 16, 32), slabs=4, stride=2, crops_per_volume=50, crops_per_group=100, tokens=64)
    return dataclasses.replace(plain, **changes)


def draw(**changes: Any) -> SequenceDraw:
    plain = SequenceDraw(
        families=("spatial", "contrast", "semantic"),
        depth=32,
        slabs=4,
        crops_per_volume=50,
        crops_per_group=100,
        sequences_per_category=20,
    )
    return dataclasses.replace(plain, **changes)


CONTRASTS = ("t1n", "t1c", "t2w", "t2f")


def three_families(lesions: int = 5) -> Shelf:
    """Two volumes, one of them shallow; two groups, listed in another order; `lesions` of category 4 and two of 5."""
    volumes = {"deep": noise((20, 20, 40)), "shallow": noise((20, 20, 9))}
    told: dict[str, dict[str, Any]] = {}
    for group in ("g1", "g2"):
        for contrast in reversed(CONTRASTS):
            case = f"{group}-{contrast}"
            volumes[case] = noise((20, 20, 12), seed=CONTRASTS.index(contrast))
            told[case] = {"group": group, "contrast": contrast}
    for k in range(lesions + 2):
        volumes[f"lesion{k}"] = noise((30, 30, 6), seed=k)
        told[f"lesion{k}"] = {"category": 4 if k < lesions else 5, "lesion_centre": (10.0, 20.0)}
    return Shelf(volumes, told)


# Crops ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "starts"), [(130, {0, 1}), (131, {0, 1, 2}), (140, set(range(12)))])
def test_the_crop_rule_never_draws_the_last_start(length: int, starts: set[int]) -> None:
    rng, seen = np.random.default_rng(0), set()
    for _ in range(300):
        (start, _, _), extent = random_box((length, 128, 64), (128, 128, 128), rng)
        assert extent == (128, 128, 64)
        seen.add(start)
    assert seen == starts


@pytest.mark.parametrize("length", [5, 127, 128, 129])
def test_an_axis_that_leaves_no_choice_is_taken_whole_and_stretched(length: int) -> None:
    start, extent = random_box((length, 200, 200), (128, 128, 128), np.random.default_rng(0))
    assert (start[0], extent[0]) == (0, length)


def test_a_shallow_volume_has_33_of_50_crops() -> None:
    assert [crop_count(slices, 128, 50) for slices in (127, 128, 400)] == [33, 50, 50]


def test_a_volumes_crops_are_the_same_in_every_epoch_and_differ_by_number_and_name() -> None:
    boxes = {
        (case, number): random_box((99, 99, 99), (16, 16, 16), crop_generator(case, number))[0]
        for case in "ab"
        for number in range(20)
    }
    again = random_box((99, 99, 99), (16, 16, 16), crop_generator("a", 7))[0]
    assert again == boxes["a", 7] and len(set(boxes.values())) > 35


def test_percentiles_of_the_crop_become_zero_and_one_and_what_lies_beyond_is_clipped() -> None:
    crop = np.arange(1001.0).reshape(7, 11, 13)
    scaled = to_unit_range(crop)
    assert scaled.dtype == np.float32
    assert scaled.ravel()[[0, 10]].tolist() == [0.0, 0.0] and scaled.ravel()[[999, 1000]].tolist() == [1.0, 1.0]
    assert scaled.ravel()[505] == pytest.approx((505 - 10) / 989, abs=1e-6)


def test_a_flat_crop_becomes_zero_and_its_few_brighter_voxels_are_clipped() -> None:
    crop = np.full((10, 10, 100), 3.0)
    crop[0, 0, 0] = 9.0
    assert to_unit_range(crop).max() == 1.0 and to_unit_range(crop).sum() == 1.0


def test_a_z_score_beforehand_changes_nothing() -> None:
    crop = np.random.default_rng(0).standard_normal((12, 12, 12)) * 400
    np.testing.assert_allclose(to_unit_range(crop), to_unit_range((crop - 37) / 412), atol=1e-6)


@given(
    st.sampled_from(["float16", "int16"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 1.0, 300.0]),
    st.tuples(*[st.integers(1, 9)] * 3),
)
def test_counting_two_byte_values_gives_the_percentiles_and_the_crop_to_the_bit(
    kind: str, seed: int, spread: float, shape: tuple[int, int, int]
) -> None:
    crop = (np.random.default_rng(seed).standard_normal(shape) * spread - 1).astype(kind)
    wanted = to_unit_range(crop.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(to_unit_range_by_table(crop), wanted)
    np.testing.assert_array_equal(fitted(crop[None], shape)[0], wanted)


def test_every_channel_is_normalised_by_itself_after_resizing() -> None:
    crop = np.concatenate([noise((8, 8, 4)), 100 + 40 * noise((8, 8, 4), seed=1)])
    found = fitted(crop, (8, 8, 8))
    assert found.shape == (2, 8, 8, 8) and all(channel.min() == 0.0 and channel.max() == 1.0 for channel in found)
    wide = noise((8, 8, 24)) * 50
    squeezed = to_unit_range(wide[0, :, :, 1::3].astype(np.float32))  # of three slices each the middle one
    np.testing.assert_allclose(fitted(wide, (8, 8, 8))[0], squeezed, atol=1e-3)
    assert np.abs(to_unit_range(wide[0].astype(np.float32))[:, :, 1::3] - squeezed).max() > 0.01  # not before
    stretched = np.repeat(np.arange(4.0), 2)  # half-voxel centres: -0.25, 0.25, 0.75, ... of four, ends held
    ramp = fitted(np.broadcast_to(np.arange(4.0, dtype=np.float32), (1, 8, 8, 4)), (8, 8, 8))[0, 0, 0]
    wanted = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    np.testing.assert_allclose(
        ramp, to_unit_range(np.broadcast_to(wanted, (8, 8, 8)))[0, 0], atol=1e-3
    )  # in half precision
    assert not np.allclose(ramp * 3, stretched)


@pytest.mark.parametrize(("centre", "span"), [(50.2, (34, 32)), (10.0, (0, 26)), (95.0, (79, 21))])
def test_a_window_around_a_lesion_is_cut_at_the_borders(centre: float, span: tuple[int, int]) -> None:
    assert span_around(centre, 100, 32) == span


# Slabs ----------------------------------------------------------------------------------------------


def test_neighbouring_slabs_overlap_by_all_but_the_stride() -> None:
    """Check 9: slab j, slice z equals slab j + 1, slice z - 8 for z >= 8."""
    crop = noise((4, 4, 128))[0]
    slabs = np.split(overlapping(crop, 4, 8, 63), 4, axis=2)
    for one, other in itertools.pairwise(slabs):
        assert np.array_equal(one[:, :, 8:], other[:, :, :24])
    assert np.array_equal(slabs[3], crop[:, :, 87:119])  # the largest slice used is 118


@pytest.mark.parametrize(
    ("stride", "novelty", "share"),
    [
        (8, [16, 16, 0, 8, 0, 8, 0, 8], 0.5625),
        (4, None, 0.65625),
        (12, None, 0.46875),
        (32, [16] * 8, 0.0),
    ],
)
def test_along_a_column_in_raster_order_little_is_new(stride: int, novelty: list[int] | None, share: float) -> None:
    """Check 9: unseen slices of each 16-slice token, and the share of voxels seen before."""
    slices = np.broadcast_to(np.arange(128.0), (1, 1, 128))
    column = overlapping(slices, 4, stride, 0)[0, 0].reshape(8, 16)
    seen: set[float] = set()
    fresh = []
    for token in column.tolist():
        fresh.append(len(set(token) - seen))
        seen |= set(token)
    assert novelty is None or fresh == novelty
    assert 1 - sum(fresh) / 128 == pytest.approx(share)


@pytest.mark.parametrize(("stride", "last"), [(4, 63), (8, 63), (12, 60), (32, 0)])
def test_a_spatial_sequence_begins_where_its_last_slab_still_lies_inside(stride: int, last: int) -> None:
    view = views(shape=(128, 128, 128), stride=stride)
    assert view.last_start == last and last + 3 * stride + 32 <= 128


# Samples --------------------------------------------------------------------------------------------


def test_a_spatial_sample_is_one_crop_in_overlapping_slabs() -> None:
    shelf = Shelf({"a": noise((20, 20, 40))})
    found = views()(shelf, ("a",), np.random.default_rng(3))
    volume = found["volume"]
    assert volume.shape == (1, 16, 16, 32) and volume.dtype == np.float16
    slabs = np.split(volume[0], 4, axis=2)
    assert all(np.array_equal(one[:, :, 2:], other[:, :, :6]) for one, other in itertools.pairwise(slabs))
    crops = [
        fitted(shelf.read("a", *random_box((20, 20, 40), (16, 16, 32), crop_generator("a", k))), (16, 16, 32))[0]
        for k in range(50)
    ]
    firsts = [crop[:, :, a : a + 8].astype(np.float16) for crop in crops for a in range(views().last_start + 1)]
    assert any(np.array_equal(first, slabs[0]) for first in firsts)


def test_a_spatial_sequence_may_begin_at_every_slice_up_to_the_last() -> None:
    """A volume of one crop whose slices count up from 0 to 31: the first voxel tells where the sequence begins, 0 to 15."""
    volume = np.broadcast_to(np.arange(32, dtype=np.float16), (1, 16, 16, 32))
    shelf, view = Shelf({"a": volume}), views()
    firsts = [view(shelf, ("a",), np.random.default_rng(k))["volume"][0, 0, 0, 0] for k in range(200)]
    assert {round(31 * float(first)) for first in firsts} == set(range(16))


class Watched(Shelf):
    """Remembers where it was read."""

    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        self.seen = {*getattr(self, "seen", set()), (case, start)}
        return super().read(case, start, size)


@pytest.mark.parametrize(("slices", "numbers"), [(32, 9), (20, 6)])
def test_every_stored_crop_of_a_volume_is_shown_and_a_shallow_one_has_two_thirds_of_them(
    slices: int, numbers: int
) -> None:
    shelf, view = Watched({"a": noise((60, 60, slices))}), views(crops_per_volume=9)
    for k in range(100):
        view(shelf, ("a",), np.random.default_rng(k))
    boxes = [random_box((60, 60, slices), (16, 16, 32), crop_generator("a", number)) for number in range(numbers)]
    assert shelf.seen == {("a", start) for start, _ in boxes} and len(shelf.seen) == numbers


def test_every_stored_crop_of_a_group_is_shown_at_the_same_place_of_all_four() -> None:
    shelf, view = Watched({c: noise((60, 60, 20)) for c in CONTRASTS}), views(crops_per_group=9)
    for k in range(100):
        view(shelf, CONTRASTS, np.random.default_rng(k))
    starts = {random_box((60, 60, 20), (16, 16, 8), crop_generator("t1n", number))[0] for number in range(9)}
    assert shelf.seen == {(c, start) for c in CONTRASTS for start in starts} and len(starts) == 9


def test_a_contrast_sample_is_the_same_box_of_four_images_each_normalised_by_itself() -> None:
    base = noise((20, 20, 12))
    brighter = {c: (base * (k + 1) + 10 * k).astype(np.float16) for k, c in enumerate(CONTRASTS)}
    volume = views()(Shelf(brighter), CONTRASTS, np.random.default_rng(0))["volume"][0]
    slabs = np.split(volume.astype(np.float32), 4, axis=2)
    for slab in slabs[1:]:
        np.testing.assert_allclose(slab, slabs[0], atol=0.02)


def test_a_case_of_four_channels_is_a_contrast_sample_by_itself() -> None:
    shelf = Shelf({"a": noise((20, 20, 12), channels=4)})
    assert draw().offer(shelf).counts() == {"spatial": 0, "contrast": 100, "semantic": 0}
    volume = views()(shelf, ("a",), np.random.default_rng(0))["volume"][0]
    slabs = np.split(volume, 4, axis=2)
    assert all(slab.min() == 0.0 and slab.max() == 1.0 for slab in slabs)
    assert len({slab.tobytes() for slab in slabs}) == 4


def test_a_semantic_sample_is_the_window_around_each_lesion_over_all_slices() -> None:
    volumes, told = {}, {}
    for k in range(4):
        volume = noise((64, 64, 5), seed=k) * 0.1
        volume[0, 20:24, 40:44] += 100 + k  # the lesion
        volumes[f"l{k}"], told[f"l{k}"] = volume, {"category": 1, "lesion_centre": (22.0, 42.0)}
    shelf = Shelf(volumes, told)
    slabs = np.split(views()(shelf, tuple(volumes), np.random.default_rng(0))["volume"][0], 4, axis=2)
    for slab in slabs:
        bright = np.argwhere(slab.astype(np.float32).mean(2) > 0.9)
        assert bright.min(0).tolist() == [6, 6] and bright.max(0).tolist() == [9, 9]  # its middle


def test_without_patch_sequences_a_crop_of_any_image_is_shown_as_it_is() -> None:
    shelf = three_families()
    view, single = views(in_slabs=False), draw(in_slabs=False)
    assert single.offer(shelf).counts() == {"spatial": 50 + (len(shelf.cases) - 1) * 33, "contrast": 0, "semantic": 0}
    volume = view(shelf, ("deep",), np.random.default_rng(0))["volume"]
    crops = [
        fitted(shelf.read("deep", *random_box((20, 20, 40), (16, 16, 32), crop_generator("deep", k))), (16, 16, 32))
        for k in range(50)
    ]
    assert any(np.array_equal(volume, crop.astype(np.float16)) for crop in crops)
    assert single.told(shelf) == ()


def test_without_patch_sequences_each_contrast_of_a_case_of_four_is_shown_as_it_is() -> None:
    shelf, view = Shelf({"a": noise((16, 16, 32), channels=4)}), views(in_slabs=False)
    shown = {view(shelf, ("a",), np.random.default_rng(k))["volume"].tobytes() for k in range(40)}
    assert shown == {to_unit_range_by_table(contrast).tobytes() for contrast in shelf.volumes["a"]} and len(shown) == 4


def test_the_prefix_is_uniform_over_all_lengths_and_zero_without_random_startup() -> None:
    shelf = Shelf({"a": noise((4, 4, 4))})
    drawn = [int(views(tokens=8)(shelf, ("a",), np.random.default_rng(k))["prefix"]) for k in range(400)]
    counts = Counter(drawn)
    assert set(counts) == set(range(8)) and min(counts.values()) > 25
    still = views(random_prefix=False)(shelf, ("a",), np.random.default_rng(0))["prefix"]
    assert still == 0 and still.dtype == np.int64 and still.shape == ()


def test_views_and_draw_are_picklable_and_pure() -> None:
    shelf = three_families()
    view, drawing = pickle.loads(pickle.dumps(views())), pickle.loads(pickle.dumps(draw()))
    assert drawing(shelf, 6, 3, seed=2**62) == draw()(shelf, 6, 3, seed=2**62)
    first, second = (view(shelf, ("deep",), np.random.default_rng(5))["volume"] for _ in range(2))
    assert np.array_equal(first, second)


# The entry list -------------------------------------------------------------------------------------


def test_entries_are_crops_of_volumes_crops_of_groups_and_rows_of_four_lesions() -> None:
    offer = draw().offer(three_families())
    assert offer.counts() == {"spatial": 50 + 33, "contrast": 200, "semantic": 20}
    samples = [offer.sample(k) for k in range(len(offer))]
    counts = Counter(samples[:283])
    assert counts[("deep",)] == 50 and counts[("shallow",)] == 33
    for group in ("g1", "g2"):
        assert counts[tuple(f"{group}-{c}" for c in CONTRASTS)] == 100  # in the code's order whatever the corpus'
    lesions = samples[283:]
    assert all(len(set(row)) == 4 and set(row) <= {f"lesion{k}" for k in range(5)} for row in lesions)
    assert len(set(lesions)) > 10 and set(sum(lesions, ())) == {f"lesion{k}" for k in range(5)}


def test_the_papers_lists_weigh_families_by_their_entries() -> None:
    drawn = draw()(three_families(), 303, 0, seed=1)  # one epoch: every entry once
    assert Counter(len(sample) for sample in drawn) == {1: 83, 4: 220}
    assert Counter(drawn) == Counter(draw().offer(three_families()).sample(k) for k in range(303))
    assert draw()(three_families(), 303, 1, seed=1) != drawn != draw()(three_families(), 303, 0, seed=2)
    steps = [sample for step in range(6) for sample in draw()(three_families(), 101, step, seed=1)]
    assert Counter(steps[:303]) == Counter(steps[303:]) == Counter(drawn)
    across = [sample for step in range(3) for sample in draw()(three_families(), 202, step, seed=1)]
    assert across == steps  # also where a batch runs across an epoch's end


def test_every_500th_entry_is_held_out_where_the_code_holds_it_out() -> None:
    held = draw(held_out_every=500)
    total = 1_201
    kept = [held.entry(k) for k in range(held.trained(total))]
    assert kept == [k for k in range(total) if k % 500 != 0]


def test_a_step_never_draws_what_is_held_out_and_an_epoch_draws_all_the_rest_once() -> None:
    """83 entries of two volumes, of which every third is a crop that is never counted: 28 held out, 55 in an epoch."""
    held, shelf = draw(families=("spatial",), held_out_every=3), three_families()
    offer = held.offer(shelf)
    kept = Counter(offer.sample(k) for k in range(83) if k % 3)
    assert kept == {("deep",): 33, ("shallow",): 22} and sum(kept.values()) == 55
    drawn = [sample for step in range(10) for sample in held(shelf, 11, step, seed=4)]
    assert Counter(drawn[:55]) == Counter(drawn[55:]) == kept


@pytest.mark.parametrize(
    ("family", "counts"),
    [
        ("spatial", {"spatial": 0, "contrast": 200, "semantic": 20}),
        ("contrast", {"spatial": 83, "contrast": 0, "semantic": 20}),
        ("semantic", {"spatial": 83, "contrast": 200, "semantic": 0}),
    ],
)
def test_a_variant_without_a_family_draws_nothing_of_it_and_tells_nothing(family: str, counts: dict[str, int]) -> None:
    drawing = draw(families=METHOD.variants[f"no_{family}"]["families"])
    assert drawing.offer(three_families()).counts() == counts
    assert not any(family in told for told in drawing.told(three_families()) if "offers no" in told)


def test_data_sets_that_overlap_with_tasks_can_be_left_out() -> None:
    shelf = Shelf(
        {"a": noise((20, 20, 40)), "b": noise((20, 20, 40))}, {"a": {"overlaps": ("flare22",)}, "b": {"overlaps": ()}}
    )
    drawing = draw(**METHOD.variants["no_downstream_overlap"])
    assert set(drawing(shelf, 20, 0, seed=0)) == {("b",)}


def test_what_a_corpus_lacks_is_told_for_the_record() -> None:
    method = AR(METHOD.tiny, Sight(1, (32, 32, 32), None, Intensity("zscore")))
    method.fit(Shelf({"a": noise((20, 20, 40))}))
    (told,) = method.told
    assert told.startswith("the corpus offers no contrast sequences") and "no semantic sequences" in told
    method.fit(three_families())
    assert method.told == ("lesion categories 5 have fewer than 4 lesions and give no semantic sequence",)
    shelf = three_families()
    del shelf.volumes["g2-t1c"]  # type: ignore[attr-defined]
    method.fit(Shelf(shelf.volumes, shelf._told))
    assert method.told[0] == "no contrast sequence from 1 group in want of one of t1n, t1c, t2w, t2f"


def test_a_corpus_that_offers_nothing_asked_for_is_refused() -> None:
    with pytest.raises(DataMissing, match="offers none of the sequences asked for") as caught:
        draw(families=("contrast", "semantic")).offer(Shelf({"a": noise((8, 8, 8))}))
    assert "--set families=spatial" in caught.value.remedy
    with pytest.raises(DataMissing, match="0 cases"):
        draw().offer(Shelf({}))
    with pytest.raises(SpecError, match="1 channel or with 4, found 2"):
        draw().offer(Shelf({"a": noise((8, 8, 8), channels=2)}))


def test_every_category_has_as_many_rows_and_each_row_is_of_one_category() -> None:
    shelf = three_families()
    told = {
        case: {**fields, "category": 7} if case == "lesion0" else dict(fields) for case, fields in shelf._told.items()
    }
    for case in ("lesion5", "lesion6"):
        told[case]["category"] = 7
    told["lesion7"] = {"category": 7, "lesion_centre": (10.0, 20.0)}
    offer = draw().offer(Shelf({**shelf.volumes, "lesion7": noise((30, 30, 6))}, told))
    rows = [offer.sample(k) for k in range(len(offer))][-40:]
    kinds = [{told[case]["category"] for case in row} for row in rows]
    assert offer.counts()["semantic"] == 40 and kinds == [{4}] * 20 + [{7}] * 20


@pytest.mark.parametrize("slabs", [2, 8])
def test_four_contrasts_are_no_sequence_of_two_images_or_eight(slabs: int) -> None:
    """Else they come twice or half as deep as the crop, and the first batch that mixes families falls apart."""
    with pytest.raises(SpecError, match=f"sequence of {slabs} images has no place for the 4 contrasts"):
        draw(slabs=slabs).offer(three_families())
    shelf = three_families(lesions=8)
    offer = draw(slabs=slabs, families=("spatial", "semantic")).offer(shelf)
    view = views(slabs=slabs)
    shapes = {view(shelf, offer.sample(k), np.random.default_rng(0))["volume"].shape for k in (0, len(offer) - 1)}
    assert shapes == {(1, 16, 16, 32)}


def test_a_shallow_volume_has_an_entry_however_few_crops_are_asked_for() -> None:
    shelf = Shelf({"deep": noise((20, 20, 40)), "shallow": noise((20, 20, 9))})
    drawn = {sample for step in range(20) for sample in draw(crops_per_volume=1)(shelf, 2, step, 0)}
    assert drawn == {("deep",), ("shallow",)}
