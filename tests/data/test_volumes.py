"""What files may hold, what is refused, and that no axis is ever turned the wrong way."""

from __future__ import annotations

import gzip
import itertools
import struct
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff

from bench.contracts.errors import BenchError, DataMissing, DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.axes import anisotropy_of, as_affine, depth_axis_of, plain_affine, settle
from bench.data.volumes import (
    Volume,
    check_geometry,
    label_map,
    quick_fingerprint,
    read_header,
    read_image,
    read_label,
    to_native,
    voxel_fingerprint,
    write_h5,
    write_nifti,
    write_nrrd,
)
from tests.real_volumes import real

ORIENTATIONS = [
    "".join(letter[sign] for letter, sign in zip(letters, signs, strict=True))
    for letters in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
]
RAS_AFFINE = as_affine(np.array([[0.7, 0, 0, -20], [0, 0.8, 0, 5], [0, 0, 2.5, 100], [0, 0, 0, 1.0]]))


def a_record(
    image: str = "image.nii.gz", label: str | None = None, kind: Any = "nifti", spacing: Any = None, **image_words: Any
) -> Record:
    mask = LabelFile() if label is None else LabelFile(kind="mask", path=label, format=kind)
    images = (ImageFile(path=image, format=kind, **image_words),)
    words = {"dataset": "d", "adapter_version": "1", "patient_id": "p", "group": "p"}
    return Record(case_id="case_7", images=images, label=mask, spacing=spacing, **words)


def reoriented(array: np.ndarray, affine: Any, orientation: str) -> tuple[np.ndarray, np.ndarray]:
    """A RAS volume as another file order would store it, by nibabel's own means."""
    turn = nib.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(orientation))
    return apply_orientation(array, turn), np.asarray(affine) @ inv_ornt_aff(turn, array.shape)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)


@pytest.fixture
def written(tmp_path: Path, image: np.ndarray) -> Path:
    write_nifti(tmp_path / "image.nii.gz", image, affine=RAS_AFFINE, dtype=np.int16)
    return tmp_path


def refusal(folder: Path, record: Record, *words: str, label: dict[int, int] | None = None) -> None:
    """Assert that reading fails, naming the case and the given words, with a remedy."""
    with pytest.raises(DataUnsound) as caught:
        read_image(folder, record) if label is None else read_label(folder, record, label)
    text = str(caught.value)
    assert caught.value.case == "case_7" and text.startswith("case_7: ")
    assert caught.value.remedy
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_axis_order_reads_as_the_same_canonical_volume(
    tmp_path: Path, image: np.ndarray, orientation: str
) -> None:
    native, affine = reoriented(image, RAS_AFFINE, orientation)
    write_nifti(tmp_path / "image.nii.gz", native, affine=as_affine(affine), dtype=np.int16)
    header = read_header(tmp_path, a_record())
    volume = read_image(tmp_path, a_record())
    assert header.orientation == orientation
    assert header.shape == native.shape
    assert header.canonical().shape == image.shape == volume.array.shape[1:]
    assert volume.array.dtype == np.int16 and volume.array.flags.c_contiguous
    np.testing.assert_array_equal(volume.array[0], image)
    np.testing.assert_allclose(volume.affine, RAS_AFFINE, atol=1e-5)
    np.testing.assert_allclose(volume.spacing_mm, (0.7, 0.8, 2.5), atol=1e-6)
    np.testing.assert_allclose(header.spacing_mm[header.depth_axis], 2.5)
    assert header.anisotropy is None  # 0.7 and 0.8 mm differ by more than 1 %
    assert header.canonical().depth_axis == 2
    np.testing.assert_array_equal(to_native(volume.array[0], header), native)


