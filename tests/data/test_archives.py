"""Images in npz archives: read one by one and from packs, told from broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts.configs import Intensity
from bench.contracts.errors import DataUnsound, StoreError
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.archive import encode_npz
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.volumes import coarse_fingerprint, read_header, read_image

RNG = np.random.default_rng(0)
CUBES = RNG.integers(0, 256, (5, 6, 7, 8), dtype=np.uint8)
PICTURES = RNG.integers(0, 256, (5, 6, 7), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
U8 = CacheRecipe(intensity=Intensity("u8"))


def a_record(key: str, index: int, channels: int = 1, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Record:
    files = tuple(
        ImageFile(path="set.npz", format="npz", key=key, index=index, channel=c, frame=c if channels > 1 else None)
        for c in range(channels)
    )
    label = LabelFile(kind="class", value=index % 2)
    words = {"dataset": "d", "adapter_version": "1", "patient_id": "p", "group": "g"}
    return Record(case_id=f"{key}/{index}", images=files, label=label, spacing=spacing, **words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set.npz").write_bytes(encode_npz({"cubes": CUBES, "pictures": PICTURES, "colours": COLOURS}))
    return tmp_path


def test_a_cube_a_picture_and_a_coloured_picture_are_volumes_with_channels_first(folder: Path) -> None:
    np.testing.assert_array_equal(read_image(folder, a_record("cubes", 3)).array, CUBES[3][None])
    flat = (1.0, 1.0, 1e8)
    picture = read_image(folder, a_record("pictures", 2, spacing=flat))
    np.testing.assert_array_equal(picture.array, PICTURES[2][None, :, :, None])
    assert picture.spacing_mm == flat and read_header(folder, a_record("pictures", 2, spacing=flat)).depth_axis == 2
    colours = read_image(folder, a_record("colours", 4, channels=3, spacing=flat)).array
    np.testing.assert_array_equal(colours, np.moveaxis(COLOURS[4], -1, 0)[..., None])


def test_packed_cases_are_the_images_of_the_archive_whatever_subset_is_asked_for(folder: Path) -> None:
    for key, channels in (("cubes", 1), ("pictures", 1), ("colours", 3)):
        records = [a_record(key, i, channels) for i in (4, 0, 3)]
        cases = prepare(folder, records, U8, folder / "cache")
        assert cases.cases == (f"{key}/4", f"{key}/0", f"{key}/3") and cases.sight.channels == channels
        for record in records:
            whole = cases.read(record.case_id, (0, 0, 0), cases.shape(record.case_id))
            np.testing.assert_array_equal(whole, read_image(folder, record).array)
            assert whole.dtype == np.uint8 and cases.fields(record.case_id)["label"] == record.label.value
            assert cases.fingerprint(record.case_id) == coarse_fingerprint(whole)
    assert len(list((folder / "cache").glob("*.pack"))) == 3  # and no file per case
    assert not list((folder / "cache").glob("*.case"))


def test_a_z_scored_pack_holds_what_a_single_entry_would(folder: Path) -> None:
    recipe = CacheRecipe(intensity=Intensity("zscore"))
    packed = prepare(folder, [a_record("cubes", 1)], recipe, folder / "cache")
    alone = prepare(
        folder, [a_record("cubes", 1)], CacheRecipe(intensity=Intensity("zscore"), crop_foreground=True), folder / "c"
    )
    one, two = (c.read("cubes/1", (0, 0, 0), (6, 7, 8)) for c in (packed, alone))
    assert one.dtype == two.dtype == np.float16
    np.testing.assert_allclose(one, two, atol=2e-3)


def test_a_pack_of_another_intensity_of_colours_or_of_other_bytes_is_never_taken_for_the_one_asked_for(
    folder: Path,
) -> None:
    def read(recipe: CacheRecipe, key: str = "colours", channels: int = 3) -> np.ndarray:
        case = f"{key}/1"
        cases = prepare(folder, [a_record(key, 1, channels)], recipe, folder / "cache")
        return cases.read(case, (0, 0, 0), cases.shape(case))

    raw, asis = read(U8), CacheRecipe(intensity=Intensity("asis"))
    zscored = read(CacheRecipe(intensity=Intensity("zscore")))
    assert raw.dtype == np.uint8 and zscored.dtype == np.float16 and abs(zscored.mean(axis=(1, 2, 3))).max() < 1e-2
    assert read(asis).dtype == np.float16 and read(CacheRecipe(intensity=Intensity("hu"))).dtype == np.int16
    assert raw.shape == (3, 6, 7, 1) and read(U8, channels=1).shape == (1, 6, 7, 3)  # a volume of three slices
    (folder / "set.npz").write_bytes(encode_npz({"cubes": CUBES, "pictures": PICTURES, "colours": 255 - COLOURS}))
    np.testing.assert_array_equal(read(U8), 255 - raw)


def test_a_box_beyond_a_packed_image_is_filled(folder: Path) -> None:
    cases = prepare(folder, [a_record("cubes", 1)], U8, folder / "cache")
    box = cases.read("cubes/1", (-1, 0, 0), (4, 7, 8))
    assert (box[:, 0] == 0).all() and (box[0, 1:] == CUBES[1, :3]).all()


def test_a_resized_recipe_gives_entries_of_that_size_and_enters_the_key_only_when_used(folder: Path) -> None:
    recipe = CacheRecipe(intensity=Intensity("u8"), stored_voxels=(3, 7, 8))
    cases = prepare(folder, [a_record("cubes", 1)], recipe, folder / "cache")
    assert cases.shape("cubes/1") == (3, 7, 8)
    expected = np.rint((CUBES[1][0::2].astype(float) + CUBES[1][1::2]) / 2)
    np.testing.assert_array_equal(cases.read("cubes/1", (0, 0, 0), (3, 7, 8))[0], expected)
    assert CacheRecipe(intensity=Intensity("u8")).brought() == {} and recipe.brought() == {"stored_voxels": (3, 7, 8)}


def test_an_index_or_an_array_that_is_not_there_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(DataUnsound, match=r"^cubes/9: .*holds 5 images in 'cubes'; asked for number 9"):
        read_image(folder, a_record("cubes", 9))
    with pytest.raises(DataUnsound, match=r"no array 'spheres'; it holds colours, cubes, pictures"):
        read_image(folder, a_record("spheres", 0))
    with pytest.raises(DataUnsound, match="holds 5 images"):
        prepare(folder, [a_record("cubes", 9)], U8, folder / "cache")


def test_a_truncated_archive_is_refused(folder: Path) -> None:
    path = folder / "set.npz"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataUnsound, match="truncated or damaged"):
        read_image(folder, a_record("cubes", 0))


def test_a_pack_that_is_cut_short_is_made_anew_and_one_that_goes_during_reading_is_told(folder: Path) -> None:
    prepare(folder, [a_record("cubes", 1)], U8, folder / "cache")
    (pack,) = (folder / "cache").glob("*.pack")
    pack.write_bytes(pack.read_bytes()[:200])
    from bench.data.pack import opened

    opened.cache_clear()
    cases = prepare(folder, [a_record("cubes", 1)], U8, folder / "cache")
    np.testing.assert_array_equal(cases.read("cubes/1", (0, 0, 0), (6, 7, 8))[0], CUBES[1])
    pack.unlink()
    opened.cache_clear()
    with pytest.raises(StoreError, match="damaged"):
        cases.read("cubes/1", (0, 0, 0), (6, 7, 8))
    opened.cache_clear()
