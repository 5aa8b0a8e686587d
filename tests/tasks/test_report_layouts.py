"""Datasets with reports, as their owners ship them: what is read, what is left out, and how a broken one is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bench.contracts.errors import DataMissing, DataUnsound
from bench.data.axes import as_affine
from bench.data.volumes import read_image, write_nifti
from bench.nets.reports import fragments
from bench.phantoms.chest import make_chest
from tasks.layouts import ct_rate_tables as tables
from tasks.layouts.ct_rate import CtRate
from tasks.layouts.ctrg import OBSERVATIONS, PHANTOM_JSON, TABLE, Ctrg
from tasks.layouts.phantom_case import Look
from tasks.layouts.reports import joined, section

LOOK = Look(dataset="made-up", view="chest", modality="ct", smoke=(16, 16, 12), mini=(16, 16, 12), spacing_mm=(1, 1, 2))
CTRG_LOOK = Look(
    dataset="made-up",
    view="chest",
    modality="ct",
    smoke=(16, 16, 12),
    mini=(16, 16, 12),
    unseen=("ctrg_report.json", "test"),
)
CTRG = Ctrg(look=CTRG_LOOK)
RATE = CtRate(look=LOOK)
VOLUMES = ("train_1_a_1", "train_3_a_1", "train_3_a_2", "train_12_b_1", "valid_1_a_1", "valid_2_a_1")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("reports")
    CTRG.write_phantom(root / "ctrg", ["0", "2", "10", "1"], "smoke")
    RATE.write_phantom(root / "rate" / "dataset", VOLUMES, "smoke")
    return {"ctrg": root / "ctrg", "rate": root / "rate"}


@pytest.fixture
def copy(written: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(written[name], tmp_path / name))


def dataset(folder: Path) -> Path:
    return folder / "dataset"


def replaced(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


# Texts ------------------------------------------------------------------------------------------------


def test_a_section_that_is_not_given_is_empty_and_joins_to_nothing() -> None:
    assert section("Not given.") == section(" not  given ") == section(None) == ""
    assert joined("No  nodule.", "Not given.") == "No nodule." and joined("Not given.", None) == ""
    assert section("Not given contrast, no embolus.") == "Not given contrast, no embolus."


def test_no_sentence_goes_on_from_a_section_into_the_next() -> None:
    """MG-3D's code cuts each section into fragments by itself; some of CTRG's findings end without a full stop."""
    findings, impression = "Heart normal, a nodule can be seen", "Inflammation, chronic bronchitis"
    apart = [*fragments(findings)[:-1], "a nodule can be seen.", *fragments(impression)]
    assert fragments(joined(findings, impression)) == apart
    assert joined("Heart normal, ", "Cyst.") == "Heart normal, Cyst."
    assert joined("No nodule.", "Cyst") == "No nodule. Cyst" and joined(findings, "Not given.") == findings


# CTRG -------------------------------------------------------------------------------------------------


def test_ctrg_reads_grey_volumes_by_number_with_the_findings_as_text(written: dict[str, Path]) -> None:
    records = CTRG.records(written["ctrg"])
    assert [r.case_id for r in records] == ["0", "1", "2", "10"]
    assert CTRG.locate(written["ctrg"].parent) == written["ctrg"]
    items = {i["id"]: i for p in json.loads((written["ctrg"] / PHANTOM_JSON).read_text()).values() for i in p}
    both = Ctrg(look=LOOK, sections=("findings", "impression")).records(written["ctrg"])
    for record, joint in zip(records, both, strict=True):
        item = items[int(record.case_id)]
        assert record.text == item["report"] and joint.text == joined(item["report"], item["result"])
        assert record.label.kind == "report" and record.label.path == PHANTOM_JSON and record.source == "phantom"
        assert len(record.meta["observations"]) == 14 == len(OBSERVATIONS)
        image = read_image(written["ctrg"], record).array
        assert image.dtype == np.int16 and image.min() >= 0 and 100 < image.max() <= 255


def test_the_text_of_a_report_never_leaves_memory(written: dict[str, Path]) -> None:
    for record in (*CTRG.records(written["ctrg"]), *RATE.records(dataset(written["rate"]))):
        assert record.text and record.text not in record.model_dump_json() and record.text not in repr(record)


def test_a_ctrg_volume_without_a_report_is_unlabelled(copy: Callable[[str], Path]) -> None:
    folder = copy("ctrg")
    content = json.loads((folder / PHANTOM_JSON).read_text())
    content["train"] = [item for item in content["train"] if item["id"] != 2]
    (folder / PHANTOM_JSON).write_text(json.dumps(content))
    kinds = {r.case_id: r.label.kind for r in CTRG.records(folder)}
    assert kinds == {"0": "report", "1": "report", "2": "none", "10": "report"}


def test_a_ctrg_report_belongs_to_the_volume_that_its_id_names_as_a_file(copy: Callable[[str], Path]) -> None:
    """As the released list has it: "910.nii.gz" is volume 910."""
    folder = copy("ctrg")
    as_numbers, content = CTRG.records(folder), json.loads((folder / PHANTOM_JSON).read_text())
    for item in (item for part in content.values() for item in part):
        item["id"] = f"{item['id']}.nii.gz"
    (folder / PHANTOM_JSON).write_text(json.dumps(content))
    found = CTRG.records(folder)
    assert [(r.case_id, r.text) for r in found] == [(r.case_id, r.text) for r in as_numbers]
    assert [r.case_id for r in found] == ["0", "1", "2", "10"] and all(r.label.kind == "report" for r in found)


def cut_json(folder: Path) -> str:
    path = folder / PHANTOM_JSON
    path.write_text(path.read_text()[:200])
    return "no readable JSON"


def two_reports(folder: Path) -> str:
    path = folder / PHANTOM_JSON
    content = json.loads(path.read_text())
    content["train"].append({**content["train"][0], "report": "Another one."})
    path.write_text(json.dumps(content))
    return "0: 'chest_ctrg_nitfy_ori_split.json' holds two different reports"


def no_number(folder: Path) -> str:
    replaced(folder / PHANTOM_JSON, '"id": 0', '"id": "first"')
    return "has no number as its id"


def unknown_code(folder: Path) -> str:
    path = folder / TABLE
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-1] + "7", *lines[2:]]))
    return "holds ['7']; possible are 0, 1, 2 and 3"


def no_json(folder: Path) -> str:
    (folder / PHANTOM_JSON).unlink()
    return "expected one JSON with train, val and test in ctrg, found 0"


def cut_observations(folder: Path) -> str:
    return cut_row(folder / TABLE, 9)


@pytest.mark.parametrize(
    "harm", [cut_json, two_reports, no_number, unknown_code, cut_observations, no_json], ids=lambda h: h.__name__
)
def test_a_broken_ctrg_names_what_is_wrong_and_a_remedy(
    harm: Callable[[Path], str], copy: Callable[[str], Path]
) -> None:
    folder = copy("ctrg")
    told = harm(folder)
    with pytest.raises(DataUnsound) as caught:
        CTRG.records(folder)
    assert told in str(caught.value) and caught.value.remedy


# CT-RATE ----------------------------------------------------------------------------------------------


def test_ct_rate_reads_both_parts_in_order_with_findings_and_impression(written: dict[str, Path]) -> None:
    folder = dataset(written["rate"])
    records = RATE.records(folder)
    assert RATE.locate(written["rate"].parent) == folder
    assert [r.case_id for r in records] == list(VOLUMES)
    assert {r.case_id: (r.group, r.meta["scan"]) for r in records}["train_3_a_2"] == ("train_3", "train_3_a")
    one, two = (r for r in records if r.meta["scan"] == "train_3_a")
    assert one.text == two.text and one.images != two.images
    image = read_image(folder, records[0])
    assert image.array.min() < -900 and image.spacing_mm == pytest.approx((1, 1, 2))
    chest = make_chest("train_1_a", preset="smoke", dataset="made-up", shape=(16, 16, 12), spacing_mm=(1, 1, 2))
    assert records[0].text == joined(chest.report.findings, chest.report.impression)


def test_the_silver_labels_of_a_phantom_are_what_is_in_its_voxels(written: dict[str, Path]) -> None:
    for record in CtRate(look=LOOK, label="findings").records(dataset(written["rate"])):
        scan = str(record.meta["scan"])
        chest = make_chest(scan, preset="smoke", dataset="made-up", shape=(8, 8, 8), spacing_mm=(1, 1, 1))
        assert record.label.kind == "multilabel" and record.label.values == chest.answers


def test_a_pool_of_so_many_scans_takes_one_reconstruction_each_and_nests(written: dict[str, Path]) -> None:
    folder = dataset(written["rate"])
    pools = [{r.case_id for r in CtRate(look=LOOK, parts=("train",), scans=n).records(folder)} for n in (1, 2, 3, 9)]
    assert [len(pool) for pool in pools] == [1, 2, 3, 3]
    assert pools[0] < pools[1] < pools[2] == pools[3] == {"train_1_a_1", "train_3_a_1", "train_12_b_1"}


def test_an_invented_id_stands_for_the_next_training_volume(tmp_path: Path) -> None:
    RATE.write_phantom(tmp_path, ["pool_0001", "pool_0002", "pool_0003", "pool_0004"], "smoke")
    ids = [r.case_id for r in CtRate(look=LOOK, parts=("train",)).records(tmp_path)]
    assert ids == ["train_1_a_1", "train_2_a_1", "train_3_a_1", "train_3_a_2"]
    mark = json.loads((tmp_path / "PHANTOM.json").read_text())
    assert {"pool_0001", "train_1_a_1"} <= set(mark["cases"])


def test_volumes_that_show_no_chest_or_whose_report_is_not_given_are_left_out(copy: Callable[[str], Path]) -> None:
    folder = dataset(copy("rate"))
    (folder / tables.NO_CHEST["train"]).write_text("train_1_a_1.nii.gz\n")
    path = folder / tables.REPORTS["valid"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "valid_1_a_1.nii.gz,x,x,Not given.,Not given.", *lines[2:]]))
    assert "train_1_a_1" not in [r.case_id for r in RATE.records(folder)]
    assert "valid_1_a_1" not in [r.case_id for r in RATE.records(folder)]
    assert "valid_1_a_1" in [r.case_id for r in CtRate(look=LOOK, label="findings").records(folder)]


# The first release, whose values and voxel sizes stand in a table -----------------------------------------


def as_first_release(folder: Path, part: str, slope: int = 2, intercept: int = -8192) -> None:
    """Stored values as scanners scale them, a header of 1 mm, and the truth in the table."""
    shutil.move(folder / f"{part}_fixed", folder / part)
    for path in (folder / part).rglob("*.nii.gz"):
        volume = nib.load(path)  # type: ignore[attr-defined]
        stored = ((np.asarray(volume.dataobj, np.int32) // slope * slope - intercept) // slope).astype(np.int16)
        affine = volume.affine.copy()
        affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0)
        write_nifti(path, stored, affine=as_affine(affine), dtype=np.int16)
    path = folder / tables.METADATA["train" if part == "train" else "valid"]
    path.write_text(path.read_text().replace(',1,0,"', f',{slope},{intercept},"'))


def test_the_first_release_gives_the_same_volumes_through_its_table(copy: Callable[[str], Path]) -> None:
    folder = dataset(copy("rate"))
    fixed = {r.case_id: read_image(folder, r) for r in RATE.records(folder)}
    as_first_release(folder, "train")
    for record in RATE.records(folder):
        image = read_image(folder, record)
        assert image.spacing_mm == pytest.approx((1, 1, 2)) and image.array.dtype == np.int16
        assert np.abs(image.array - fixed[record.case_id].array).max() <= 1
        assert ("train/" in record.images[0].path) == record.case_id.startswith("train")


def test_a_phantom_holds_volumes_of_either_release_and_the_second_is_taken_of_those_in_both(tmp_path: Path) -> None:
    volumes = ("train_4_a_1", "train_5_a_1", "train_7_a_1", "valid_5_a_1")
    RATE.write_phantom(tmp_path, volumes, "smoke")
    records = {record.case_id: record for record in RATE.records(tmp_path)}
    releases = {case: record.images[0].path.partition("/")[0] for case, record in records.items()}
    assert releases == dict(zip(volumes, ("train_fixed", "train", "train_fixed", "valid_fixed"), strict=True))
    scaled = records["train_5_a_1"]
    stored = np.asarray(nib.load(tmp_path / scaled.images[0].path).dataobj)  # type: ignore[attr-defined]
    image = read_image(tmp_path, scaled)
    assert stored.min() >= 0 and image.array.min() < -900 and image.spacing_mm == pytest.approx((1, 1, 2))
    drawn = make_chest("train_5_a", preset="smoke", dataset=LOOK.dataset, shape=LOOK.smoke, spacing_mm=LOOK.spacing_mm)
    assert sorted(image.array.ravel()) == sorted(drawn.image.ravel())
    shutil.rmtree(tmp_path / "train_fixed" / "train_7")  # of this one the table tells no slice distance
    (older,) = (record for record in RATE.records(tmp_path) if record.case_id == "train_7_a_1")
    with pytest.raises(DataUnsound, match=r"train_7_a_1: .* has spacing \(1.0, 1.0, nan\) mm"):
        read_image(tmp_path, older)


def test_a_row_without_a_slice_distance_is_told_when_the_case_is_read(copy: Callable[[str], Path]) -> None:
    folder = dataset(copy("rate"))
    as_first_release(folder, "train")
    path = folder / tables.METADATA["train"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].rpartition(",")[0] + ",", *lines[2:]]))
    record = RATE.records(folder)[0]
    with pytest.raises(DataUnsound, match=r"train_1_a_1: .* has spacing \(1.0, 1.0, nan\) mm"):
        read_image(folder, record)


def lost_reports(folder: Path) -> str:
    (folder / tables.REPORTS["valid"]).unlink()
    return "no file 'validation_reports.csv'"


def lost_column(folder: Path) -> str:
    replaced(folder / tables.LABELS["valid"], "Hiatal hernia", "Hernia")
    return "lacks the column Hiatal hernia"


def strange_answer(folder: Path) -> str:
    path = folder / tables.LABELS["train"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-1] + "2", *lines[2:]]))
    return "train_1_a_1: 'train_predicted_labels.csv' answers ['2']"


def cut_row(path: Path, columns: int) -> str:
    """A table whose last row ends after so many columns, as a download that breaks off leaves it."""
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, ",".join(last.split(",")[:columns])]))
    return f"{last.split(',')[0]}: row {len(lines)} of '{path.name}' is cut short"


def cut_answers(folder: Path) -> str:
    return cut_row(folder / tables.LABELS["valid"], 7)


def cut_reports(folder: Path) -> str:
    return cut_row(folder / tables.REPORTS["valid"], 2)


def two_rows(folder: Path) -> str:
    path = folder / tables.REPORTS["train"]
    path.write_text(path.read_text() + "train_1_a_1.nii.gz,x,x,Other findings.,Other.\n")
    return "holds two different rows of this name"


def strange_name(folder: Path) -> str:
    replaced(folder / tables.REPORTS["train"], "train_1_a_1.nii.gz", "scan one.nii.gz")
    return "names a volume 'scan one.nii.gz'"


@pytest.mark.parametrize(
    "harm",
    [lost_reports, lost_column, strange_answer, cut_answers, cut_reports, two_rows, strange_name],
    ids=lambda h: h.__name__,
)
def test_a_broken_ct_rate_names_what_is_wrong_and_a_remedy(
    harm: Callable[[Path], str], copy: Callable[[str], Path]
) -> None:
    folder = dataset(copy("rate"))
    told = harm(folder)
    with pytest.raises((DataUnsound, DataMissing)) as caught:
        CtRate(look=LOOK, label="findings").records(folder)
    assert told in str(caught.value) and caught.value.remedy