@settings(max_examples=60, deadline=None)
@given(
    image=hnp.arrays(np.int16, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)),
    orientation=st.sampled_from(ORIENTATIONS),
    classes=st.integers(1, 3),
)
def test_to_native_undoes_the_canonical_order_for_labels_and_probabilities(
    tmp_path_factory: pytest.TempPathFactory, image: np.ndarray, orientation: str, classes: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    native, affine = reoriented(image, RAS_AFFINE, orientation)
    write_nifti(folder / "image.nii", native, affine=as_affine(affine), dtype=np.int16)
    record = a_record("image.nii")
    volume, header = read_image(folder, record), read_header(folder, record)
    np.testing.assert_array_equal(to_native(volume.array[0], header), native)
    stack = np.stack([volume.array[0] + k for k in range(classes)])
    np.testing.assert_array_equal(to_native(stack, header), np.stack([native + k for k in range(classes)]))


def test_to_native_refuses_an_array_from_another_grid(written: Path) -> None:
    with pytest.raises(ValueError, match="canonical grid"):
        to_native(np.zeros((7, 6, 5)), read_header(written, a_record()))


def test_depth_is_the_axis_of_largest_spacing_and_the_last_where_none_stands_out() -> None:
    assert depth_axis_of((3.0, 0.7, 0.7)) == 0
    assert depth_axis_of((1.0, 1.0, 1.0)) == 2
    assert depth_axis_of((1.0, 1.005, 1.0)) == 2
    assert anisotropy_of((0.68, 0.68, 3.0), 2) == 2  # log2(4.41) = 2.14
    assert (
        anisotropy_of((1.0, 1.0, 3.0), 2) == 1 == anisotropy_of((3.99, 1.0, 1.0), 0)
    )  # 1.58 and 2.00 less a little, cut off
    assert anisotropy_of((1.0, 1.0, 0.5), 2) == 0  # never below
    assert anisotropy_of((0.5, 0.504, 2.1), 2) == 2 and anisotropy_of((0.5, 0.508, 2.1), 2) is None  # one in a hundred
    assert anisotropy_of((1.0, 1.0, 1.0), 2) == 0
    assert anisotropy_of((0.7, 0.8, 3.0), 2) is None


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "dtype"),
    [
        (np.uint8, 1, 0, np.int16),
        (np.uint16, 1, -1024, np.int16),
        (np.int32, 1, 0, np.int16),
        (np.int16, 0.5, 0.25, np.float32),
        (np.int32, 100_000, 0, np.float32),
        (np.float64, 1, 0, np.float32),
    ],
)
def test_rescaled_values_are_those_of_nibabel_and_whole_numbers_stay_int16(
    tmp_path: Path, stored: Any, slope: float, intercept: float, dtype: Any
) -> None:
    raw = np.arange(60).reshape(3, 4, 5).astype(stored)
    file = nib.Nifti1Image(raw, np.asarray(RAS_AFFINE), dtype=stored)
    content = bytearray(file.to_bytes())
    struct.pack_into("<ff", content, 112, slope, intercept)  # scl_slope, scl_inter
    (tmp_path / "image.nii.gz").write_bytes(gzip.compress(bytes(content)))
    array = read_image(tmp_path, a_record()).array
    assert array.dtype == dtype
    np.testing.assert_allclose(array[0], nib.load(tmp_path / "image.nii.gz").get_fdata(), rtol=1e-6)


def test_big_endian_and_nifti_2_files_read_alike(tmp_path: Path, image: np.ndarray) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.Nifti1Image(image, np.asarray(RAS_AFFINE), header).to_filename(tmp_path / "big.nii.gz")
    nib.Nifti2Image(image, np.asarray(RAS_AFFINE)).to_filename(tmp_path / "two.nii.gz")
    for name in ("big.nii.gz", "two.nii.gz"):
        np.testing.assert_array_equal(read_image(tmp_path, a_record(name)).array[0], image)


def test_frames_of_one_4d_file_become_channels_in_the_records_order(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).normal(size=(4, 5, 6, 3)).astype(np.float32)
    write_nifti(tmp_path / "image.nii.gz", frames, affine=RAS_AFFINE, dtype=np.float32)
    images = tuple(ImageFile(path="image.nii.gz", format="nifti", channel=2 - f, frame=f) for f in range(3))
    record = a_record().model_copy(update={"images": images})
    array = read_image(tmp_path, record).array
    np.testing.assert_array_equal(array, frames.transpose(3, 0, 1, 2)[::-1])
    assert read_header(tmp_path, record).shape == (4, 5, 6)


