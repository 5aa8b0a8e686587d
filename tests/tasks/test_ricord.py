"""RICORD: series are named as the published lists name them, read in HU or as stored, and broken ones are told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM phantoms need pydicom")

from pydicom import dcmread

from bench import registry
from bench.cases import cached, check_task, find_cases
from bench.corpora import cached_corpus, find_corpus
from bench.data.intensity_check import intensity_problem
from bench.data.manifest import build
from bench.data.splits import lists
from bench.data.volumes import read_image
from bench.phantom_data import task_ids
from bench.spec import make_spec
from tasks.layouts.ricord import LEFT_OUT, Ricord, _path_of
from tests.command_line import TINY, bench

CARD = registry.task("ricord")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ricord") / "RICORD"
    CARD.files.write_phantom(folder, task_ids(CARD, "smoke"), "smoke")
    return folder


def test_names_are_rebuilt_from_the_folders_of_the_downloader(copied: Path) -> None:
    layout = Ricord()
    case = "MIDRC-RICORD-1A/ID419639-000361_date10-21-2002_604.000000-COR-3X3-14319"
    assert case in lists(CARD.protocols["ar"].split, registry.splits_folder()).train
    known = sorted(r.case_id for r in layout.records(copied))
    place = next((copied / "MIDRC-RICORD-1A").glob("*/*/*"))
    patient = copied / "manifest-1612365584013" / "MIDRC-RICORD-1A" / "MIDRC-RICORD-1A-419639-000361"
    shutil.copytree(place, patient / "10-21-2002-NA-CT CHEST WO-12345" / "604.000000-COR 3X3-14319")
    assert sorted(r.case_id for r in layout.records(copied)) == sorted({*known, case})
    assert layout.locate(copied.parent) == copied
    shutil.rmtree(copied / "MIDRC-RICORD-1B")
    assert layout.locate(copied.parent) is None  # one class alone is no dataset


def test_localisers_and_the_series_that_the_code_names_are_passed_over(copied: Path) -> None:
    assert list(copied.rglob("1.000000-SCOUT-00001"))
    before = Ricord().records(copied)
    assert not any("SCOUT" in record.case_id for record in before)
    place = next((copied / "MIDRC-RICORD-1A").glob("*/*/*"))
    shutil.copytree(place, place.parent.with_name(LEFT_OUT[0]) / LEFT_OUT[1])
    assert [r.case_id for r in Ricord().records(copied)] == [r.case_id for r in before]


def test_both_protocols_store_small_volumes_of_the_values_they_ask_for(written: Path, tmp_path: Path) -> None:
    ranges = {}
    for name in ("bench", "ar"):
        spec = make_spec(method="unet3d_scratch", task="ricord", protocol=name, root=str(written))
        cases = find_cases(spec, CARD, written, {})
        assert (len(cases.here.train), len(cases.here.val), len(cases.here.test)) == (8, 4, 6)
        volumes = cached(cases, CARD, CARD.protocols[name], tmp_path)
        assert volumes.sight.shape == (128, 128, 64)
        ranges[name] = [volumes.read(case, (0, 0, 0), (128, 128, 64)).min() for case in volumes.cases]
        assert {volumes.fields(case)["label"] for case in volumes.cases} == {0, 1}
    assert max(ranges["bench"]) < -900 and max(ranges["ar"]) > -30  # rescaled; as stored


def test_a_pool_of_the_tasks_own_volumes_holds_the_values_that_the_protocol_reads(
    written: Path, tmp_path: Path
) -> None:
    spec = make_spec(method="mae3d", task="ricord", protocol="ar", root=str(written), corpus="own")
    cases = find_cases(spec, CARD, written, {})
    pool = find_corpus(spec, CARD, CARD.protocols["ar"], cases, {}, None)
    assert pool is not None and pool.stored_values
    volumes = cached_corpus(pool, tmp_path)
    for record in cases.pick(cases.pool):
        stored = read_image(written, record, stored_values=True).array
        np.testing.assert_array_equal(volumes.read(record.case_id, (0, 0, 0), stored.shape[1:]), stored)


def test_phantoms_of_one_patient_in_two_series_are_one_group_and_slopes_differ(written: Path) -> None:
    records = CARD.files.records(written)
    assert {record.group for record in records} == {r.case_id.partition("_date")[0] for r in records}
    assert len({record.group for record in records}) < len(records)  # someone was scanned twice
    told = set()
    for record in records:
        slices = [dcmread(path) for path in (written / record.images[0].path).iterdir()]
        slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
        slope, intercept = float(slices[0].RescaleSlope), float(slices[0].RescaleIntercept)
        told.add((slope, intercept))
        # rescaled by hand; the files' first two axes run to the left and to the back
        hu = np.stack([one.pixel_array.T * slope + intercept for one in slices], axis=-1)[::-1, ::-1]
        np.testing.assert_array_equal(read_image(written, record).array[0], hu)
        assert -1024 <= hu.min() < -900 and intensity_problem(hu, None) == ""
    assert told == {(0.5, -1024.0), (1.0, -1024.0), (1.0, 0.0)}


def test_a_run_with_the_papers_protocol_ends_in_a_cell(tmp_path: Path) -> None:
    words = (
        "run",
        "--method",
        "unetr_scratch",
        "--task",
        "ricord",
        "--protocol",
        "ar",
        "--phantom",
        "--results",
        tmp_path,
    )
    told = bench(*words, *TINY, "--ratio", "0.5", "--json").value
    assert told["n"] == 6 and set(told["scores"]) == {"auc", "acc"} and told["scores"]["auc"] is not None


def test_a_series_with_a_slice_of_another_size_is_sound_where_such_slices_are_dropped(
    copied: Path, tmp_path: Path
) -> None:
    case = task_ids(CARD, "smoke")[-1]
    path = sorted((copied / _path_of(case)).iterdir())[0]
    odd = dcmread(path)
    odd.Rows -= 1
    odd.PixelData = odd.PixelData[: odd.Rows * odd.Columns * 2]
    path.unlink()  # a folder's headers are kept while it stays as it is
    odd.save_as(path)
    (record,) = [record for record in CARD.files.records(copied) if record.case_id == case]
    shape = read_image(copied, record, stored_values=True).array.shape[1:]
    found = build("ricord", CARD, "ar", folder=copied, splits_folder=registry.splits_folder(), full=True)
    assert {r.case_id: r.shape for r in found.records}[case] == shape == (40, 40, 15)
    report = check_task("ricord", "ar", str(copied), partial=True, environ={})
    assert report.unsound == () and report.exit_ok
    (unsound,) = check_task("ricord", "bench", str(copied), partial=True, environ={}).unsound
    assert unsound.case == case and "slices of several sizes" in unsound.problem


TOLD = {  # what is said of each harm, and what to do about it
    "slice": ("a slice is missing", "Fetch the series again"),
    "series": ("mixes 2 series", "one series per folder"),
    "pixels": ("truncated", "Fetch the series again"),
}


@pytest.mark.parametrize("harm", list(TOLD))
def test_a_run_on_a_broken_series_names_it_and_trains_nothing(harm: str, copied: Path, tmp_path: Path) -> None:
    (copied / "PHANTOM.json").unlink()
    case = task_ids(CARD, "smoke")[0]
    folder = copied / _path_of(case)
    first, second = sorted(folder.iterdir())[3:5]
    if harm == "slice":
        second.unlink()
    elif harm == "series":
        other = copied / _path_of(task_ids(CARD, "smoke")[1])
        shutil.copy(sorted(other.iterdir())[0], folder / "2-001.dcm")
    else:
        first.write_bytes(first.read_bytes()[:-500])
    words = (
        "run",
        "--method",
        "unet3d_scratch",
        "--task",
        "ricord",
        "--root",
        copied,
        "--partial",
        "--results",
        tmp_path / "r",
    )
    error = bench(*words, *TINY, "--json").error
    assert (error["error"], error["case"]) == ("DataUnsound", case)
    told, remedy = TOLD[harm]
    assert told in error["message"] and remedy in error["remedy"]
    assert not (tmp_path / "r" / "runs" / "finetune").exists()
