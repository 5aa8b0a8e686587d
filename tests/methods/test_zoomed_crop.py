"""What SPAD's loader workers show of an image: which slices are read, how a field of view, a turn and a mirror change a crop, how
its axes are told, and how its intensities vary (Sec. 1.2 and 1.3 of its fidelity spec)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.contracts.configs import Shape3, Spacing
from methods.parts import photometry, zoomed_crop
from methods.parts.equal_anisotropy import Zoomed
from methods.parts.lie import lie_of, lie_of_case
from methods.parts.photometry import vary_intensity
from methods.parts.zoomed_crop import ZoomedCrop, turn
from tests.methods.spad_pool import Image, Pool

VIEW = ZoomedCrop(16, 2, 8, even_axis=0)  # 16 voxels along each axis of a cube


def unturned(count: int) -> list[int]:
    """Seeds whose crops are not turned: the first of a crop's draws decides it."""
    return [k for k in range(2 * count) if np.array_equal(turn(np.random.default_rng(k), tilted=True), np.eye(3))][
        :count
    ]


def rise(crop: np.ndarray, axis: int) -> float:
    """By how much the middle eight of sixteen voxels rise from one to the next along an axis, on average."""
    inner = np.moveaxis(crop[0, 4:12, 4:12, 4:12].astype(np.float64), axis, 0)
    return float((inner[-1] - inner[0]).mean() / 7)


def test_a_field_of_view_spaces_the_voxels_along_depth_and_in_plane_each_by_its_own_factor() -> None:
    """Voxels of the pool rise by 1 / 40 along depth and by 1 / 1600 along the first in-plane axis."""
    pool = Pool({"a": Image((40, 40, 40))})
    for seed in unturned(8):
        crop = VIEW(pool, Zoomed("a", 0, in_plane=1.25, along_depth=0.8), np.random.default_rng(seed))["volume"]
        assert abs(rise(crop, 0)) == pytest.approx(0.8 / 40, rel=0.01)
        assert abs(rise(crop, 1)) == pytest.approx(1.25 / 1600, rel=0.03)


def test_each_axis_is_mirrored_half_of_the_time() -> None:
    """Of 160 crops 80, with a standard error of 6.3."""
    pool = Pool({"a": Image((24, 24, 24))})
    crops = [VIEW(pool, Zoomed("a", 0, 1.0, 1.0), np.random.default_rng(k))["volume"] for k in unturned(160)]
    for axis in range(3):
        assert 60 < sum(rise(crop, axis) < 0 for crop in crops) < 100


def test_slices_out_of_the_plane_are_turned_only_where_voxels_are_near_cubes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(zoomed_crop, "turn", lambda rng, tilted: (told.append(tilted), np.eye(3))[1])
    for thickness in (1.0, 1.5, 1.6):
        pool = Pool({"a": Image((40, 40, 40), (thickness, 1.0, 1.0))})
        VIEW(pool, Zoomed("a", 0, 1.0, 1.0), np.random.default_rng(0))
    assert told == [True, True, False]


@pytest.mark.parametrize("tilted", [False, True])
def test_an_image_is_turned_by_up_to_90_degrees_in_the_plane_and_up_to_30_out_of_it(tilted: bool) -> None:
    """The largest of some 900 angles lies within a hundredth of its bound, but for one chance in 8,000."""
    turns = np.array([turn(np.random.default_rng(k), tilted=tilted) for k in range(3_000)])
    about_h, about_w = np.arcsin(turns[:, 0, 2]), np.arctan2(-turns[:, 0, 1], turns[:, 0, 0])
    in_plane = []
    for matrix, h, w in zip(turns, about_h, about_w, strict=True):
        rows = [[np.cos(h), 0, np.sin(h)], [0, 1, 0], [-np.sin(h), 0, np.cos(h)]]
        out_of_it = np.array(rows) @ [[np.cos(w), -np.sin(w), 0], [np.sin(w), np.cos(w), 0], [0, 0, 1]]
        alone = matrix @ out_of_it.T
        in_plane.append(np.arctan2(alone[2, 1], alone[1, 1]))
    for angles, bound in ((in_plane, 90), (about_h, 30 * tilted), (about_w, 30 * tilted)):
        assert 0.99 * bound <= np.rad2deg(np.abs(angles)).max() <= bound + 1e-6


