"""Broken copies of the challenge's own left atria: each names its scan, what is wrong with which file, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nrrd
import numpy as np
import pytest

from bench import registry
from bench.contracts.record import Record
from bench.data.checks import check
from bench.data.splits import lists
from bench.data.volumes import read_header, write_nrrd
from tasks.la import LOOK
from tasks.layouts.la_nrrd import LaNrrd
from tests.command_line import bench

CARD = registry.task("la")
PARTS = lists(CARD.protocols["bench"].split, registry.splits_folder())
SCANS = (*PARTS.train[:2], PARTS.val[0], PARTS.test[0])
FETCH = "Fetch the file again and compare its checksum"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atria") / "LA"
    LaNrrd(look=LOOK).write_phantom(folder, SCANS, "smoke")
    return folder


def image_of(folder: Path, record: Record) -> Path:
    return folder / record.images[0].path


def mask_of(folder: Path, record: Record) -> Path:
    return folder / str(record.label.path)


def image_cut_short(folder: Path, record: Record) -> None:
    path = image_of(folder, record)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def mask_cut_short(folder: Path, record: Record) -> None:
    path = mask_of(folder, record)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_page_instead(folder: Path, record: Record) -> None:
    """What a download without login leaves under the file's name."""
    image_of(folder, record).write_bytes(b"<!DOCTYPE html><title>Sign in</title>")


def without_mask(folder: Path, record: Record) -> None:
    mask_of(folder, record).unlink()


def with_a_wall(folder: Path, record: Record) -> None:
    """Cavity and wall in one mask, as `lawall` codes them beside it."""
    header = read_header(folder, record)
    array = np.zeros(header.shape, np.uint8)
    array[4:9, 4:9, 4:9], array[5:8, 5:8, 5:8] = 100, 255
    write_nrrd(mask_of(folder, record), array, affine=header.affine)


def mask_of_another_size(folder: Path, record: Record) -> None:
    header = read_header(folder, record)
    write_nrrd(mask_of(folder, record), np.full((9, 9, 9), 255, np.uint8), affine=header.affine)


def in_no_known_space(folder: Path, record: Record) -> None:
    path = image_of(folder, record)
    array, header = nrrd.read(str(path))
    nrrd.write(str(path), array, {**header, "space": "scanner-xyz"})


def of_another_scan(folder: Path, record: Record) -> None:
    """One patient under two names, image and mask."""
    other = next(one for one in LaNrrd(look=LOOK).records(folder) if one.case_id == PARTS.train[0])
    shutil.copy(image_of(folder, other), image_of(folder, record))
    shutil.copy(mask_of(folder, other), mask_of(folder, record))


HARMS: dict[Callable[[Path, Record], None], tuple[str, str, str]] = {  # what is said, of which check, and what to do
    image_cut_short: ("lgemri.nrrd' is truncated or damaged", "files", FETCH),
    mask_cut_short: ("laendo.nrrd' is truncated or damaged", "labels", FETCH),
    a_page_instead: ("lgemri.nrrd' is truncated or damaged", "files", FETCH),
    without_mask: ("its image is there, its label is not", "counts", "Complete the download"),
    with_a_wall: (
        "unknown values [100]; possible are [0, 1, 255]",
        "labels",
        "Check that the file is this task's mask",
    ),
    mask_of_another_size: ("has shape (9, 9, 9)", "geometry", "fetch both again"),
    in_no_known_space: ("stands in space 'scanner-xyz'; possible are", "files", "Save it anew as LPS"),
    of_another_scan: (f"its image (test) is that of {PARTS.train[0]} (train)", "hygiene", "Fetch both again"),
}


@pytest.mark.parametrize("harm", list(HARMS), ids=lambda harm: harm.__name__)
def test_a_broken_scan_is_named_with_its_file_and_what_to_do(
    harm: Callable[[Path, Record], None], copied: Path
) -> None:
    assert check(CARD, copied, PARTS).unsound == ()
    record = next(one for one in CARD.files.records(copied) if one.case_id == PARTS.test[0])
    harm(copied, record)
    report = check(CARD, copied, PARTS)
    (found,) = report.unsound
    told, stage, remedy = HARMS[harm]
    assert (found.case, found.check) == (PARTS.test[0], stage) and not report.exit_ok
    assert told in found.problem and remedy in found.remedy


@pytest.mark.parametrize("harm", [image_cut_short, with_a_wall], ids=lambda harm: harm.__name__)
def test_a_run_on_a_broken_scan_names_it_and_trains_nothing(
    harm: Callable[[Path, Record], None], copied: Path, tmp_path: Path
) -> None:
    record = next(one for one in CARD.files.records(copied) if one.case_id == PARTS.test[0])
    harm(copied, record)
    words = ("run", "--method", "unet3d_scratch", "--task", "la", "--root", copied, "--results", tmp_path / "r")
    error = bench(*words, "--preset", "tiny", "--device", "cpu", "--json").error
    told, _, remedy = HARMS[harm]
    assert (error["error"], error["case"]) == ("DataUnsound", PARTS.test[0])
    assert told in error["message"] and remedy in error["remedy"]
    assert not (tmp_path / "r" / "runs" / "finetune").exists()