def test_a_4d_file_without_a_frame_is_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "image.nii.gz", np.zeros((4, 5, 6, 3)), affine=RAS_AFFINE, dtype=np.float32)
    refusal(tmp_path, a_record(), "4-D where 3-D is due", "(4, 5, 6, 3)")
    refusal(tmp_path, a_record(frame=3), "asked for frame 3", "(4, 5, 6, 3)")


def test_a_frame_of_a_3d_file_is_refused(written: Path) -> None:
    refusal(written, a_record(frame=0), "asked for frame 0", "(5, 6, 7)")


@pytest.mark.parametrize("kept", [0, 10, 200, -9, -1])
def test_a_truncated_gzip_is_refused_wherever_it_ends(written: Path, kept: int) -> None:
    path = written / "image.nii.gz"
    path.write_bytes(path.read_bytes()[:kept])
    refusal(written, a_record(), "image.nii.gz")


def test_a_flipped_byte_inside_a_gzip_is_refused(written: Path) -> None:
    content = bytearray((written / "image.nii.gz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (written / "image.nii.gz").write_bytes(bytes(content))
    refusal(written, a_record(), "truncated or damaged")


def test_a_truncated_plain_nifti_is_refused_with_both_sizes(tmp_path: Path, image: np.ndarray) -> None:
    write_nifti(tmp_path / "image.nii", image, affine=RAS_AFFINE, dtype=np.int16)
    content = (tmp_path / "image.nii").read_bytes()
    (tmp_path / "image.nii").write_bytes(content[:-20])
    refusal(tmp_path, a_record("image.nii"), str(len(content)), str(len(content) - 20))


def test_a_page_saved_under_a_nifti_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.nii.gz").write_bytes(b"<html>please log in</html>")
    refusal(tmp_path, a_record(), "no gzip file", "b'<h'")
    (tmp_path / "image.nii.gz").write_bytes(gzip.compress(b"<html>please log in</html>" * 40))
    refusal(tmp_path, a_record(), "no NIfTI file")


@pytest.mark.parametrize(("at", "kind", "value"), [(116, "<f", np.nan), (70, "<h", 999), (108, "<f", np.nan)])
def test_a_nifti_header_that_means_nothing_is_refused(
    tmp_path: Path, image: np.ndarray, at: int, kind: str, value: float
) -> None:
    """No intercept, no such type of voxels, no place where they begin."""
    write_nifti(tmp_path / "v.nii", image, affine=RAS_AFFINE, dtype=np.int16)
    content = bytearray((tmp_path / "v.nii").read_bytes())
    struct.pack_into("<f", content, 112, 1.0)
    struct.pack_into(kind, content, at, value)
    (tmp_path / "v.nii").write_bytes(bytes(content))
    refusal(tmp_path, a_record("v.nii"), "means nothing")


@pytest.mark.parametrize(("sign", "stands_for"), [(0.0, 1.0), (3.0, 1.0), (-1.0, -1.0), (-2.0, -1.0)])
def test_the_first_pixdim_tells_a_sign_alone_and_0_is_1(
    tmp_path: Path, image: np.ndarray, sign: float, stands_for: float
) -> None:
    """Older writers leave 0 there, which the standard reads as 1; a file with both affines is not refused for it either."""
    for name, coded in (("qform.nii", 0), ("both.nii", 1)):
        found = nib.Nifti1Image(image, np.asarray(RAS_AFFINE))
        found.set_qform(np.asarray(RAS_AFFINE), 1)
        found.set_sform(np.asarray(RAS_AFFINE), coded)
        content = bytearray(found.to_bytes())
        struct.pack_into("<f", content, 76, sign)
        (tmp_path / name).write_bytes(bytes(content))
        header = read_header(tmp_path, a_record(name))
        assert header.orientation == ("RAS" if stands_for > 0 or coded else "RAI")
    assert (header.form_difference or 0.0) < 1e-3 if stands_for > 0 else (header.form_difference or 0.0) > 1


@pytest.mark.parametrize("begin", [0.0, -400.0, 100.0])
def test_voxels_that_would_begin_inside_the_header_are_refused(tmp_path: Path, image: np.ndarray, begin: float) -> None:
    write_nifti(tmp_path / "v.nii", image, affine=RAS_AFFINE, dtype=np.int16)
    content = bytearray((tmp_path / "v.nii").read_bytes())
    struct.pack_into("<f", content, 108, begin)
    (tmp_path / "v.nii").write_bytes(bytes(content))
    refusal(tmp_path, a_record("v.nii"), f"begin at byte {begin:.0f}, inside its header")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused_and_counted(tmp_path: Path, value: float) -> None:
    array = np.zeros((3, 4, 5), np.float32)
    array[0, 0, :2] = value
    write_nifti(tmp_path / "image.nii.gz", array, affine=RAS_AFFINE, dtype=np.float32)
    refusal(tmp_path, a_record(), "2 of 60 voxels", "NaN or infinite")


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan])
def test_a_spacing_that_is_not_above_zero_is_refused(written: Path, size: float) -> None:
    content = bytearray(gzip.decompress((written / "image.nii.gz").read_bytes()))
    struct.pack_into("<f", content, 76 + 4 * 2, size)  # pixdim[2]
    (written / "image.nii.gz").write_bytes(gzip.compress(bytes(content)))
    refusal(written, a_record(), "spacing", "above 0")


