"""The printed numbers are there, whole, and every digit stays as it was typed."""

from __future__ import annotations

import csv
import io
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from bench.contracts.errors import DataMissing, DataUnsound, SpecError
from bench.published.printed import COLUMNS, NUMBERS, PAPERS, Printed, printed, read_printed

# Number of printed cells per table, counted on paper as rows times columns.
COUNTS = {
    "ar": {"1": 9 * 8, "2": 9 * 4, "3": 4 * 2, "4": 8 * 2},
    "spad": {"2": 7 * 14, "3": 5 * 8, "4": 5 * 6, "5": 5 * 9},
    "mim": {
        "III": 25 * 14, "IV": 25 * 16, "V": 18 * 12, "VI": 18 * 2, "VII": 12 * 4, "VIII": 7 * 4,
        "IX": 2 * 4, "X": 2 * 4, "XI": 7 * 4, "XII": 4 * 2, "XIII": 4 * 5, "XIV": 4 * 5,
    },
    "mg3d": {"I": 15 * 2, "II": 14 * 10, "III": 6, "IV": 4, "V": 4, "VI": 3 * 12, "VII": 8 * 6, "VIII": 8 * 6},
}  # fmt: skip
EVERY = [row for paper in PAPERS for row in printed(paper)]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_table_has_as_many_cells_as_rows_times_columns_on_paper(paper: str) -> None:
    assert Counter(row.table for row in printed(paper)) == COUNTS[paper]
    assert {row.paper for row in printed(paper)} == {paper}


@pytest.mark.parametrize("paper", PAPERS)
def test_writing_what_was_read_gives_the_file_back_byte_for_byte(paper: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(row, column) for column in COLUMNS] for row in printed(paper))
    assert text.getvalue().encode() == (NUMBERS / f"{paper}.csv").read_bytes()


@pytest.mark.parametrize("paper", PAPERS)
def test_no_two_cells_of_a_paper_have_one_name(paper: str) -> None:
    assert max(Counter(row.key for row in printed(paper)).values()) == 1


def test_eleven_cells_are_uncertain_and_one_of_them_in_its_value() -> None:
    uncertain = [row for row in EVERY if "ocr-uncertain" in row.tags]
    assert Counter(row.paper for row in uncertain) == {"mg3d": 11}
    assert [(row.method, row.value) for row in uncertain if row.spread is None] == [("CT-CLIP", "3.23")]


def test_spread_is_printed_by_one_paper_only() -> None:
    assert {row.paper for row in EVERY if row.spread is not None} == {"mg3d"}


def one(**changes: str) -> Printed:
    words = dict.fromkeys(COLUMNS, "") | {"value": "95.60"}
    return Printed(**(words | changes))


def test_a_trailing_zero_is_a_digit() -> None:
    assert (one().decimals, one().half_step, one().number) == (2, Decimal("0.005"), Decimal("95.6"))
    assert (one(value="95.6").decimals, one(value="95.6").half_step) == (1, Decimal("0.05"))
    assert (one(value="100").decimals, one(value="100").half_step) == (0, Decimal("0.5"))


def test_the_settings_of_an_ablation_come_out_of_its_note() -> None:
    row = one(note="ocr-decoded;config:stride=8,spatial=no")
    assert row.config == {"stride": "8", "spatial": "no"}
    assert row.tags == ("ocr-decoded", "config:stride=8,spatial=no")
    assert one().config == {} and one().tags == ()


def test_an_unknown_paper_is_told_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'mim'"):
        printed("mimm")


# --- a CSV of someone else ---


def written(folder: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    file = folder / "mine.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return file


def row(**changes: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {"value": "1.0"} | changes


def test_columns_may_come_in_any_order_with_others_between_them(tmp_path: Path) -> None:
    file = written(tmp_path, [row(method="x", extra="y")], ("extra", *reversed(COLUMNS)))
    assert [found.method for found in read_printed(file)] == ["x"]


def test_a_mark_of_byte_order_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    file = written(tmp_path, [row(paper="p")])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_printed(file)[0].paper == "p"


@pytest.mark.parametrize("word", ["", "n/a", "nan", "inf", "1e3", "95,6", "95.6%", "٣", "1.", " 1"])
def test_a_value_that_is_no_plain_number_is_refused_with_its_line(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataUnsound, match="value is") as caught:
        read_printed(written(tmp_path, [row(), row(value=word)]))
    assert caught.value.case == "mine.csv line 3"


def test_an_empty_spread_is_none_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert read_printed(written(tmp_path, [row(std="")]))[0].spread is None
    with pytest.raises(DataUnsound, match="std is 'x'"):
        read_printed(written(tmp_path, [row(std="x")]))


def test_a_missing_column_a_short_line_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataUnsound, match="Column value, std is missing"):
        read_printed(written(tmp_path, [row()], tuple(c for c in COLUMNS if c not in ("value", "std"))))
    file = written(tmp_path, [])
    file.write_text(file.read_text() + "ar,1\n")
    with pytest.raises(DataUnsound, match="ends before row_group"):
        read_printed(file)
    with pytest.raises(DataMissing, match="no file"):
        read_printed(tmp_path / "none.csv")


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataUnsound, match="Not a CSV"):
        read_printed(tmp_path / "x.csv")
