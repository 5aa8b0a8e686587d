"""Tasks whose cases or answers stand in tables beside MetaImage scans: LUNA16's candidates, STOIC's severity."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench import registry
from bench.case_content import content_hash, told_answers
from bench.cases import cached, find_cases
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.record import ImageFile, LabelFile, Record
from bench.data.checks import check
from bench.data.roster import roster_of
from bench.data.splits import lists, read_list
from bench.data.volumes import read_image
from bench.phantom_data import task_ids
from bench.spec import make_spec
from bench.store import Store
from tasks.kinds.class_samples import voxels_of
from tasks.layouts.luna16 import Luna16
from tasks.layouts.stoic import TABLE, Stoic
from tests.command_line import TINY, bench

SPLITS = registry.splits_folder()
LUNA, STOIC = registry.task("luna16"), registry.task("stoic")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tables")
    for card in (LUNA, STOIC):
        card.files.write_phantom(root / card.folders[0], task_ids(card, "smoke"), "smoke")
    return {"luna16": root / LUNA.folders[0], "stoic": root / STOIC.folders[0]}


@pytest.fixture
def copied(written: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    return {key: Path(shutil.copytree(folder, tmp_path / folder.name)) for key, folder in written.items()}


# LUNA16 -------------------------------------------------------------------------------------------------------


def test_a_phantom_scan_lies_in_the_folder_where_its_owners_keep_it(written: dict[str, Path]) -> None:
    """The split goes by these folders: 0 to 5 train, 6 val, 7 to 9 test."""
    parts = lists(LUNA.protocols["bench"].split, SPLITS)
    part_of = {
        uid: part for part, uids in zip("tvx", (parts.train, parts.val, parts.test), strict=True) for uid in uids
    }
    found = [(path.parent.name, part_of[path.stem]) for path in written["luna16"].glob("subset*/*.mhd")]
    assert len(found) == 12 and {part for _, part in found} == set("tvx")
    assert [name for name, part in found if part != "ttttttvxxx"[int(name[-1])]] == []
    assert sum(len(read_list(SPLITS, "corpus_luna16.json", f"subset_{k}")) for k in range(10)) == 888


def test_a_candidate_is_a_row_and_lies_where_its_world_coordinates_say(
    written: dict[str, Path], tmp_path: Path
) -> None:
    folder = written["luna16"]
    records = LUNA.files.records(folder)
    rows = [line.split(",") for line in (folder / "candidates_V2.csv").read_text().splitlines()[1:]]
    assert [r.case_id for r in records] == [f"{row[0]}#{k}" for k, row in enumerate(rows, start=1)]
    assert [r.label.value for r in records] == [int(row[4]) for row in rows] and len(records) == 48
    spec = make_spec(method="unet3d_scratch", task="luna16", root=str(folder))
    volumes = cached(find_cases(spec, LUNA, folder, {}), LUNA, LUNA.protocols["bench"], tmp_path)
    assert len(list(tmp_path.glob("*.case"))) == 12  # one entry per scan
    turned = 0
    for record in records:
        whole = read_image(folder, record)
        turned += any("-2 0 0" in line for line in (folder / record.images[0].path).read_text().splitlines())
        voxel = (np.linalg.inv(whole.affine) @ [*(record.centre_mm or ()), 1.0])[:3]
        assert (voxel > -1).all() and (voxel < 40).all()
        found = np.asarray(volumes.fields(record.case_id)["centre"])
        np.testing.assert_allclose(found, (voxel - 19.5) * 2 + 39.5, atol=1e-6)  # at 1 mm instead of 2
        assert voxels_of(volumes, record.case_id, (9, 9, 9))[0].astype(float).mean() > -600  # denser than lung


def test_a_nodule_is_denser_than_the_lung_about_it_and_a_border_cube_is_filled(
    written: dict[str, Path], tmp_path: Path
) -> None:
    folder = written["luna16"]
    spec = make_spec(method="unet3d_scratch", task="luna16", root=str(folder))
    volumes = cached(find_cases(spec, LUNA, folder, {}), LUNA, LUNA.protocols["bench"], tmp_path)
    at_border = [case for case in volumes.cases if min(volumes.fields(case)["centre"]) < 2]
    assert at_border
    cube = voxels_of(volumes, at_border[0], (48, 48, 48))[0]
    assert cube.shape == (48, 48, 48) and (cube == -1000).any()


def test_the_papers_protocol_reads_the_older_table_at_native_spacing(written: dict[str, Path], tmp_path: Path) -> None:
    folder = written["luna16"]
    older = Luna16(table="candidates.csv").records(folder)
    assert len(older) < len(LUNA.files.records(folder))
    spec = make_spec(method="unet3d_scratch", task="luna16", protocol="mg3d", root=str(folder))
    found = find_cases(spec, LUNA, folder, {})
    assert set(found.records) == {record.case_id for record in older}
    volumes = cached(found, LUNA, LUNA.protocols["mg3d"], tmp_path)
    assert volumes.sight.spacing_mm is None and volumes.sight.shape == (40, 40, 40)


def test_a_candidate_belongs_to_the_nearest_nodule_of_its_scan(copied: dict[str, Path]) -> None:
    folder = copied["luna16"]
    records = LUNA.files.records(folder)
    of_scan = [record for record in records if record.scan_id == records[0].scan_id]
    assert [record.meta.get("findings") for record in of_scan] == [2, None, None, None]
    true = [record for record in of_scan if record.label.value == 1]
    assert [record.meta["finding"] for record in true] == [0, 1]
    assert all("finding" not in record.meta for record in of_scan if record.label.value == 0)
    rows = (folder / "annotations.csv").read_text().splitlines()
    uid, x, y, z, diameter_mm = rows[1].split(",")
    near = f"{uid},{float(x) + 2},{y},{z},{diameter_mm}"  # 2 mm beside the first
    (folder / "annotations.csv").write_text("\n".join([rows[0], *rows[2:], near]) + "\n")
    moved = [record for record in LUNA.files.records(folder) if record.case_id in {r.case_id for r in true}]
    assert [record.meta["finding"] for record in moved] == [1, 0]  # now the second row of this scan is the first nodule


def test_the_older_table_has_nodules_without_a_candidate(written: dict[str, Path]) -> None:
    records = Luna16(table="candidates.csv").records(written["luna16"])
    told = sum(record.meta.get("findings", 0) for record in records)
    hit = {(record.scan_id, record.meta["finding"]) for record in records if record.label.value == 1}
    assert told == 24 > len(hit) > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("diameter_mm", "size"), "starts with seriesuid,coordX,coordY,coordZ,size"),
        (lambda text: text.replace(",-", ",x", 1), "expected are a scan and four numbers"),
    ],
)
def test_a_broken_table_of_nodules_is_refused(copied: dict[str, Path], change: Callable[[str], str], told: str) -> None:
    table = copied["luna16"] / "annotations.csv"
    table.write_text(change(table.read_text()))
    with pytest.raises(DataUnsound, match=told):
        LUNA.files.records(copied["luna16"])


def test_a_run_tells_average_precision_and_froc_which_is_undefined_without_the_nodules(
    copied: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied["luna16"]
    words = (
        "run",
        "--method",
        "unet3d_scratch",
        "--task",
        "luna16",
        "--root",
        folder,
        "--results",
        tmp_path / "r",
        "--partial",
    )
    cell = json.loads(Path(bench(*words, *TINY, "--json").value["path"]).read_text())
    assert cell["metrics"] == ["auc", "acc", "ap", "froc"] and 0 < cell["scores"]["ap"] <= 1
    assert cell["scores"]["froc"] == pytest.approx(
        np.mean([at["froc"] for at in cell["class_scores"].values() if "froc" in at])
    )
    assert {name for name, at in cell["class_scores"].items() if "froc" in at} == {
        f"fp-{rate}" for rate in ("0.125", "0.25", "0.5", "1", "2", "4", "8")
    }
    assert bench("verify", cell["name"], "--results", tmp_path / "r").code == 0
    (folder / "annotations.csv").unlink()
    again = json.loads(
        Path(bench(*words[:-2], tmp_path / "again", "--partial", *TINY, "--json").value["path"]).read_text()
    )
    assert again["scores"]["froc"] is None and again["counts"]["n_undefined_froc"] == 1
    assert again["scores"]["ap"] == cell["scores"]["ap"]


def test_a_smaller_ratio_takes_whole_scans(written: dict[str, Path]) -> None:
    folder = written["luna16"]
    spec = make_spec(method="unet3d_scratch", task="luna16", root=str(folder), ratio=0.5)
    train = find_cases(spec, LUNA, folder, {}).train
    scans = {case.partition("#")[0] for case in train}
    assert len(scans) == 3 and len(train) == 12  # half of five scans, rounded up, four candidates each


def test_a_scan_without_a_candidate_is_not_missing_and_one_that_is_not_there_is(copied: dict[str, Path]) -> None:
    folder = copied["luna16"]
    table = folder / "candidates_V2.csv"
    lines = table.read_text().splitlines()
    first = lines[1].partition(",")[0]
    table.write_text("\n".join(line for line in lines if not line.startswith(first)) + "\n")
    parts = lists(LUNA.protocols["bench"].split, SPLITS, 0, roster_of(LUNA.files, folder, LUNA.files.records(folder)))
    assert first not in parts.everything()
    next(folder.glob(f"subset*/{first}.mhd")).unlink()
    parts = lists(LUNA.protocols["bench"].split, SPLITS, 0, roster_of(LUNA.files, folder, LUNA.files.records(folder)))
    assert first in parts.everything()


def test_scans_and_their_candidates_are_counted_apart(copied: dict[str, Path]) -> None:
    folder = copied["luna16"]
    parts = lists(LUNA.protocols["bench"].split, SPLITS, 0, roster_of(LUNA.files, folder, LUNA.files.records(folder)))
    report = check(LUNA, folder, parts)
    assert report.counts == {"train": (534, 5), "val": (89, 3), "test": (265, 4)} and report.unit == "scans"
    assert report.cases == {"train": 20, "val": 12, "test": 16}
    assert report.lines()[0].endswith(
        "train 5 of 534 scans (20 cases), val 3 of 89 scans (12 cases), test 4 of 265 scans (16 cases)"
    )
    (folder / "PHANTOM.json").unlink()
    spec = make_spec(method="unet3d_scratch", task="luna16", root=str(folder), partial=True)
    assert find_cases(spec, LUNA, folder, {}).counted == "12 of 888 groups"
    with pytest.raises(DataMissing, match="lacks 876 of the 888 groups that the split names"):
        find_cases(replace(spec, partial=False), LUNA, folder, {})


def test_a_truncated_scan_is_told_once_for_all_its_candidates(copied: dict[str, Path]) -> None:
    folder = copied["luna16"]
    record = LUNA.files.records(folder)[0]
    raw = (folder / record.images[0].path).with_suffix(".raw")
    raw.write_bytes(raw.read_bytes()[:1000])
    parts = lists(LUNA.protocols["bench"].split, SPLITS, 0, roster_of(LUNA.files, folder, LUNA.files.records(folder)))
    (found,) = check(LUNA, folder, parts).unsound
    assert found.case.partition("#")[0] == record.group and "truncated" in found.problem
    assert "Fetch the file again" in found.remedy


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("seriesuid,coordX", "uid,x"), "starts with uid,x"),
        (lambda text: text.replace(",1\n", ",maybe\n", 1), "expected are numbers and a class 0 or 1"),
        (lambda text: text.replace(",1\n", ",-1\n", 1), "expected are numbers and a class 0 or 1"),
        (lambda text: re.sub(r",[^,\n]+,1\n", ",nan,1\n", text, count=1), "expected are numbers and a class 0 or 1"),
        (lambda text: "", "starts with nothing"),
    ],
)
def test_a_broken_table_of_candidates_is_refused(
    copied: dict[str, Path], change: Callable[[str], str], told: str
) -> None:
    table = copied["luna16"] / "candidates_V2.csv"
    rows = table.read_text().splitlines()[1:]
    first = next(number for number, row in enumerate(rows, start=1) if row.endswith(",1"))
    of_row = f"{rows[first - 1].partition(',')[0]}#{first}"
    table.write_text(change(table.read_text()))
    with pytest.raises(DataUnsound, match=told) as caught:
        LUNA.files.records(copied["luna16"])
    assert caught.value.case == (of_row if "class 0 or 1" in told else "luna16")
    assert caught.value.remedy == "Fetch the table again."


def test_a_table_that_is_not_there_is_named(copied: dict[str, Path]) -> None:
    (copied["luna16"] / "candidates_V2.csv").unlink()
    with pytest.raises(DataMissing, match=r"candidates_V2\.csv") as caught:
        LUNA.files.records(copied["luna16"])
    assert caught.value.case == "luna16" and "on Zenodo" in caught.value.remedy
    assert LUNA.files.locate(copied["luna16"]) is not None  # the older table is there


def test_what_a_table_tells_decides_a_result_so_that_a_table_that_comes_later_is_not_overlooked(
    copied: dict[str, Path],
) -> None:
    whole = LUNA.files.records(copied["luna16"])
    (copied["luna16"] / "annotations.csv").unlink()
    bare = LUNA.files.records(copied["luna16"])
    trained, scored = ([told_answers(records, scored=asked) for records in (whole, bare)] for asked in (False, True))
    assert trained[0] == trained[1] and scored[0] != scored[1] and scored[1] == trained[1]
    first = bare[0].label.model_copy(update={"value": 1 - (bare[0].label.value or 0)})
    assert told_answers([bare[0].model_copy(update={"label": first}), *bare[1:]], scored=False) != trained[1]
    assert content_hash(copied["luna16"], whole) == content_hash(copied["luna16"], bare)


def test_answers_in_a_table_beside_an_archive_of_images_decide_a_result_and_those_in_the_archive_go_with_it() -> None:
    def archived(value: int, path: str | None) -> Record:
        label = LabelFile(kind="class", path=path, format="table", value=value)
        image = ImageFile(path="a.npz", format="npz", key="images", index=0)
        told = {"dataset": "own", "adapter_version": "own@1", "patient_id": "a", "group": "a"}
        return Record(case_id="a", images=(image,), label=label, **told)

    beside = [told_answers([archived(value, None)], scored=False) for value in (0, 1)]
    assert beside[0] != beside[1]
    assert told_answers([archived(0, "a.npz")], scored=True) == ""


def test_another_frame_array_or_series_of_the_same_file_is_other_content(tmp_path: Path) -> None:
    def content(**read: Any) -> str:
        image = ImageFile(**{"path": "a.nii.gz", "format": "nifti", **read})
        told = {"dataset": "own", "adapter_version": "own@1", "patient_id": "a", "group": "a"}
        return content_hash(tmp_path, [Record(case_id="a", images=(image,), **told)])

    (tmp_path / "a.nii.gz").write_bytes(b"several contrasts in one file")
    assert content() == content(frame=0) != content(frame=1) != content(frame=2)
    assert content() == content(frame=1, channel=1)  # as files of several channels were always read
    for form in ("npz", "h5", "dicom"):
        assert len({content(format=form, key=key) for key in ("t1", "t2", None)}) == 3
    assert content(format="h5", key="image") == content(format="npz", key="train_images") == content()


def test_where_a_table_says_that_a_candidate_lies_decides_a_result(copied: dict[str, Path]) -> None:
    before, table = LUNA.files.records(copied["luna16"]), copied["luna16"] / "candidates_V2.csv"
    head, *rows = table.read_text().splitlines()
    moved = [",".join([uid, f"{float(x) + 20:.3f}", *rest]) for uid, x, *rest in (row.split(",") for row in rows)]
    table.write_text("\n".join([head, *moved]) + "\n")
    after = LUNA.files.records(copied["luna16"])
    assert content_hash(copied["luna16"], before) != content_hash(copied["luna16"], after)


def test_what_a_table_says_of_voxels_decides_a_result(tmp_path: Path) -> None:
    (tmp_path / "v.nii.gz").write_bytes(b"voxels")
    words = {"dataset": "d", "adapter_version": "1", "case_id": "a", "patient_id": "p", "group": "p"}
    images = [{}, {"rescale": (1.0, -1024.0)}, {"rescale": (1.0, -1000.0)}, {"spacing_mm": (1.0, 1.0, 2.0)}]
    records = [Record(**words, images=(ImageFile(path="v.nii.gz", format="nifti", **image),)) for image in images]
    assert len({content_hash(tmp_path, [record]) for record in records}) == len(records)


def test_a_table_of_nodules_that_is_fetched_later_gives_the_finished_run_its_froc_score(
    copied: dict[str, Path], tmp_path: Path
) -> None:
    nodules = copied["luna16"] / "annotations.csv"
    kept = nodules.read_bytes()
    nodules.unlink()
    words = ("run", "--method", "unet3d_scratch", "--task", "luna16", "--root", copied["luna16"])
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for found in (before, after):
        told = bench(*words, *TINY, "--results", tmp_path / "results", "--json").value
        found |= json.loads(Path(told["path"]).read_text())
        nodules.write_bytes(kept)
    assert before["scores"]["froc"] is None and after["scores"]["froc"] is not None
    assert before["keys"]["predict"] == after["keys"]["predict"]  # nothing is trained again


# STOIC --------------------------------------------------------------------------------------------------------


def test_severity_of_a_negative_patient_is_not_told_whatever_the_table_says(written: dict[str, Path]) -> None:
    folder = written["stoic"]
    rows = [line.split(",") for line in (folder / TABLE).read_text().splitlines()[1:]]
    assert len(rows) == 2000 and any(row[1:] == ["0", "1"] for row in rows)
    told = {row[0]: (int(row[1]), int(row[2]) if row[1] == "1" else -1) for row in rows}
    records = STOIC.files.records(folder)
    assert all(record.label.values == told[record.case_id] for record in records) and len(records) < 40


def test_strata_of_patients_that_are_not_on_disk_are_known_so_that_half_a_download_is_divided_alike(
    written: dict[str, Path], copied: dict[str, Path]
) -> None:
    rule = STOIC.protocols["bench"].split
    whole = lists(rule, SPLITS, 0, roster_of(STOIC.files, written["stoic"], STOIC.files.records(written["stoic"])))
    for path in sorted((copied["stoic"] / "data/mha").iterdir())[:10]:
        path.unlink()
    half = lists(rule, SPLITS, 0, roster_of(STOIC.files, copied["stoic"], STOIC.files.records(copied["stoic"])))
    assert half == whole and len(whole.everything()) == 2000
    assert abs(len(whole.test) - 400) <= 2 and abs(len(whole.val) - 200) <= 2  # rounded in each stratum
    assert set(whole.everything()) == set(read_list(SPLITS, "stoic_ids.txt"))
    strata = STOIC.files.strata(None)
    share = [
        sum(strata[case] == "severe" for case in part) / len(part) for part in (whole.train, whole.val, whole.test)
    ]
    assert max(share) - min(share) < 0.01


def test_a_run_on_stoic_scores_severity_among_positive_patients(tmp_path: Path) -> None:
    words = ("run", "--method", "unet3d_scratch", "--task", "stoic", "--phantom", "--results", tmp_path)
    told = bench(*words, *TINY, "--json").value
    cell = json.loads(Path(told["path"]).read_text())
    assert cell["target"] == "severe" and cell["classes"] == ["severe"] and cell["counts"]["n_untold_answers"] == 2
    assert cell["scores"]["auc"] is not None and cell["n"] == 6
    rows = Store(tmp_path).rows(told["cell"])
    severe = {r.case: r.value for r in rows if r.metric == "truth"}
    scores = {r.case: r.value for r in rows if r.metric == "score"}
    among = [case for case, answer in severe.items() if not math.isnan(answer)]
    for metric, cases in (("auc", among), ("auc@all", list(severe))):
        expected = roc_auc_score([severe[case] == 1 for case in cases], [scores[case] for case in cases])
        assert cell["scores"][metric] == pytest.approx(expected)
    both = bench(*words[:4], "stoic@both", *words[5:], *TINY, "--json").value
    assert set(json.loads(Path(both["path"]).read_text())["class_scores"]) == {"covid", "severe"}


@pytest.mark.parametrize(
    ("change", "told", "case"),
    [
        (lambda text: text.replace("PatientID", "patient"), "starts with patient", "stoic"),
        (lambda text: text.replace("\n17,", "\n6,"), "row 2 of .* a second time", "6"),
        (
            lambda text: text.replace("\n17,0,0", "\n17,0,7").replace("\n17,1,", "\n17,7,"),
            "expected are 0 or 1 twice",
            "17",
        ),
    ],
)
def test_a_broken_table_of_patients_is_refused(
    copied: dict[str, Path], change: Callable[[str], str], told: str, case: str
) -> None:
    table = copied["stoic"] / TABLE
    before = table.read_text()
    table.write_text(change(before))
    assert table.read_text() != before
    with pytest.raises(DataUnsound, match=told) as caught:
        Stoic().records(copied["stoic"])
    assert caught.value.case == case and caught.value.remedy == "Fetch the table again."


def test_a_table_of_patients_that_is_not_there_is_named(copied: dict[str, Path]) -> None:
    (copied["stoic"] / TABLE).unlink()
    assert STOIC.files.locate(copied["stoic"]) is None
    with pytest.raises(DataMissing, match=TABLE) as caught:
        STOIC.files.records(copied["stoic"])
    assert caught.value.case == "stoic" and caught.value.remedy == "Complete the download."


def test_a_patient_without_a_row_stops_the_division(copied: dict[str, Path], tmp_path: Path) -> None:
    folder = copied["stoic"]
    table = folder / TABLE
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    words = ("run", "--method", "unet3d_scratch", "--task", "stoic", "--root", folder, "--results", tmp_path / "r")
    error = bench(*words, *TINY, "--json").error
    assert (
        error["error"] == "SpecError"
        and "unknown is that of 1 of 2,000 units" in error["message"]
        and "fetch it whole" in error["remedy"]
    )


def test_a_truncated_volume_is_named_by_a_run(copied: dict[str, Path], tmp_path: Path) -> None:
    folder = copied["stoic"]
    path = sorted((folder / "data/mha").iterdir())[0]
    path.write_bytes(path.read_bytes()[:3000])
    words = ("run", "--method", "unet3d_scratch", "--task", "stoic", "--root", folder, "--results", tmp_path / "r")
    error = bench(*words, *TINY, "--json").error
    assert (error["error"], error["case"]) == ("DataUnsound", path.stem) and "is truncated" in error["message"]
    assert "Fetch the file again" in error["remedy"]


def test_the_box_ends_at_the_head_and_the_stored_volume_has_the_asked_size(
    written: dict[str, Path], tmp_path: Path
) -> None:
    spec = make_spec(method="unet3d_scratch", task="stoic", root=str(written["stoic"]))
    cases = find_cases(spec, STOIC, written["stoic"], {})
    volumes = cached(cases, STOIC, STOIC.protocols["bench"], tmp_path)
    whole = volumes.read(volumes.cases[0], (0, 0, 0), (128, 128, 128))[0]
    assert volumes.shape(volumes.cases[0]) == (128, 128, 128)
    assert (whole[:, :, :70] == 0).all() and (whole[:, :, 80:] != 0).any() and (whole[:30] == 0).all()