def test_an_affine_with_an_empty_column_is_refused(tmp_path: Path, image: np.ndarray) -> None:
    write_nifti(tmp_path / "image.nii.gz", image, affine=RAS_AFFINE, dtype=np.int16)
    content = bytearray(gzip.decompress((tmp_path / "image.nii.gz").read_bytes()))
    struct.pack_into("<f", content, 280, 0.0)  # srow_x[0]
    (tmp_path / "image.nii.gz").write_bytes(gzip.compress(bytes(content)))
    refusal(tmp_path, a_record(), "spacing", "above 0")


def test_a_missing_file_names_the_case_and_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"case_7: no file 'image\.nii\.gz'"):
        read_image(tmp_path, a_record())


def test_a_case_without_a_mask_says_so(written: Path) -> None:
    with pytest.raises(DataMissing, match="case_7: asked for a mask"):
        read_label(written, a_record(), {})


def test_a_mask_of_another_shape_is_refused_with_both_shapes(written: Path) -> None:
    write_nifti(written / "label.nii.gz", np.zeros((5, 6, 8)), affine=RAS_AFFINE, dtype=np.uint8)
    refusal(written, a_record(label="label.nii.gz"), "(5, 6, 7)", "(5, 6, 8)", label={1: 1})


@pytest.mark.parametrize(("off", "sound"), [(5e-4, True), (2e-3, False)])
def test_a_mask_lies_where_its_image_lies_within_a_thousandth(written: Path, off: float, sound: bool) -> None:
    affine = np.array(RAS_AFFINE)
    affine[1, 3] += off
    write_nifti(written / "label.nii.gz", np.zeros((5, 6, 7)), affine=as_affine(affine), dtype=np.uint8)
    record = a_record(label="label.nii.gz")
    if sound:
        check_geometry(written, record)
        assert not read_label(written, record, {}).array.any()
    else:
        refusal(written, record, "affine[1][3]", "y by offset", "5.002", label={})


def a_mask(folder: Path, codes: Any, dtype: Any) -> Record:
    array = np.zeros((5, 6, 7), dtype)
    array.ravel(order="K")[: len(codes)] = codes
    write_nifti(folder / "label.nii.gz", array, affine=RAS_AFFINE, dtype=dtype)
    return a_record(label="label.nii.gz")