def test_at_most_24_slices_a_token_are_read_from_any_start_and_the_crop_lies_inside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two tokens: 48 of 100 slices, from slice 0 to 52 on; a crop of 16 has its middle 7.5 to 39.5 slices behind the first."""
    slabs, middles = [], []

    def cut(*given: object) -> np.ndarray:
        slabs.append(given[3])
        middles.append(given[5][0] - given[3][0])  # type: ignore[index]
        return np.zeros((1, 16, 16, 16), np.float32)

    monkeypatch.setattr(zoomed_crop, "cut", cut)
    pool = Pool({"a": Image((100, 40, 40))})
    for seed in range(1500):
        VIEW(pool, Zoomed("a", 0, 1.0, 1.0), np.random.default_rng(seed))
    assert {stop - start for start, stop in slabs} == {48}
    assert {start for start, _ in slabs} == set(range(53))
    assert {float(m) for m in middles} == {7.5 + k for k in range(33)}


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((4, 5, 6), (1.0, 1.0, 1.009), 0),  # within 1 %: no axis stands out, and the first is taken
        ((4, 5, 6), (1.0, 1.0, 1.02), 2),
        ((1, 1, 50), None, 0),  # a line is no image of one slice
        ((50, 1, 40), None, 1),
    ],
)
def test_an_axis_stands_out_beyond_one_per_cent(shape: Shape3, spacing: Spacing | None, axis: int) -> None:
    lie = lie_of(shape, spacing, even_axis=0)
    assert lie.axis == axis and (lie.ratio > 1e7) == (shape == (50, 1, 40))


@pytest.mark.parametrize("even_axis", [0, 2])
@pytest.mark.parametrize(
    ("spacing", "axis"), [((0.7, 0.7, 0.5), 2), ((0.5, 0.7, 0.7), 0), ((0.7, 0.72, 0.5), 2), ((3.0, 0.7, 0.8), 0)]
)
def test_slices_lie_where_the_in_plane_pair_is_closest_however_thin_they_are(
    spacing: Spacing, axis: int, even_axis: int
) -> None:
    """Sec. 1.2: where in-plane sizes differ, the code takes the axis whose pair is closest; 0.7 x 0.7 x 0.5 mm are axial slices."""
    assert lie_of((4, 5, 6), spacing, even_axis=even_axis).axis == axis


def test_the_owners_word_on_the_depth_axis_counts_before_the_spacing() -> None:
    pool = Pool(
        {"a": Image((4, 5, 6), (5.0, 1.0, 1.0), fields={"depth_axis": 1}), "b": Image((4, 5, 6), (5.0, 1.0, 1.0))}
    )
    assert [lie_of_case(pool, case, 2).axis for case in "ab"] == [1, 0]


def test_gain_contrast_and_gamma_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the numbers drawn: gain or not, gain, contrast or not, contrast, gamma or not, gamma, on the inverse or not."""
    rows = [
        ([0.14, 0.0, 1, 0, 1, 0, 1], (0.2 * 0.75, 0.6 * 0.75)),
        ([0.14, 1.0, 1, 0, 1, 0, 1], (0.2 * 1.25, 0.6 * 1.25)),
        ([0.16, 0.0, 1, 0, 1, 0, 1], (0.2, 0.6)),
        ([1, 0, 0.14, 0.0, 1, 0, 1], (0.4 - 0.2 * 0.75, 0.4 + 0.2 * 0.75)),
        ([1, 0, 0.14, 1.0, 1, 0, 1], (0.4 - 0.2 * 1.25, 0.4 + 0.2 * 1.25)),
        ([1, 0, 0.16, 0.0, 1, 0, 1], (0.2, 0.6)),
        ([1, 0, 1, 0, 0.29, 0.0, 0.51], (0.2**0.7, 0.6**0.7)),
        ([1, 0, 1, 0, 0.29, 1.0, 0.51], (0.2**1.5, 0.6**1.5)),
        ([1, 0, 1, 0, 0.29, 1.0, 0.49], (1 - 0.8**1.5, 1 - 0.4**1.5)),
        ([1, 0, 1, 0, 0.31, 1.0, 0.49], (0.2, 0.6)),
    ]
    drawn = torch.tensor([numbers for numbers, _ in rows]).float().T.reshape(7, len(rows), 1, 1, 1, 1)
    monkeypatch.setattr(photometry.torch, "rand", lambda *_, **__: drawn)
    images = torch.tensor([0.2, 0.6]).view(1, 1, 1, 1, 2).expand(len(rows), -1, -1, -1, -1)
    found = vary_intensity(images, by_colour=False).flatten(1)
    torch.testing.assert_close(found, torch.tensor([wanted for _, wanted in rows]))


def test_contrast_turns_about_the_mean_of_each_image_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.tensor([1, 0, 0.0, 0.0, 1, 0, 1]).view(7, 1, 1, 1, 1, 1).expand(7, 2, 1, 1, 1, 1)
    monkeypatch.setattr(photometry.torch, "rand", lambda *_, **__: drawn)
    images = torch.tensor([[0.2, 0.6], [0.5, 0.9]]).view(2, 1, 1, 1, 2)
    found = vary_intensity(images, by_colour=False).flatten(1)
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.55], [0.55, 0.85]]))


def test_contrast_turns_about_the_mean_of_each_colour_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.tensor([1, 0, 0.0, 0.0, 1, 0, 1]).view(7, 1, 1, 1, 1, 1)
    monkeypatch.setattr(photometry.torch, "rand", lambda *_, **__: drawn)
    colours = torch.tensor([[0.2, 0.6], [0.5, 0.9], [0.0, 0.0]]).view(1, 3, 1, 1, 2)
    found = vary_intensity(colours, by_colour=True)[0].flatten(1)
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.55], [0.55, 0.85], [0.0, 0.0]]))
    joint = vary_intensity(colours, by_colour=False)[0].flatten(1)  # about 11 / 30
    torch.testing.assert_close(joint, (11 / 30 + 0.75 * (colours - 11 / 30)).view(3, 2))


def test_what_a_gain_lifts_above_white_is_white_before_contrast_turns_about_the_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0.4 and 0.9 times 1.25 are 0.5 and 1, whose mean 0.75 is nearer to both by a quarter."""
    drawn = torch.tensor([0.0, 1.0, 0.0, 0.0, 1, 0, 1]).view(7, 1, 1, 1, 1, 1)
    monkeypatch.setattr(photometry.torch, "rand", lambda *_, **__: drawn)
    found = vary_intensity(torch.tensor([0.4, 0.9]).view(1, 1, 1, 1, 2), by_colour=True).flatten()
    torch.testing.assert_close(found, torch.tensor([0.5625, 0.9375]))
