"""`make_phantom`: one call, one case, the same voxels for the same words on every machine."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from bench.contracts.errors import SpecError
from bench.phantoms import GENERATOR_VERSION, Phantom, Preset, make_phantom

# view, case, dataset, shape, modality -> first half of the label's sha256, mean and deviation of the image.
# A change here changes every phantom: raise GENERATOR_VERSION with it.
GOLDEN = (
    ("abdomen", "img0001", "btcv", (40, 40, 20), "CT", "9d17b049abd05c5444ebb967c73a798e", -392.272, 439.536),
    ("abdomen", "img0002", "btcv", (40, 40, 20), "CT", "22b470b4114cb7f7f33f56284fddd387", -345.251, 413.415),
    ("chest", "lung_001", "msd06", (40, 40, 24), "CT", "13baa03159886c0746bece99e4a37b9f", -424.121, 395.295),
    ("liver", "liver_0", "msd03", (40, 40, 24), "CT", "8ee66b16a7ac6b9619ef9ffa174bd9f3", -390.599, 449.283),
    ("heart", "1GU15S0GJ6PFNARO469W", "la", (48, 48, 22), "LGE", "46d828587eac28cc92abe097a3a717d6", 10919.8, 8507.87),
    ("hippocampus", "hippocampus_001", "msd04", (35, 50, 36), "T1", "930f10df7f350b1ae26e4ddbdc594f45", 1413.22, 627.396),
    ("hippocampus", "hippocampus_003", "msd04", (35, 50, 36), "T1", "fe9d5295e2ee2db07a182f7f9ab9ea2d", 469.155, 185.833),
    ("colon", "colon_009", "msd10", (40, 40, 24), "CT", "32d41050070acd30133615c797b2d955", -396.383, 437.87),
    ("pancreas", "pancreas_046", "msd07", (40, 40, 24), "CT", "9211a743ef3eb8db3520fb09dc2e4ffe", -387.733, 439.932),
    ("hepatic-vessel", "hepaticvessel_133", "msd08", (40, 40, 24), "CT", "cc40d094cd51246fcf0e1c8e8097e693", -356.392, 430.411),
    ("covid", "0016", "covid1920", (48, 48, 10), "CT", "9b8adff55358e55a421a36ebe02b7ae3", -509.806, 391.968),
    ("whole-heart", "ct_train_1001", "mmwhs", (40, 40, 20), "CT", "c0d090d2ee6a954a936fd4c66ec49411", -472.562, 410.102),
    ("trunk", "0001", "amos22", (40, 40, 20), "CT", "92e8c483ce8955f240322074c1a83e98", -397.51, 418.492),
    ("thirteen-organs", "FLARE22_Tr_0001", "flare22", (40, 40, 20), "CT", "d9af81764feed0f778e736a64e529c4a", -360.778, 426.818),
    ("ventricles", "patient055", "acdc", (32, 32, 8), "CINE", "8eda63bcc1b7cb7b50a6f36d2517ec6b", 48.6189, 46.5755),
    ("four-organs", "22", "chaos", (32, 32, 10), "T2_SPIR", "dcad8f4ed490aa11e9e6224989ebf425", 135.994, 130.757),
    ("brain-tumor", "BRATS_083", "msd01", (40, 40, 24), "FLAIR", "97cdf086ffe60763986b6750637c3af1", 230.529, 320.917),
    ("glioma", "01204", "brats21", (32, 32, 32), "T1CE", "3bc06fb11890d9ba804c86fe06364fed", 23.2006, 31.6499),
)  # fmt: skip


def smoke(view: str, case: str, dataset: str, shape: tuple[int, int, int], modality: str) -> Phantom:
    return make_phantom(
        view, case, preset="smoke", dataset=dataset, shape=shape, spacing_mm=(1.0, 1.0, 1.0), modality=modality
    )


def digest(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:32]


@pytest.mark.parametrize(("view", "case", "dataset", "shape", "modality", "label", "mean", "deviation"), GOLDEN)
def test_a_known_case_keeps_its_labels_and_its_look(
    view: str, case: str, dataset: str, shape: tuple[int, int, int], modality: str, label: str, mean: float,
    deviation: float,
) -> None:  # fmt: skip
    assert GENERATOR_VERSION == "5"
    phantom = smoke(view, case, dataset, shape, modality)
    assert digest(phantom.label) == label
    image = phantom.image.astype(np.float64)
    assert image.mean() == pytest.approx(mean, rel=1e-3)
    assert image.std() == pytest.approx(deviation, rel=1e-3)


def test_two_calls_agree_bit_for_bit_whatever_happened_between_them() -> None:
    first = smoke("abdomen", "img0001", "btcv", (40, 40, 20), "CT")
    smoke("abdomen", "img0002", "btcv", (40, 40, 20), "CT")
    np.random.seed(5)
    again = smoke("abdomen", "img0001", "btcv", (40, 40, 20), "CT")
    assert (first.image == again.image).all() and (first.label == again.label).all()
    assert first.meta == again.meta


def test_preset_dataset_and_case_each_make_another_person() -> None:
    words: list[tuple[Preset, str, str]] = [
        ("smoke", "btcv", "a"),
        ("mini", "btcv", "a"),
        ("smoke", "flare22", "a"),
        ("smoke", "btcv", "b"),
    ]
    made = {
        digest(
            make_phantom(
                "abdomen", case, preset=preset, dataset=dataset, shape=(24, 24, 16), spacing_mm=(1, 1, 1), modality="CT"
            ).label
        )
        for preset, dataset, case in words
    }
    assert len(made) == 4


def test_a_ct_case_says_what_it_is() -> None:
    phantom = smoke("abdomen", "img0001", "btcv", (40, 40, 20), "ct")
    assert phantom.modality == "CT" and phantom.meta["contrast"] == ""
    assert phantom.image.shape == phantom.label.shape == (40, 40, 20)
    assert phantom.image.dtype == np.int16 and phantom.label.dtype == np.uint8
    assert phantom.meta["voxels"]["liver"] == (phantom.label == 6).sum()  # type: ignore[index]
    assert phantom.meta["generator_version"] == GENERATOR_VERSION


def test_mr_without_a_contrast_takes_the_usual_one_of_the_view() -> None:
    heart, brain = smoke("heart", "a", "la", (32, 32, 16), "MR"), smoke("hippocampus", "a", "msd04", (35, 50, 36), "mr")
    assert (heart.modality, heart.meta["contrast"]) == ("MR", "lge")
    assert (brain.modality, brain.meta["contrast"]) == ("MR", "t1")
    assert (heart.image == smoke("heart", "a", "la", (32, 32, 16), "LGE").image).all()


def test_a_test_site_changes_the_look_and_never_the_anatomy() -> None:
    train, test = (
        make_phantom(
            "abdomen", "a", preset="smoke", dataset="btcv", shape=(32, 32, 16), spacing_mm=(1, 1, 1), modality="CT",
            test_site=reserved,
        )
        for reserved in (False, True)
    )  # fmt: skip
    assert (train.label == test.label).all()
    assert train.meta["site"] != test.meta["site"] and (train.image != test.image).any()


@pytest.mark.parametrize(
    ("modality", "spacing_mm", "message"),
    [("PET", (1.0, 1.0, 1.0), "Possible: ct, mr"), ("CT", (1.0, 0.0, 1.0), "three positive lengths")],
)
def test_words_that_make_no_sense_are_refused(
    modality: str, spacing_mm: tuple[float, float, float], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        make_phantom(
            "abdomen", "a", preset="smoke", dataset="x", shape=(32, 32, 16), spacing_mm=spacing_mm, modality=modality
        )


def test_a_phantom_can_be_handed_to_another_process() -> None:
    phantom = smoke("spleen", "a", "msd09", (24, 24, 16), "CT")
    assert pickle.loads(pickle.dumps(phantom)).meta == phantom.meta


def test_importing_phantoms_loads_neither_torch_nor_scipy() -> None:
    code = "import sys, bench.phantoms; print([m for m in ('torch', 'scipy', 'pandas', 'monai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_heart_that_contracts_has_smaller_cavities_and_the_same_shape_of_person() -> None:
    full, squeezed = (
        make_phantom(
            "ventricles", "patient001", preset="smoke", dataset="acdc", shape=(32, 32, 10), spacing_mm=(1, 1, 1),
            modality="MR", filled=filled,
        )
        for filled in (1.0, 0.75)
    )  # fmt: skip
    assert full.meta["contrast"] == "cine" and full.meta["site"] == squeezed.meta["site"]
    for cavity in (1, 3):
        assert (squeezed.label == cavity).sum() < 0.75 * (full.label == cavity).sum()


def test_a_stripped_head_is_exactly_zero_outside_the_brain() -> None:
    image = smoke("glioma", "00000", "brats21", (24, 24, 20), "t1ce").image
    assert (image[0] == 0).all() and 0.2 < (image == 0).mean() < 0.8
