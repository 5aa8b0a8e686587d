"""`bench audit` on the papers, on any CSV and on a results folder; what it prints and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.published.printed import COLUMNS
from bench.store import Store
from tests.cells import make_cell as make_run
from tests.cells import make_rows
from tests.command_line import bench
from tests.published.printed_rows import make_cell, make_row, write_csv

FIELDS = ["paper", "table", "row", "column", "kind", "printed", "recomputed", "difference", "confidence", "note"]


def test_json_is_a_list_of_findings_with_the_ten_fields() -> None:
    found = bench("audit", "--table", "mim:V", "--json").value
    assert found and all(list(finding) == FIELDS for finding in found)
    assert {(f["paper"], f["table"]) for f in found} == {("mim", "V")}
    wrong = [f for f in found if (f["row"], f["column"]) == ("swin_unetr", "msd5_avg average dice")]
    assert [(f["printed"], f["recomputed"], f["difference"]) for f in wrong] == [("68.98", "67.27", 1.708)]


def test_a_paper_and_a_table_may_be_named_apart_or_together() -> None:
    together = bench("audit", "--table", "mg3d:VII", "--json").value
    assert together == bench("audit", "--paper", "mg3d", "--table", "VII", "--json").value
    assert {f["table"] for f in bench("audit", "--table", "V", "--json").value} == {"V"}


def test_a_table_without_results_is_named_by_what_the_text_says_of_it() -> None:
    (found,) = bench("audit", "--table", "mim:I", "--json").value
    assert (found["kind"], found["printed"], found["recomputed"]) == ("total", "10502", "10452")


def test_a_table_that_adds_up_gives_an_empty_list() -> None:
    assert bench("audit", "--table", "spad:5", "--json").value == []


def test_any_csv_of_the_columns_is_audited(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "mine.csv", make_row("alpha", {"a": "80.00", "b": "90.00"}, "85.02"))
    (found,) = bench("audit", "--file", file, "--json").value
    assert (found["kind"], found["printed"], found["recomputed"], found["paper"]) == (
        "average",
        "85.02",
        "85.00",
        "toy",
    )


def test_a_person_sees_the_findings_and_notes_where_asked() -> None:
    plain = bench("audit", "--table", "mim:VI")
    assert plain.code == 0 and "94.12" in plain.out and "--notes" in plain.out
    assert "lora_r16" in bench("audit", "--table", "mim:VI", "--notes").out


def test_thresholds_are_explained() -> None:
    told = bench("audit", "--explain")
    assert told.code == 0 and "0.001" in told.out and "shifted-row" in told.out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--table", "mim:X9"), "X9"),
        (("--paper", "mimm"), "Possible: ar, spad, mim, mg3d"),
        (("--paper", "ar", "--table", "mim:V"), "two papers"),
        (("--file", "a.csv", "--results", "b"), "two different audits"),
        (("--file", "absent.csv"), "absent.csv"),
        (("--known", "absent.toml"), "absent.toml"),
    ],
)
def test_words_that_mean_nothing_are_refused_in_one_line(words: tuple[str, ...], part: str) -> None:
    error = bench("audit", *words, "--json").error
    assert part in error["message"] and error["remedy"] is not None


@pytest.mark.parametrize(
    ("line", "case", "part"),
    [
        (dict.fromkeys(COLUMNS, "x") | {"value": "8o.0"}, "mine.csv line 3", "value is '8o.0'"),
        (dict.fromkeys(COLUMNS, "x") | {"value": "80.0", "std": "?"}, "mine.csv line 3", "std is '?'"),
    ],
)
def test_a_malformed_csv_names_its_line_and_column(tmp_path: Path, line: dict[str, str], case: str, part: str) -> None:
    file = write_csv(tmp_path / "mine.csv", [make_cell()])
    with file.open("a", encoding="utf-8") as text:
        text.write(",".join(line[column] for column in COLUMNS) + "\n")
    error = bench("audit", "--file", file, "--json").error
    assert error["case"] == case and part in error["message"]


def test_a_cell_that_stands_twice_is_refused_with_both_values(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "mine.csv", [make_cell(value="80.00"), make_cell(value="81.00")])
    error = bench("audit", "--file", file, "--json").error
    assert "stands twice, as 80.00 and 81.00" in error["message"] and error["case"] == "toy:1"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[[size]]\ntask = 'ricord'\ntest = 0\nsource = 'x'\n", "size.0.test"),
        ("size = [", "Not TOML"),
        ("sizes = []", "sizes"),
    ],
)
def test_facts_that_cannot_be_read_name_their_place(tmp_path: Path, text: str, part: str) -> None:
    file = tmp_path / "facts.toml"
    file.write_text(text, encoding="utf-8")
    error = bench("audit", "--known", file, "--json").error
    assert part in error["message"] and error["case"] == "facts.toml"


def test_facts_of_ones_own_decide_what_a_test_set_allows(tmp_path: Path) -> None:
    cells = write_csv(tmp_path / "mine.csv", [make_cell(task_slug="mine", metric="acc", value="80.50")])
    assert bench("audit", "--file", cells, "--json").value == []
    facts = tmp_path / "facts.toml"
    facts.write_text("[[size]]\ntask = 'mine'\ntest = 10\nsource = 'my list'\n", encoding="utf-8")
    (found,) = bench("audit", "--file", cells, "--known", facts, "--json").value
    assert found["kind"] == "grid" and "my list" in found["note"]


def test_markdown_shows_hostile_words_and_obeys_none(tmp_path: Path) -> None:
    hostile = "<img src=x>|`a`\x1b[31m"
    row = make_row("alpha", {"a": "80.00", "b": "90.00"}, "85.02", table=hostile)
    out = tmp_path / "audit.md"
    assert bench("audit", "--file", write_csv(tmp_path / "mine.csv", row), "--out", out).code == 0
    text = out.read_text(encoding="utf-8")
    assert "<img" not in text.replace("\\<img", "") and "\x1b" not in text and "\\|\\`a\\`" in text
    assert "\x1b" not in bench("audit", "--file", tmp_path / "mine.csv").out


def test_the_committed_audit_is_what_the_command_writes_today(tmp_path: Path) -> None:
    bench("audit", "--out", tmp_path / "audit.md")
    committed = Path(__file__).parents[2] / "results" / "tables" / "audit.md"
    assert (tmp_path / "audit.md").read_bytes() == committed.read_bytes()


# A results folder


def stored(folder: Path, **changes: object) -> Store:
    store = Store(folder)
    rows = make_rows()  # three cases of two classes: Dice 0.80, 0.81, 0.82
    scores = {"scores": {"dice": 0.81}, "class_scores": {"liver": {"dice": 0.81}, "spleen": {"dice": 0.81}}}
    store.write(make_run(**{"metrics": ("dice",), **scores, **changes}), rows)
    return store


def test_a_results_folder_that_holds_together_has_no_finding(tmp_path: Path) -> None:
    stored(tmp_path)
    assert bench("audit", "--results", tmp_path, "--json").value == []


def test_a_score_that_is_not_the_mean_of_its_cases_is_found(tmp_path: Path) -> None:
    stored(tmp_path, class_scores={"liver": {"dice": 0.83}, "spleen": {"dice": 0.81}})
    found = bench("audit", "--results", tmp_path, "--json").value
    assert [(f["kind"], f["column"], f["printed"], f["recomputed"]) for f in found] == [
        ("mean", "liver dice", "0.830000", "0.810000"),
        ("average", "btcv average dice at 0.25", "0.810000", "0.820000"),
    ]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_score_that_a_hand_made_no_number_is_found_and_stops_nothing(word: str, tmp_path: Path) -> None:
    store = stored(tmp_path)
    (path,) = store.cells_folder.iterdir()
    told = json.loads(path.read_text(encoding="utf-8"))
    told["scores"]["dice"] = told["class_scores"]["liver"]["dice"] = float(word)
    path.write_text(json.dumps(told), encoding="utf-8")
    found = bench("audit", "--results", tmp_path, "--json").value
    assert [(f["kind"], f["column"], f["recomputed"]) for f in found] == [
        ("mean", "dice", "0.810000"),
        ("mean", "liver dice", "0.810000"),
    ]
    assert "2 findings" in bench("audit", "--results", tmp_path).out


def test_a_distance_beyond_its_maximum_is_found(tmp_path: Path) -> None:
    scores = {"scores": {"dice": 0.81, "hd": 3.0, "hd95": 4.0}, "metrics": ("dice", "hd", "hd95")}
    stored(tmp_path, **scores)
    kinds = [f["kind"] for f in bench("audit", "--results", tmp_path, "--json").value]
    assert kinds.count("order") == 1


def test_two_methods_with_the_same_predictions_are_found(tmp_path: Path) -> None:
    stored(tmp_path, hashes={"predictions": "ab" * 32})
    stored(tmp_path, hashes={"predictions": "ab" * 32}, method="mae3d")
    stored(tmp_path, hashes={"predictions": "cd" * 32}, method="dino")
    (found,) = bench("audit", "--results", tmp_path, "--json").value
    assert (found["kind"], found["printed"]) == ("same-predictions", "ab" * 8)
    assert found["row"].startswith("mim-") and "mae3d-" in found["note"]


def test_a_folder_without_results_is_refused_and_not_told_to_hold_together(tmp_path: Path) -> None:
    told = bench("audit", "--results", tmp_path / "reslts", "--json").error
    assert "reslts" in told["message"] and "cells/" in told["remedy"]


def test_the_committed_results_hold_together() -> None:
    assert bench("audit", "--results", Path(__file__).parents[2] / "results", "--json").value == []


def test_the_audit_loads_no_heavy_package() -> None:
    code = (
        "import sys; from bench.cli import run_words; run_words(['audit', '--json']);"
        "print([m for m in ('torch', 'monai', 'pandas', 'scipy.stats') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and len(json.loads(done.stdout)) > 50
