"""What phantoms are made of below the layouts keeps its look: specimens, blocks of lung, opacities, and a second case of each view.

A change here changes phantoms: raise GENERATOR_VERSION with it, which `test_make_phantom` holds. Labels and latent factors are
compared bit for bit, images by mean, deviation and mean step between neighbours along each axis, because the last bit of an
exponential is the machine's.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from bench.phantoms import make_phantom
from bench.phantoms.body import stream
from bench.phantoms.factors import Latent, even_label, latent
from bench.phantoms.nodules import add_nodule, lung_block, scanned, spread_places
from bench.phantoms.opacities import with_opacities
from bench.phantoms.specimen import Style, specimen

STYLES = {
    "adrenalmnist3d": Style(form="shape"),
    "vesselmnist3d": Style(form="shape"),
    "dermamnist": Style(channels=3),
    "retinamnist": Style(channels=3),
}


def digest(*latents: Latent) -> str:
    """The first 16 digits of the sha256 of factors (six places) and classes."""
    told = ";".join(f"{','.join(f'{f:.6f}' for f in one.factors)}|{one.label}|{one.shown}" for one in latents)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def look(image: np.ndarray) -> list[float]:
    """Mean, deviation, and mean step between neighbours along each axis that has any."""
    values = image.astype(np.float64)
    steps = [np.abs(np.diff(values, axis=axis)).mean() for axis in range(values.ndim) if values.shape[axis] > 1]
    return [float(number) for number in (values.mean(), values.std(), *steps)]


def a_specimen(flag: str, classes: int, depth: int, case: str) -> tuple[str, np.ndarray]:
    key = ("smoke", flag, case)
    who = latent(flag, classes, even_label(classes, int(case[-6:]), "smoke", flag, case.partition("/")[0]), *key)
    return digest(who), specimen(who, STYLES.get(flag, Style()), (28, 28, depth), stream(*key, "image"))


def a_block(dataset: str, shape: tuple[int, int, int], case: str) -> tuple[str, np.ndarray]:
    key = ("smoke", dataset, case)
    random = stream(*key, "block")
    image = lung_block(shape, random)
    people = [latent(dataset, 2, number % 2, *key, str(number)) for number in range(4)]
    for who, place in zip(people, spread_places(4, shape, 5.0, random), strict=True):
        add_nodule(image, place, 3.0, who, random)
    return digest(*people), scanned(image, random)


def a_chest(dataset: str, classes: int, shape: tuple[int, int, int], case: str) -> tuple[str, np.ndarray]:
    key = ("smoke", dataset, case)
    chest = make_phantom(
        "chest", case, preset="smoke", dataset=dataset, shape=shape, spacing_mm=(2, 2, 2), modality="ct"
    )
    who = latent(dataset, classes, 1, *key)
    return digest(who), with_opacities(np.asarray(chest.image, np.int16), who, stream(*key, "opacities"))


# flag, classes, depth, case -> digest of the latent factors, look
SPECIMENS: tuple[tuple[str, int, int, str, str, tuple[float, ...]], ...] = (
    ("organmnist3d", 11, 28, "train/000000", "89d68f22f36525a6", (123.962, 39.0678, 13.2863, 12.8887, 13.0499)),
    ("organmnist3d", 11, 28, "test/000001", "4936b3e0164fb080", (117.41, 45.3456, 14.7131, 15.2457, 15.188)),
    ("nodulemnist3d", 2, 28, "train/000000", "014f82f599b727c5", (115.216, 35.3144, 12.8733, 12.0885, 12.2048)),
    ("nodulemnist3d", 2, 28, "test/000001", "49151133e9d1f30c", (112.871, 43.3789, 14.6559, 14.4548, 14.7426)),
    ("fracturemnist3d", 3, 28, "train/000000", "81e702178ffc77be", (118.621, 41.566, 14.4844, 13.7284, 14.5482)),
    ("fracturemnist3d", 3, 28, "test/000001", "1ea75345a5f876cb", (105.122, 42.4832, 14.4638, 15.7126, 14.9511)),
    ("adrenalmnist3d", 2, 28, "train/000000", "43be27f4218b8f05", (23.7669, 74.1329, 9.19147, 18.4552, 15.3472)),
    ("adrenalmnist3d", 2, 28, "test/000001", "a1c989b408a0eba7", (19.9451, 68.4704, 6.60147, 7.09538, 5.77027)),
    ("vesselmnist3d", 2, 28, "train/000000", "2b6318a3bebc3926", (25.428, 76.4039, 7.21584, 26.9841, 8.86621)),
    ("vesselmnist3d", 2, 28, "test/000001", "acda735420a0611a", (23.5461, 73.8231, 7.15561, 7.51701, 19.3948)),
    ("synapsemnist3d", 2, 28, "train/000000", "840446638396eb0e", (126.562, 45.0472, 15.4265, 15.5203, 16.5591)),
    ("synapsemnist3d", 2, 28, "test/000001", "b7fa3a18391284d7", (107.972, 40.8959, 14.3942, 14.7944, 14.8096)),
    ("dermamnist", 7, 1, "train/000000", "7e579af2626e9baa", (110.798, 39.9933, 17.9259, 16.6737, 27.9139)),
    ("dermamnist", 7, 1, "test/000001", "0a24d376e1a80862", (101.853, 37.0905, 14.0847, 14.5437, 20.8425)),
    ("retinamnist", 5, 1, "train/000000", "24ad78d7b18ca5db", (126.066, 38.3193, 16.6243, 16.2901, 23.8986)),
    ("retinamnist", 5, 1, "test/000001", "8f58b42ed18af50c", (113.503, 36.2099, 13.9815, 15.0022, 24.0861)),
    ("tissuemnist", 8, 1, "train/000000", "f2ea0fe15d88cfac", (113.769, 34.7846, 12.4775, 14.2989)),
    ("tissuemnist", 8, 1, "test/000001", "9c7e9fbdf8400fe2", (128.278, 35.4802, 11.0225, 10.246)),
)  # fmt: skip
# dataset, shape, case -> likewise, with four nodules
BLOCKS: tuple[tuple[str, tuple[int, int, int], str, str, tuple[float, ...]], ...] = (
    ("lidc", (40, 40, 32), "LIDC-IDRI-0001", "79d3d569ca3f3f8b", (-551.893, 274.711, 29.9507, 82.4338, 31.0271)),
    ("lidc", (40, 40, 32), "LIDC-IDRI-0002", "0dffdaa57b78b504", (-572.604, 260.688, 29.3132, 84.738, 29.7939)),
    ("luna16", (40, 40, 40), "scan-1", "a04024fce9c622ad", (-562.376, 269.661, 30.2316, 81.1312, 29.9983)),
    ("luna16", (40, 40, 40), "scan-2", "bde32fcc0b9dc229", (-573.326, 253.502, 31.6809, 90.3743, 31.3079)),
)  # fmt: skip
# dataset, classes, shape, case -> likewise
CHESTS: tuple[tuple[str, int, tuple[int, int, int], str, str, tuple[float, ...]], ...] = (
    ("stoic", 3, (40, 40, 40), "17", "e6e7039a20ff9f20", (-540.596, 415.897, 109.809, 106.526, 42.5958)),
    ("stoic", 3, (40, 40, 40), "6", "67db60eac02823cd", (-466.609, 417.67, 134.405, 117.125, 60.1431)),
    ("ccccii", 3, (64, 64, 8), "p678-s3040", "b6d34aea5351b971", (-464.359, 406.563, 80.3581, 69.6051, 86.5065)),
    ("ccccii", 3, (64, 64, 8), "p0-s3131", "6bfd7df01c49a016", (-511.452, 423.563, 77.6802, 72.4312, 106.242)),
    ("ricord", 2, (40, 40, 16), "MIDRC-RICORD-1A/a", "f3e181165f4426c7", (-469.732, 422.771, 131.369, 113.935, 91.6869)),
    ("ricord", 2, (40, 40, 16), "MIDRC-RICORD-1B/b", "f4df1aacf366de2e", (-466.617, 398.875, 115.03, 103.993, 87.7319)),
)  # fmt: skip
# view, case, dataset, shape, modality -> first 16 digits of the label's sha256, look
SECOND: tuple[tuple[str, str, str, tuple[int, int, int], str, str, tuple[float, ...]], ...] = (
    ("chest", "lung_004", "msd06", (40, 40, 24), "CT", "637e0a0cbb985bc0", (-482.832, 421.755, 136.978, 118.777, 73.5334)),
    ("spleen", "spleen_2", "msd09", (40, 40, 24), "CT", "b4134fa6b46de3c0", (-439.525, 461.159, 97.5051, 108.23, 57.8537)),
    ("spleen", "spleen_3", "msd09", (40, 40, 24), "CT", "65bb552c70f5e5c5", (-381.127, 444.95, 100.465, 104.76, 55.6661)),
    ("liver", "liver_1", "msd03", (40, 40, 24), "CT", "37413e0d9ef13717", (-356.591, 434.616, 85.0008, 89.9148, 46.0114)),
    ("heart", "UPT6DX9IQY9JAZ7HJKA7", "la", (48, 48, 22), "LGE", "4feac8f2dad53211", (226.638, 186.225, 48.9081, 54.6193, 46.4508)),
    ("colon", "colon_001", "msd10", (40, 40, 24), "CT", "24d5fa1f1f50d392", (-413.881, 446.219, 73.6319, 70.7064, 33.5536)),
    ("pancreas", "pancreas_001", "msd07", (40, 40, 24), "CT", "8c69e0758e88ef3a", (-322.895, 406.016, 83.5302, 81.4272, 46.2567)),
    ("hepatic-vessel", "hepaticvessel_001", "msd08", (40, 40, 24), "CT", "9c222857ed38638f",
     (-307.935, 405.752, 79.0389, 79.2317, 41.9582)),
    ("covid", "0027_1", "covid1920", (48, 48, 10), "CT", "20bc74832361ca3a", (-464.829, 399.336, 92.7343, 84.5871, 76.3189)),
    ("whole-heart", "ct_train_1005", "mmwhs", (40, 40, 20), "CT", "850eac8e45faba07",
     (-513.445, 426.112, 66.9386, 55.2508, 46.5561)),
    ("trunk", "0004", "amos22", (40, 40, 20), "CT", "85580a91b06b2479", (-328.766, 410.108, 87.165, 80.2679, 58.2528)),
    ("thirteen-organs", "FLARE22_Tr_0011", "flare22", (40, 40, 20), "CT", "441ae3a2401077cf",
     (-300.364, 396.553, 78.5824, 81.4399, 51.9699)),
    ("ventricles", "patient001", "acdc", (32, 32, 8), "CINE", "0ac5be4e03393bbc", (1895.81, 1759.05, 497.532, 558.194, 482.112)),
    ("four-organs", "1", "chaos", (32, 32, 10), "T2_SPIR", "9982f1c460b63fa8", (3835.4, 3985.61, 1373.75, 1302.97, 1634.52)),
    ("brain-tumor", "BRATS_001", "msd01", (40, 40, 24), "FLAIR", "390ac80668402c8a", (511.639, 754.369, 101.538, 93.7225, 138.218)),
    ("glioma", "01592", "brats21", (32, 32, 32), "T1CE", "0be4a8cf19d494d5", (1199.29, 1773.94, 199.818, 191.686, 197.624)),
)  # fmt: skip


@pytest.mark.parametrize(("flag", "classes", "depth", "case", "factors", "told"), SPECIMENS)
def test_a_known_specimen_keeps_its_factors_and_its_look(
    flag: str, classes: int, depth: int, case: str, factors: str, told: tuple[float, ...]
) -> None:
    who, image = a_specimen(flag, classes, depth, case)
    assert who == factors and look(image) == pytest.approx(told, rel=1e-3)


@pytest.mark.parametrize(("dataset", "shape", "case", "factors", "told"), BLOCKS)
def test_a_known_block_of_lung_keeps_its_nodules_and_its_look(
    dataset: str, shape: tuple[int, int, int], case: str, factors: str, told: tuple[float, ...]
) -> None:
    who, image = a_block(dataset, shape, case)
    assert who == factors and look(image) == pytest.approx(told, rel=1e-3)


@pytest.mark.parametrize(("dataset", "classes", "shape", "case", "factors", "told"), CHESTS)
def test_a_known_chest_keeps_its_opacities_and_its_look(
    dataset: str, classes: int, shape: tuple[int, int, int], case: str, factors: str, told: tuple[float, ...]
) -> None:
    who, image = a_chest(dataset, classes, shape, case)
    assert who == factors and look(image) == pytest.approx(told, rel=1e-3)


@pytest.mark.parametrize(("view", "case", "dataset", "shape", "modality", "label", "told"), SECOND)
def test_a_second_case_of_each_dataset_keeps_its_labels_and_its_look(
    view: str, case: str, dataset: str, shape: tuple[int, int, int], modality: str, label: str, told: tuple[float, ...]
) -> None:
    phantom = make_phantom(
        view, case, preset="smoke", dataset=dataset, shape=shape, spacing_mm=(1.0, 1.0, 1.0), modality=modality
    )
    assert hashlib.sha256(np.ascontiguousarray(phantom.label).tobytes()).hexdigest()[:16] == label
    assert look(phantom.image) == pytest.approx(told, rel=1e-3)
