"""LIDC-IDRI: outlines become nodules by a rule one can recount, places in mm, and broken folders are told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.cases import cached, find_cases
from bench.contracts.errors import DataUnsound
from bench.data.dicom import Slice, first_slice
from bench.data.roster import roster_of
from bench.data.splits import lists, rank
from bench.phantom_data import task_ids
from bench.spec import make_spec
from tasks.kinds.class_samples import voxels_of
from tasks.layouts.lidc_readings import Outline, nodules, readings
from tests.command_line import TINY, bench

CARD = registry.task("lidc")
SPLITS = registry.splits_folder()
HEAD = Slice(
    path=Path("1-001.dcm"), series="1.2.3", modality="CT", number=1, rows=512, columns=512, position=(-100.0, -90.0, -50.0),
    orientation=(1, 0, 0, 0, 1, 0), spacing_mm=(0.5, 0.5), slope=1.0, intercept=-1024.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lidc") / "LIDC-IDRI"
    CARD.files.write_phantom(folder, task_ids(CARD, "smoke"), "smoke")
    return folder


def outline(reader: int, x: float, malignancy: int, radius: float = 4.0) -> Outline:
    return Outline(reader, (x, 0.0, 0.0), radius, malignancy)


# The rule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratings", "label"),
    [((4, 4, 5), 1), ((1, 2, 2, 3), 0), ((3, 3, 3), None), ((2, 4, 3, 3), None), ((5, 5), None), ((2, 3, 3, 4, 5), None),
     ((2, 2, 4, 5), None), ((3, 3, 4, 4), 1), ((2, 3, 3, 2), 0)],
)  # fmt: skip
def test_three_readers_at_least_and_their_median_decide(ratings: tuple[int, ...], label: int | None) -> None:
    (nodule,) = nodules([outline(reader, 0.1 * reader, rating) for reader, rating in enumerate(ratings)])
    assert nodule.label() == label and len(nodule.outlines) == len(ratings)


@pytest.mark.parametrize(("ratings", "label"), [((5,), 1), ((1,), 0), ((3,), None), ((5, 1), None), ((5, 2), 1)])
def test_of_nodules_that_one_or_two_readers_drew_they_alone_decide(ratings: tuple[int, ...], label: int | None) -> None:
    (nodule,) = nodules([outline(reader, 0.1 * reader, rating) for reader, rating in enumerate(ratings)])
    assert nodule.label(1) == label and nodule.label() is None
    assert nodule.label(2) == (label if len(ratings) > 1 else None)


def test_outlines_closer_than_a_radius_are_one_nodule_and_those_of_one_reader_never() -> None:
    found = nodules([outline(0, 0, 5), outline(1, 2, 5), outline(2, -2, 4), outline(3, 9, 1), outline(0, 10, 2)])
    assert [[o.reader for o in nodule.outlines] for nodule in found] == [[0, 1, 2], [0, 3]]
    twice = nodules([outline(0, 0, 5), outline(0, 1, 5)])
    assert [len(nodule.outlines) for nodule in twice] == [1, 1]
    apart = nodules([outline(0, 0, 5), outline(1, 4.1, 5)])
    assert len(apart) == 2
    assert [n.centre_mm[2] for n in nodules([Outline(0, (0, 0, z), 2.0, 3) for z in (5.0, -5.0, 1.0)])] == [
        -5.0,
        1.0,
        5.0,
    ]


def test_pixels_become_mm_and_holes_and_small_marks_are_left_out(tmp_path: Path) -> None:
    square = [(100, 200), (104, 200), (104, 204), (100, 204)]
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in square)
    roi = f"<roi><imageZposition>-20.5</imageZposition><inclusion>TRUE</inclusion>{edges}</roi>"
    hole = f"<roi><imageZposition>90</imageZposition><inclusion>FALSE</inclusion>{edges}</roi>"
    small = (
        "<unblindedReadNodule><noduleID>2</noduleID><roi><imageZposition>1</imageZposition><inclusion>TRUE</inclusion>"
        "<edgeMap><xCoord>1</xCoord><yCoord>1</yCoord></edgeMap></roi></unblindedReadNodule>"
    )
    text = (
        '<LidcReadMessage xmlns="http://www.nih.gov"><readingSession><unblindedReadNodule><characteristics>'
        f"<malignancy>4</malignancy></characteristics>{roi}{hole}</unblindedReadNodule>{small}</readingSession></LidcReadMessage>"
    )
    (tmp_path / "a.xml").write_text(text)
    (found,) = readings(tmp_path / "a.xml", HEAD, "x")
    assert found.centre_mm == pytest.approx((-100 + 102 * 0.5, -90 + 202 * 0.5, -20.5)) and found.malignancy == 4
    assert found.radius_mm == pytest.approx((16 * 0.25 / np.pi) ** 0.5)


# The folders --------------------------------------------------------------------------------------------------


def test_of_four_nodules_of_a_phantom_two_count_and_their_places_hold_nodules(written: Path, tmp_path: Path) -> None:
    records = CARD.files.records(written)
    assert len(records) == 26 and len({r.group for r in records}) == 13
    for patient in {r.group for r in records}:
        assert sorted(r.label.value for r in records if r.group == patient) == [0, 1]  # type: ignore[type-var]
    spec = make_spec(method="unet3d_scratch", task="lidc", root=str(written))
    volumes = cached(find_cases(spec, CARD, written, {}), CARD, CARD.protocols["bench"], tmp_path)
    middle = [voxels_of(volumes, case, (7, 7, 7))[0].astype(float).mean() for case in volumes.cases]
    assert min(middle) > -560 and np.median(middle) > -350  # lung is at -640


def test_a_case_bears_the_end_of_its_scans_uid_and_the_record_the_whole(written: Path) -> None:
    for record in CARD.files.records(written):
        head = first_slice(written / record.images[0].path)
        assert head is not None and record.scan_id == head.series and len(head.series) > 20
        assert record.case_id.startswith(f"{record.patient_id}/{head.series[-5:]}#")


def test_the_patients_are_divided_by_hash_and_all_nodules_of_one_stand_together(written: Path) -> None:
    rule = CARD.protocols["bench"].split
    bare = lists(rule, SPLITS)
    assert (len(bare.train), len(bare.val), len(bare.test)) == (707, 101, 202)
    assert bare.test + bare.val + bare.train == rank("lidc", bare.everything())
    parts = lists(rule, SPLITS, 0, roster_of(CARD.files, written, CARD.files.records(written)))
    on_disk = [case for case in parts.train if "#" in case]
    assert len(on_disk) == 12 and len({case.partition("/")[0] for case in on_disk}) == 6


def test_a_patient_without_a_nodule_that_counts_is_not_missing(copied: Path) -> None:
    patient = sorted(path.name for path in copied.glob("LIDC*"))[0]
    for path in (copied / patient).rglob("*.xml"):
        path.unlink()
    (copied / patient / "touched").write_text("")  # the folder's time tells that something changed
    roster = roster_of(CARD.files, copied, CARD.files.records(copied))
    assert roster.cases_of[patient] == ()
    assert patient not in lists(CARD.protocols["bench"].split, SPLITS, 0, roster).everything()


def test_with_one_reader_a_third_nodule_counts_and_the_others_keep_name_part_and_label(written: Path) -> None:
    protocol = CARD.protocols["any_reader"]
    three, one = CARD.files.records(written), CARD.under(protocol).files.records(written)
    assert len(three) == 26 and len(one) == 39 and min(record.meta["readers"] for record in one) == 2
    labels = {record.case_id: record.label.value for record in one}
    assert {record.case_id: record.label.value for record in three}.items() <= labels.items()
    parts, more = (
        lists(rule, SPLITS, 0, roster_of(CARD.files, written, records))
        for rule, records in ((CARD.protocols["bench"].split, three), (protocol.split, one))
    )
    for part in ("train", "val", "test"):
        fewer, here = ({case for case in getattr(p, part) if "#" in case} for p in (parts, more))
        assert fewer < here
    spec = make_spec(method="unet3d_scratch", task="lidc", protocol="any_reader", root=str(written))
    assert len(find_cases(spec, CARD, written, {}).train) == 18


def test_a_run_ends_in_a_cell(tmp_path: Path) -> None:
    words = ("run", "--method", "unet3d_scratch", "--task", "lidc", "--phantom", "--results", tmp_path)
    told = bench(*words, *TINY, "--json").value
    assert told["n"] == 8 and told["scores"]["auc"] is not None


def cut_xml(series: Path) -> None:
    path = next(series.glob("*.xml"))
    path.write_text(path.read_text()[:-400])


def two_xml(series: Path) -> None:
    path = next(series.glob("*.xml"))
    shutil.copy(path, series / "999.xml")


def strange_mark(series: Path) -> None:
    path = next(series.glob("*.xml"))
    path.write_text(path.read_text().replace("<imageZposition>", "<height>").replace("</imageZposition>", "</height>"))


@pytest.mark.parametrize(
    ("harm", "told", "remedy"),
    [
        (cut_xml, "cannot be read as readers' marks", "Fetch it again"),
        (two_xml, "2 files of readers' marks", "fetch the series again"),
        (strange_mark, "a mark without imageZposition", "Fetch it again"),
    ],
)
def test_broken_marks_are_refused_by_their_patient(
    harm: Callable[[Path], None], told: str, remedy: str, copied: Path
) -> None:
    series = next(copied.glob("LIDC*/*/*"))
    harm(series)
    (series.parent.parent / "touched").write_text("")
    with pytest.raises(DataUnsound, match=told) as caught:
        CARD.files.records(copied)
    assert caught.value.case == series.parent.parent.name and remedy in caught.value.remedy


def test_a_missing_slice_is_told_by_a_run(copied: Path, tmp_path: Path) -> None:
    patient = task_ids(CARD, "smoke")[0]
    sorted((copied / patient).rglob("*.dcm"))[10].unlink()
    words = ("run", "--method", "unet3d_scratch", "--task", "lidc", "--root", copied, "--results", tmp_path / "r")
    error = bench(*words, *TINY, "--json").error
    assert error["error"] == "DataUnsound" and error["case"].startswith(patient)
    assert "a slice is missing" in error["message"] and "Fetch the series again" in error["remedy"]
