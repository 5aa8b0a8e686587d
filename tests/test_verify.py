"""A stored result is told to hold, to differ or to be absent, and never passes for what it is not."""

from __future__ import annotations

import errno
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.case_rows import CaseRow, rows_to_parquet
from bench.contracts.errors import DataMissing, StoreError
from bench.contracts.record import Cell
from bench.data.atomic import write_bytes, write_text
from bench.data.digest import sha256_of_file, sha256_of_folder
from bench.store import Store
from bench.verify import VerifyReport, compare, verify
from bench.verify_cell import verify_cell
from tests.cells import make_cell, make_rows

ROWS = (
    CaseRow("case_0", "liver", "dice", 0.8),
    CaseRow("case_1", "liver", "dice", 0.6),
    CaseRow("case_0", "spleen", "dice", 0.9),
    CaseRow("case_1", "spleen", "dice", math.nan),
)


def mean_of_rows(_: Cell, rows: Sequence[CaseRow]) -> Mapping[str, float | None]:
    """A protocol that pools all values: ROWS give (0.8 + 0.6 + 0.9) / 3."""
    values = [row.value for row in rows if not math.isnan(row.value)]
    return {"dice": math.fsum(values) / len(values), "hd95": None, "liver dice": 0.7, "spleen dice": 0.9}


def stored(folder: Path, **changes: Any) -> tuple[Store, Cell]:
    """A store with one cell that is in order, and its predictions beside it."""
    store = Store(folder / "results")
    for case in ("case_0", "case_1"):
        write_text(folder / "predictions" / f"{case}.nii.gz", case)
    hashes = {"predictions": sha256_of_folder(folder / "predictions"), "finetune:final": "f" * 64}
    scores = {"dice": (0.8 + 0.6 + 0.9) / 3, "hd95": math.nan}
    by_class = {"liver": {"dice": 0.7}, "spleen": {"dice": 0.9}}
    return store, store.write(
        make_cell(**{"scores": scores, "class_scores": by_class, "hashes": hashes, **changes}), ROWS
    )


def look(folder: Path, store: Store, cell: Cell) -> VerifyReport:
    rehash = {"predictions": lambda: sha256_of_folder(folder / "predictions")}
    return verify(cell.name, store, lambda _: ROWS, rehash=rehash, summarise=mean_of_rows)


def verdicts(report: VerifyReport) -> dict[str, str]:
    return {check.name: check.verdict for check in report.checks}


def test_a_result_that_holds_is_ok_in_all_that_is_there(tmp_path: Path) -> None:
    report = look(tmp_path, *stored(tmp_path))
    absent = {"finetune:final": "absent"}
    assert verdicts(report) == {"cases": "ok", "predictions": "ok", "scores": "ok", "rescored": "ok"} | absent
    assert (report.holds, report.complete) == (True, False)