def test_mask_codes_become_labels(written: Path) -> None:
    record = a_mask(written, [255, 0, 255, 1], np.uint8)
    label = read_label(written, record, label_map(1, {1: 1, 255: 1})).array
    assert label.dtype == np.uint8 and label.shape == (5, 6, 7)
    assert label.ravel()[:5].tolist() == [1, 0, 1, 1, 0]


def test_a_label_that_the_owners_code_otherwise_does_not_stand_for_itself(written: Path) -> None:
    assert label_map(3, {4: 3}) == {0: 0, 1: 1, 2: 2, 4: 3}
    refusal(written, a_mask(written, [1, 2, 3, 4], np.uint8), "[3]", "[0, 1, 2, 4]", label=label_map(3, {4: 3}))


def test_codes_beyond_a_byte_are_mapped_too(written: Path) -> None:
    record = a_mask(written, [500, 850, 420, 0], np.int16)
    label = read_label(written, record, {500: 1, 420: 3, 850: 2}).array
    assert label.ravel()[:4].tolist() == [1, 2, 3, 0]


def test_unknown_codes_are_refused_with_what_is_possible(written: Path) -> None:
    refusal(written, a_mask(written, [1, 4, 4, 9], np.uint8), "3 voxels", "[4, 9]", "[0, 1, 2]", label=label_map(2, {}))
    refusal(written, a_mask(written, [3, 5], np.uint8), "1 voxel ", "[3]", "[0, 1, 5]", label={1: 1, 5: 2})
    refusal(written, a_mask(written, [-1], np.int16), "[-1]", label={1: 1})


def test_float_coded_masks_are_rounded_only_within_a_millionth(written: Path) -> None:
    record = a_mask(written, [1.0 + 5e-7, 2.0 - 5e-7, 1e-7], np.float64)
    assert read_label(written, record, label_map(2, {})).array.ravel()[:3].tolist() == [1, 2, 0]
    refusal(written, a_mask(written, [0.5, 1.0], np.float32), "0.5", "whole numbers", label=label_map(2, {}))
    refusal(written, a_mask(written, [1.00001], np.float64), "1.00001", label=label_map(2, {}))
    refusal(written, a_mask(written, [np.nan], np.float32), "nan", label=label_map(2, {}))


@pytest.fixture
def heart(tmp_path: Path) -> tuple[Path, Record]:
    image = np.random.default_rng(2).normal(size=(8, 9, 10)).astype(np.float32)
    write_h5(tmp_path / "mri.h5", {"image": image, "label": (image > 1).astype(np.uint8)})
    return tmp_path, a_record("mri.h5", "mri.h5", "h5", spacing=(0.625, 0.625, 0.625), key="image")


def test_an_h5_case_takes_its_spacing_from_the_record(heart: tuple[Path, Record]) -> None:
    folder, record = heart
    volume, label = read_image(folder, record), read_label(folder, record, {1: 1})
    assert volume.spacing_mm == (0.625, 0.625, 0.625) and volume.array.dtype == np.float32
    np.testing.assert_array_equal(label.array, volume.array[0] > 1)
    assert read_header(folder, record).affine == plain_affine((0.625, 0.625, 0.625))


