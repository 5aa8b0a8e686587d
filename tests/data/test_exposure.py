"""Which test cases a pre-training has seen: by voxels, by name, by declaration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from bench.contracts.configs import Intensity
from bench.contracts.record import ImageFile, Record
from bench.data.axes import as_affine
from bench.data.cache import prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.exposure import SeenCase, exposure_of, read_seen, write_seen
from bench.data.volumes import coarse_fingerprint, write_nifti

KINDS: tuple[Literal["zscore", "asis", "u8", "percentile"], ...] = ("zscore", "asis", "u8", "percentile")
TESTS = {"a": "f1", "b": "f2", "c": "f3"}


def test_the_same_voxels_are_known_again_under_any_name() -> None:
    found = exposure_of(TESTS, [SeenCase("pool", "x", "f2"), SeenCase("pool", "y", "f9")])
    assert dict(found.cases) == {"b": "the same voxels as pool/x"}
    assert found.summary == "1 of 3 test cases were seen in pre-training"


def test_a_name_counts_only_where_corpus_and_task_take_their_names_from_one_source() -> None:
    seen = [SeenCase("pool", "a", "f9")]
    assert exposure_of(TESTS, seen).cases == {}
    assert dict(exposure_of(TESTS, seen, shared_names=("pool",)).cases) == {"a": "the same name in the corpus"}


def test_a_name_is_known_though_another_volume_of_the_corpus_holds_the_same_voxels() -> None:
    seen = [SeenCase("pool", "a", "f9"), SeenCase("pool", "copy", "f9"), SeenCase("pool", "c", "")]
    assert set(exposure_of(TESTS, seen, shared_names=("pool",)).cases) == {"a", "c"}


def test_two_images_whose_voxels_nobody_marked_are_not_the_same_image() -> None:
    assert exposure_of({"a": ""}, [SeenCase("pool", "x", "")]).cases == {}


def test_a_case_that_lies_in_a_scan_is_known_by_the_scans_name_where_names_are_shared() -> None:
    seen, scans = [SeenCase("pool", "scan-1", "f9")], {"a": "scan-1", "b": "scan-2", "c": ""}
    assert exposure_of(TESTS, seen, scans=scans).cases == {}
    found = exposure_of(TESTS, [*seen, SeenCase("pool", "", "")], scans=scans, shared_names=("pool",))
    assert dict(found.cases) == {"a": "its scan is in the corpus under the same name"}


def test_a_declaration_of_all_counts_every_case_and_one_of_a_part_is_passed_on_in_words() -> None:
    assert set(exposure_of(TESTS, [], declared="all of its scans").cases) == set(TESTS)
    part = exposure_of(TESTS, [], declared="a part: nodules cut from LIDC")
    assert (
        part.cases == {}
        and part.summary == "no test case was seen; the corpus' card says: a part: nodules cut from LIDC"
    )


def test_what_was_seen_is_written_and_read_again_and_its_absence_is_told(tmp_path: Path) -> None:
    assert read_seen(tmp_path) is None
    write_seen(tmp_path, [SeenCase("pool", "x", "f2")])
    assert read_seen(tmp_path) == [SeenCase("pool", "x", "f2")]
    write_seen(tmp_path, [SeenCase("pool", "y", "f3")])  # the first list is of what the weights beside it have seen
    assert read_seen(tmp_path) == [SeenCase("pool", "x", "f2")]


def test_a_volume_saved_in_another_axis_order_and_type_keeps_its_fingerprint(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-900, 900, (40, 36, 20)).astype(np.int16)
    write_nifti(tmp_path / "one.nii.gz", voxels, affine=as_affine(np.eye(4)), dtype=np.int16)
    turned = as_affine(np.array([[-1.0, 0, 0, 39], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    write_nifti(tmp_path / "two.nii", voxels[::-1], affine=turned, dtype=np.float32)
    voxels[0, 0, 0] += 1
    write_nifti(tmp_path / "three.nii.gz", voxels, affine=as_affine(np.eye(4)), dtype=np.int16)
    files = {"one": "one.nii.gz", "two": "two.nii", "three": "three.nii.gz"}
    records = [
        Record(
            dataset="d",
            adapter_version="1",
            case_id=case,
            patient_id=case,
            group=case,
            images=(ImageFile(path=file, format="nifti"),),
        )
        for case, file in files.items()
    ]
    cases = prepare(tmp_path, records, CacheRecipe(intensity=Intensity("hu")), tmp_path / "cache")
    one, two, three = (cases.meta(case).fingerprint for case in files)
    assert one == two != three
    assert [case.case for case in cases.seen()] == list(files)


def test_a_volume_keeps_its_fingerprint_however_it_is_prepared_and_another_shape_has_another(tmp_path: Path) -> None:
    """A pool and a task prepare one volume each in its own way, and must still know it for the same."""
    voxels = np.random.default_rng(0).integers(-900, 900, (40, 36, 20)).astype(np.int16)
    write_nifti(tmp_path / "one.nii.gz", voxels, affine=as_affine(np.eye(4)), dtype=np.int16)
    file = ImageFile(path="one.nii.gz", format="nifti")
    record = Record(dataset="d", adapter_version="1", case_id="one", patient_id="one", group="one", images=(file,))
    hu = CacheRecipe(intensity=Intensity("hu", (500.0, 900.0)))
    ways = [
        hu,
        replace(hu, spacing_mm=(2.0, 2.0, 2.0)),
        replace(hu, crop_foreground=True),
        replace(hu, box_voxels=(8, 8, 8)),
        replace(hu, stored_voxels=(8, 8, 8)),
        *(CacheRecipe(intensity=Intensity(kind)) for kind in KINDS),
        CacheRecipe(intensity=Intensity("zscore", clip_percentiles=(0.5, 99.5))),
    ]
    found = {prepare(tmp_path, [record], way, tmp_path / "cache").fingerprint("one") for way in ways}
    assert found == {coarse_fingerprint(voxels[None])}
    flat = np.zeros((1, 4, 6, 8), np.int16)
    assert coarse_fingerprint(flat) != coarse_fingerprint(flat.transpose(0, 3, 2, 1))
