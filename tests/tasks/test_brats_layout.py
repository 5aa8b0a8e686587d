"""BraTS's folders of four contrasts: the tree, codes 1, 2 and 4, tumours that do not enhance, and broken copies."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.record import Record
from bench.data.check_report import CheckReport
from bench.data.checks import check
from bench.data.splits import lists
from bench.data.volumes import label_map, read_header, read_image, read_label, write_nifti

CARD = registry.task("brats21")
PARTS = lists(CARD.protocols["bench"].split, registry.splits_folder())
CASES = (*PARTS.train[:12], PARTS.val[0], PARTS.test[0])
VALUES = label_map(3, CARD.label_values)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("brats") / "BraTS2021_Training_Data"
    CARD.files.write_phantom(folder, CASES, "smoke")
    return folder


def test_four_files_are_four_channels_in_the_order_of_monais_list(written: Path) -> None:
    (first, *_) = records = CARD.files.records(written)
    assert CARD.files.locate(written) == written == CARD.files.locate(written.parent)
    assert [r.case_id for r in records] == sorted(CASES)
    assert [Path(image.path).name.rpartition("_")[2] for image in first.images] == [
        f"{name}.nii.gz" for name in ("flair", "t1ce", "t1", "t2")
    ]
    image = read_image(written, first)
    assert (
        image.array.shape == (4, 32, 32, 32)
        and (image.array[:, 0] == 0).all()
        and image.array.any(axis=(1, 2, 3)).all()
    )


def test_files_hold_1_2_and_4_and_some_tumors_have_no_enhancing_part(written: Path) -> None:
    shown = [set(np.unique(read_label(written, r, VALUES).array)) for r in CARD.files.records(written)]
    raw = [set(np.unique(read_label(written, r, {1: 1, 2: 2, 4: 4}).array)) for r in CARD.files.records(written)]
    assert set().union(*shown) == {0, 1, 2, 3} and set().union(*raw) == {0, 1, 2, 4}
    assert all({0, 1, 2} <= labels for labels in shown)
    assert 1 <= sum(3 not in labels for labels in shown) <= len(CASES) // 3
    assert [3 in labels for labels in shown] == [4 in codes for codes in raw]


def test_enhancement_is_bright_in_t1_with_contrast_agent_alone(written: Path) -> None:
    for record in CARD.files.records(written):
        image, label = read_image(written, record).array.astype(float), read_label(written, record, VALUES).array
        if not (label == 3).any():
            continue
        brain = (image[2] > 0) & (label == 0)
        with_agent, without = (image[c][label == 3].mean() / image[c][brain].mean() for c in (1, 2))
        assert with_agent > without


def test_plain_nifti_files_and_cases_without_a_mask_are_taken(copied: Path) -> None:
    case = CASES[0]
    home = copied / f"BraTS2021_{case}"
    packed = home / f"BraTS2021_{case}_t1.nii.gz"
    packed.with_name(packed.name.removesuffix(".gz")).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    (home / f"BraTS2021_{case}_seg.nii.gz").unlink()
    record = next(r for r in CARD.files.records(copied) if r.case_id == case)
    assert record.images[2].path.endswith("_t1.nii") and record.label.kind == "none"
    assert read_image(copied, record).array.shape[0] == 4


# Broken copies ----------------------------------------------------------------------------------------


def without_a_contrast(folder: Path, record: Record) -> None:
    (folder / record.images[3].path).unlink()


def on_another_grid(folder: Path, record: Record) -> None:
    header = read_header(folder, record)
    moved = [list(row) for row in header.affine]
    moved[2][3] += 5.0
    write_nifti(folder / record.images[1].path, np.ones(header.shape, np.int16), affine=moved, dtype=np.int16)  # type: ignore[arg-type]


def with_label_3(folder: Path, record: Record) -> None:
    header = read_header(folder, record)
    array = np.full(header.shape, 3, np.uint8)
    write_nifti(folder / str(record.label.path), array, affine=header.affine, dtype=np.uint8)


def cut_short(folder: Path, record: Record) -> None:
    path = folder / record.images[2].path
    path.write_bytes(path.read_bytes()[:200])


HARMS: dict[Callable[[Path, Record], None], tuple[str, str]] = {
    without_a_contrast: ("_t2.nii.gz' in", "files|geometry"),
    on_another_grid: ("lies elsewhere than", "geometry"),
    with_label_3: ("unknown values [3]; possible are [0, 1, 2, 4]", "labels"),
    cut_short: ("is truncated or damaged", "files|geometry"),
}


@pytest.mark.parametrize("harm", list(HARMS), ids=lambda harm: harm.__name__)
def test_a_broken_case_is_named_with_its_file_and_a_remedy(harm: Callable[[Path, Record], None], copied: Path) -> None:
    record = next(r for r in CARD.files.records(copied) if r.case_id == PARTS.test[0])
    harm(copied, record)
    report: CheckReport = check(CARD, copied, PARTS)
    (found,) = report.unsound
    told, stage = HARMS[harm]
    assert found.case == PARTS.test[0] and told in found.problem and found.remedy and found.check in stage.split("|")
    with pytest.raises((DataMissing, DataUnsound)):
        read_image(copied, record)
        read_label(copied, record, VALUES)
