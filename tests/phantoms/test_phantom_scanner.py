"""Scanners: HU where CT should have them, MR contrasts by their equations, sites kept apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bench.contracts.errors import SpecError
from bench.phantoms.body import person
from bench.phantoms.drawing import Drawing, draw
from bench.phantoms.noise import smooth_noise
from bench.phantoms.scanner import CONTRASTS, SITES, ct, mr, site_of
from bench.phantoms.tissue import LOOKS, Tissue

SHAPE = (64, 64, 24)


@pytest.fixture(scope="module")
def abdomen() -> Drawing:
    return draw(person("mini", "btcv", "0"), "abdomen", SHAPE, fine=(1, 1, 1))


def deep(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out the rim, which shares its voxels with what lies around."""
    return np.asarray(ndimage.binary_erosion(mask), dtype=bool)


@pytest.mark.parametrize("site", SITES, ids=lambda site: str(site.name))
def test_ct_has_air_fat_and_soft_tissue_at_their_hu(abdomen: Drawing, site: object) -> None:
    image = ct(abdomen, person("mini", "btcv", "0"), site)  # type: ignore[arg-type]
    assert image.dtype == np.int16 and image.shape == SHAPE
    assert image.min() >= -1024 and image.max() <= 3071
    assert np.median(image[abdomen.tissue == Tissue.AIR]) == pytest.approx(-1000, abs=30)
    assert np.median(image[deep(abdomen.tissue == Tissue.VISCERAL_FAT)]) == pytest.approx(-95, abs=20)
    assert np.median(image[abdomen.tissue == Tissue.MUSCLE]) == pytest.approx(55, abs=20)
    assert 70 < np.median(image[abdomen.tissue == Tissue.LIVER]) < 125


def test_liver_and_spleen_have_nearly_the_same_hu_in_every_case() -> None:
    gaps = []
    for number in range(16):
        someone = person("mini", "btcv", str(number))
        drawing = draw(someone, "abdomen", SHAPE)
        image = ct(drawing, someone, site_of(someone, test_site=False))
        gaps.append(np.median(image[deep(drawing.label == 6)]) - np.median(image[deep(drawing.label == 1)]))
    assert np.abs(gaps).max() < 12  # the deviation inside either organ is larger
    assert min(gaps) < 0 < max(gaps)


def test_a_classifier_by_hu_alone_cannot_find_the_organs() -> None:
    """Even with the means of the very case it classifies, nearest mean stays below the 0.45 of the signal ladder."""
    dice = []
    for number in range(3):
        someone = person("mini", "btcv", str(number))
        drawing = draw(someone, "abdomen", SHAPE)
        image = ct(drawing, someone, site_of(someone, test_site=False)).astype(np.float32)
        classes = np.unique(drawing.label)
        means = np.array([image[drawing.label == number].mean() for number in classes])
        guess = classes[np.abs(image[..., None] - means).argmin(-1)]
        for name in classes[1:]:
            truth, hit = drawing.label == name, guess == name
            dice.append(2 * (truth & hit).sum() / (truth.sum() + hit.sum()))
    assert np.mean(dice) < 0.45


def test_head_and_tail_of_the_hippocampus_look_alike() -> None:
    for number in range(6):
        someone = person("mini", "msd04", str(number))
        drawing = draw(someone, "hippocampus", (35, 50, 36))
        image = mr(drawing, someone, site_of(someone, test_site=False), "t1")
        head, tail, rest = (image[drawing.label == number] for number in (1, 2, 0))
        assert abs(head.mean() - tail.mean()) < 0.5 * rest.std()
    assert LOOKS[Tissue.HIPPOCAMPUS_HEAD] == LOOKS[Tissue.HIPPOCAMPUS_TAIL] == LOOKS[Tissue.GREY_MATTER]


def test_reserved_sites_never_scan_training_cases() -> None:
    people = [person("mini", "btcv", str(number)) for number in range(60)]
    assert {site_of(someone, test_site=False).name for someone in people} == {s.name for s in SITES if not s.reserved}
    assert {site_of(someone, test_site=True).name for someone in people} == {s.name for s in SITES if s.reserved}
    assert sum(site.reserved for site in SITES) == 2 and len(SITES) == 6


def test_mr_is_positive_float32_and_its_scale_is_arbitrary() -> None:
    tops = []
    for number in range(6):
        someone = person("mini", "la", str(number))
        image = mr(draw(someone, "heart", (40, 40, 20)), someone, SITES[0], "lge")
        assert image.dtype == np.float32 and image.min() >= 0 and np.isfinite(image).all()
        tops.append(float(np.percentile(image, 99)))
    assert max(tops) > 3 * min(tops)


def test_contrasts_order_the_tissues_as_radiology_does() -> None:
    white, grey, fluid = (LOOKS[t] for t in (Tissue.WHITE_MATTER, Tissue.GREY_MATTER, Tissue.CEREBROSPINAL_FLUID))
    t1, t2, flair, lge = (CONTRASTS[name] for name in ("t1", "t2", "flair", "lge"))
    assert t1(white) > t1(grey) > t1(fluid)
    assert t2(fluid) > t2(grey) > t2(white)
    assert flair(fluid) < 0.3 * flair(grey)
    blood, muscle, scar = (LOOKS[t] for t in (Tissue.LEFT_ATRIUM, Tissue.MYOCARDIUM, Tissue.ATRIAL_SCAR))
    assert lge(scar) > lge(blood) > 4 * lge(muscle)
    fat = LOOKS[Tissue.VISCERAL_FAT]
    assert CONTRASTS["t2_spir"](fat) < 0.4 * t2(fat)


def test_two_contrasts_of_one_person_differ_in_noise_and_share_anatomy(abdomen: Drawing) -> None:
    someone = person("mini", "btcv", "0")
    inside = abdomen.tissue != Tissue.AIR
    first, second = (mr(abdomen, someone, SITES[0], name) for name in ("in_phase", "opposed_phase"))
    assert 0.3 < abs(np.corrcoef(first[inside], second[inside])[0, 1]) < 0.98


def test_smooth_noise_has_unit_deviation_and_grows_smoother() -> None:
    rough, smooth = (smooth_noise(np.random.default_rng(1), (48, 48, 24), (s, s, s)) for s in (0.5, 3.0))
    for noise in (rough, smooth):
        assert noise.std() == pytest.approx(1.0, abs=1e-3) and noise.mean() == pytest.approx(0.0, abs=1e-3)
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.5 * np.abs(np.diff(rough, axis=0)).mean()


def test_an_unknown_contrast_is_refused_with_the_possible_ones(abdomen: Drawing) -> None:
    with pytest.raises(SpecError, match="Possible: t1, t1ce"):
        mr(abdomen, person("mini", "btcv", "0"), SITES[0], "t3")
