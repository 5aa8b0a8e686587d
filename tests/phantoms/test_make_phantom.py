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
    ("abdomen", "img0001", "btcv", (40, 40, 20), "CT", "a4a4d7a2052d250cb2b65235c501e4ad", -392.297, 439.958),
    ("abdomen", "img0002", "btcv", (40, 40, 20), "CT", "c479220af55b17719ec18638fd81bdd2", -344.245, 412.76),
    ("chest", "lung_001", "msd06", (40, 40, 24), "CT", "ad803a261bc21c7f70cf4cbccc89769d", -424.591, 393.618),
    ("liver", "liver_0", "msd03", (40, 40, 24), "CT", "3fbf9f06a8c32973a96f0f80b9ae1091", -390.913, 448.708),
    ("heart", "1GU15S0GJ6PFNARO469W", "la", (48, 48, 22), "LGE", "9164a539512cd3082143309f325df9b9", 10971.3, 8551.27),
    ("hippocampus", "hippocampus_001", "msd04", (35, 50, 36), "T1", "c9414d47913953eb82c18c49b89c7bc3", 1411.03, 628.783),
    ("hippocampus", "hippocampus_003", "msd04", (35, 50, 36), "T1", "1ab45681bd07f6f990cc20d013fc21e1", 468.733, 186.232),
    ("colon", "colon_009", "msd10", (40, 40, 24), "CT", "572df2bd4abdbb797bef44731a60b40f", -394.931, 437.76),
    ("pancreas", "pancreas_046", "msd07", (40, 40, 24), "CT", "b0e59e168cf7a317a0c97f4c3a3c1ca7", -389.157, 440.551),
    ("hepatic-vessel", "hepaticvessel_133", "msd08", (40, 40, 24), "CT", "25be679713fd7b253e27cbeb1a248621", -361.376, 429.393),
    ("covid", "0016", "covid1920", (48, 48, 10), "CT", "af9c63a359df3dd5410af641d42e9778", -509.035, 392.741),
    ("whole-heart", "ct_train_1001", "mmwhs", (40, 40, 20), "CT", "50028134f4d2d8ad03c85ac5661a6c96", -471.849, 409.159),
    ("trunk", "0001", "amos22", (40, 40, 20), "CT", "3accc20095b9806b1e8c56966ba7a4b5", -398.932, 418.687),
    ("thirteen-organs", "FLARE22_Tr_0001", "flare22", (40, 40, 20), "CT", "1df869f6b8634eea01f01c67187dc0a7", -359.133, 427.478),
    ("ventricles", "patient055", "acdc", (32, 32, 8), "CINE", "af1138bc79a6e042e59df4f548e45694", 48.4681, 46.1674),
    ("four-organs", "22", "chaos", (32, 32, 10), "T2_SPIR", "0132dbb5974ae3929573a8472f8ad284", 138.304, 133.017),
    ("brain-tumor", "BRATS_083", "msd01", (40, 40, 24), "FLAIR", "c851a590f1e8d2bbdf5e4f76c89da846", 229.069, 320.929),
    ("glioma", "01204", "brats21", (32, 32, 32), "T1CE", "b942c82f63028b82cbbcab6a5b3a7571", 23.1993, 31.6534),
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
    assert GENERATOR_VERSION == "1"
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
