"""What a check tells of reports: their number and length, a foreign script, and texts that two parts share."""

from __future__ import annotations

from bench.contracts.record import ImageFile, Record
from bench.data.report_notes import report_notes


def record(case: str, text: str, group: str = "") -> Record:
    return Record(
        dataset="made-up",
        adapter_version="1",
        case_id=case,
        patient_id=group or case,
        group=group or case,
        images=(ImageFile(path=f"{case}.nii.gz", format="nifti"),),
        text=text,
    )


def told(*records: Record, **parts: tuple[str, ...]) -> list[str]:
    return report_notes({one.case_id: one for one in records}, parts)


def test_reports_are_counted_and_measured_and_never_repeated() -> None:
    notes = told(
        record("a", "zebra " * 200), record("b", "no mass ."), record("c", "x"), train=("a",), test=("b", "gone")
    )
    assert notes == ["2 reports of 3 to 200 words, median 101.5, 1 of them longer than 150."]
    assert told(record("a", ""), train=("a",)) == [] == told(train=("a",))


def test_a_text_that_train_and_test_share_is_told_unless_one_patient_has_both() -> None:
    same = (record("a", "No mass."), record("b", "no  mass."), record("c", "Mass."))
    assert told(*same, train=("a", "c"), test=("b",))[1:] == [
        "In train, word for word: 1 report of val or test (b (test) and a (train))."
    ]
    siblings = (record("a", "No mass.", "p"), record("b", "No mass.", "p"))
    assert len(told(*siblings, train=("a",), test=("b",))) == 1
    assert len(told(*same, train=("a", "b", "c"))) == 1


def test_a_foreign_script_is_told() -> None:
    notes = told(record("a", "心影不大。"), record("b", "Ödem, kein Erguss."), train=("a", "b"))
    assert notes[1:] == ["Not written in Latin letters: 1 report (a)."]
