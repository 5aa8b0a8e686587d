"""Checks: each way of being unsound is named with its case, its check and a remedy; sound cases are not listed."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.configs import Intensity
from bench.contracts.errors import DataUnsound
from bench.data.check_report import CheckReport
from bench.data.checks import check
from bench.data.find import find_dataset
from bench.data.intensity_check import check_intensity, intensity_problem
from bench.data.splits import Parts, lists
from bench.data.volumes import write_nifti
from tests import tiny_dataset as tiny
from tests.real_volumes import real

CASE = "tiny_003"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "Task99_Tiny")


def look(folder: Path, *, parts: Parts = tiny.PARTS, **words: bool) -> CheckReport:
    return check(tiny.card(), folder, parts, **words)


def test_a_sound_dataset_lists_no_case_and_passes_every_check(folder: Path) -> None:
    report = look(folder)
    assert report.exit_ok and report.unsound == () and report.missing == {} and report.notes == ()
    assert report.counts == {"train": (5, 5), "val": (1, 1), "test": (2, 2)} and report.source == "real"
    assert {name for name, found in report.checks.items() if found != "ok"} == {"checksums"}  # no archive is there


# One broken case ------------------------------------------------------------------------------------


def cut_image(folder: Path) -> None:
    tiny.truncate(folder / "imagesTr" / f"{CASE}.nii.gz")


def cut_label(folder: Path) -> None:
    tiny.truncate(folder / "labelsTr" / f"{CASE}.nii.gz")


def no_gzip(folder: Path) -> None:
    path = folder / "imagesTr" / f"{CASE}.nii.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))


def put_nan(folder: Path) -> None:
    image = tiny.image_of(CASE)
    image[1, 1, 1] = np.nan
    tiny.write_image(folder, CASE, image)


def constant(folder: Path) -> None:
    tiny.write_image(folder, CASE, np.full(tiny.SHAPE, 7, np.float32))


def four_dimensional(folder: Path) -> None:
    tiny.write_image(folder, CASE, np.stack([tiny.image_of(CASE)] * 2, axis=-1))


def other_shape(folder: Path) -> None:
    tiny.write_label(folder, CASE, tiny.label_of(CASE)[:-1])


def moved_label(folder: Path) -> None:
    affine = ((1.0, 0.0, 0.0, 0.01), *tiny.AFFINE[1:])
    tiny.write_label(folder, CASE, tiny.label_of(CASE), affine=affine)


def stray_label(folder: Path) -> None:
    label = tiny.label_of(CASE)
    label[0, 0, 0] = 9
    tiny.write_label(folder, CASE, label)


def blurred_label(folder: Path) -> None:
    tiny.write_label(folder, CASE, tiny.label_of(CASE).astype(np.float32) * 0.9)


def zero_spacing(folder: Path) -> None:
    path = folder / "imagesTr" / f"{CASE}.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[80:92] = np.zeros(3, "<f4").tobytes()  # pixdim[1..3] of a NIfTI-1 header
    path.write_bytes(gzip.compress(bytes(content)))


BREAKS: dict[Callable[[Path], None], tuple[str, str]] = {
    cut_image: ("files", "truncated or damaged"),
    cut_label: ("geometry|labels", "truncated or damaged"),
    no_gzip: ("files", "no gzip file"),
    put_nan: ("files", "1 of 990 voxels that are NaN"),
    constant: ("intensity", "is 7 everywhere"),
    four_dimensional: ("files", "4-D where 3-D is due"),
    other_shape: ("geometry", r"shape \(8, 10, 11\)"),
    moved_label: ("geometry", r"affine\[0\]\[3\]"),
    stray_label: ("labels", r"unknown values \[9\]"),
    blurred_label: ("labels", "whole numbers"),
    zero_spacing: ("files", "spacing"),
}


@pytest.mark.parametrize("harm", list(BREAKS), ids=lambda harm: harm.__name__)
def test_one_broken_case_is_named_alone_with_its_problem_and_a_remedy(
    folder: Path, harm: Callable[[Path], None]
) -> None:
    harm(folder)
    report = look(folder)
    names, words = BREAKS[harm]
    (found,) = report.unsound
    assert found.case == CASE and found.check in names.split("|") and len(found.remedy) > 10
    assert re.search(words, found.problem)
    assert report.checks[found.check] == "1 unsound" and not report.exit_ok
    assert not look(folder, partial=True).exit_ok


def test_several_broken_cases_are_all_told_in_one_go(folder: Path) -> None:
    cut_image(folder)
    tiny.write_label(folder, "tiny_006", np.full(tiny.SHAPE, 3, np.uint8))
    assert {found.case for found in look(folder).unsound} == {CASE, "tiny_006"}


def test_headers_alone_find_what_stands_in_headers_and_nothing_else(folder: Path) -> None:
    put_nan(folder)
    assert look(folder, full=False).unsound == ()
    assert look(folder, full=False).checks["labels"] == "n/a"
    other_shape(folder)
    assert [found.check for found in look(folder, full=False).unsound] == ["geometry"]


def test_a_float_coded_mask_of_whole_numbers_is_sound(folder: Path) -> None:
    tiny.write_label(folder, CASE, tiny.label_of(CASE).astype(np.float32))
    assert look(folder).unsound == ()


def test_a_255_coded_mask_is_sound_where_the_card_maps_it(folder: Path) -> None:
    label = tiny.label_of(CASE)
    tiny.write_label(folder, CASE, np.where(label == 2, 255, label).astype(np.uint8))
    assert [found.check for found in look(folder).unsound] == ["labels"]
    assert check(tiny.card(label_values={2: 2, 255: 2}), folder, tiny.PARTS).unsound == ()


def test_an_empty_mask_is_a_remark_and_no_fault(folder: Path) -> None:
    tiny.write_label(folder, CASE, np.zeros(tiny.SHAPE, np.uint8))
    report = look(folder)
    assert report.exit_ok and report.notes == ("empty mask: 1 of 8 cases (tiny_003)",)


# What is there and what is not ----------------------------------------------------------------------


def test_missing_cases_are_listed_by_part_and_accepted_when_partial_is_asked_for(folder: Path) -> None:
    for case in ("tiny_002", "tiny_008"):
        (folder / "imagesTr" / f"{case}.nii.gz").unlink()
    report = look(folder)
    assert report.missing == {"train": ("tiny_002",), "test": ("tiny_008",)} and not report.exit_ok
    assert (
        report.counts == {"train": (5, 4), "val": (1, 1), "test": (2, 1)} and report.checks["counts"] == "cases missing"
    )
    assert look(folder, partial=True).exit_ok and look(folder, partial=True).checks["counts"] == "ok"


def test_a_line_names_a_hundred_missing_cases_and_counts_the_others(folder: Path) -> None:
    ids = tuple(f"case_{i:04d}" for i in range(1300))
    (line,) = [told for told in replace(look(folder), missing={"train": ids}).lines() if "missing" in told]
    assert line.startswith("  missing in train, 1300: case_0000, ")
    assert line.endswith("case_0099 and 1,200 more (all in --json)")


def test_an_empty_dataset_is_never_fine(tmp_path: Path) -> None:
    assert not look(tmp_path, partial=True).exit_ok


def test_an_image_without_its_mask_is_unsound_and_missing(folder: Path) -> None:
    (folder / "labelsTr" / f"{CASE}.nii.gz").unlink()
    report = look(folder, partial=True)
    assert [(u.case, u.check) for u in report.unsound] == [(CASE, "counts")] and report.missing["train"] == (CASE,)


def test_cases_that_no_list_names_are_listed_and_no_fault(folder: Path) -> None:
    tiny.write(folder, ["tiny_020"])
    report = look(folder)
    assert report.extra == ("tiny_020",) and report.exit_ok
    assert report.notes == ("9 labelled cases on disk, the owners ship 8.",)


def test_apple_double_files_are_ignored_and_told(folder: Path) -> None:
    (folder / "imagesTr" / "._tiny_001.nii.gz").write_bytes(b"\x00\x05\x16\x07")
    report = look(folder)
    assert report.exit_ok and report.ignored == ("imagesTr/._tiny_001.nii.gz",) and report.extra == ()


def test_two_files_of_one_case_are_told_with_both_names(folder: Path) -> None:
    write_nifti(folder / "imagesTr" / f"{CASE}.nii", tiny.image_of(CASE), affine=tiny.AFFINE, dtype=np.float32)
    (found,) = look(folder).unsound
    assert found.case == CASE and f"{CASE}.nii'" in found.problem and f"{CASE}.nii.gz'" in found.problem


def test_a_class_that_no_case_holds_is_told_where_all_cases_are_there(folder: Path) -> None:
    for case in tiny.CASES:
        tiny.write_label(folder, case, np.minimum(tiny.label_of(case), 1))
    (found,) = look(folder).unsound
    assert found.case == "" and "no case holds the class 'tail'" in found.problem
    (folder / "imagesTr" / f"{CASE}.nii.gz").unlink()
    assert look(folder, partial=True).unsound == ()


# Splits ---------------------------------------------------------------------------------------------


def test_the_same_image_under_two_names_is_told_with_both_parts(folder: Path) -> None:
    tiny.write_image(folder, "tiny_008", tiny.image_of("tiny_001"))
    (found,) = look(folder).unsound
    assert found.case == "tiny_008" and found.check == "hygiene"
    assert "(test) is that of tiny_001 (train)" in found.problem


def test_a_case_in_two_parts_is_told(folder: Path) -> None:
    report = look(folder, parts=Parts(tiny.CASES[:6], tiny.CASES[5:6], tiny.CASES[6:]))
    assert [(u.case, u.check) for u in report.unsound] == [("tiny_006", "hygiene")] and not report.exit_ok


def test_selecting_on_the_reported_cases_counts_them_once(folder: Path) -> None:
    report = look(folder, parts=Parts(tiny.CASES[:6], tiny.CASES[6:], tiny.CASES[6:]))
    assert report.exit_ok and report.counts == {"train": (6, 6), "test": (2, 2)}


# Hounsfield units -----------------------------------------------------------------------------------


def body_hu() -> np.ndarray:
    """A body of soft tissue (40 HU) and fat (-100) in air."""
    random = np.random.Generator(np.random.Philox(1))
    image = np.full((40, 40, 20), -1000.0)
    image[5:35, 5:35] = -100.0
    image[8:32, 8:32] = 40.0
    image[18:22, 18:22] = 700.0
    return np.clip(image + 12 * random.standard_normal(image.shape), -1024, 3071).astype(np.int16)


def test_a_body_in_hounsfield_units_is_believed() -> None:
    assert intensity_problem(body_hu(), (-1100.0, 3100.0)) == ""
    assert intensity_problem(np.where(body_hu() < -900, -1024, body_hu()), None) == ""


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (body_hu() + np.int16(1024), "no air"),  # stored values, intercept not applied
        (body_hu() - np.int16(1024), "no air|soft tissue|air at"),  # intercept applied twice
        ((np.clip(body_hu(), -160, 240) + 160) * 0.6, "no air"),  # 8-bit window
        (body_hu() * 0.5, "no air"),
        (np.where(body_hu() < -500, body_hu() + 130, body_hu()), "has its air at -8[67]5"),  # air out of place alone
        (np.full((9, 9, 9), -1000.0), "soft tissue"),
    ],
    ids=["unscaled", "scaled_twice", "eight_bit", "half_slope", "air_moved", "only_air"],
)
def test_a_ct_that_is_not_in_hounsfield_units_is_told(spoiled: np.ndarray, words: str) -> None:
    problem = intensity_problem(spoiled, None)
    assert re.search(words, problem)


def test_values_outside_the_cards_range_are_told_with_both_ranges() -> None:
    assert "from 0 to 5000; in HU they lie in [-1100, 3100]" in intensity_problem(
        np.array([0, 5000]), (-1100.0, 3100.0)
    )


def test_the_check_of_a_ct_dataset_names_the_case_that_is_not_in_hounsfield_units(folder: Path) -> None:
    report = check(tiny.card(files=tiny.CT_LAYOUT, modality="CT"), folder, tiny.PARTS)
    assert {found.check for found in report.unsound} == {"intensity"} and len(report.unsound) == 8
    assert check(tiny.card(), folder, tiny.PARTS).unsound == ()


def test_a_protocol_that_takes_voxels_as_they_are_refuses_files_that_hold_raw_ones(folder: Path) -> None:
    records = tiny.LAYOUT.records(folder)
    asis = replace(tiny.PROTOCOL, intensity=Intensity("asis"))
    with pytest.raises(DataUnsound, match=r"^tiny_001: .*--protocol bench"):
        check_intensity("tiny", asis, records)
    check_intensity("tiny", asis, [record.model_copy(update={"intensity": "zscore"}) for record in records])
    check_intensity("tiny", tiny.PROTOCOL, records)


# The report -----------------------------------------------------------------------------------------


def test_the_report_is_plain_json_and_names_no_sound_case(folder: Path) -> None:
    stray_label(folder)
    report = look(folder)
    told = json.loads(json.dumps(report.as_json()))
    assert told["exit_ok"] is False and told["unsound"][0]["case"] == CASE and told["counts"]["train"] == [5, 5]
    text = "\n".join(report.lines())
    assert CASE in text and "tiny_001" not in text and "train 5 of 5" in text


@pytest.mark.data
@pytest.mark.parametrize(
    ("task", "found", "missing"), [("msd04", (144, 16, 40), (38, 10, 12)), ("la", (15, 1, 4), (57, 7, 16))]
)
def test_the_real_volumes_are_clean_and_the_rest_is_named_as_missing(
    task: str, found: tuple[int, ...], missing: tuple[int, ...]
) -> None:
    card = registry.task(task)
    folder = find_dataset(task, card, real(task).parent, {})
    parts = lists(card.protocols["bench"].split, registry.splits_folder())
    report = check(card, folder, parts, partial=True)
    assert (
        report.exit_ok and report.unsound == () and report.extra == () and set(report.checks.values()) == {"ok", "n/a"}
    )
    assert tuple(n for _, n in report.counts.values()) == found
    assert tuple(map(len, report.missing.values())) == missing
    assert not check(card, folder, parts, full=False).exit_ok


def test_a_fold_that_parts_a_patient_is_found_though_the_first_fold_does_not(folder: Path) -> None:
    train, test = tiny.PARTS.train, tiny.PARTS.test
    leaky = Parts((test[0], *train[1:]), (train[0],), test[1:])
    doubled = Parts((*train, train[0]), tiny.PARTS.val, test)
    assert look(folder, parts=tiny.PARTS).exit_ok
    assert check(tiny.card(), folder, tiny.PARTS, other_folds=[leaky]).exit_ok
    report = check(tiny.card(), folder, tiny.PARTS, other_folds=[leaky, doubled])
    assert [(u.case, u.check) for u in report.unsound] == [(train[0], "hygiene")]


# Archives and the quarantine list -----------------------------------------------------------------------


def test_an_archive_that_still_lies_beside_the_data_is_checked_against_its_owners_md5(folder: Path) -> None:
    archive = folder.parent / "Task99_Tiny.tar"
    archive.write_bytes(b"whole")
    whole = tiny.card(archives={archive.name: "9fe77f3af50174ba9f6e3a9b4a3e2ed4"})
    md5 = hashlib.md5(b"whole").hexdigest()
    sound = check(replace(whole, archives={archive.name: md5}), folder, tiny.PARTS)
    assert sound.exit_ok and sound.checks["checksums"] == "ok"
    broken = check(whole, folder, tiny.PARTS)
    assert not broken.exit_ok and broken.checks["checksums"] == "1 unsound"
    assert broken.unsound[0].problem.startswith(f"the archive 'Task99_Tiny.tar' has md5 {md5}")


def test_the_quarantine_list_names_unsound_cases_alone(folder: Path) -> None:
    cut_image(folder)
    lines = look(folder).quarantine().splitlines()
    assert [line.split("\t")[:2] for line in lines] == [[CASE, "files"]]
    assert look(tiny.write(folder.parent / "again")).quarantine() == ""
