"""What the cache holds, that it survives crashes, crowds and damage, and that boxes read from it are the right ones."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.contracts.configs import Intensity
from bench.contracts.errors import DataMissing, DataUnsound, SpecError, StoreError
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data import cache as cache_module
from bench.data.axes import as_affine
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe, entry_key
from bench.data.resample import native_labels, resample_image, resample_label
from bench.data.volumes import label_map, read_image, read_label, to_native, write_nifti
from tests.real_volumes import real

LAS = as_affine(np.array([[-1.0, 0, 0, 30], [0, 1.0, 0, 0], [0, 0, 2.0, 0], [0, 0, 0, 1]]))
HU = Intensity("hu", (-175.0, 250.0))
LABELS = label_map(2, {})


def record_of(case: str, **words: Any) -> Record:
    return Record(
        dataset=words.pop("dataset", "d"),
        adapter_version="1",
        case_id=case,
        patient_id=case,
        group=case,
        images=(ImageFile(path=f"{case}.nii.gz", format="nifti"),),
        label=LabelFile(kind="mask", path=f"{case}_label.nii.gz"),
        **words,
    )


def write_case(folder: Path, case: str, shape: tuple[int, int, int] = (21, 34, 15)) -> Record:
    rng = np.random.default_rng(sum(map(ord, case)))
    image = rng.normal(0, 300, shape).round().astype(np.int16)
    label = np.zeros(shape, np.uint8)
    label[3:9, 4:20, 2:12] = 1
    label[10:12, 10:14, 5:8] = 2
    write_nifti(folder / f"{case}.nii.gz", image, affine=LAS, dtype=np.int16)
    write_nifti(folder / f"{case}_label.nii.gz", label, affine=LAS, dtype=np.uint8)
    return record_of(case)


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, list[Record]]:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder, [write_case(folder, f"case_{k}", (21 + k, 34, 15)) for k in range(3)]


def whole(cases: CachedCases, case: str) -> tuple[np.ndarray, np.ndarray]:
    return cases.read(case, (0, 0, 0), cases.shape(case)), cases.read_label(case, (0, 0, 0), cases.shape(case))


def test_hounsfield_units_are_stored_as_they_are_whatever_the_window(
    data: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = data
    cases = prepare(folder, records, CacheRecipe(intensity=HU, label_values=LABELS), tmp_path / "cache")
    assert cases.cases == ("case_0", "case_1", "case_2") and cases.sight.shape == (23, 34, 15)
    for record in records:
        image, label = whole(cases, record.case_id)
        assert image.dtype == np.int16 and label.dtype == np.uint8
        np.testing.assert_array_equal(image, read_image(folder, record).array)
        np.testing.assert_array_equal(label, read_label(folder, record, LABELS).array)
        assert cases.spacing(record.case_id) == (1.0, 1.0, 2.0)
        assert cases.meta(record.case_id).header.orientation == "LAS"
    entries = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    prepare(folder, records, CacheRecipe(intensity=Intensity("hu"), label_values=LABELS), tmp_path / "cache")
    assert entries == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}


def test_fractional_and_huge_hounsfield_units_are_rounded_and_clipped_with_a_note(tmp_path: Path) -> None:
    image = np.zeros((3, 4, 5), np.float32)
    image[0, 0] = [10.4, 10.6, -0.5, 40_000, -50_000]
    write_nifti(tmp_path / "odd.nii.gz", image, affine=as_affine(np.eye(4)), dtype=np.float32)
    record = record_of("odd").model_copy(update={"label": LabelFile()})
    cases = prepare(tmp_path, [record], CacheRecipe(intensity=HU, label_values=LABELS), tmp_path / "cache")
    assert cases.read("odd", (0, 0, 0), (1, 1, 5)).ravel().tolist() == [10, 11, 0, 32767, -32768]
    assert cases.meta("odd").notes == ("2 voxels clipped to [-32768, 32767]",)
    with pytest.raises(DataMissing, match="odd: was prepared without a mask"):
        cases.read_label("odd", (0, 0, 0), (1, 1, 1))
    assert not cases.foreground("odd")


def test_zscores_have_mean_zero_and_sd_one_and_the_meta_tells_the_moments(
    data: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = data
    cases = prepare(folder, records[:1], CacheRecipe(intensity=Intensity("zscore")), tmp_path / "cache")
    raw = read_image(folder, records[0]).array.astype(np.float64)
    found = cases.read("case_0", (0, 0, 0), cases.shape("case_0"))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, (raw - raw.mean()) / raw.std(), rtol=2e-3, atol=1e-3)
    meta = cases.meta("case_0")
    np.testing.assert_allclose((meta.mean[0], meta.sd[0]), (raw.mean(), raw.std()))


def test_a_constant_volume_has_zscore_zero(tmp_path: Path) -> None:
    write_nifti(tmp_path / "flat.nii.gz", np.full((4, 4, 4), 7), affine=as_affine(np.eye(4)), dtype=np.int16)
    cases = prepare(tmp_path, [record_of("flat")], CacheRecipe(intensity=Intensity("zscore")), tmp_path / "cache")
    assert not cases.read("flat", (0, 0, 0), (4, 4, 4)).any()


def test_as_it_is_keeps_half_precision_and_every_channel(tmp_path: Path) -> None:
    frames = np.random.default_rng(5).normal(size=(6, 7, 8, 2)).astype(np.float32)
    write_nifti(tmp_path / "two.nii.gz", frames, affine=as_affine(np.eye(4)), dtype=np.float32)
    images = tuple(ImageFile(path="two.nii.gz", format="nifti", channel=k, frame=k) for k in range(2))
    record = record_of("two").model_copy(update={"images": images})
    cases = prepare(tmp_path, [record], CacheRecipe(intensity=Intensity("asis")), tmp_path / "cache")
    assert cases.sight.channels == 2
    found = cases.read("two", (1, -1, 0), (4, 4, 9))
    np.testing.assert_array_equal(found[:, :, 1:, :8], frames.transpose(3, 0, 1, 2)[:, 1:5, :3].astype(np.float16))
    assert not found[:, :, 0].any() and not found[..., 8].any()


def test_spacing_and_crop_are_applied_and_can_be_undone(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    image = np.full((20, 24, 12), -1000, np.int16)
    image[4:16, 6:20, 3:11] = 50
    write_nifti(folder / "case_0.nii.gz", image, affine=LAS, dtype=np.int16)
    label = (image > 0).astype(np.uint8)
    write_nifti(folder / "case_0_label.nii.gz", label, affine=LAS, dtype=np.uint8)
    recipe = CacheRecipe(intensity=HU, spacing_mm=(1.0, 1.0, 1.0), crop_foreground=True, label_values=LABELS)
    cases = prepare(folder, records[:1], recipe, tmp_path / "cache")
    volume, truth = read_image(folder, records[0]), read_label(folder, records[0], LABELS)
    full = np.rint(resample_image(volume.array, volume.spacing_mm, (1.0, 1.0, 1.0)))
    box = [(int(i.min()), int(i.max()) + 1) for i in np.nonzero(full[0] > -175)]
    placement = cases.meta("case_0").placement
    assert placement.resampled_shape == (20, 24, 24) and placement.crop_start == tuple(low for low, _ in box)
    assert cases.shape("case_0") == tuple(high - low for low, high in box) == placement.crop_shape
    stored, mask = whole(cases, "case_0")
    cut = tuple(slice(low, high) for low, high in box)
    np.testing.assert_array_equal(stored[0], full[0][cut])
    np.testing.assert_array_equal(mask, resample_label(truth.array, truth.spacing_mm, (1.0, 1.0, 1.0))[cut])
    onehot = np.eye(2, dtype=np.float32)[mask].transpose(3, 0, 1, 2)
    native = to_native(native_labels(onehot, placement), cases.meta("case_0").header)
    np.testing.assert_array_equal(native, label)


def test_a_volume_with_nothing_above_the_window_is_kept_whole(tmp_path: Path) -> None:
    write_nifti(tmp_path / "air.nii.gz", np.full((4, 5, 6), -1000), affine=as_affine(np.eye(4)), dtype=np.int16)
    recipe = CacheRecipe(intensity=HU, crop_foreground=True)
    assert prepare(tmp_path, [record_of("air")], recipe, tmp_path / "cache").shape("air") == (4, 5, 6)


@pytest.mark.parametrize(("kind", "fill"), [("hu", -175), ("zscore", 0), ("asis", 0)])
def test_boxes_beyond_a_volume_are_filled(
    data: tuple[Path, list[Record]], tmp_path: Path, kind: Any, fill: int
) -> None:
    folder, records = data
    recipe = CacheRecipe(intensity=Intensity(kind, (-175.0, 250.0)), label_values=LABELS)
    cases = prepare(folder, records[:1], recipe, tmp_path / "cache")
    image, label = whole(cases, "case_0")
    box, mask = cases.read("case_0", (-2, 30, -1), (8, 9, 17)), cases.read_label("case_0", (-2, 0, -1), (8, 9, 17))
    np.testing.assert_array_equal(box[:, 2:, :4, 1:16], image[:, :6, 30:])
    np.testing.assert_array_equal(mask[2:, :, 1:16], label[:6, :9])
    assert (box[:, :2] == fill).all() and (box[:, :, 4:] == fill).all() and (box[..., 16] == fill).all()
    assert not mask[:2].any() and box.shape == (1, 8, 9, 17)
    assert (cases.read("case_0", (50, 0, 0), (4, 4, 4)) == fill).all()
    assert cases.read("case_0", (-9, 0, 0), (4, 4, 4)).shape == (1, 4, 4, 4)


def test_foreground_voxels_lie_on_their_class_and_are_the_same_each_time(tmp_path: Path) -> None:
    record = write_case(tmp_path, "large", (40, 40, 40))
    label = np.zeros((40, 40, 40), np.uint8)
    label[:, :, 5:20] = 1
    label[3, 4, 30:33] = 2
    write_nifti(tmp_path / "large_label.nii.gz", label, affine=LAS, dtype=np.uint8)
    recipe = CacheRecipe(intensity=HU, label_values=LABELS)
    first = prepare(tmp_path, [record], recipe, tmp_path / "one")
    second = prepare(tmp_path, [record], recipe, tmp_path / "two")
    _, mask = whole(first, "large")
    found = first.foreground("large")
    assert {name: voxels.shape for name, voxels in found.items()} == {1: (4096, 3), 2: (3, 3)}
    assert first.class_voxels("large") == {1: 40 * 40 * 15, 2: 3}
    for name, voxels in found.items():
        assert (mask[tuple(voxels.T)] == name).all() and len(np.unique(voxels, axis=0)) == len(voxels)
        np.testing.assert_array_equal(voxels, second.foreground("large")[name])
    assert abs(found[1][:, 0].mean() - 19.5) < 1  # drawn from all over the class, not from its beginning


def test_a_class_that_resampling_loses_is_noted(tmp_path: Path) -> None:
    record = write_case(tmp_path, "thin", (20, 20, 20))
    label = np.zeros((20, 20, 20), np.uint8)
    label[::2, 7, 7] = 2
    write_nifti(tmp_path / "thin_label.nii.gz", label, affine=LAS, dtype=np.uint8)
    recipe = CacheRecipe(intensity=HU, spacing_mm=(7.0, 7.0, 7.0), label_values=LABELS)
    cases = prepare(tmp_path, [record], recipe, tmp_path / "cache")
    assert cases.meta("thin").notes == ("labels [2] vanished when the mask was resampled",)


@pytest.mark.parametrize("damage", ["empty", "cut", "meta", "magic", "longer"])
def test_a_damaged_entry_is_made_anew(data: tuple[Path, list[Record]], tmp_path: Path, damage: str) -> None:
    folder, records = data
    recipe = CacheRecipe(intensity=HU, label_values=LABELS)
    prepare(folder, records[:1], recipe, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    sound = path.read_bytes()
    changed = bytearray(sound)
    changed[{"meta": 100, "magic": 0}.get(damage, 0)] ^= 0xFF
    path.write_bytes({"empty": b"", "cut": sound[:-1], "longer": sound + b"x"}.get(damage, bytes(changed)))
    assert path.read_bytes() != sound
    cases = prepare(folder, records[:1], recipe, tmp_path / "cache")
    assert path.read_bytes() == sound
    np.testing.assert_array_equal(whole(cases, "case_0")[0], read_image(folder, records[0]).array)


def test_a_changed_byte_among_the_voxels_is_found_unless_told_not_to_look(
    data: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = data
    recipe = CacheRecipe(intensity=HU, label_values=LABELS)
    prepare(folder, records[:1], recipe, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    sound = path.read_bytes()
    changed = bytearray(sound)
    changed[len(sound) // 2] ^= 0xFF
    path.write_bytes(bytes(changed))
    prepare(folder, records[:1], recipe, tmp_path / "cache", verify=False)
    assert path.read_bytes() != sound
    prepare(folder, records[:1], recipe, tmp_path / "cache")
    assert path.read_bytes() == sound


def test_an_entry_lost_after_preparation_is_told_with_its_name(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    cases = prepare(folder, records[:1], CacheRecipe(intensity=HU), tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    path.unlink()
    with pytest.raises(StoreError, match=r"case_0: the prepared file 'case_0-.*prepare the data again"):
        cases.read("case_0", (0, 0, 0), (1, 1, 1))


def test_a_changed_file_or_recipe_never_meets_an_old_entry(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    place = tmp_path / "cache"
    recipe = CacheRecipe(intensity=HU, label_values=LABELS)
    prepare(folder, records[:1], recipe, place)
    write_nifti(folder / "case_0.nii.gz", np.ones((21, 34, 15)), affine=LAS, dtype=np.int16)
    assert (prepare(folder, records[:1], recipe, place).read("case_0", (0, 0, 0), (3, 3, 3)) == 1).all()
    others = [
        CacheRecipe(intensity=HU),
        CacheRecipe(intensity=HU, label_values=LABELS, spacing_mm=(2.0, 2.0, 2.0)),
        CacheRecipe(intensity=HU, label_values=LABELS, crop_foreground=True),
        CacheRecipe(intensity=Intensity("asis"), label_values=LABELS),
        CacheRecipe(intensity=HU, label_values={1: 1, 2: 1}),
        CacheRecipe(intensity=HU, label_values=LABELS, version=2),
    ]
    for other in others:
        prepare(folder, records[:1], other, place)
    assert len(list(place.iterdir())) == 2 + len(others)


def test_whatever_of_a_record_a_recipe_or_a_file_decides_what_is_stored_decides_the_name_of_the_entry(
    data: tuple[Path, list[Record]],
) -> None:
    folder, (record, other, _) = data
    recipe = CacheRecipe(intensity=HU, label_values=LABELS)
    stripped = Intensity("zscore", over="nonzero")

    def image(**changes: Any) -> Record:
        return record.model_copy(update={"images": (record.images[0].model_copy(update=changes),)})

    def label(**changes: Any) -> Record:
        return record.model_copy(update={"label": record.label.model_copy(update=changes)})

    records = [
        record,
        image(path=other.images[0].path),
        *(image(**{name: value}) for name, value in {"channel": 1, "format": "h5", "key": "k", "frame": 1}.items()),
        *(image(**{name: value}) for name, value in {"index": 1, "rescale": (1.0, -5.0)}.items()),
        image(spacing_mm=(1.0, 1.0, 3.0)),
        *(label(**{name: value}) for name, value in {"format": "h5", "key": "k"}.items()),
        *(record.model_copy(update={name: f"another {name}"}) for name in ("dataset", "case_id", "scan_id")),
        record.model_copy(update={"spacing": (1.0, 1.0, 3.0)}),
    ]
    recipes = [
        replace(recipe, label_values=None),
        replace(recipe, label_values={1: 1, 2: 1}),
        replace(recipe, spacing_mm=(2.0, 2.0, 2.0)),
        replace(recipe, version=2),
        replace(recipe, crop_foreground=True),
        replace(recipe, crop_foreground=True, intensity=Intensity("hu", (-900.0, 250.0))),
        *(replace(recipe, intensity=Intensity(kind)) for kind in ("zscore", "asis", "u8", "percentile")),
        replace(recipe, intensity=stripped),
        *(replace(recipe, intensity=replace(stripped, clip_percentiles=(low, 99.5))) for low in (0.5, 1.0)),
        replace(recipe, box_voxels=(4, 4, 4)),
        replace(recipe, box_voxels=(4, 4, 4), box_at_top=True),
        replace(recipe, box_share=(0.5, 0.5, 0.5)),
        replace(recipe, stored_voxels=(4, 4, 4)),
        replace(recipe, stored_values=True),
    ]
    names = [entry_key(folder, one, recipe) for one in records] + [entry_key(folder, record, one) for one in recipes]
    for path in (record.images[0].path, str(record.label.path)):
        (folder / path).write_bytes((folder / path).read_bytes() + b"x")
        names.append(entry_key(folder, record, recipe))
    assert len(set(names)) == len(names)
    elsewhere = record.model_copy(update={"patient_id": "other", "group": "other", "split": "test"})
    window = replace(recipe, intensity=Intensity("hu"))  # of what is not cropped every value is stored
    assert entry_key(folder, elsewhere, recipe) == names[-1] == entry_key(folder, record, window)


def test_a_disk_that_fills_up_is_told_and_leaves_no_half_file(
    data: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, records = data

    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        with pytest.raises(StoreError, match="No space left"):
            prepare(folder, records, CacheRecipe(intensity=HU), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_write_the_system_cuts_short_leaves_no_half_file(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StoreError, match=r"case_0.*File too large"):
            prepare(folder, records, CacheRecipe(intensity=HU), tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_cache_folder_that_cannot_be_is_told(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    (tmp_path / "cache").write_text("a file stands here")
    with pytest.raises(StoreError, match=r"cache.*could not write"):
        prepare(folder, records, CacheRecipe(intensity=HU), tmp_path / "cache")


def test_all_unsound_cases_are_named_and_the_sound_ones_kept(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    for case in ("case_0", "case_2"):
        (folder / f"{case}.nii.gz").write_bytes(b"broken")
    with pytest.raises(DataUnsound, match=r"case_0: .*2 of 3 cases cannot be trusted; the others: case_2"):
        prepare(folder, records, CacheRecipe(intensity=HU), tmp_path / "cache")
    assert [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()] == ["case_1"]


def test_a_missing_file_and_a_case_named_twice_are_refused(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    with pytest.raises(DataMissing, match=r"absent\.nii\.gz"):
        prepare(folder, [record_of("absent")], CacheRecipe(intensity=HU), tmp_path / "cache")
    with pytest.raises(SpecError, match="case_0: stands twice"):
        prepare(folder, [records[0], records[0]], CacheRecipe(intensity=HU), tmp_path / "cache")
    with pytest.raises(SpecError, match="orientation 'SAR'"):
        CacheRecipe(intensity=HU, orientation="SAR")


def read_middle(cases: CachedCases) -> list[bytes]:
    return [cases.read(case, (2, 2, 2), (9, 9, 9)).tobytes() for case in cases.cases]


def prepare_and_read(words: tuple[Path, list[Record], CacheRecipe, Path]) -> list[bytes]:
    return read_middle(prepare(*words))


def test_helpers_give_the_same_files_as_one_process(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    recipe = CacheRecipe(intensity=HU, label_values=LABELS)
    alone = prepare(folder, records, recipe, tmp_path / "alone")
    helped = prepare(folder, records, recipe, tmp_path / "helped", workers=2)
    assert helped.cases == alone.cases
    for path in (tmp_path / "alone").iterdir():
        assert path.read_bytes() == (tmp_path / "helped" / path.name).read_bytes()


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_set_read_in_the_parent_reads_on_in_its_children(
    data: tuple[Path, list[Record]], tmp_path: Path, way: str
) -> None:
    folder, records = data
    cases = prepare(folder, records, CacheRecipe(intensity=HU, label_values=LABELS), tmp_path / "cache")
    expected = read_middle(cases)
    with ProcessPoolExecutor(2, multiprocessing.get_context(way)) as pool:
        assert list(pool.map(read_middle, [cases] * 4)) == [expected] * 4
    assert read_middle(cases) == expected == read_middle(pickle.loads(pickle.dumps(cases)))


def test_processes_preparing_the_same_cases_at_once_do_not_disturb_each_other(
    data: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = data
    words = (folder, records, CacheRecipe(intensity=HU, label_values=LABELS), tmp_path / "cache")
    with ProcessPoolExecutor(4, multiprocessing.get_context("fork")) as pool:
        found = list(pool.map(prepare_and_read, [words] * 8))
    assert found == [read_middle(prepare(*words))] * 8
    assert len(list((tmp_path / "cache").iterdir())) == len(records)


def test_files_beyond_the_limit_are_closed_and_opened_again(
    data: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, records = data
    monkeypatch.setattr(cache_module, "OPEN_FILES", 2)
    cases = prepare(folder, records, CacheRecipe(intensity=HU, label_values=LABELS), tmp_path / "cache")
    before = len(list(Path("/proc/self/fd").iterdir()))
    first = read_middle(cases)
    assert read_middle(cases) == first
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2 * 2  # image and mask of two cases


def test_subsets_and_joined_sets_read_the_same_cases(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    recipe = CacheRecipe(intensity=HU, label_values=LABELS)
    cases = prepare(folder, records, recipe, tmp_path / "cache")
    two = cases.subset(["case_2", "case_0"])
    assert two.cases == ("case_2", "case_0") and read_middle(two) == [read_middle(cases)[2], read_middle(cases)[0]]
    with pytest.raises(DataMissing, match="case_9: is not among the 3 prepared cases"):
        cases.subset(["case_9"])
    other = prepare(folder, [record_of("case_0", dataset="e")], recipe, tmp_path / "cache")
    joined = CachedCases.joined([two, other])
    assert joined.cases == ("case_2", "d/case_0", "e/case_0")
    assert read_middle(joined)[1] == read_middle(joined)[2] == read_middle(cases)[0]
    with pytest.raises(SpecError, match="stands twice"):
        CachedCases.joined([two, cases])
    assert cases.shown((96, 96, 96)).sight.shape == (96, 96, 96)


def test_fields_and_progress_tell_what_the_record_and_the_work_are(
    data: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = data
    told: list[Any] = []

    class Told:
        def start(self, name: str, total: int) -> None:
            told.append((name, total))

        def advance(self, n: int, **shown: Any) -> None:
            told.append(n)

        def finish(self) -> None:
            told.append("finished")

    record = records[0].model_copy(update={"modality": "MR", "meta": {"site": "A"}})
    cases = prepare(folder, [record, records[1]], CacheRecipe(intensity=HU), tmp_path / "cache", progress=Told())
    assert cases.fields("case_0") == {"modality": "MR", "dataset": record.dataset, "site": "A"}
    assert told == [("prepare", 2), 1, 1, "finished"]


def test_case_ids_with_slashes_become_flat_file_names(data: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = data
    record = records[0].model_copy(update={"case_id": "1A/ID 7/../x"})
    cases = prepare(folder, [record], CacheRecipe(intensity=HU), tmp_path / "cache")
    assert [path.name.startswith("1A_ID_7_.._x-") for path in (tmp_path / "cache").iterdir()] == [True]
    assert cases.read("1A/ID 7/../x", (0, 0, 0), (1, 1, 1)).shape == (1, 1, 1, 1)


@pytest.mark.data
def test_real_hippocampi_are_prepared_as_tasks_md_asks(tmp_path: Path) -> None:
    root = real("msd04/Task04_Hippocampus")
    names = [
        path.name.removesuffix(".nii.gz") for path in sorted((root / "imagesTr").glob("hippocampus_*.nii.gz"))[:30]
    ]
    records = [
        record_of(name).model_copy(
            update={
                "images": (ImageFile(path=f"imagesTr/{name}.nii.gz", format="nifti"),),
                "label": LabelFile(kind="mask", path=f"labelsTr/{name}.nii.gz"),
            }
        )
        for name in names
    ]
    cases = prepare(root, records, CacheRecipe(intensity=Intensity("zscore"), label_values=LABELS), tmp_path)
    for case in cases.cases:
        image, label = whole(cases, case)
        assert abs(float(image.mean(dtype=np.float64))) < 1e-3
        assert abs(float(image.std(dtype=np.float64)) - 1) < 1e-3
        onehot = np.eye(3, dtype=np.float16)[label].transpose(3, 0, 1, 2)
        meta = cases.meta(case)
        back = to_native(native_labels(onehot, meta.placement), meta.header)
        np.testing.assert_array_equal(back, label)
        assert set(cases.foreground(case)) == {1, 2}