def test_changed_rows_are_found_even_where_they_can_be_read(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    better = [CaseRow(row.case, row.class_, row.metric, 0.99) for row in ROWS]
    write_bytes(store.cases_path(cell.name), rows_to_parquet(cell.name, better))
    report = look(tmp_path, store, cell)
    found = verdicts(report)
    assert (found["cases"], found["scores"], found["rescored"]) == ("differs", "differs", "differs")
    assert not report.holds
    detail = {check.name: check.detail for check in report.checks}["rescored"]
    assert "case_0 / liver / dice: 0.99 stored, 0.8 found" in detail
    assert "and 1 more" in detail


@pytest.mark.parametrize("edited", [{"dice": 0.81, "hd95": None}, {"dice": 2.3 / 3, "hd95": 1.0}])
def test_a_score_edited_in_the_json_is_found(tmp_path: Path, edited: dict[str, float | None]) -> None:
    report = look(tmp_path, *stored(tmp_path, scores=edited))
    assert verdicts(report)["scores"] == "differs"
    assert not report.holds


def test_a_score_that_only_one_side_tells_is_a_difference_and_undefined_is_not_nothing(tmp_path: Path) -> None:
    mean = (0.8 + 0.6 + 0.9) / 3
    for at, scores in enumerate(({"dice": mean, "hd95": math.nan, "nsd@2mm": 0.9}, {"hd95": math.nan})):
        report = look(tmp_path / str(at), *stored(tmp_path / str(at), scores=scores))
        assert verdicts(report)["scores"] == "differs"
    store, cell = stored(tmp_path / "undefined")
    report = verify(cell.name, store, lambda _: ROWS, summarise=lambda *_: {"dice": mean, "hd95": 0.0})
    assert verdicts(report)["scores"] == "differs"


def test_without_a_way_to_average_the_scores_are_absent_not_ok(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    assert verdicts(verify(cell.name, store, lambda _: ROWS))["scores"] == "absent"


def test_changed_and_deleted_predictions_are_told_apart(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    write_text(tmp_path / "predictions" / "case_1.nii.gz", "other")
    assert verdicts(look(tmp_path, store, cell))["predictions"] == "differs"
    for path in (tmp_path / "predictions").iterdir():
        path.unlink()
    assert verdicts(look(tmp_path, store, cell))["predictions"] == "absent"


def test_damaged_weights_are_a_difference(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)

    def damaged() -> str:
        raise StoreError("model.safetensors is damaged.")

    report = verify(cell.name, store, lambda _: ROWS, rehash={"finetune:final": damaged})
    assert verdicts(report)["finetune:final"] == "differs"


def test_missing_truth_is_absent_and_another_key_is_a_difference(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)

    def no_truth(_: Cell) -> Sequence[CaseRow]:
        raise DataMissing("btcv is not here.", remedy="Set --root.")

    def other_key(_: Cell) -> Sequence[CaseRow]:
        raise StoreError("The data now give another key.")

    for rescore, verdict in ((no_truth, "absent"), (lambda _: None, "absent"), (other_key, "differs")):
        report = verify(cell.name, store, rescore)
        assert verdicts(report)["rescored"] == verdict
        assert report.checks[-1].detail


@pytest.mark.parametrize(
    ("number", "verdict"), [(errno.EROFS, "absent"), (errno.EACCES, "absent"), (errno.EIO, "differs")]
)
def test_scores_that_a_disk_keeps_from_being_made_again_are_absent_and_do_not_differ(
    number: int, verdict: str, tmp_path: Path
) -> None:
    """Before, every sound cell of a folder in which one may not write was said to differ."""

    def refused(cell: Cell) -> Sequence[CaseRow]:
        raise StoreError("could not write") from OSError(number, "refused")

    cell = Store(tmp_path).write(make_cell(), make_rows())
    found = verify(cell.name, Store(tmp_path), refused)
    assert found.checks[-1].name == "rescored" and found.checks[-1].verdict == verdict


def test_lost_rows_are_absent_everywhere_and_damaged_ones_differ(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    store.cases_path(cell.name).unlink()
    found = verdicts(look(tmp_path, store, cell))
    assert (found["cases"], found["scores"], found["rescored"]) == ("absent", "absent", "absent")
    write_bytes(store.cases_path(cell.name), b"torn")
    assert verdicts(look(tmp_path, store, cell))["cases"] == "differs"


def test_a_cell_that_records_no_hash_of_its_rows_does_not_hold(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    path = store.path(cell.name)
    path.write_text(path.read_text().replace('"cases":', '"other":'))
    assert verdicts(look(tmp_path, store, cell))["cases"] == "differs"


def test_a_name_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    with pytest.raises(StoreError, match=f"Did you mean '{cell.name}'"):
        verify(cell.name[:-1], store, lambda _: ROWS)
    with pytest.raises(StoreError, match=r"No cell '\.\./results'"):
        verify("../results", store, lambda _: ROWS)
    write_text(store.path("torn-00000000"), "{")
    with pytest.raises(StoreError, match="no cell"):
        verify("torn-00000000", store, lambda _: ROWS)


def test_values_are_compared_by_place_in_any_order_to_a_billionth() -> None:
    assert compare(ROWS, list(reversed(ROWS))) == []
    near = [CaseRow(row.case, row.class_, row.metric, row.value + 5e-10) for row in ROWS]
    assert compare(ROWS, near) == []
    far = [CaseRow(row.case, row.class_, row.metric, row.value + 2e-9) for row in ROWS]
    assert len(compare(ROWS, far)) == 3
    assert compare(ROWS, ROWS[1:]) == ["case_0 / liver / dice: stored only"]
    assert compare(ROWS[1:], ROWS) == ["case_0 / liver / dice: found only"]
    defined = [*ROWS[:3], CaseRow("case_1", "spleen", "dice", 0.0)]
    assert compare(ROWS, defined) == ["case_1 / spleen / dice: nan stored, 0.0 found"]


def test_the_hash_of_a_folder_is_that_of_its_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    assert sha256_of_folder(folder) is None
    assert sha256_of_file(folder / "a") is None
    write_text(folder / "b", "2")
    write_text(folder / "a" / "c", "1")
    lines = "".join(f"{hashlib.sha256(text).hexdigest()} {name}\n" for text, name in ((b"1", "a/c"), (b"2", "b")))
    assert sha256_of_folder(folder) == hashlib.sha256(lines.encode()).hexdigest()
    before = sha256_of_folder(folder)
    write_text(folder / ".b.tmp", "left over")
    assert sha256_of_folder(folder) == before
    (folder / "b").rename(folder / "d")
    assert sha256_of_folder(folder) != before


def test_a_class_score_edited_in_the_json_is_found(tmp_path: Path) -> None:
    rows = [
        CaseRow(f"case_{i}", name, "dice", value) for i in range(4) for name, value in (("liver", 0.8), ("spleen", 0.6))
    ]
    edited = {"liver": {"dice": 0.99}, "spleen": {"dice": 0.41}}
    cell = Store(tmp_path).write(
        make_cell(metrics=("dice",), scores={"dice": 0.7}, class_scores=edited, keys={"predict": "gone"}), rows
    )
    report = verify_cell(cell.name, tmp_path, "", {})
    assert {check.name: check.verdict for check in report.checks}["scores"] == "differs"
