"""DICOM series, MetaImage files and folders of slices: the same volume whatever holds it, and refusals that name the case."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.contracts.errors import BenchError, DataUnsound
from bench.contracts.record import ImageFile, Record
from bench.data.axes import as_affine, axis_order
from bench.data.dicom import Shuffled, slices_of, write_series
from bench.data.metaimage import write_metaimage
from bench.data.slices import encode_png, pictures
from bench.data.volumes import quick_fingerprint, read_header, read_image

VOLUME = np.random.default_rng(0).integers(-1000, 1500, (6, 5, 4)).astype(np.int16)
HEAD_FIRST = as_affine(np.array([[-0.8, 0, 0, 40.0], [0, -0.8, 0, 30.0], [0, 0, 2.5, -90.0], [0, 0, 0, 1.0]]))
OBLIQUE = as_affine(np.array([[-0.76, 0.25, 0, 40.0], [-0.25, -0.76, 0, 30.0], [0, 0, 2.5, -90.0], [0, 0, 0, 1.0]]))
FRONT_FIRST = as_affine(
    np.array([[-0.8, 0, 0, 40.0], [0, 0, -2.5, 30.0], [0, -0.8, 0, 9.0], [0, 0, 0, 1.0]])
)  # coronal


def a_record(path: str, kind: Any, **words: Any) -> Record:
    files = (ImageFile(path=path, format=kind),)
    return Record(
        dataset="d",
        adapter_version="1",
        case_id="case_7",
        patient_id="p",
        group="p",
        images=files,
        intensity="hu",
        **words,
    )


def canonical(affine: Any) -> np.ndarray:
    return axis_order(affine).to_canonical(VOLUME)


@pytest.mark.parametrize("affine", [HEAD_FIRST, OBLIQUE, FRONT_FIRST], ids=["axial", "oblique", "coronal"])
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (1.0, 0.0), (0.5, -1024.0)])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("shuffled", ["nothing", "names", "numbers"])
def test_a_series_reads_as_the_volume_it_was_written_from(
    tmp_path: Path, affine: Any, slope: float, intercept: float, backwards: bool, shuffled: Shuffled
) -> None:
    write_series(
        tmp_path / "s", VOLUME, affine=affine, name="x", slope=slope, intercept=intercept, backwards=backwards,
        shuffled=shuffled,
    )  # fmt: skip
    record = a_record("s", "dicom")
    image = read_image(tmp_path, record)
    np.testing.assert_array_equal(image.array[0], canonical(affine))
    np.testing.assert_allclose(image.affine, axis_order(affine).affine(affine, VOLUME.shape), atol=1e-4)
    assert read_header(tmp_path, record).depth_axis == 2 and image.array.dtype in (np.int16, np.float32)


def test_stored_values_go_by_their_numbers_without_rescale_and_drop_slices_of_another_size(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOLUME, affine=HEAD_FIRST, name="x", intercept=-1024.0, backwards=True)
    odd = write_series(tmp_path / "odd", np.zeros((3, 3, 1), np.int16), affine=HEAD_FIRST, name="x")
    odd[0].rename(tmp_path / "s" / "9-001.dcm")
    image = read_image(tmp_path, a_record("s", "dicom"), stored_values=True)
    np.testing.assert_array_equal(image.array[0], VOLUME[:, :, ::-1] + 1024)
    assert image.spacing_mm == (1.0, 1.0, 1.0)


def test_slices_go_by_their_numbers_though_their_files_are_named_in_another_order(tmp_path: Path) -> None:
    files = write_series(tmp_path / "s", VOLUME, affine=HEAD_FIRST, name="x", shuffled="names")
    assert files not in (sorted(files), sorted(files, reverse=True))
    image = read_image(tmp_path, a_record("s", "dicom"), stored_values=True)
    np.testing.assert_array_equal(image.array[0], VOLUME + 1024)


def test_the_same_words_write_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_series(tmp_path / name, VOLUME, affine=HEAD_FIRST, name="x")
    one, two = ([path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in "ab")
    assert one == two and quick_fingerprint(tmp_path / "a") == quick_fingerprint(tmp_path / "b")


def missing_slice(folder: Path) -> None:
    (folder / "1-002.dcm").unlink()


def doubled_slice(folder: Path) -> None:
    shutil.copy(folder / "1-002.dcm", folder / "1-002 (copy).dcm")


def mixed_series(folder: Path) -> None:
    for path in write_series(folder.with_name("other"), VOLUME, affine=HEAD_FIRST, name="another"):
        path.rename(folder / f"2-{path.name}")


def cut_slice(folder: Path) -> None:
    path = folder / "1-003.dcm"
    path.write_bytes(path.read_bytes()[:-20])


def no_position(folder: Path) -> None:
    import pydicom

    head = pydicom.dcmread(folder / "1-001.dcm")
    del head.ImagePositionPatient
    head.save_as(folder / "1-001.dcm")


def other_size(folder: Path) -> None:
    odd = write_series(folder.with_name("odd"), np.zeros((3, 3, 1), np.int16), affine=HEAD_FIRST, name="x")
    odd[0].rename(folder / "9-001.dcm")


def nothing_left(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (missing_slice, "5.000 mm between '1-001.dcm' and '1-003.dcm', 2.500 mm elsewhere; a slice is missing"),
        (doubled_slice, "two slices at one place: '1-002 (copy).dcm' and '1-002.dcm'"),
        (mixed_series, "mixes 2 series in one folder"),
        (cut_slice, "'1-003.dcm', which is truncated or damaged"),
        (no_position, "tells no position, orientation or pixel size"),
        (other_size, r"slices of several sizes: [(3, 3), (6, 5)]"),
        (nothing_left, "holds no DICOM slice"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_series_is_refused_by_its_case_and_says_what_is_wrong(tmp_path: Path, harm: Any, told: str) -> None:
    write_series(tmp_path / "s", VOLUME, affine=HEAD_FIRST, name="x")
    harm(tmp_path / "s")
    with pytest.raises(DataUnsound) as caught:
        read_image(tmp_path, a_record("s", "dicom"))
    assert caught.value.case == "case_7" and told in caught.value.message and caught.value.remedy


def test_files_that_are_no_dicom_are_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOLUME, affine=HEAD_FIRST, name="x")
    (tmp_path / "s" / "LICENSE").write_text("text")
    (tmp_path / "s" / "._1-001.dcm").write_bytes(b"apple")
    assert len(slices_of(tmp_path / "s")) == 4
    assert read_image(tmp_path, a_record("s", "dicom")).array.shape == (1, 6, 5, 4)


@pytest.mark.parametrize(
    ("package", "kind", "extra"), [("pydicom", "dicom", "dicom"), ("SimpleITK", "metaimage", "metaimage")]
)
def test_a_package_that_is_missing_is_named_with_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, kind: str, extra: str
) -> None:
    file = tmp_path / "s" / "1-001.dcm" if kind == "dicom" else tmp_path / "s"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"x")
    real = builtins.__import__

    def without(name: str, *args: Any, **words: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BenchError, match=package) as caught:
        read_header(tmp_path, a_record("s", kind))
    assert f"ssl3d-bench[{extra}]" in caught.value.remedy


# MetaImage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [HEAD_FIRST, OBLIQUE, FRONT_FIRST], ids=["axial", "oblique", "coronal"])
@pytest.mark.parametrize(("name", "packed"), [("v.mhd", False), ("v.mha", True)])
def test_a_metaimage_reads_as_the_volume_it_was_written_from(
    tmp_path: Path, affine: Any, name: str, packed: bool
) -> None:
    files = write_metaimage(tmp_path / name, VOLUME, affine=affine, packed=packed)
    assert all(path.is_file() for path in files) and len(files) == (2 if name == "v.mhd" else 1)
    image = read_image(tmp_path, a_record(name, "metaimage"))
    np.testing.assert_array_equal(image.array[0], canonical(affine))
    np.testing.assert_allclose(image.affine, axis_order(affine).affine(affine, VOLUME.shape), atol=1e-4)


def test_a_metaimage_whose_voxels_are_absent_or_short_or_that_is_none_is_refused(tmp_path: Path) -> None:
    write_metaimage(tmp_path / "v.mhd", VOLUME, affine=HEAD_FIRST)
    raw = tmp_path / "v.raw"
    content = raw.read_bytes()
    raw.write_bytes(content[:50])
    with pytest.raises(DataUnsound, match=r"^case_7: 'v\.mhd' is truncated"):
        read_image(tmp_path, a_record("v.mhd", "metaimage"))
    raw.unlink()
    with pytest.raises(DataUnsound, match=r"'v\.raw', which is not beside it"):
        read_image(tmp_path, a_record("v.mhd", "metaimage"))
    (tmp_path / "w.mha").write_bytes(b"no header")
    with pytest.raises(DataUnsound, match="no readable MetaImage"):
        read_header(tmp_path, a_record("w.mha", "metaimage"))


def test_a_metaimage_of_several_numbers_a_voxel_is_refused(tmp_path: Path) -> None:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6, 3), np.float32), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "v.mha"))
    with pytest.raises(DataUnsound, match=r"^case_7: 'v\.mha' holds 3 numbers a voxel; one is due"):
        read_header(tmp_path, a_record("v.mha", "metaimage"))
    with pytest.raises(DataUnsound, match=r"^case_7: 'v\.mha' is 4-D where 3-D is due"):
        read_image(tmp_path, a_record("v.mha", "metaimage"))


@pytest.mark.parametrize("name", ["v.mha", "v.mhd"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_flipped_bit_in_a_packed_metaimage_is_refused(tmp_path: Path, name: str, share: float) -> None:
    volume = np.arange(32**3, dtype=np.int16).reshape(32, 32, 32) // 50
    packed = write_metaimage(tmp_path / name, volume, affine=HEAD_FIRST, packed=True)[-1]
    assert read_image(tmp_path, a_record(name, "metaimage")).array.max() == volume.max()
    content = bytearray(packed.read_bytes())
    start = content.index(b"LOCAL\n") + 6 if name == "v.mha" else 0
    content[start + int((len(content) - start) * share)] ^= 16
    packed.write_bytes(bytes(content))
    with pytest.raises(DataUnsound, match=r"damaged|truncated"):
        read_image(tmp_path, a_record(name, "metaimage"))


def test_the_quick_fingerprint_of_a_header_sees_the_voxels_beside_it(tmp_path: Path) -> None:
    """Two scans of one size and place have the same header."""
    path = tmp_path / "v.mhd"
    write_metaimage(path, VOLUME, affine=HEAD_FIRST)
    head, before = path.read_bytes(), quick_fingerprint(path)
    assert before == quick_fingerprint(path)
    write_metaimage(path, VOLUME + 1, affine=HEAD_FIRST)
    assert path.read_bytes() == head and quick_fingerprint(path) != before
    path.with_suffix(".raw").unlink()
    assert quick_fingerprint(path).startswith(f"quick:{len(head)}:")  # reading it says what is missing


# Slices -------------------------------------------------------------------------------------------------------


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """Twelve slices of 7 x 5 pixels, each of one grey value, with numbers that do not sort as text."""
    for k in range(1, 13):
        picture = np.full((5, 7), 10 * k, np.uint8)
        picture[0, 6] = 255
        path = tmp_path / "scan" / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(picture))
    return tmp_path


def test_slices_stand_in_the_order_of_their_numbers_with_columns_first(slices: Path) -> None:
    image = read_image(slices, a_record("scan", "slices", spacing=(1.0, 1.0, 2.0))).array[0]
    assert image.shape == (7, 5, 12) and [int(image[0, 0, k]) for k in range(12)] == [10 * k for k in range(1, 13)]
    assert (image[6, 0] == 255).all() and [path.name for path in pictures(slices / "scan")][:2] == ["1.png", "2.png"]


def test_a_slice_with_a_palette_holds_the_greys_that_it_shows(slices: Path) -> None:
    from PIL import Image

    record = a_record("scan", "slices", spacing=(1.0, 1.0, 2.0))
    before = read_image(slices, record).array
    path = slices / "scan" / "5.png"
    greys, numbers = np.unique(np.asarray(Image.open(path)), return_inverse=True)
    numbered = Image.fromarray(numbers.reshape(5, 7).astype(np.uint8)).convert("P")
    numbered.putpalette([grey for value in greys.tolist() for grey in (value,) * 3])
    numbered.save(path)
    np.testing.assert_array_equal(read_image(slices, record).array, before)
    numbered.putpalette([0, 0, 0, 9, 0, 0])
    numbered.save(path)
    with pytest.raises(DataUnsound, match="one grey byte per pixel is due"):
        read_image(slices, record)


def test_broken_slices_are_refused(slices: Path) -> None:
    record = a_record("scan", "slices", spacing=(1.0, 1.0, 2.0))
    whole = (slices / "scan" / "5.png").read_bytes()
    (slices / "scan" / "5.png").write_bytes(whole[:40])
    with pytest.raises(DataUnsound, match=r"^case_7: .*'5\.png', which is truncated"):
        read_image(slices, record)
    (slices / "scan" / "5.png").write_bytes(encode_png(np.zeros((4, 4), np.uint8)))
    with pytest.raises(DataUnsound, match=r"several sizes: '5\.png' is 4 x 4, the first 7 x 5"):
        read_image(slices, record)
    coloured = np.zeros((5, 7, 3), np.uint8)
    coloured[..., 1] = 9
    from PIL import Image

    Image.fromarray(coloured).save(slices / "scan" / "5.png")
    with pytest.raises(DataUnsound, match="one grey byte per pixel is due"):
        read_image(slices, record)
    for path in (slices / "scan").iterdir():
        path.unlink()
    with pytest.raises(DataUnsound, match="holds no slice"):
        read_image(slices, record)
