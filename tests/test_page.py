"""The page holds what the store holds, the same bytes each time, and nothing of a record can end the text it stands in."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench import page as page_module
from bench.page import write_page
from bench.page_shelves import CELLS_A_SHELF
from bench.store import Store
from tests.command_line import bench
from tests.pages import HOSTILE, PNG, add, hostile_store, small_store


class Scripts(HTMLParser):
    """Every script of a page as (attributes, text), and every tag that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.found.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found and not self.found[-1][1] and self.tags[-1] == "script":
            self.found[-1] = (self.found[-1][0], data)

    def json_of(self, name: str) -> Any:
        return next(json.loads(text) for attributes, text in self.found if attributes.get("id") == name)


def written(store: Store, out: Path) -> Scripts:
    return Scripts(write_page(store.folder, out).path.read_text(encoding="utf-8"))


def test_a_small_store_makes_one_file_that_holds_records_and_case_rows(tmp_path: Path) -> None:
    store = small_store(tmp_path / "results")
    made = written(store, tmp_path / "site")
    summary, shelf = made.json_of("summary"), made.json_of("shelf-0")
    assert summary["inline"] and set(shelf) == {cell.name for cell in store.cells()}
    assert len(summary["names"]) == 10 and len(summary["measured"]) == 7
    cell = store.cells()[0]
    told = shelf[cell.name]
    assert told["record"]["command"] == cell.command and told["record"]["hashes"] == cell.hashes
    cases, classes, metrics = told["cases"]["case"], told["cases"]["class"], told["cases"]["metric"]
    rows = {
        (cases[0][c], classes[0][k], metrics[0][m]): value
        for c, k, m, value in zip(cases[1], classes[1], metrics[1], told["cases"]["value"], strict=True)
    }
    assert rows == {row.place: pytest.approx(row.value, abs=1e-6) for row in store.rows(cell.name)}


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    store = small_store(tmp_path / "results")
    first = write_page(store.folder, tmp_path / "one").path.read_bytes()
    assert write_page(store.folder, tmp_path / "other").path.read_bytes() == first


def test_words_of_a_record_stay_inside_the_text_they_stand_in(tmp_path: Path) -> None:
    """Twice: in one page, and in a file beside it."""
    store = hostile_store(tmp_path / "results")
    plain = written(small_store(tmp_path / "plain"), tmp_path / "plain-site")
    made = written(store, tmp_path / "site")
    assert made.tags == plain.tags
    (told,) = made.json_of("shelf-0").values()
    assert told["record"]["notes"] == [word.replace("\u2028", "?").replace("\u202e", "?") for word in HOSTILE]
    assert told["beside"]["pictures"] == []
    text = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "\u2028" not in text and "\u202e" not in text and text.count("</script") == len(made.found)


def test_many_cells_lie_in_files_beside_the_page_and_old_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "INLINE_BYTES", 0)
    store = Store(tmp_path / "results")
    for seed in range(CELLS_A_SHELF + 1):
        add(store, 0.5, cases=1, seed=seed)
    stale, kept = tmp_path / "site" / "data" / "cells-0007.js", tmp_path / "site" / "data" / "mine.js"
    stale.parent.mkdir(parents=True)
    for path in (stale, kept):
        path.write_text("1")
    made = write_page(store.folder, tmp_path / "site")
    assert (made.files, made.cells, made.case_rows) == (3, CELLS_A_SHELF + 1, 4 * (CELLS_A_SHELF + 1))
    assert sorted(p.name for p in stale.parent.iterdir()) == ["cells-0000.js", "cells-0001.js", "mine.js"]
    names = Scripts(made.path.read_text()).json_of("summary")["names"]
    last = (stale.parent / "cells-0001.js").read_text()
    assert last.startswith("shelf(1,{") and last.endswith("});\n")
    assert list(json.loads(last[len("shelf(1,") : -len(");\n")])) == names[CELLS_A_SHELF:]


def test_pictures_are_copied_and_a_record_cannot_ask_for_other_files(tmp_path: Path) -> None:
    store = small_store(tmp_path / "results")
    write_page(store.folder, tmp_path / "site")
    (name,) = (cell.name for cell in store.cells() if cell.keys)
    assert (tmp_path / "site" / "pictures" / name / "worst.png").read_bytes() == PNG
    (store.folder / "runs" / "predict" / ("ab" * 8) / "worst.png").write_bytes(b"no picture")
    write_page(store.folder, tmp_path / "site")
    assert not (tmp_path / "site" / "pictures" / name / "worst.png").exists()


def test_unreadable_files_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    store = small_store(tmp_path / "results")
    cell = store.cells()[0]
    store.cases_path(cell.name).write_bytes(b"torn")
    (store.cells_folder / "torn.json").write_text("{")
    made = write_page(store.folder, tmp_path / "site")
    scripts = Scripts(made.path.read_text())
    assert made.unreadable == 2 and scripts.json_of("summary")["broken"][0][0] == "torn.json"
    told = scripts.json_of("shelf-0")[cell.name]
    assert told["cases"] is None and "cannot be read" in told["beside"]["unreadable"]


def test_the_page_reaches_for_nothing_elsewhere(tmp_path: Path) -> None:
    text = write_page(small_store(tmp_path / "results").folder, tmp_path / "site").path.read_text()
    assert not re.search(r"(?:src|href)=\"?(?:https?:)?//", text)
    assert "default-src 'none'" in text and "unsafe" not in text and "connect-src" not in text


def test_fractions_of_papers_stand_in_percent_without_losing_a_digit(tmp_path: Path) -> None:
    summary = written(small_store(tmp_path / "results"), tmp_path / "site").json_of("summary")
    ar = next(row for row in summary["printed"] if row[8] == "ar:1" and row[0] == "msd03@organ")
    assert ar[12]["dice"] == ["92.85", "", 92.85, "0.9285", "", "fraction"]
    spad = next(row for row in summary["printed"] if row[8] == "spad:4" and "hd" in row[12])
    shown, _, number, printed, _, unit = spad[12]["hd"]
    assert shown == printed and number == float(printed) and unit == "mm"


def test_a_distance_in_voxels_is_told_so_under_a_head_of_millimetres(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for protocol, unit in (("bench", "mm"), ("spad", "voxels")):
        scores = {"dice": 0.8, "assd": 2.0, "assd@mm": 3.0}
        add(store, 0.8, protocol=protocol, distance_unit=unit, metrics=tuple(scores), scores=scores)
    found = [
        {name: made[6] for name, made in row[10].items()}
        for row in written(store, tmp_path / "site").json_of("summary")["measured"]
    ]
    assert found == [{"dice": "", "assd": "", "assd@mm": ""}, {"dice": "", "assd": "voxels", "assd@mm": ""}]


def test_the_command_says_what_it_wrote_and_what_there_is_none_of(tmp_path: Path) -> None:
    store = small_store(tmp_path / "results")
    told = bench("page", "--results", store.folder, "--out", tmp_path / "site", "--json").value
    assert (told["results"], told["cells"], told["files"]) == (7, 10, 2)
    assert Path(told["path"]).is_file()
    nothing = bench("page", "--results", tmp_path / "none", "--out", tmp_path / "site", "--json").error
    assert "bench run" in nothing["remedy"] and not (tmp_path / "none").exists()
