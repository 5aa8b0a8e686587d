"""ACDC's folders: frames by `Info.cfg` and by nothing else, patients as units, a published split that leaks, broken copies."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bench import registry
from bench.cases import find_cases
from bench.contracts.errors import DataUnsound
from bench.contracts.record import Record
from bench.data import manifest
from bench.data.checks import check
from bench.data.roster import roster_of
from bench.data.splits import Parts, check_hygiene, lists, nested, rank
from bench.data.volumes import read_header, read_image, read_label, write_nifti
from bench.phantom_data import task_ids
from bench.spec import make_spec

CARD = registry.task("acdc")
SPLITS = registry.splits_folder()
VALUES = {0: 0, 1: 1, 2: 2, 3: 3}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acdc") / "ACDC"
    CARD.files.write_phantom(folder, ["patient055", "090_frame11", *task_ids(CARD, "smoke")], "smoke")
    return folder


def parts_of(protocol: str, folder: Path) -> Parts:
    return lists(CARD.protocols[protocol].split, SPLITS, 0, roster_of(CARD.files, folder, CARD.files.records(folder)))


def by_case(folder: Path) -> dict[str, Record]:
    return {record.case_id: record for record in CARD.files.records(folder)}


# The tree ---------------------------------------------------------------------------------------------


def test_a_patient_is_two_cases_of_one_group_in_the_frames_that_info_cfg_tells(written: Path) -> None:
    records = by_case(written)
    assert CARD.files.locate(written) == written == CARD.files.locate(written.parent)
    assert records["090_frame04"].meta["phase"] == "ED" and records["090_frame11"].meta["phase"] == "ES"
    assert {r.group for r in records.values() if r.case_id.startswith("090")} == {"patient090"}
    text = (written / "training" / "patient090" / "Info.cfg").read_text()
    assert re.search(r"^ED: 4$", text, re.M) and re.search(r"^ES: 11$", text, re.M) and "NbFrame: 14" in text


def test_info_cfg_is_believed_over_the_numbers_of_frames(copied: Path) -> None:
    path = copied / "training" / "patient090" / "Info.cfg"
    path.write_text(path.read_text().replace("ED: 4", "ED: 11").replace("ES: 11", "ES: 4"))
    records = by_case(copied)
    assert records["090_frame11"].meta["phase"] == "ED" and records["090_frame04"].meta["phase"] == "ES"


def test_the_cine_series_holds_the_labelled_frames_and_the_heart_empties_between_them(written: Path) -> None:
    home = written / "training" / "patient090"
    series = np.asarray(nib.load(home / "patient090_4d.nii.gz").dataobj)
    assert series.ndim == 4 and series.shape[3] == 14
    for frame in (4, 11):
        one = np.asarray(nib.load(home / f"patient090_frame{frame:02d}.nii.gz").dataobj)
        np.testing.assert_array_equal(one, series[..., frame - 1])
    records = by_case(written)
    full, empty = (read_label(written, records[f"090_frame{n}"], VALUES).array for n in ("04", "11"))
    for cavity in (1, 3):
        assert (empty == cavity).sum() < 0.8 * (full == cavity).sum()


def test_the_testing_part_lies_beside_the_training_part_and_other_nestings_are_found(copied: Path) -> None:
    homes = {part: {path.name for path in (copied / part).iterdir()} for part in ("training", "testing")}
    assert max(homes["training"]) <= "patient100" < min(homes["testing"])
    cases = set(by_case(copied))
    assert {case[:3] for case in cases} == {home.removeprefix("patient") for part in homes.values() for home in part}
    inner = copied.parent / "outer" / "database"
    inner.parent.mkdir()
    copied.rename(inner)
    assert set(by_case(CARD.files.locate(inner.parent) or inner)) == cases


# Splits -----------------------------------------------------------------------------------------------


def test_a_ratio_takes_whole_patients_and_no_patient_straddles_ours(written: Path) -> None:
    full = lists(CARD.protocols["bench"].split, SPLITS)
    assert [len(part) for part in (full.train, full.val, full.test)] == [72, 8, 20]
    parts = parts_of("bench", written)
    here = [case for case in parts.train if "_frame" in case]
    taken = nested(parts.train, 0.1, unit_of=parts.unit_of)
    patients = {case[:3] for case in taken if "_frame" in case}
    assert all(sum(case.startswith(p) for case in taken) == 2 for p in patients) and len(taken) <= len(here)
    check_hygiene(parts, {r.case_id: r.group for r in by_case(written).values()})


def test_the_official_split_tests_on_the_owners_testing_part_alone(written: Path) -> None:
    listed = lists(CARD.protocols["official"].split, SPLITS)
    assert {f"patient{k:03d}" for k in range(101, 151)} == set(listed.test)
    assert {f"patient{k:03d}" for k in range(1, 101)} == {*listed.train, *listed.val} and len(listed.val) == 10
    assert listed.val == rank("acdc", {*listed.train, *listed.val})[:10]
    parts, records = parts_of("official", written), by_case(written)
    here = [records[case] for case in parts.test if case in records]
    assert here and all(record.images[0].path.startswith("testing/") for record in here)
    assert {record.meta["phase"] for record in here} == {"ED", "ES"}


def test_the_published_folds_leak_patients_knowingly_and_run_all_the_same(written: Path) -> None:
    parts = parts_of("mg3d", written)
    assert parts.straddles and (len(parts.train), len(parts.test)) == (160, 40)
    both = {case[:3] for case in parts.train} & {case[:3] for case in parts.test}
    assert len(both) == 30
    spec = make_spec(method="unet3d_scratch", task="acdc", protocol="mg3d", preset="tiny", phantom=True)
    assert find_cases(spec, CARD, written, {}).here.test
    assert manifest.build("acdc", CARD, "mg3d", folder=written, splits_folder=SPLITS).header.n["test"] >= 2
    with pytest.raises(DataUnsound, match="stands in two parts"):
        check_hygiene(
            Parts(parts.train, parts.val, parts.test), {r.case_id: r.group for r in by_case(written).values()}
        )


# Broken copies ----------------------------------------------------------------------------------------


def without_info(folder: Path, _: Record) -> None:
    (folder / "training" / "patient055" / "Info.cfg").unlink()


def with_half_an_info(folder: Path, _: Record) -> None:
    path = folder / "training" / "patient055" / "Info.cfg"
    path.write_text(path.read_text().replace("ES:", "EndSystole:"))


@pytest.mark.parametrize(("harm", "told"), [(without_info, "no Info.cfg"), (with_half_an_info, "no frame for ES")])
def test_without_info_cfg_nobody_guesses_which_frames_are_labelled(
    harm: Callable[[Path, Record], None], told: str, copied: Path
) -> None:
    harm(copied, by_case(copied)["055_frame01"])
    with pytest.raises(DataUnsound, match=told) as caught:
        CARD.files.records(copied)
    assert caught.value.case == "patient055" and caught.value.remedy


def without_its_frame(folder: Path, record: Record) -> None:
    (folder / record.images[0].path).unlink()


def without_its_mask(folder: Path, record: Record) -> None:
    (folder / str(record.label.path)).unlink()


def with_label_4(folder: Path, record: Record) -> None:
    header = read_header(folder, record)
    write_nifti(
        folder / str(record.label.path), np.full(header.shape, 4, np.uint8), affine=header.affine, dtype=np.uint8
    )


def with_the_series_for_a_frame(folder: Path, record: Record) -> None:
    home = (folder / record.images[0].path).parent
    shutil.copy(home / f"{home.name}_4d.nii.gz", folder / record.images[0].path)


HARMS: dict[Callable[[Path, Record], None], str] = {
    without_its_frame: "no file 'training/patient055",
    without_its_mask: "its label is not",
    with_label_4: "unknown values [4]",
    with_the_series_for_a_frame: "is 4-D where 3-D is due",
}


@pytest.mark.parametrize("harm", list(HARMS), ids=lambda harm: harm.__name__)
def test_a_broken_frame_is_named_with_what_is_wrong(harm: Callable[[Path, Record], None], copied: Path) -> None:
    record = by_case(copied)["055_frame01"]
    harm(copied, record)
    report = check(CARD, copied, parts_of("bench", copied))
    (found,) = report.unsound
    assert found.case == "055_frame01" and HARMS[harm] in found.problem and found.remedy


def test_a_run_reads_what_the_check_passes(written: Path) -> None:
    for record in by_case(written).values():
        assert read_image(written, record).array.shape[1:] == read_label(written, record, VALUES).array.shape
