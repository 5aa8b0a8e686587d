"""Drawings: painted solids one can count, organs where they belong, labels exact and whole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bench.contracts.errors import SpecError
from bench.phantoms.body import Person, person
from bench.phantoms.canvas import Canvas, smooth_path, tissues
from bench.phantoms.drawing import Drawing, draw
from bench.phantoms.tissue import FIRST_TISSUES, LOOKS, Tissue, case_shift
from bench.phantoms.views import VIEWS

AIR = tissues(Tissue.AIR)
BTCV = {name: number for number, name in enumerate(VIEWS["abdomen"].classes, start=1)}


def upright(someone: Person) -> Person:
    return dataclasses.replace(someone, rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), warp=())


def blank(size_mm: float = 20.0, voxels: int = 40) -> Canvas:
    low, high = (-size_mm, -size_mm, -size_mm), (size_mm, size_mm, size_mm)
    shape = (voxels, voxels, voxels)
    return Canvas(upright(person("t", "t", "0")), low, high, shape, warp_ratio=1.0, mirrored=False)


def centre(label: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
    return np.asarray(np.argwhere(label == number).mean(axis=0))


def largest_share(mask: NDArray[np.bool_]) -> float:
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return float(np.bincount(parts.ravel())[1:].max() / mask.sum())


def lacking(someone: Person) -> set[str]:
    """The organs that this person was drawn without."""
    told = {"gallbladder": someone.gallbladder_present, "right-kidney": someone.right_kidney_present}
    return {name for name, present in told.items() if not present}


@pytest.fixture(scope="module")
def smoke_abdomens() -> list[Drawing]:
    return [draw(person("smoke", "btcv", str(number)), "abdomen", (40, 40, 20)) for number in range(25)]


def test_a_painted_ball_has_the_volume_of_a_ball() -> None:
    canvas = blank()
    canvas.ellipsoid(Tissue.LIVER, (1.0, -2.0, 3.0), (10.0, 10.0, 10.0), over=AIR)
    assert (canvas.tissue == Tissue.LIVER).sum() == pytest.approx(4 / 3 * math.pi * 1000, rel=0.02)  # voxels of 1 mm^3


def test_a_straight_tube_has_the_volume_of_a_cylinder_with_two_half_balls() -> None:
    canvas = blank(size_mm=12.0, voxels=96)  # a quarter of a mm per voxel
    canvas.tube(Tissue.AORTA, [(0.1, 0.2, -6.0), (0.1, 0.2, 6.0)], [4.0, 4.0], over=AIR, detail=1)
    expected_mm3 = math.pi * 16 * 12 + 4 / 3 * math.pi * 64
    assert (canvas.tissue == Tissue.AORTA).sum() / 64 == pytest.approx(expected_mm3, rel=0.01)


def test_what_was_painted_first_keeps_its_place() -> None:
    canvas = blank()
    canvas.ellipsoid(Tissue.LIVER, (0.0, 0.0, 0.0), (8.0, 8.0, 8.0), over=AIR)
    before = canvas.tissue.copy()
    canvas.ellipsoid(Tissue.SPLEEN, (6.0, 0.0, 0.0), (8.0, 8.0, 8.0), over=AIR)
    assert ((canvas.tissue == Tissue.LIVER) == (before == Tissue.LIVER)).all()


def test_painting_inside_its_box_equals_painting_on_the_whole_warped_grid() -> None:
    """The box is only a shortcut: the slow way looks at every voxel."""
    someone = person("t", "t", "3")
    canvas = Canvas(someone, (-80.0,) * 3, (80.0,) * 3, (37, 41, 29), warp_ratio=1.0, mirrored=False)
    middle, radius = (20.0, -30.0, 12.0), 23.0
    away = np.stack([axis - m for axis, m in zip((canvas.x, canvas.y, canvas.z), middle, strict=True)])
    slow = ((away / radius) ** 2).sum(axis=0) <= 1
    canvas.ellipsoid(Tissue.SPLEEN, middle, (radius, radius, radius), over=AIR)
    assert (canvas.tissue == Tissue.SPLEEN).sum() == slow.sum() > 100


def test_a_smooth_path_runs_through_its_knots() -> None:
    knots = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)]
    assert np.array(smooth_path(knots, 4)[::4]) == pytest.approx(np.array(knots))


def test_the_warp_never_folds() -> None:
    for number in range(12):
        canvas = Canvas(
            person("mini", "x", str(number)), (-160.0,) * 3, (160.0,) * 3, (32, 32, 32), warp_ratio=1.0, mirrored=False
        )
        rows = [np.stack(list(np.gradient(axis, 10.0)), axis=-1) for axis in (canvas.x, canvas.y, canvas.z)]
        assert np.linalg.det(np.stack(rows, axis=-2)).min() > 0.4


@pytest.mark.parametrize("shape", [(40, 40, 20), (96, 96, 48)])
def test_every_btcv_organ_has_a_plausible_volume(shape: tuple[int, int, int]) -> None:
    plausible_ml = {
        "spleen": (40, 260), "right-kidney": (45, 260), "left-kidney": (45, 260), "gallbladder": (8, 60),
        "esophagus": (10, 40), "liver": (850, 1900), "stomach": (130, 600), "aorta": (45, 180), "ivc": (50, 170),
        "portal-splenic-veins": (15, 60), "pancreas": (40, 130), "right-adrenal-gland": (2, 14),
        "left-adrenal-gland": (2, 16),
    }  # fmt: skip
    for number in range(4):
        someone = person("mini", "btcv", str(number))
        drawing = draw(someone, "abdomen", shape)
        for name, (least, most) in plausible_ml.items():
            volume_ml = (drawing.label == BTCV[name]).sum() * math.prod(drawing.voxel_mm) / 1000
            if name in lacking(someone):
                assert volume_ml == 0
            else:
                assert least < volume_ml < most, (number, name)


def test_every_btcv_organ_is_there_even_at_smoke_size(smoke_abdomens: list[Drawing]) -> None:
    for number, drawing in enumerate(smoke_abdomens):
        present = set(np.unique(drawing.label).tolist()) - {0}
        assert present == set(BTCV.values()) - {BTCV[name] for name in lacking(person("smoke", "btcv", str(number)))}


def test_organs_are_in_one_piece(smoke_abdomens: list[Drawing]) -> None:
    for drawing in smoke_abdomens:
        for number in np.unique(drawing.label)[1:]:
            assert largest_share(drawing.label == number) > 0.9


def test_organs_lie_where_they_belong_in_ras(smoke_abdomens: list[Drawing]) -> None:
    """Index grows to the right, to the front, to the head: the liver has high x, the spleen low x."""
    for drawing in smoke_abdomens:
        at = {name: centre(drawing.label, number) for name, number in BTCV.items() if (drawing.label == number).any()}
        assert at["liver"][0] > 20 > at["spleen"][0]
        assert at["left-kidney"][0] < 20
        assert at["right-adrenal-gland"][0] > at["left-adrenal-gland"][0]
        assert at["ivc"][0] > at["aorta"][0]
        assert at["stomach"][0] < at["liver"][0]
        assert at["pancreas"][1] > at["aorta"][1]
        assert at["esophagus"][2] > at["stomach"][2]
        if "right-kidney" in at:  # some people lack it
            assert at["right-kidney"][0] > 20 and at["stomach"][1] > at["right-kidney"][1]
            assert min(at["liver"][2], at["right-adrenal-gland"][2]) > at["right-kidney"][2]


def test_a_label_is_the_majority_of_its_fine_voxels() -> None:
    drawing = draw(person("smoke", "btcv", "7"), "abdomen", (24, 24, 16), fine=(2, 2, 2))
    numbers = np.zeros(256, dtype=int)
    for tissue, number in VIEWS["abdomen"].labels.items():
        numbers[tissue] = number
    fine = numbers[drawing.tissue].reshape(24, 2, 24, 2, 16, 2).transpose(0, 2, 4, 1, 3, 5).reshape(24, 24, 16, 8)
    votes = np.stack([(fine == number).sum(-1) for number in range(14)], axis=-1)
    best = votes.max(-1)
    chosen = np.take_along_axis(votes, drawing.label[..., None].astype(int), axis=-1)[..., 0]
    assert (chosen == best).all()
    tied_with_background = (votes[..., 0] == best) & (votes[..., 1:].max(-1) == best)
    assert (drawing.label[tied_with_background] > 0).all()


def test_views_of_one_person_share_the_anatomy() -> None:
    someone = person("mini", "x", "5")
    abdomen = draw(someone, "abdomen", (40, 40, 24)).label
    assert (draw(someone, "spleen", (40, 40, 24)).label == (abdomen == BTCV["spleen"])).all()
    liver = draw(someone, "liver", (40, 40, 24)).label
    assert (
        (liver > 0) == (abdomen == BTCV["liver"])
    ).mean() > 0.999  # votes are per class, so few border voxels differ
    assert (liver == 2).any() and not (abdomen == 0)[liver == 2].any()


def test_the_lung_tumour_lies_in_a_lung() -> None:
    for number in range(10):
        drawing = draw(person("smoke", "msd06", str(number)), "chest", (40, 40, 24), fine=(1, 1, 1))
        tumour = drawing.tissue == Tissue.LUNG_LESION
        assert tumour.sum() > 4
        shell = drawing.tissue[ndimage.binary_dilation(tumour) & ~tumour]
        assert np.isin(shell, [Tissue.LUNG, Tissue.LUNG_VESSEL]).mean() > 0.5


def test_the_left_atrium_lies_behind_the_right_ventricle_and_is_one_piece() -> None:
    for number in range(10):
        drawing = draw(person("smoke", "la", str(number)), "heart", (48, 48, 22), fine=(1, 1, 1))
        ventricle = drawing.tissue == Tissue.RIGHT_VENTRICLE
        assert centre(drawing.label, 1)[1] < np.argwhere(ventricle).mean(axis=0)[1]
        assert largest_share(drawing.label == 1) > 0.95
        assert 0.01 < (drawing.label == 1).mean() < 0.06


def test_the_head_of_the_hippocampus_lies_before_and_below_its_tail() -> None:
    shares = []
    for number in range(12):
        label = draw(person("smoke", "msd04", str(number)), "hippocampus", (35, 50, 36)).label
        head, tail = centre(label, 1), centre(label, 2)
        assert head[1] > tail[1] + 8 and head[2] < tail[2] - 3
        assert largest_share(label == 1) > 0.95 and largest_share(label == 2) > 0.95
        shares.append((label > 0).mean())
    assert 0.04 < np.mean(shares) < 0.065  # 5.2 % in 200 real volumes


def test_both_sides_of_the_head_occur() -> None:
    assert {person("smoke", "msd04", str(number)).mirrored for number in range(12)} == {True, False}


def test_every_tissue_has_a_look() -> None:
    assert set(LOOKS) == set(Tissue)


def test_an_unknown_view_names_the_nearest_one() -> None:
    with pytest.raises(SpecError, match="Did you mean 'abdomen'"):
        draw(person("smoke", "x", "0"), "abdomn", (40, 40, 20))


def test_a_grid_too_small_for_anatomy_is_refused() -> None:
    with pytest.raises(SpecError, match="at least 8 voxels"):
        draw(person("smoke", "x", "0"), "abdomen", (40, 40, 4))


# Views that came later -----------------------------------------------------------------------------------


SOME_LACK = (19, 23, 53, 80)  # a gallbladder or the right kidney


def test_people_who_lack_each_organ_that_one_may_lack_are_among_those_drawn() -> None:
    lacked = [lacking(person("smoke", "later", str(number))) for number in SOME_LACK]
    assert all(lacked) and set.union(*lacked) == {"gallbladder", "right-kidney"}


@pytest.mark.parametrize(
    "view", ["colon", "covid", "whole-heart", "ventricles", "four-organs", "thirteen-organs", "trunk"]
)
def test_every_class_of_a_view_is_drawn_in_every_person_who_has_it(view: str) -> None:
    for number in (*range(4), *SOME_LACK):
        someone = person("smoke", "later", str(number))
        drawing = draw(someone, view, (40, 40, 24))
        counts = np.bincount(drawing.label.ravel(), minlength=len(drawing.classes) + 1)
        absent = [name for name, count in zip(drawing.classes, counts[1:], strict=True) if not count]
        assert set(absent) == lacking(someone) & set(drawing.classes)


def test_gliomas_lie_in_the_brain_and_one_in_ten_does_not_enhance() -> None:
    drawings = [draw(person("smoke", "brats", str(number)), "glioma", (24, 24, 20)) for number in range(80)]
    without = sum(not (drawing.label == 3).any() for drawing in drawings)
    assert 2 <= without <= 16  # 8 expected
    for drawing in drawings[:10]:
        assert {1, 2} <= set(np.unique(drawing.label)) and not (drawing.label[~drawing.holds_matter()] > 0).any()


def test_two_views_of_a_head_number_the_same_tumor_as_their_data_sets_do() -> None:
    someone = person("smoke", "x", "1")
    brats, msd = (draw(someone, view, (24, 24, 20)).label for view in ("glioma", "brain-tumor"))
    assert np.array_equal(np.array([0, 2, 1, 3])[brats], msd)


def test_a_colon_tumor_is_one_piece_around_a_lumen() -> None:
    for number in range(8):
        drawing = draw(person("mini", "msd10", str(number)), "colon", (96, 96, 48))
        assert largest_share(drawing.label == 1) > 0.95
        low, high = np.argwhere(drawing.label == 1).min(axis=0), np.argwhere(drawing.label == 1).max(axis=0) + 1
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        assert (
            drawing.tissue[tuple(slice(2 * b.start, 2 * b.stop) for b in box[:2])][..., box[2]] == Tissue.BOWEL_CONTENT
        ).any()


def test_pneumonia_lies_in_both_lungs_near_their_surface() -> None:
    drawing = draw(person("smoke", "covid", "0"), "covid", (40, 40, 24))
    inside = drawing.label > 0
    assert inside[:20].any() and inside[20:].any()
    from_middle = np.abs(np.argwhere(inside)[:, 0] - 19.5) * drawing.voxel_mm[0]
    assert from_middle.mean() > 74  # the middle of a lung lies 74 mm from the spine


def test_only_tissues_of_the_first_hour_draw_numbers_of_their_own() -> None:
    shift = case_shift(np.random.Generator(np.random.Philox(3)), 1.0)
    random = np.random.Generator(np.random.Philox(3))
    drawn = {float(random.uniform(-1, 1)) for _ in FIRST_TISSUES}
    assert set(shift) == set(Tissue) and set(shift.values()) <= drawn