def test_damaged_and_incomplete_h5_files_are_refused(heart: tuple[Path, Record]) -> None:
    folder, record = heart
    refusal(folder, record.model_copy(update={"spacing": None}), "holds no voxel size")
    refusal(folder, record.model_copy(update={"spacing": (0.6, 0.0, 0.6)}), "above 0")
    other = record.model_copy(update={"images": (ImageFile(path="mri.h5", format="h5", key="volume"),)})
    refusal(folder, other, "no dataset 'volume'", "['image', 'label']")
    content = (folder / "mri.h5").read_bytes()
    (folder / "mri.h5").write_bytes(content[: len(content) // 2])
    refusal(folder, record, "truncated or damaged")
    damaged = bytearray(content)
    damaged[damaged.index(b"TREE")] = 0  # of the names
    (folder / "mri.h5").write_bytes(bytes(damaged))
    refusal(folder, record, "truncated or damaged")


def test_an_nrrd_whose_header_lacks_its_sizes_is_refused(tmp_path: Path, image: np.ndarray) -> None:
    write_nrrd(tmp_path / "v.nrrd", image, affine=RAS_AFFINE)
    content = (tmp_path / "v.nrrd").read_bytes()
    (tmp_path / "v.nrrd").write_bytes(content.replace(b"sizes:", b"sixes:", 1))
    refusal(tmp_path, a_record("v.nrrd", kind="nrrd"), "sizes")


def test_an_nrrd_reads_as_the_nifti_of_the_same_volume(tmp_path: Path, image: np.ndarray) -> None:
    native, affine = reoriented(image, RAS_AFFINE, "LPS")
    write_nrrd(tmp_path / "image.nrrd", native, affine=as_affine(affine))
    write_nifti(tmp_path / "image.nii.gz", native, affine=as_affine(affine), dtype=np.int16)
    ours, nifti = read_image(tmp_path, a_record("image.nrrd", kind="nrrd")), read_image(tmp_path, a_record())
    np.testing.assert_array_equal(ours.array, nifti.array)
    np.testing.assert_allclose(ours.affine, nifti.affine, atol=1e-5)
    assert read_header(tmp_path, a_record("image.nrrd", kind="nrrd")).orientation == "LPS"


def test_an_nrrd_in_lps_space_is_turned_to_ras(tmp_path: Path, image: np.ndarray) -> None:
    import nrrd

    words = {
        "space": "left-posterior-superior",
        "space directions": np.diag([0.6, 0.7, 3.0]),
        "space origin": [1, 2, 3],
    }
    nrrd.write(str(tmp_path / "image.nrrd"), image, words)
    volume = read_image(tmp_path, a_record("image.nrrd", kind="nrrd"))
    np.testing.assert_array_equal(volume.array[0], image[::-1, ::-1])
    # voxel (0, 0, 0) of the file lies at LPS (1, 2, 3), that is RAS (-1, -2, 3)
    corner = np.asarray(volume.affine) @ [image.shape[0] - 1, image.shape[1] - 1, 0, 1]
    np.testing.assert_allclose(corner[:3], (-1, -2, 3))


def test_an_nrrd_without_geometry_takes_the_records_spacing(tmp_path: Path, image: np.ndarray) -> None:
    import nrrd

    nrrd.write(str(tmp_path / "image.nrrd"), image)
    refusal(tmp_path, a_record("image.nrrd", kind="nrrd"), "holds no voxel size")
    record = a_record("image.nrrd", kind="nrrd", spacing=(1.0, 1.0, 2.0))
    assert read_image(tmp_path, record).spacing_mm == (1.0, 1.0, 2.0)
    content = (tmp_path / "image.nrrd").read_bytes()
    (tmp_path / "image.nrrd").write_bytes(content[:-30])
    refusal(tmp_path, record, "truncated or damaged")


def test_without_pynrrd_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.nrrd").write_bytes(b"NRRD0004\n")
    monkeypatch.setitem(sys.modules, "nrrd", None)
    with pytest.raises(BenchError, match=r"pip install 'ssl3d-bench\[nrrd\]'"):
        read_image(tmp_path, a_record("image.nrrd", kind="nrrd"))


def test_the_voxel_fingerprint_is_of_the_volume_and_not_of_its_file(tmp_path: Path, image: np.ndarray) -> None:
    prints = set()
    for orientation in ("RAS", "LPI", "SAR"):
        native, affine = reoriented(image, RAS_AFFINE, orientation)
        write_nifti(tmp_path / "image.nii.gz", native, affine=as_affine(affine), dtype=np.int32)
        prints.add(voxel_fingerprint(read_image(tmp_path, a_record())))
    assert len(prints) == 1 and prints.pop().startswith("v1:")


def test_the_voxel_fingerprint_changes_with_voxel_dtype_shape_and_spacing() -> None:
    zeros = np.zeros((1, 2, 3, 4), np.int16)
    affine = plain_affine((1.0, 1.0, 1.0))
    one = zeros.copy()
    one[0, 0, 0, 0] = 1
    variants = [
        Volume(zeros, (1.0, 1.0, 1.0), affine),
        Volume(one, (1.0, 1.0, 1.0), affine),
        Volume(zeros.astype(np.float32), (1.0, 1.0, 1.0), affine),
        Volume(zeros.reshape(1, 2, 4, 3), (1.0, 1.0, 1.0), affine),
        Volume(zeros, (1.0, 1.0, 1.001), affine),
    ]
    assert len({voxel_fingerprint(volume) for volume in variants}) == len(variants)
    near = Volume(zeros, (1.0, 1.0, 1.00001), affine)
    assert voxel_fingerprint(near) == voxel_fingerprint(variants[0])


def test_the_quick_fingerprint_sees_size_beginning_and_end(tmp_path: Path) -> None:
    content = bytearray(np.random.default_rng(3).bytes(3 << 20))
    path = tmp_path / "file"
    path.write_bytes(content)
    first = quick_fingerprint(path)
    assert first.startswith(f"quick:{3 << 20}:")
    content[(3 << 20) // 2] ^= 1
    path.write_bytes(content)
    assert quick_fingerprint(path) == first  # the middle is not read: that is what makes it quick
    content[-1] ^= 1
    path.write_bytes(content)
    assert quick_fingerprint(path) != first


def test_equal_arrays_give_equal_files(tmp_path: Path, image: np.ndarray) -> None:
    for name in ("one", "two"):
        write_nifti(tmp_path / f"{name}.nii.gz", image, affine=RAS_AFFINE, dtype=np.int16)
        write_h5(tmp_path / f"{name}.h5", {"image": image})
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_values_that_a_dtype_cannot_hold_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        write_nifti(tmp_path / "x.nii.gz", np.full((2, 2, 2), 300), affine=RAS_AFFINE, dtype=np.uint8)
    assert not list(tmp_path.iterdir())


@pytest.mark.data
def test_all_200_hippocampi_read_as_integers_or_floats_with_labels_one_and_two() -> None:
    folder = real("msd04/Task04_Hippocampus")
    names = sorted(path.name for path in (folder / "imagesTr").glob("hippocampus_*.nii.gz"))
    kinds: dict[str, int] = {}
    for name in names:
        record = a_record(f"imagesTr/{name}", f"labelsTr/{name}")
        volume = read_image(folder, record)
        label = read_label(folder, record, label_map(2, {}))
        assert set(np.unique(label.array).tolist()) == {0, 1, 2}
        assert volume.array.shape[1:] == label.array.shape
        assert read_header(folder, record).orientation == "RAS" and volume.spacing_mm == (1.0, 1.0, 1.0)
        kinds[volume.array.dtype.name] = kinds.get(volume.array.dtype.name, 0) + 1
    assert kinds == {"float32": 162, "int16": 38}


@pytest.mark.data
def test_left_atria_read_from_h5_with_their_voxel_size() -> None:
    folder = real("la")
    paths = sorted(folder.glob("*/*/mri_norm2.h5"))
    assert paths
    for path in paths:
        name = path.relative_to(folder).as_posix()
        record = a_record(name, name, "h5", spacing=(0.625, 0.625, 0.625), key="image")
        volume, label = read_image(folder, record), read_label(folder, record, label_map(1, {1: 1, 255: 1}))
        assert volume.array.shape[3] == 88 and volume.array.dtype == np.float32
        assert 0 < label.array.mean() < 0.5 and label.array.max() == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("step", [1, -1])
def test_settling_a_view_copies_every_voxel_to_its_place(order: tuple[int, int, int], step: int) -> None:
    stored = np.arange(9 * 6 * 7, dtype=np.int16).reshape(9, 6, 7)
    view = stored.transpose(order)[::step, :, ::step]
    out = np.empty(view.shape, np.int16)
    settle(view, out)
    np.testing.assert_array_equal(out, view)
