"""Images that are folders of DICOM series: what counts as a volume, what is told by headers, phantoms; and SPAD's nine sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM phantoms need pydicom")

from bench.contracts.errors import DataUnsound
from bench.data.axes import as_affine
from bench.data.dicom import write_series
from bench.data.volumes import read_image
from tasks.layouts.phantom_case import Look
from tasks.layouts.series_tree import Series, SeriesTree
from tasks.recipes import dicom_sets

LOOK = Look(dataset="set", view="chest", modality="ct", smoke=(16, 16, 8), mini=(16, 16, 8), spacing_mm=(1.0, 1.0, 2.0))


def tree(*series: Series) -> SeriesTree:
    return SeriesTree(names=("Set",), series=series, look=LOOK)


def save(folder: Path, slices: int, modality: str = "CT") -> None:
    array = np.full((6, 5, slices), 40, np.int16)
    affine = as_affine(np.diag([1.0, 1.0, 2.0, 1.0]))
    write_series(folder, array, affine=affine, name=folder.as_posix(), modality=modality)


def test_a_dataset_is_its_folders_name_and_one_series_in_it(tmp_path: Path) -> None:
    layout = tree(Series("*/*", "{n}/{n}", "CT"))
    save(tmp_path / "Other" / "a" / "s", 4)
    assert layout.locate(tmp_path) is None
    save(tmp_path / "manifest-1" / "set" / "a" / "s", 4)
    assert layout.locate(tmp_path) == tmp_path / "manifest-1" / "set"


def test_few_slices_are_no_volume_and_what_is_skipped_or_hidden_is_passed_over(tmp_path: Path) -> None:
    for name, slices in (("a/one", 5), ("a/scout", 2), ("a/dynamic", 5), (".b/one", 5)):
        save(tmp_path / name, slices)
    (record,) = tree(Series("*/*", "{n}/{n}", "CT", skip="dynamic$")).records(tmp_path)
    assert record.case_id == "a/one" and record.intensity == "hu" and record.source == "real"
    image = read_image(tmp_path, record)
    assert image.array.shape == (1, 6, 5, 5) and set(np.unique(image.array)) == {40}


def test_headers_tell_modalities_apart_and_name_the_series_that_are_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a" / "ct", 4)
    save(tmp_path / "a" / "pet", 4, "PT")
    save(tmp_path / "b" / "mr", 4, "MR")
    ct, mr = (Series("*/*", "{n}/{n}", modality, by_header=True) for modality in ("CT", "MR"))  # type: ignore[arg-type]
    found = tree(ct, mr).records(tmp_path)
    assert {record.case_id: record.modality for record in found} == {"a/ct": "CT", "b/mr": "MR"}
    uid = dicom_uid(tmp_path / "a" / "ct")
    assert [r.case_id for r in tree(replace(ct, left_out=(uid,)), mr).records(tmp_path)] == ["b/mr"]


def test_a_series_whose_files_end_in_capitals_is_told_by_its_header_too(tmp_path: Path) -> None:
    save(tmp_path / "a" / "ct", 4)
    for path in sorted((tmp_path / "a" / "ct").iterdir()):
        path.rename(path.with_suffix(".DCM"))
    for by_header in (False, True):
        (record,) = tree(Series("*/*", "{n}/{n}", "CT", by_header=by_header)).records(tmp_path)
        assert read_image(tmp_path, record).array.shape == (1, 6, 5, 4)


def dicom_uid(folder: Path) -> str:
    import pydicom

    return str(pydicom.dcmread(next(folder.glob("*.dcm"))).SeriesInstanceUID)


def test_a_series_that_lacks_a_slice_is_refused_by_its_folders_name(tmp_path: Path) -> None:
    save(tmp_path / "a" / "s", 6)
    (tmp_path / "a" / "s" / "1-003.dcm").unlink()
    (record,) = tree(Series("*/*", "{n}/{n}", "CT")).records(tmp_path)
    with pytest.raises(DataUnsound, match="a slice is missing") as told:
        read_image(tmp_path, record)
    assert told.value.case == "a/s"


@pytest.mark.parametrize("key", [key for key, *_ in dicom_sets.SETS])
def test_the_phantoms_of_a_set_are_found_as_its_owners_ship_it(key: str, tmp_path: Path) -> None:
    ((_, folders, look, _, _, _, series),) = [one for one in dicom_sets.SETS if one[0] == key]
    layout = SeriesTree(names=folders, series=series, look=replace(look, dataset=key))
    folder = tmp_path / folders[0]
    layout.write_phantom(folder, [f"{key}_{n}" for n in range(len(series))], "smoke")
    assert layout.locate(tmp_path) == folder
    records = layout.records(folder)
    assert Counter(r.modality for r in records) == Counter(sort.modality for sort in series)
    assert {r.source for r in records} == {"phantom"}
    image = read_image(folder, records[0])
    assert image.array.shape == (1, *look.smoke) and image.array.std() > 10
    assert np.allclose(np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0), look.spacing_mm)


def test_the_folders_that_the_code_leaves_out_are_left_out_here() -> None:
    import re

    volumes = ("2.000000-NECK-12345", "4.000000-AX T1-1")
    no_volumes = ("1.000000-3PL LOC-12345", "1.000000-localizer-1", "9.000000-3D XRT VOL-12345", "9.000000-3D XRT VOL")
    assert not any(re.search(dicom_sets.NO_VOLUME, f"HNSCC-01-0001/study/{name}") for name in volumes)
    assert all(re.search(dicom_sets.NO_VOLUME, f"HNSCC-01-0001/study/{name}") for name in no_volumes)
    assert re.search(dicom_sets.DYNAMIC, "p/s/10.000000-AX BLISSGAD-59814")
    assert not re.search(dicom_sets.DYNAMIC, "p/s/10.000000-AX BLISSGAD SUB-59814")
