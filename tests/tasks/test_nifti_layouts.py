"""Layouts of one NIfTI image and mask per case: their trees in every form, their quirks, and what a broken copy is told."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bench import registry
from bench.cases import find_cases
from bench.contracts.cards import TaskCard
from bench.contracts.errors import BenchError, DataMissing, DataUnsound
from bench.contracts.record import Record
from bench.data.checks import check
from bench.data.find import find_dataset
from bench.data.splits import lists
from bench.data.volumes import label_map, read_header, read_image, read_label, write_nifti
from bench.spec import make_spec

CASES = {
    "mmwhs": ("ct_train_1001", "ct_train_1005", "ct_train_1006", "ct_train_1015"),
    "amos22": ("0001", "0004", "0008"),
    "flare22": ("FLARE22_Tr_0001", "FLARE22_Tr_0011", "FLARE22_Tr_0023"),
    "covid1920": ("0003", "0167_1", "0332", "0636"),
}
TASKS = list(CASES)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("trees")
    for task, cases in CASES.items():
        card = registry.task(task)
        card.files.write_phantom(root / task / card.folders[0], cases, "smoke")
    return {task: root / task / registry.task(task).folders[0] for task in CASES}


@pytest.fixture
def copy_of(written: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda task: Path(shutil.copytree(written[task], tmp_path / written[task].name))


def labelled(card: TaskCard, folder: Path) -> list[str]:
    return [record.case_id for record in masked(card, folder)]


# Trees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_cases_bear_their_official_ids_and_the_owners_labels_are_read(task: str, written: dict[str, Path]) -> None:
    card = registry.task(task)
    folder = written[task]
    assert labelled(card, folder) == sorted(CASES[task])
    assert card.files.locate(folder) == folder == card.files.locate(folder.parent)
    values = label_map(len(card.classes), card.label_values)
    for record in card.files.records(folder):
        sloped = card.files.look.slope(record.case_id) != (1.0, 0.0)  # type: ignore[attr-defined]
        assert read_image(folder, record).array.dtype == (np.float32 if sloped else np.int16)
        if record.label.kind == "mask":
            assert 1 <= read_label(folder, record, values).array.max() <= len(card.classes)


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_folder_and_a_folder_of_another_task_hold_no_such_dataset(
    task: str, written: dict[str, Path], tmp_path: Path
) -> None:
    files = registry.task(task).files
    assert files.locate(tmp_path) is None
    assert all(files.locate(folder) is None for other, folder in written.items() if other != task)


@pytest.mark.parametrize(
    ("train", "labels"), [("ct_train1", "ct_train2"), ("images", "labels"), ("imagesTr", "labelsTr")]
)
def test_whole_hearts_are_told_by_their_stems_wherever_a_release_keeps_them(
    train: str, labels: str, copy_of: Callable[[str], Path]
) -> None:
    card, folder = registry.task("mmwhs"), copy_of("mmwhs")
    (folder / labels).mkdir()
    for path in (folder / "ct_train").glob("*_label.nii.gz"):
        path.rename(folder / labels / path.name)
    (folder / "ct_train").rename(folder / train)
    assert card.files.locate(folder) == folder and labelled(card, folder) == sorted(CASES["mmwhs"])


def test_some_whole_hearts_hold_the_slip_421_and_read_as_left_atrium(written: dict[str, Path]) -> None:
    card, folder = registry.task("mmwhs"), written["mmwhs"]
    strict = {code: label for code, label in card.label_values.items() if code != 421}
    refused = 0
    for record in card.files.records(folder):
        whole = read_label(folder, record, label_map(7, card.label_values)).array
        try:
            assert np.array_equal(read_label(folder, record, label_map(7, strict)).array, whole)
        except DataUnsound as error:
            assert "[421]" in str(error)
            refused += 1
    assert 0 < refused < len(CASES["mmwhs"])


def test_amos_takes_ct_by_number_and_both_official_parts(written: dict[str, Path]) -> None:
    folder = written["amos22"]
    assert nib.load(folder / "imagesTr" / "amos_0507.nii.gz").get_data_dtype() == np.float32  # MR
    paths = {r.case_id: r.images[0].path for r in registry.task("amos22").files.records(folder)}
    assert "0507" not in paths and paths["0008"].startswith("imagesVa/") and paths["0001"].startswith("imagesTr/")


def test_flare_is_read_from_the_official_tree_and_from_images_and_labels_alone(written: dict[str, Path]) -> None:
    files, folder = registry.task("flare22").files, written["flare22"]
    bare = folder / "Training" / "FLARE22_LabeledCase50"
    assert [r.case_id for r in files.records(bare)] == sorted(CASES["flare22"])
    kinds = {r.case_id: r.label.kind for r in files.records(folder)}
    assert kinds.pop("Case_00001") == "none" and set(kinds.values()) == {"mask"}


def test_a_repeated_covid_scan_belongs_to_the_patient_of_its_stem_and_masks_may_be_floats(
    written: dict[str, Path],
) -> None:
    files, folder = registry.task("covid1920").files, written["covid1920"]
    assert {r.case_id: r.group for r in files.records(folder)}["0167_1"] == "0167"
    dtypes = set()
    for record in files.records(folder):
        as_image = record.images[0].model_copy(update={"path": record.label.path})
        dtypes.add(read_header(folder, record.model_copy(update={"images": (as_image,)})).dtype)
    assert dtypes == {"uint8", "float32"}


# Broken copies ----------------------------------------------------------------------------------------


def masked(card: TaskCard, folder: Path) -> list[Record]:
    return [record for record in card.files.records(folder) if record.label.kind == "mask"]


def own_label(value: int) -> Callable[[TaskCard, Path], None]:
    def harm(card: TaskCard, folder: Path) -> None:
        record = masked(card, folder)[0]
        header = read_header(folder, record)
        array = np.full(header.shape, value, np.int16)
        write_nifti(folder / str(record.label.path), array, affine=header.affine, dtype=np.int16)

    return harm


def no_mask(card: TaskCard, folder: Path) -> None:
    (folder / str(masked(card, folder)[0].label.path)).unlink()


def no_gzip(card: TaskCard, folder: Path) -> None:
    (folder / masked(card, folder)[0].images[0].path).write_bytes(b"not a volume at all")


def twice(card: TaskCard, folder: Path) -> None:
    """One scan unpacked beside its archive: two images bear one id."""
    first = folder / masked(card, folder)[0].images[0].path
    shutil.copy(first, first.with_name(first.name.removesuffix(".gz")))


def same_patient(card: TaskCard, folder: Path) -> None:
    one, other = masked(card, folder)[:2]
    shutil.copy(folder / one.images[0].path, folder / other.images[0].path)
    shutil.copy(folder / str(one.label.path), folder / str(other.label.path))


HARMS: dict[str, tuple[Callable[[TaskCard, Path], None], str]] = {
    "no mask": (no_mask, "its mask is not|its label is not"),
    "no gzip": (no_gzip, "is no gzip file"),
    "two files of one id": (twice, "two images on disk bear this id"),
    "one scan under two names": (same_patient, "its image .* is that of"),
}


@pytest.mark.parametrize("harm", list(HARMS))
@pytest.mark.parametrize("task", TASKS)
def test_a_broken_copy_is_told_with_case_and_remedy(task: str, harm: str, copy_of: Callable[[str], Path]) -> None:
    card, folder = registry.task(task), copy_of(task)
    deed, told = HARMS[harm]
    deed(card, folder)
    report = check(card, folder, lists(card.protocols["bench"].split, registry.splits_folder()))
    assert not report.exit_ok
    found = [one for one in report.unsound if re.search(told, one.problem)]
    assert found and all(one.case and one.remedy for one in found)


@pytest.mark.parametrize(
    ("task", "value"), [("mmwhs", 1), ("mmwhs", 421 + 1), ("amos22", 16), ("flare22", 14), ("covid1920", 2)]
)
def test_a_label_that_the_owners_never_use_is_refused(task: str, value: int, copy_of: Callable[[str], Path]) -> None:
    card, folder = registry.task(task), copy_of(task)
    own_label(value)(card, folder)
    report = check(card, folder, lists(card.protocols["bench"].split, registry.splits_folder()))
    (found,) = [one for one in report.unsound if one.check == "labels" and one.case]
    assert f"unknown values [{value}]" in found.problem


@pytest.mark.parametrize("task", TASKS)
def test_a_run_on_half_a_download_names_what_is_missing(task: str, copy_of: Callable[[str], Path]) -> None:
    card, folder = registry.task(task), copy_of(task)
    (folder / "PHANTOM.json").unlink()
    spec: Any = make_spec(method="unet3d_scratch", task=task, preset="tiny")
    with pytest.raises(DataMissing, match=r"lacks [0-9]+ of the [0-9]+ cases that the split names"):
        find_cases(spec, card, folder, {})
    with pytest.raises(BenchError, match="are not in"):
        find_dataset(task, card, folder / "nowhere", {})
