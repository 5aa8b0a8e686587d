"""A pool's images as SPAD prepares them: cropped, capped, scaled; pictures as volumes of one slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts.configs import Intensity
from bench.contracts.errors import DataUnsound
from bench.contracts.record import ImageFile, Record
from bench.data.axes import FLAT_MM, plain_affine
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.percentile import percentile_image
from bench.data.picture import encode_picture
from bench.data.volumes import frames_of, read_header, read_image, write_nifti


def record(name: str, path: str, channels: int = 1, **told: object) -> Record:
    files = tuple(
        ImageFile(path=path, format="png", channel=k, frame=k if channels == 3 else None) for k in range(channels)
    )
    words = {"dataset": "set", "adapter_version": "", "patient_id": name, "group": name, "spacing": (FLAT_MM, 1.0, 1.0)}
    return Record.model_validate({**words, "case_id": name, "images": files, **told})


def test_voxels_are_clipped_to_the_percentiles_of_what_is_above_the_least_value() -> None:
    rng = np.random.default_rng(0)
    image = np.full((1, 20, 20, 20), -5.0)
    image[0, 4:16, 3:17, 5:15] = rng.normal(100.0, 10.0, (12, 14, 10))
    found, spacing = percentile_image(image, (1.0, 1.0, 3.0), 2, eight_bits=False)
    inside = image[0, 4:16, 3:17, 5:15]
    low, high = np.percentile(inside[inside > inside.min()], (0.5, 99.5))
    assert found.dtype == np.float16 and spacing == (1.0, 1.0, 3.0)
    np.testing.assert_allclose(found[0], np.clip((inside - low) / (high - low), 0, 1), atol=1e-3)


def test_the_crop_leaves_out_what_lies_below_the_lower_percentile_though_it_is_above_the_least_value() -> None:
    """One faint voxel in a corner is a thousandth of what is above 0, less than the half percent that is cut off."""
    image = np.zeros((1, 20, 20, 20))
    image[0, 5:15, 5:15, 5:15] = np.random.default_rng(0).uniform(50, 100, (10, 10, 10))
    image[0, 0, 0, 0] = 1
    found, _ = percentile_image(image, (1.0, 1.0, 1.0), 2, eight_bits=False)
    assert found.shape == (1, 10, 10, 10)


def test_pictures_are_cropped_to_what_is_not_black_and_divided_by_255() -> None:
    image = np.zeros((3, 1, 10, 12), np.int16)
    image[0, 0, 2:7, 3:9] = 51
    image[2, 0, 2, 3] = 255
    found, _ = percentile_image(image, (FLAT_MM, 1.0, 1.0), 0, eight_bits=True)
    assert found.shape == (3, 1, 5, 6) and found[0, 0, 1, 1] == np.float16(0.2) and found[2, 0, 0, 0] == 1


@pytest.mark.parametrize("axis", [0, 2])
def test_wide_images_shrink_in_plane_to_512_by_area_and_their_spacing_grows(axis: int) -> None:
    shape = (3, 600, 1024) if axis == 0 else (600, 1024, 3)
    image = np.random.default_rng(0).integers(1, 255, (1, *shape)).astype(np.int16)
    found, spacing = percentile_image(image, (2.0, 2.0, 2.0), axis, eight_bits=True)
    plane = [k for k in range(3) if k != axis]
    assert [found.shape[1 + k] for k in plane] == [512, 874] and found.shape[1 + axis] == 3
    assert [spacing[k] for k in plane] == pytest.approx([2 * 600 / 512, 2 * 1024 / 874]) and spacing[axis] == 2.0
    assert found.astype(float).mean() == pytest.approx(image.mean() / 255, abs=2e-3)
    assert found.astype(float).std() < (image / 255).std()


def test_a_halving_by_area_is_the_mean_of_pairs() -> None:
    image = np.random.default_rng(1).integers(1, 255, (1, 1, 1024, 1024)).astype(np.int16)
    found, _ = percentile_image(image, (FLAT_MM, 1.0, 1.0), 0, eight_bits=True)
    pairs = image.reshape(512, 2, 512, 2).mean((1, 3)) / 255
    np.testing.assert_allclose(found[0, 0], pairs, atol=1e-3)


def test_an_image_of_one_value_becomes_zero() -> None:
    found, _ = percentile_image(np.full((1, 3, 4, 5), 7.0), (1.0, 1.0, 1.0), 2, eight_bits=False)
    assert found.shape == (1, 3, 4, 5) and not found.any()


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
def test_a_picture_is_a_volume_of_one_slice_whose_colours_are_channels(tmp_path: Path, ending: str) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    (tmp_path / f"a{ending}").write_bytes(encode_picture(colours, ending))
    told = record("a", f"a{ending}", channels=3)
    header, volume = read_header(tmp_path, told), read_image(tmp_path, told)
    assert header.shape == (1, 6, 9) and header.depth_axis == 0 and volume.spacing_mm == (FLAT_MM, 1.0, 1.0)
    np.testing.assert_array_equal(volume.array[:, 0], colours.transpose(2, 0, 1))
    grey = read_image(tmp_path, record("a", f"a{ending}")).array
    assert grey.shape == (1, 1, 6, 9) and grey.dtype == np.int16


def test_deep_greys_are_brought_to_eight_bits(tmp_path: Path) -> None:
    from PIL import Image

    deep = np.array([[0, 1000], [30_000, 65_535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    found = read_image(tmp_path, record("deep", "deep.png")).array[0, 0]
    np.testing.assert_array_equal(found, np.rint(deep * (255 / 65_535)))


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataUnsound, match="no picture"):
        read_image(tmp_path, record("a", "a.png"))
    whole = encode_picture(np.zeros((60, 60, 3), np.uint8) + np.arange(60, dtype=np.uint8)[:, None], ".png")
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataUnsound, match=r"damaged picture|no picture"):
        read_image(tmp_path, record("b", "b.png"))


def test_grey_and_coloured_images_share_a_pool_only_by_percentiles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("grey", (8, 9)), ("colour", (8, 9, 3))):
        (tmp_path / f"{name}.png").write_bytes(encode_picture(rng.integers(1, 256, shape).astype(np.uint8), ".png"))
    recipe = CacheRecipe(intensity=Intensity("percentile"))
    parts = [
        prepare(tmp_path, [record(name, f"{name}.png", channels=n)], recipe, tmp_path / "cache")
        for name, n in (("grey", 1), ("colour", 3))
    ]
    pool = CachedCases.joined(parts)
    assert pool.sight.channels == 3 and pool.spacing("grey") == (FLAT_MM, 1.0, 1.0)
    assert pool.read("grey", (0, 0, 0), (1, 8, 9)).shape == (1, 1, 8, 9)
    assert pool.read("colour", (0, -1, 0), (1, 2, 3))[:, 0, 0].max() == 0 == pool.fill


def test_the_told_depth_axis_decides_the_plane_and_the_name_of_the_entry(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(1, 200, (4, 4, 4)).astype(np.int16)
    write_nifti(tmp_path / "v.nii.gz", image, affine=plain_affine((1.0, 1.0, 1.0)), dtype=np.int16)
    files = (ImageFile(path="v.nii.gz", format="nifti"),)
    recipe = CacheRecipe(intensity=Intensity("percentile"))
    for axis in (None, 0, 1):
        meta = {} if axis is None else {"depth_axis": axis}
        told = record("v", "v.nii.gz", images=files, spacing=None, meta=meta)
        assert prepare(tmp_path, [told], recipe, tmp_path / "cache").fields("v").get("depth_axis") == axis
    assert len(list((tmp_path / "cache").glob("*.case"))) == 3


def test_frames_are_counted_from_the_header(tmp_path: Path) -> None:
    import nibabel as nib

    for shape, count in (((3, 4, 5), 1), ((3, 4, 5, 7), 7)):
        nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)).to_filename(tmp_path / "a.nii.gz")
        assert frames_of(tmp_path / "a.nii.gz") == count


def test_a_shrunk_voxel_is_the_mean_of_all_it_touches() -> None:
    """Of 768 to 512 voxels each new one touches two old ones, alike."""
    image = np.tile(np.array([51, 102, 153], np.int16)[:, None], (1, 1, 256, 768))
    found, _ = percentile_image(image, (FLAT_MM, 1.0, 1.0), 0, eight_bits=True)
    np.testing.assert_allclose(found[0, 0, :4, 9].astype(float), [0.3, 0.5, 0.3, 0.5], atol=1e-3)


def test_percentiles_are_those_of_the_shrunk_image() -> None:
    """Rows of 10 and 30 become 20, the least; above it are 22 and 25."""
    image = np.zeros((1, 1, 1024, 1024), np.float32)
    image[..., ::2, :400], image[..., 1::2, :400] = 10, 30
    image[..., 400:700], image[..., 700:] = 22, 25
    found, _ = percentile_image(image, (FLAT_MM, 1.0, 1.0), 0, eight_bits=False)
    assert found[0, 0, 7, [100, 250, 450]].tolist() == [0.0, 0.0, 1.0]


def test_percentiles_of_whole_numbers_that_are_not_shrunk_are_not_rounded() -> None:
    image = np.random.default_rng(0).integers(-1000, 3000, (1, 1, 64, 64)).astype(np.int16)
    found, _ = percentile_image(image, (FLAT_MM, 1.0, 1.0), 0, eight_bits=False)
    low, high = np.percentile(image[image > image.min()], (0.5, 99.5))
    box = image[:, :, (image > low).any((0, 1, 3))][..., (image > low).any((0, 1, 2))]
    wanted = np.clip((box.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float16)
    assert np.array_equal(found, wanted)
