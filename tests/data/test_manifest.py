"""Manifests: what stands in one, what its content hash notices, and what reading one refuses."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.errors import DataMissing, DataUnsound, SpecError
from bench.data import manifest
from bench.data.find import find_dataset
from bench.data.manifest import Manifest, build
from tests import tiny_dataset as tiny
from tests.command_line import bench
from tests.real_volumes import real


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    listed = {"train": tiny.CASES[:5], "val": tiny.CASES[5:6], "test": tiny.CASES[6:]}
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "bench_proposed.json").write_text(json.dumps({"tiny": listed}))
    return tmp_path / "splits"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "Task99_Tiny")


def make(folder: Path, splits: Path, **words: object) -> Manifest:
    return build("tiny", tiny.card(), "bench", folder=folder, splits_folder=splits, **words)  # type: ignore[arg-type]


def test_the_header_names_the_split_its_origin_the_classes_and_what_was_checked(folder: Path, splits: Path) -> None:
    header = make(folder, splits, checks={"counts": "ok"}).header
    assert header.n == {"train": 5, "val": 1, "test": 2} and header.classes == ((1, "head"), (2, "tail"))
    assert (header.task, header.protocol, header.adapter, header.created_from) == ("tiny", "bench", "tiny@1", "real")
    assert header.split_source == "made up" and header.checks == {"counts": "ok"} and header.root_hint == "Task99_Tiny"


def test_a_record_holds_the_files_own_geometry_part_and_rank(folder: Path, splits: Path) -> None:
    affine = ((-2.0, 0, 0, 5.0), (0, 0.5, 0, 1.0), (0, 0, 0.5, 0.0), (0, 0, 0, 1.0))
    tiny.write_image(folder, "tiny_007", tiny.image_of("tiny_007"), affine=affine)
    tiny.write_label(folder, "tiny_007", tiny.label_of("tiny_007"), affine=affine)
    record = next(r for r in make(folder, splits).records if r.case_id == "tiny_007")
    assert record.shape == tiny.SHAPE and record.spacing == (2.0, 0.5, 0.5) and record.orientation == "LAS"
    assert (record.depth_axis, record.anisotropy, record.split, record.order) == (0, 2, "test", 0)
    assert record.fingerprint.startswith("quick:") and record.meta["label_fingerprint"].startswith("quick:")


def test_a_smaller_ratio_keeps_fewer_training_cases_and_their_ranks(folder: Path, splits: Path) -> None:
    whole, half = make(folder, splits), make(folder, splits, ratio=0.5)
    assert half.header.n == {"train": 3, "val": 1, "test": 2}
    assert half.records[:3] == whole.records[:3] and [r.order for r in half.records[:3]] == [0, 1, 2]
    assert half.header.content_hash != whole.header.content_hash


def test_a_missing_case_leaves_the_ranks_of_the_others(folder: Path, splits: Path) -> None:
    before = {r.case_id: r.order for r in make(folder, splits).records}
    gone = make(folder, splits).records[1].case_id
    (folder / "imagesTr" / f"{gone}.nii.gz").unlink()
    after = {r.case_id: r.order for r in make(folder, splits).records}
    assert after == {case: order for case, order in before.items() if case != gone}


def test_cases_that_a_paper_selects_and_reports_on_stand_once_as_test(folder: Path, splits: Path) -> None:
    (splits / "bench_proposed.json").write_text(json.dumps({"tiny": {"train": tiny.CASES[:6], "val": tiny.CASES[6:]}}))
    made = make(folder, splits)
    assert made.header.n == {"train": 6, "val": 0, "test": 2} and len(made.records) == 8


def test_moving_the_folder_changes_nothing_and_no_machines_path_is_kept(
    folder: Path, splits: Path, tmp_path: Path
) -> None:
    before = make(folder, splits)
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    after = make(moved, splits)
    assert after.records == before.records and after.header.content_hash == before.header.content_hash
    assert str(tmp_path) not in after.header.model_dump_json() + "".join(r.model_dump_json() for r in after.records)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("part", ["imagesTr", "labelsTr"])
def test_one_changed_voxel_changes_the_content_hash(folder: Path, splits: Path, part: str, full: bool) -> None:
    before = make(folder, splits, full=full).header.content_hash
    array = (tiny.image_of if part == "imagesTr" else tiny.label_of)("tiny_003").copy()
    array[0, 0, 0] = 1
    tiny.write_image(folder, "tiny_003", array, part=part)
    assert make(folder, splits, full=full).header.content_hash != before


def test_a_full_fingerprint_does_not_depend_on_the_files_axis_order(folder: Path, splits: Path) -> None:
    before = make(folder, splits, full=True).header.content_hash
    flipped = ((-1.0, 0, 0, tiny.SHAPE[0] - 1.0), *tiny.AFFINE[1:])
    for write, array in ((tiny.write_image, tiny.image_of("tiny_002")), (tiny.write_label, tiny.label_of("tiny_002"))):
        write(folder, "tiny_002", np.ascontiguousarray(array[::-1]), affine=flipped)
    assert make(folder, splits, full=True).header.content_hash == before
    assert make(folder, splits).records[0].fingerprint.startswith("quick:")


def test_what_is_written_is_read_back_equal_and_leaves_no_other_file(
    folder: Path, splits: Path, tmp_path: Path
) -> None:
    made = make(folder, splits, checks={"labels": "ok"})
    manifest.write(made, tmp_path / "out")
    assert manifest.read(tmp_path / "out") == made
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["manifest.csv", "manifest.json", "manifest.jsonl"]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["schema"] == "bench-manifest/1"


def test_what_a_layout_tells_in_numbers_of_numpys_is_written_as_plain_ones(
    folder: Path, splits: Path, tmp_path: Path
) -> None:
    made = make(folder, splits)
    meta = {"age": np.float32(61.5), "slices": np.arange(3), "seen": np.bool_(True), "other": object()}
    told = [record.model_copy(update={"meta": {**record.meta, **meta}}) for record in made.records]
    manifest.write(Manifest(made.header, tuple(told)), tmp_path / "out")
    found = manifest.read(tmp_path / "out").records[0].meta
    assert [found[name] for name in meta] == [61.5, [0, 1, 2], True, "object"]


def test_the_flat_table_has_one_line_per_case(folder: Path, splits: Path, tmp_path: Path) -> None:
    made = make(folder, splits)
    manifest.write(made, tmp_path)
    with (tmp_path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case_id"] for row in rows] == [record.case_id for record in made.records]
    assert (
        rows[0]["image"].startswith("imagesTr/")
        and rows[0]["shape"] == "9x10x11"
        and float(rows[0]["spacing_z"]) == 1.0
    )


def test_a_tampered_record_is_refused(folder: Path, splits: Path, tmp_path: Path) -> None:
    manifest.write(make(folder, splits), tmp_path)
    text = (tmp_path / "manifest.jsonl").read_text()
    (tmp_path / "manifest.jsonl").write_text(text.replace('"split":"val"', '"split":"test"'))
    with pytest.raises(DataUnsound, match="records give"):
        manifest.read(tmp_path)


def test_an_absent_or_unreadable_manifest_is_told_with_its_remedy(folder: Path, splits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as absent:
        manifest.read(tmp_path)
    manifest.write(make(folder, splits), tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"dataset": "x"}\n')
    with pytest.raises(DataUnsound, match="adapter_version") as unreadable:
        manifest.read(tmp_path)
    for error in (absent.value, unreadable.value):
        program, command, *words = error.remedy.rpartition(": ")[2].rstrip(".").split()
        told = bench(command, "--help")
        assert program == "bench" and told.code == 0
        assert all(word in told.out for word in words if word.startswith("--"))


def test_an_unknown_protocol_and_an_empty_folder_are_refused(folder: Path, splits: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Did you mean 'bench'"):
        build("tiny", tiny.card(), "benhc", folder=folder, splits_folder=splits)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataMissing, match="None of 8 listed cases"):
        make(tmp_path / "empty", splits)


def test_a_patient_on_both_sides_of_the_split_is_refused(folder: Path, splits: Path) -> None:
    card = tiny.card(files=OnePatient())
    with pytest.raises(DataUnsound, match=r"^patient: "):
        build("tiny", card, "bench", folder=folder, splits_folder=splits)


class OnePatient:
    """The tiny layout, all of whose scans are of one patient."""

    def locate(self, root: Path) -> Path | None:
        return tiny.LAYOUT.locate(root)

    def records(self, folder: Path) -> list[object]:
        return [record.model_copy(update={"group": "patient"}) for record in tiny.LAYOUT.records(folder)]

    def tree(self) -> str:
        return tiny.LAYOUT.tree()

    def write_phantom(self, *words: object) -> None:
        raise AssertionError(words)


@pytest.mark.data
@pytest.mark.parametrize(
    ("task", "n"), [("msd04", {"train": 144, "val": 16, "test": 40}), ("la", {"train": 15, "val": 1, "test": 4})]
)
def test_real_volumes_give_a_manifest_of_what_is_there(task: str, n: dict[str, int], tmp_path: Path) -> None:
    card = registry.task(task)
    folder = find_dataset(task, card, real(task).parent, {})
    made = build(task, card, "bench", folder=folder, splits_folder=registry.splits_folder())
    manifest.write(made, tmp_path)
    assert made.header.n == n and manifest.read(tmp_path) == made
    assert {r.spacing for r in made.records} == {(1.0, 1.0, 1.0) if task == "msd04" else (0.625, 0.625, 0.625)}
    again = build(task, replace(card, title="x"), "bench", folder=folder, splits_folder=registry.splits_folder())
    assert again.header.content_hash == made.header.content_hash
