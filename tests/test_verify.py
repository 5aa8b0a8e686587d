"""A stored result is told to hold, to differ or to be absent, and never passes for what it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.case_rows import CaseRow, rows_to_parquet
from bench.contracts.errors import DataMissing, StoreError
from bench.contracts.record import Cell
from bench.data.atomic import write_bytes, write_text
from bench.store import Store
from bench.verify import VerifyReport, compare, verify
from tests.cells import make_cell

ROWS = (
    CaseRow("case_0", "liver", "dice", 0.8),
    CaseRow("case_1", "liver", "dice", 0.6),
    CaseRow("case_0", "spleen", "dice", 0.9),
    CaseRow("case_1", "spleen", "dice", math.nan),
)
MEANS: dict[str, dict[str, Any]] = {
    "scores": {"dice": 0.8},
    "class_scores": {"liver": {"dice": 0.7}, "spleen": {"dice": 0.9}},
}
"""Over cases per class: liver (0.8 + 0.6) / 2, spleen 0.9; over classes: (0.7 + 0.9) / 2."""


def joined(files: Sequence[Path]) -> str:
    return "+".join(path.read_text() for path in files)


def stored(folder: Path, **changes: object) -> tuple[Store, Cell]:
    """A store with one cell whose predictions and means are in order."""
    store = Store(folder / "results")
    for case in ("case_0", "case_1"):
        write_text(folder / "predictions" / f"{case}.nii.gz", case)
    return store, store.write(make_cell(**{**MEANS, "hashes": {"predictions": "case_0+case_1"}, **changes}), ROWS)


def verdicts(report: VerifyReport) -> dict[str, str]:
    return {check.what: check.verdict for check in report.checks}


def test_a_result_that_holds_is_ok_in_all_that_is_there(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    report = verify(cell.name, store, tmp_path / "predictions", None, joined, lambda: ROWS)
    assert verdicts(report) == {
        "per-case rows": "ok",
        "means": "ok",
        "predictions": "ok",
        "weights": "absent",
        "scored again": "ok",
    }
    assert (report.ok, report.complete) == (True, False)
    assert report.as_json()["checks"][0] == {"what": "per-case rows", "verdict": "ok", "detail": ""}
    assert report.lines()[0] == ("per-case rows", "ok", "")


def test_changed_rows_are_found_even_where_they_can_be_read(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    better = [CaseRow(row.case, row.class_, row.metric, 0.99) for row in ROWS]
    write_bytes(store.cases_path(cell.name), rows_to_parquet(cell.name, better))
    report = verify(cell, store, tmp_path / "predictions", None, joined, lambda: ROWS)
    found = verdicts(report)
    assert (found["per-case rows"], found["means"], found["scored again"]) == ("differs", "differs", "differs")
    assert not report.ok
    detail = {check.what: check.detail for check in report.checks}["scored again"]
    assert "case_0 / liver / dice: 0.99 stored, 0.8 found" in detail
    assert "and 1 more" in detail


@pytest.mark.parametrize(
    "edited", [{"scores": {"dice": 0.81}}, {"class_scores": {**MEANS["class_scores"], "liver": {"dice": 0.8}}}]
)
def test_a_mean_edited_in_the_json_is_found(tmp_path: Path, edited: dict[str, object]) -> None:
    store, cell = stored(tmp_path, **edited)
    report = verify(cell.name, store, None, None, joined, lambda: ROWS)
    assert verdicts(report)["means"] == "differs"
    assert "recorded" in report.checks[1].detail


def test_the_order_of_averaging_is_the_cells_own(tmp_path: Path) -> None:
    """Case first: case_0 has (0.8 + 0.9) / 2, case_1 has 0.6; their mean is 0.725."""
    store, cell = stored(tmp_path, average="case_then_class", scores={"dice": 0.725})
    assert verdicts(verify(cell, store, None, None, joined, lambda: ROWS))["means"] == "ok"


def test_changed_and_deleted_predictions_are_told_apart(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    write_text(tmp_path / "predictions" / "case_1.nii.gz", "other")
    assert (
        verdicts(verify(cell, store, tmp_path / "predictions", None, joined, lambda: ROWS))["predictions"] == "differs"
    )
    assert verdicts(verify(cell, store, tmp_path / "nowhere", None, joined, lambda: ROWS))["predictions"] == "absent"


def test_weights_are_compared_by_their_values(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from bench.train.checkpoint import save_weights, sha256_of_weights

    state = {"w": torch.arange(6.0).reshape(2, 3)}
    store, cell = stored(tmp_path, hashes={"finetune:final": sha256_of_weights(state)})
    save_weights(tmp_path / "model" / "model.safetensors", state, {})
    assert verdicts(verify(cell, store, None, tmp_path / "model", joined, lambda: ROWS))["weights"] == "ok"
    save_weights(tmp_path / "model" / "model.safetensors", {"w": state["w"] + 1}, {})
    assert verdicts(verify(cell, store, None, tmp_path / "model", joined, lambda: ROWS))["weights"] == "differs"
    write_bytes(tmp_path / "model" / "model.safetensors", b"torn")
    assert verdicts(verify(cell, store, None, tmp_path / "model", joined, lambda: ROWS))["weights"] == "differs"


def test_missing_truth_is_absent_and_another_key_is_a_difference(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)

    def no_truth() -> Sequence[CaseRow]:
        raise DataMissing("btcv is not here.", remedy="Set --root.")

    def other_key() -> Sequence[CaseRow]:
        raise StoreError("The data now give another key.")

    for rescore, verdict in ((no_truth, "absent"), (lambda: None, "absent"), (other_key, "differs")):
        report = verify(cell, store, None, None, joined, rescore)
        assert verdicts(report)["scored again"] == verdict
        assert report.checks[-1].detail


def test_lost_rows_are_absent_everywhere_and_damaged_ones_differ(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    store.cases_path(cell.name).unlink()
    found = verdicts(verify(cell, store, None, None, joined, lambda: ROWS))
    assert (found["per-case rows"], found["means"], found["scored again"]) == ("absent", "absent", "absent")
    write_bytes(store.cases_path(cell.name), b"torn")
    assert verdicts(verify(cell, store, None, None, joined, lambda: ROWS))["per-case rows"] == "differs"


def test_a_name_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    with pytest.raises(StoreError, match=f"Did you mean '{cell.name}'"):
        verify(cell.name[:-1], store, None, None, joined, lambda: ROWS)
    with pytest.raises(StoreError, match=r"No cell '\.\./results'"):
        verify("../results", store, None, None, joined, lambda: ROWS)
    write_text(store.path("torn-00000000"), "{")
    with pytest.raises(StoreError, match="no cell"):
        verify("torn-00000000", store, None, None, joined, lambda: ROWS)


def test_values_are_compared_by_place_in_any_order_to_a_billionth() -> None:
    shuffled = list(reversed(ROWS))
    assert compare(ROWS, shuffled) == []
    near = [CaseRow(row.case, row.class_, row.metric, row.value + 5e-10) for row in ROWS]
    assert compare(ROWS, near) == []
    far = [CaseRow(row.case, row.class_, row.metric, row.value + 2e-9) for row in ROWS]
    assert len(compare(ROWS, far)) == 3
    assert compare(ROWS, ROWS[1:]) == ["case_0 / liver / dice: stored only"]
    assert compare(ROWS[1:], ROWS) == ["case_0 / liver / dice: found only"]
    defined = [*ROWS[:3], CaseRow("case_1", "spleen", "dice", 0.0)]
    assert compare(ROWS, defined) == ["case_1 / spleen / dice: nan stored, 0.0 found"]
