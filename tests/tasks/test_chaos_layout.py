"""CHAOS's series and pictures: two channels, masks paired by order and never by number, grey bands, broken copies."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.errors import BenchError, DataUnsound
from bench.contracts.record import Record
from bench.data import dicom
from bench.data.checks import check
from bench.data.roster import roster_of
from bench.data.slices import encode_png, pictures
from bench.data.splits import Parts, lists, nested, present
from bench.data.volumes import label_map, read_header, read_image, read_label

pydicom = pytest.importorskip("pydicom")
CARD = registry.task("chaos")
PATIENTS = ("22", "39", "34", "13", "5")
VALUES = label_map(4, CARD.label_values)
CASE = "22_T1DUAL"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chaos") / "CHAOS"
    CARD.files.write_phantom(folder, PATIENTS, "smoke")
    return folder


def by_case(folder: Path) -> dict[str, Record]:
    return {record.case_id: record for record in CARD.files.records(folder)}


def parts_of(folder: Path) -> Parts:
    rule = CARD.protocols["bench"].split
    return lists(rule, registry.splits_folder(), 0, roster_of(CARD.files, folder, CARD.files.records(folder)))


@pytest.mark.parametrize("protocol", ["bench", "spad"])
def test_the_challenges_four_metrics_are_measured_in_mm(protocol: str) -> None:
    told = CARD.protocols[protocol]
    assert {"dice", "ravd", "assd", "hd"} <= set(told.metrics) and told.distance_unit == "mm"


# The tree ---------------------------------------------------------------------------------------------


def test_a_patient_is_two_cases_of_two_channels_and_the_hidden_part_has_no_mask(written: Path) -> None:
    records = by_case(written)
    assert CARD.files.locate(written) == written == CARD.files.locate(written.parent)
    labelled = {case for case, r in records.items() if r.label.kind == "mask"}
    assert labelled == {f"{p}_{s}" for p in PATIENTS for s in ("T1DUAL", "T2SPIR")}
    assert {r.group for r in records.values()} == {*PATIENTS, "4"} and records["4_T1DUAL"].label.kind == "none"
    dual, spir = (read_image(written, records[f"22_{s}"]).array for s in ("T1DUAL", "T2SPIR"))
    assert dual.shape == spir.shape == (2, 32, 32, 10)
    assert (dual[0] != dual[1]).any() and (spir[0] == spir[1]).all()


def test_masks_lie_on_the_organs_that_were_drawn_whatever_way_the_files_are_numbered(written: Path) -> None:
    look, ways = CARD.files.look, set()  # type: ignore[attr-defined]
    for patient in PATIENTS:
        ((_, drawn),) = look.draw([patient], "smoke", "in_phase")
        for sequence in ("T1DUAL", "T2SPIR"):
            record = by_case(written)[f"{patient}_{sequence}"]
            np.testing.assert_array_equal(read_label(written, record, VALUES).array, drawn.label)
            files = dicom.slices_of(written / record.images[0].path)
            ways.add(files[0].position[2] < files[-1].position[2])  # type: ignore[index]
        image = read_image(written, by_case(written)[f"{patient}_T1DUAL"]).array[0]
        assert np.corrcoef(image.ravel(), drawn.image.ravel())[0, 1] > 0.999
    assert ways == {True, False}


def test_files_and_pictures_of_one_volume_are_numbered_apart(written: Path) -> None:
    record = by_case(written)[CASE]
    inner, outer = ({p.stem for p in (written / i.path).iterdir()} for i in record.images)
    assert not inner & outer and {p.stem for p in pictures(written / str(record.label.path))} == inner
    header = read_header(written, record)
    assert header.orientation == "LPS" and header.spacing_mm == pytest.approx((1.6, 1.6, 8.0))
    assert header.depth_axis == 2 and header.anisotropy == 2


def test_pictures_keep_their_slices_when_their_names_are_numbered_anew(copied: Path) -> None:
    record = by_case(copied)[CASE]
    before = read_label(copied, record, VALUES).array
    ground = copied / str(record.label.path)
    for k, path in enumerate(pictures(ground)):
        path.rename(ground / f"IMG-0004-{2 * k + 1001:05d}.png")
    np.testing.assert_array_equal(read_label(copied, record, VALUES).array, before)


def test_greys_within_the_bands_are_the_organ_and_those_between_are_refused(copied: Path) -> None:
    assert {VALUES[grey] for grey in (55, 63, 70)} == {1} and {VALUES[g] for g in (110, 126, 135)} == {2}
    assert {VALUES[grey] for grey in (175, 189, 200)} == {3} and {VALUES[g] for g in (240, 252, 255)} == {4}
    assert not {1, 2, 3, 4, 54, 71, 109, 136, 201, 239} & set(VALUES)


def test_a_ratio_takes_both_volumes_of_a_patient(written: Path) -> None:
    parts = parts_of(written)
    taken = nested(parts.train, 0.25, unit_of=parts.unit_of)
    assert {"34_T1DUAL", "34_T2SPIR", "13_T1DUAL", "13_T2SPIR"} <= set(taken)
    assert not {case.partition("_")[0] for case in parts.train} & {case.partition("_")[0] for case in parts.test}


def test_without_pydicom_the_error_names_the_extra(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    dicom._headers.cache_clear()
    with pytest.raises(BenchError, match=r"pydicom, which is not installed\. pip install 'ssl3d-bench\[dicom\]'"):
        read_image(written, by_case(written)[CASE])


# Broken copies ----------------------------------------------------------------------------------------


def series(folder: Path, record: Record, channel: int = 0) -> list[Path]:
    return sorted((folder / record.images[channel].path).iterdir())


def without_a_slice(folder: Path, record: Record) -> None:
    series(folder, record)[4].unlink()


def without_a_picture(folder: Path, record: Record) -> None:
    pictures(folder / str(record.label.path))[0].unlink()


def with_another_series_among_its_own(folder: Path, record: Record) -> None:
    other = by_case(folder)["39_T1DUAL"]
    shutil.copy(series(folder, other)[0], series(folder, record)[0].with_name("IMG-9999-00001.dcm"))


def with_a_slice_twice(folder: Path, record: Record) -> None:
    first = series(folder, record)[0]
    shutil.copy(first, first.with_name("IMG-0004-99999.dcm"))


def with_a_grey_between_bands(folder: Path, record: Record) -> None:
    pictures(folder / str(record.label.path))[3].write_bytes(encode_png(np.full((32, 32), 90, np.uint8)))


def with_a_picture_of_another_size(folder: Path, record: Record) -> None:
    pictures(folder / str(record.label.path))[3].write_bytes(encode_png(np.zeros((30, 32), np.uint8)))


def without_its_second_phase(folder: Path, record: Record) -> None:
    shutil.rmtree(folder / record.images[1].path)


HARMS: dict[Callable[[Path, Record], None], str] = {
    without_a_slice: "a slice is missing",
    without_a_picture: "holds 9 pictures for 10 slices",
    with_another_series_among_its_own: "mixes 2 series",
    with_a_slice_twice: "two slices at one place",
    with_a_grey_between_bands: "unknown values [90]",
    with_a_picture_of_another_size: "pictures of several sizes",
    without_its_second_phase: "no folder 'Train_Sets/MR/22/T1DUAL/DICOM_anon/OutPhase'",
}


@pytest.mark.parametrize("harm", list(HARMS), ids=lambda harm: harm.__name__)
def test_a_broken_volume_is_named_with_what_is_wrong_and_a_remedy(
    harm: Callable[[Path, Record], None], copied: Path
) -> None:
    harm(copied, by_case(copied)[CASE])
    report = check(CARD, copied, parts_of(copied))
    (found,) = report.unsound
    assert found.case == CASE and HARMS[harm] in found.problem and found.remedy
    with pytest.raises(BenchError):
        record = by_case(copied)[CASE]
        read_image(copied, record)
        read_label(copied, record, VALUES)


@pytest.mark.parametrize("sequence", ["T1DUAL", "T2SPIR"])
def test_a_patient_with_one_sequence_alone_is_half_a_patient_and_not_a_whole_one(copied: Path, sequence: str) -> None:
    shutil.rmtree(copied / "Train_Sets/MR/22" / sequence)
    shutil.rmtree(copied / "Test_Sets/MR/4" / sequence)
    records, parts = by_case(copied), parts_of(copied)
    assert f"22_{sequence}" in parts.everything() and f"4_{sequence}" not in records
    labelled = {case for case, record in records.items() if record.label.kind != "none"}
    _, missing = present(parts, labelled)
    assert [case for case in missing if case.startswith("22")] == [f"22_{sequence}"]
    report = check(CARD, copied, parts)
    assert [found.case for found in report.unsound] == [f"22_{sequence}"]


def test_a_folder_with_other_things_in_it_is_no_mask(copied: Path) -> None:
    record = by_case(copied)[CASE]
    for path in pictures(copied / str(record.label.path)):
        path.unlink()
    with pytest.raises(DataUnsound, match="holds 0 pictures for 10 slices"):
        read_label(copied, record, VALUES)
