"""What was acknowledged is on disk, whole, and stays there."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.case_rows import CaseRow
from bench.cell_files import cell_name
from bench.contracts.errors import StoreError
from bench.data import atomic
from bench.data.atomic import json_text, write_bytes, write_json, write_text
from bench.find_cell import find_cell
from bench.store import Store
from tests.cells import make_cell, make_rows
from tests.command_line import bench

NUMBERS = {"nan": math.nan, "inf": [math.inf, -math.inf], "half": np.float32(0.5), "axis": np.arange(2)}


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def results_in(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in everything_in(folder).items() if not name.startswith("runs")}


# --- the atomic writer ---


def test_a_file_is_written_with_its_missing_folders_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "note.txt", "liver\n")
    assert everything_in(tmp_path) == {"a/b/note.txt": b"liver\n"}


def test_a_new_file_obeys_the_umask_so_that_a_group_can_share_results(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "shared", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o640


def test_nan_becomes_null_infinity_a_word_and_equal_objects_have_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "numbers.json", NUMBERS)
    read = json.loads((tmp_path / "numbers.json").read_text())
    assert read == {"nan": None, "inf": ["Infinity", "-Infinity"], "half": 0.5, "axis": [0, 1]}
    assert json_text({"a": 1, "b": (2,)}) == json_text({"b": [2], "a": 1})


def test_what_has_no_json_form_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no JSON form for object"):
        write_json(tmp_path / "x.json", {"x": object()})
    assert everything_in(tmp_path) == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("place", ["fsync", "open", "replace"])
def test_a_refusing_disk_is_named_with_a_remedy_and_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, place: str
) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    target: Any = os if place == "fsync" else Path
    monkeypatch.setattr(target, place, refuse)
    with pytest.raises(StoreError) as caught:
        write_text(path, "new")
    monkeypatch.undo()
    assert str(path) in str(caught.value)
    assert os.strerror(number) in caught.value.message
    assert caught.value.remedy
    assert everything_in(tmp_path) == {"note.txt": b"old"}


def test_a_file_where_a_folder_is_needed_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "results", "I am a file")
    with pytest.raises(StoreError, match="A file stands where a folder is needed"):
        write_text(tmp_path / "results" / "cells" / "x.json", "{}")


def test_a_limit_of_the_system_stops_a_write_halfway_and_leaves_no_half(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from bench.data.atomic import write_bytes\n"
        "from bench.contracts.errors import StoreError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_bytes(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except StoreError as error: print(error)\n"
    )
    write_bytes(tmp_path / "big", b"old")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big")], capture_output=True, text=True, check=True
    )
    assert "File too large" in done.stdout
    assert "Free some room" in done.stdout
    assert everything_in(tmp_path) == {"big": b"old"}


# --- names ---


def test_a_name_is_the_words_of_the_run_and_eight_digits_of_its_key() -> None:
    words: dict[str, Any] = {
        "protocol": "bench",
        "ratio": 0.25,
        "preset": "small",
        "corpus": "own",
        "seed": 0,
        "fold": 0,
    }
    key = "1a2b3c4d5e6f"
    assert cell_name(method="mim", task="btcv", key=key, **words) == "mim-btcv-bench-r0.25-small-own-s0-f0-1a2b3c4d"
    full = cell_name(method="mim", variant="align_byol", task="msd07", target="organ", key=key, **words)
    assert full == "mim@align_byol-msd07@organ-bench-r0.25-small-own-s0-f0-1a2b3c4d"


def test_a_hostile_or_long_name_stays_one_safe_file_name_that_keeps_its_key() -> None:
    words: dict[str, Any] = {"protocol": "b", "ratio": 1.0, "preset": "p", "seed": 0, "fold": 0, "key": "1a2b3c4d5e"}
    name = cell_name(method="../../etc/passwd", task="a b\n;rm", corpus="x" * 300, **words)
    assert len(name) == 200
    assert name.endswith("-1a2b3c4d")
    assert not set(name) & set("/\\ \n;")
    assert not name.startswith(".")


def test_a_cell_whose_name_does_not_carry_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="first 8 digits"):
        Store(tmp_path).write(make_cell(name="../mim", key="1a2b3c4d5e"), make_rows())
    assert everything_in(tmp_path) == {}


# --- a cell and its rows ---


def test_a_cell_comes_back_by_its_key_with_the_hash_of_its_rows(tmp_path: Path) -> None:
    store, cell = Store(tmp_path / "results"), make_cell(variant="align_byol", target="organ")
    stored = store.write(cell, make_rows())
    assert store.find(cell.key) == stored
    assert stored.hashes["cases"] == hashlib.sha256(store.cases_path(cell.name).read_bytes()).hexdigest()
    assert stored.model_copy(update={"hashes": {}}) == cell
    assert store.rows(cell.name) == tuple(make_rows())
    assert store.find("1" * 64) is None
    assert store.check() == []


def test_an_undefined_score_is_null_in_the_json_and_nan_in_the_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored = store.write(make_cell(dice=math.nan), [CaseRow("case_0", "liver", "dice", math.nan)])
    assert json.loads(store.path(stored.name).read_text())["scores"]["dice"] is None
    assert stored.scores["dice"] is None
    assert math.isnan(store.rows(stored.name)[0].value)


def test_an_absent_folder_holds_no_cells_and_reading_makes_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert (store.cells(), store.broken(), store.check(), store.find("1a2b")) == ([], [], [], None)
    assert store.cases().num_rows == 0
    assert not (tmp_path / "none").exists()


def test_all_rows_are_one_table_of_one_schema(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = [store.write(make_cell(seed=seed), make_rows(seed / 10)).name for seed in range(3)]
    table = store.cases()
    assert table.column_names == ["cell", "case", "class", "metric", "value"]
    assert [str(kind) for kind in table.schema.types] == ["string"] * 4 + ["double"]
    assert table.num_rows == 18
    assert set(table.column("cell").to_pylist()) == set(names)
    assert store.cases(names[:1]).column("value").to_pylist() == [row.value for row in make_rows(0.0)]


def test_rows_of_a_killed_run_count_for_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept, killed = (store.write(make_cell(seed=seed), make_rows()) for seed in range(2))
    store.path(killed.name).unlink()
    assert set(store.cases().column("cell").to_pylist()) == {kept.name}
    assert [(f.path, f.harmless) for f in store.check()] == [(store.cases_path(killed.name), True)]


def test_a_score_told_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="told twice, the first for case, class and metric case_0 / liver / dice"):
        Store(tmp_path).write(make_cell(), [*make_rows(), make_rows()[0]])


def test_the_same_result_written_again_changes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.write(make_cell(command="bench run, Monday"), make_rows())
    before = results_in(tmp_path)
    assert store.write(make_cell(command="bench run, Tuesday"), make_rows()) == first
    with pytest.raises(StoreError, match="differs in per-case rows"):
        store.write(make_cell(), make_rows(0.5))
    with pytest.raises(StoreError, match="differs in scores"):
        store.write(make_cell(dice=0.81), make_rows())
    assert results_in(tmp_path) == before


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("key", "1a2b3c4d" + "f" * 56),
        ("class_scores", {"liver": {"dice": 0.1}}),
        ("n", 99),
        ("n_listed", 99),
        ("counts", {"n_undefined_dice": 7}),
    ],
)
def test_a_result_that_differs_in_anything_that_was_computed_is_refused_by_its_name(
    field: str, other: object, tmp_path: Path
) -> None:
    store, cell = Store(tmp_path), make_cell(key="1a2b3c4d" + "0" * 56)
    first = store.write(cell, make_rows())
    changed = cell.model_copy(update={field: other})
    assert changed.name == cell.name and changed != cell
    with pytest.raises(StoreError, match=f"differs in {field}\\."):
        store.write(changed, make_rows())
    assert store.cells() == [first]


def test_a_key_finds_its_own_cell_and_none_that_shares_the_digits_of_a_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_cell(key="1a2b3c4d" + "0" * 56), make_rows())
    assert store.find("1a2b3c4d" + "f" * 56) is None


def test_a_cell_that_lost_its_rows_gets_them_back_from_an_equal_result_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = store.write(make_cell(), make_rows())
    store.cases_path(cell.name).unlink()
    assert [finding.harmless for finding in store.check()] == [False]
    with pytest.raises(StoreError, match="rows of 1 of 1 cells are missing"):
        store.cases()
    with pytest.raises(StoreError, match="differs in scores"):
        store.write(make_cell(dice=0.1), make_rows(0.1))
    store.write(make_cell(), make_rows())
    assert store.check() == []


# --- what is no cell ---


def test_torn_and_foreign_files_are_reported_and_do_not_hide_the_others(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = store.write(make_cell(), make_rows())
    whole = store.path(cell.name).read_text()
    torn = {
        "torn": whole[: len(whole) // 2],
        "foreign": '{"epochs": 3}',
        "list": "[]",
        "empty": "",
        "binary": "\x00\x01",
        "renamed": whole,
        "newer": whole.replace("bench-cell/1", "bench-cell/9"),
    }
    for name, text in torn.items():
        (store.cells_folder / f"{name}.json").write_text(text)
    (store.cells_folder / "folder.json").mkdir()
    assert store.cells() == [cell]
    reasons = {b.path.stem: b.reason for b in store.broken()}
    assert set(reasons) == {*torn, "folder"}
    assert "named after another cell" in reasons["renamed"]
    assert "of another schema" in reasons["newer"]
    assert len([finding for finding in store.check() if not finding.harmless]) == len(reasons)
    assert store.cases().num_rows == 6


def test_what_was_set_aside_stays_when_an_earlier_one_was_deleted(tmp_path: Path) -> None:
    store, cell = Store(tmp_path), make_cell()
    for number, text in enumerate(("one", "two", "three", "four")):
        if number == 3:
            store.path(f"{cell.name}.json.broken").with_suffix("").unlink()
        write_text(store.path(cell.name), text)
        store.write(cell, make_rows())
        store.path(cell.name).unlink()
    assert sorted(path.read_text() for path in store.cells_folder.glob("*.broken*")) == ["four", "three", "two"]


def test_a_cell_whose_rows_cannot_be_put_back_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = store.write(make_cell(), make_rows())
    store.cases_path(cell.name).unlink()
    store.cases_path(cell.name).mkdir()
    with pytest.raises(StoreError):
        store.write(make_cell(), make_rows())
    assert store.read(cell.name) == cell
    store.cases_path(cell.name).rmdir()
    assert store.write(make_cell(), make_rows()) == cell and store.check() == []


def test_a_torn_file_in_the_way_is_set_aside_and_kept(tmp_path: Path) -> None:
    store, cell = Store(tmp_path), make_cell()
    for text in ("<<<<<<< ours", "======="):
        write_text(store.path(cell.name), text)
        assert store.find(cell.key) is None
        stored = store.write(cell, make_rows())
        assert store.find(cell.key) == stored
        store.path(cell.name).unlink()
    kept = sorted(path.read_text() for path in store.cells_folder.glob("*.broken*"))
    assert kept == ["<<<<<<< ours", "======="]


def test_a_cell_goes_by_its_name_its_file_wherever_one_stands_and_the_start_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "r")
    cell, elsewhere = store.write(make_cell(), make_rows()), tmp_path / "none"
    for word, results in (
        (cell.name, store.folder),
        (cell.key[:9], store.folder),
        (str(store.path(cell.name)), elsewhere),
    ):
        assert find_cell(word, results) == (cell, store.folder)
    monkeypatch.chdir(store.cells_folder)
    assert find_cell(f"{cell.name}.json", elsewhere) == (cell, store.folder)
    with pytest.raises(StoreError, match=f"Did you mean '{cell.name}'"):
        find_cell(f"{cell.name}1.json", store.folder)


@pytest.mark.parametrize("word", ["a" * 300, f"{'a' * 300}.json", f"{'a' * 300}*"])
def test_a_word_too_long_for_a_file_names_no_cell_and_is_told_in_one_line(word: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = store.write(make_cell(), make_rows())
    for command in (("show", word), ("verify", word), ("compare", word, cell.name)):
        assert "No " in bench(*command, "--results", tmp_path, "--json").error["message"]


def test_a_torn_cell_that_is_asked_for_is_said_to_be_torn(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_text(store.path("torn-00000000"), "{")
    for word in ("torn-00000000", str(store.path("torn-00000000"))):
        with pytest.raises(StoreError, match=r"torn-00000000\.json: no cell: Invalid JSON"):
            find_cell(word, store.folder)


def test_changed_rows_and_a_key_held_twice_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = store.write(make_cell(), make_rows())
    store.write(make_cell(method="ar", key=one.key), make_rows())
    assert [f.problem for f in store.check()] == ["another cell has the same key"] * 2
    write_bytes(store.cases_path(one.name), store.cases_path(one.name).read_bytes()[:-8])
    assert any("do not have the hash" in finding.problem for finding in store.check())
    with pytest.raises(StoreError, match="cannot be read") as caught:
        store.cases()
    assert one.name in caught.value.case


# --- folders ---


def test_two_folders_merge_by_the_union_of_their_files(tmp_path: Path) -> None:
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    ours = here.write(make_cell(seed=0), make_rows())
    both = here.write(make_cell(seed=1), make_rows())
    assert there.write(make_cell(seed=1), make_rows()) == both
    theirs = there.write(make_cell(seed=2), make_rows())
    for part in ("cells", "cases"):
        shutil.copytree(there.folder / part, here.folder / part, dirs_exist_ok=True)
    assert here.cells() == [ours, both, theirs]
    assert here.check() == []


def test_merge_takes_what_is_new_keeps_what_differs_and_says_so(tmp_path: Path) -> None:
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    for store in (here, there):
        store.write(make_cell(seed=1), make_rows())
    kept = here.write(make_cell(seed=2, dice=0.7), make_rows(0.7))
    there.write(make_cell(seed=2, dice=0.9), make_rows(0.9))
    new = there.write(make_cell(seed=3), make_rows())
    merged = here.merge(there)
    assert merged.added == (new.name,)
    assert merged.same == (make_cell(seed=1).name,)
    assert merged.differing == (kept.name,)
    assert here.find(kept.key) == kept
    assert here.path(new.name).read_bytes() == there.path(new.name).read_bytes()


def test_merge_refuses_a_cell_whose_rows_were_changed(tmp_path: Path) -> None:
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    cell = there.write(make_cell(), make_rows())
    write_bytes(there.cases_path(cell.name), b"other")
    with pytest.raises(StoreError, match="do not have the hash"):
        here.merge(there)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("at", range(1, 12))
def test_whatever_flush_fails_the_pair_is_there_or_not_and_earlier_results_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, at: int
) -> None:
    store = Store(tmp_path)
    earlier = store.write(make_cell(seed=0), make_rows())
    before, real, calls = results_in(tmp_path), os.fsync, []

    def fail(handle: int) -> None:
        calls.append(handle)
        if len(calls) == at:
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fail)
    try:
        store.write(make_cell(seed=1), make_rows())
    except StoreError as error:
        assert error.remedy
        assert "earlier results are intact" in error.remedy
    else:
        assert at > len(calls)
    monkeypatch.undo()
    assert before.items() <= results_in(tmp_path).items()
    assert earlier in store.cells()
    assert [finding for finding in store.check() if not finding.harmless] == []
    assert not list(tmp_path.rglob(f"*{atomic.TEMPORARY}"))
    assert store.write(make_cell(seed=1), make_rows()) in store.cells()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(make_cell(), make_rows())
    store.cases_folder.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="Permission denied"):
            store.write(make_cell(seed=1), make_rows())
        assert len(store.cells()) == 1
    finally:
        store.cases_folder.chmod(0o700)


def test_a_full_disk_is_told_and_what_is_there_stays(tmp_path: Path) -> None:
    """On a real small file system where the system lets us make one."""
    code = (
        "import subprocess, sys; from pathlib import Path\n"
        "folder = Path(sys.argv[1]); folder.mkdir()\n"
        "subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder], check=True)\n"
        "from bench.contracts.errors import StoreError; from bench.store import Store\n"
        "from tests.cells import make_cell, make_rows\n"
        "store, told = Store(folder), []\n"
        "for seed in range(200):\n"
        "    try: told.append(store.write(make_cell(seed=seed), make_rows()))\n"
        "    except StoreError as error: print(error); break\n"
        "assert store.cells() == sorted(told, key=lambda cell: cell.name), 'lost'\n"
        "assert [f for f in store.check() if not f.harmless] == [] and not list(folder.rglob('*.tmp')), 'torn'\n"
        "print('intact', len(told) > 3)\n"
    )
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", code, str(tmp_path / "small")]
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "-r", "true"], capture_output=True).returncode
    ):
        pytest.skip("this system lets no user mount a file system of their own")
    done = subprocess.run(command, capture_output=True, text=True)
    if "mount" in done.stderr and "StoreError" not in done.stderr:
        pytest.skip("this system lets no user mount a file system of their own")
    assert "No space left on device. Free some room" in done.stdout, done.stderr
    assert "intact True" in done.stdout, done.stderr


# --- many writers, some of them killed ---


def write_many(folder: Path, writer: int, start: int, stop: int) -> None:
    """Write cells start..stop and tell each one that was acknowledged."""
    store = Store(folder)
    with (folder / f"told-{writer}").open("ab", buffering=0) as told:
        for number in range(start, stop):
            cell = make_cell(method=f"m{writer}", seed=number, dice=number / 1000)
            name = store.write(cell, make_rows(number / 1000)).name
            told.write(f"{name}\n".encode())


def stress(folder: Path, writers: int, cells: int, kills: int) -> None:
    """Run writers at once, kill some at random moments, let others go on where they stopped; then count."""
    context, dice = multiprocessing.get_context("spawn"), random.Random(7)

    def start(writer: int) -> Any:
        process = context.Process(target=write_many, args=(folder, writer, told(writer), cells))
        process.start()
        return process

    def told(writer: int) -> int:
        path = folder / f"told-{writer}"
        return len(path.read_bytes().splitlines()) if path.exists() else 0

    running = {writer: start(writer) for writer in range(writers)}
    killed = 0
    while running:
        time.sleep(dice.uniform(0.01, 0.1))
        for writer, process in list(running.items()):
            if killed < kills and told(writer) and process.is_alive() and dice.random() < 0.3:
                process.kill()
                killed += 1
            if not process.is_alive():
                process.join()
                del running[writer]
                if process.exitcode != 0 or told(writer) < cells:
                    running[writer] = start(writer)
    store = Store(folder)
    names = [cell.name for cell in store.cells()]
    acknowledged = [line for path in folder.glob("told-*") for line in path.read_text().splitlines()]
    assert killed == kills
    assert set(acknowledged) <= set(names)
    assert len(names) == writers * cells
    assert [finding for finding in store.check() if not finding.harmless] == []
    assert store.cases().num_rows == 6 * writers * cells


def test_two_writers_of_whom_some_are_killed_lose_and_tear_nothing(tmp_path: Path) -> None:
    stress(tmp_path, writers=2, cells=40, kills=2)


@pytest.mark.slow
def test_eight_writers_of_whom_many_are_killed_lose_and_tear_nothing(tmp_path: Path) -> None:
    stress(tmp_path, writers=8, cells=500, kills=40)


def write_one(folder: Path, dice: float) -> None:
    try:
        Store(folder).write(make_cell(dice=dice), make_rows(dice))
    except StoreError as error:
        assert "differs" in error.message


def test_two_writers_of_one_cell_leave_one_whole_result(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_one, args=(tmp_path, dice)) for dice in (0.5, 0.6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert Store(tmp_path).check() == []
    assert len(Store(tmp_path).cells()) == 1


def test_names_and_store_load_no_heavy_package() -> None:
    code = "import sys, bench.store, bench.verify, bench.table, bench.tables.forms, bench.figure; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "monai", "pandas", "pyarrow", "scipy", "matplotlib", "jinja2", "rich"}
    assert not heavy & set(done.stdout.split())
