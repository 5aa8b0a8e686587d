"""What `bench data status` finds, counts, and says of datasets that are not there or cannot be looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.data import find
from bench.data.find import folders_listed_once, locate
from bench.data_status import Status, data_status
from bench.phantom_data import write_task
from bench.published.layout import paper_tables
from tests.command_line import bench

DATASETS = ("msd04", "msd06", "lidc")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of three tasks in their official folders, without the stamp that says so."""
    folder = tmp_path_factory.mktemp("data")
    for task in DATASETS:
        (write_task(task, "smoke", folder) / "PHANTOM.json").unlink()
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def counts(status: Status) -> dict[str, dict[str, tuple[int, int]]]:
    return {place.key: dict(place.counts) for place in status.tasks if place.found}


def test_with_nothing_found_each_name_says_where_to_get_it_and_no_table_can_be_run() -> None:
    answer = bench("data", "status")
    assert answer.code == 0 and "Tasks: 0 of 34 here" in answer.out
    status = data_status(None, {})
    assert not any(place.found or place.problem for place in status.tasks)
    assert all(place.page and place.licence for place in (*status.tasks, *status.corpora))
    assert {table.state for table in status.tables} == {"no"}
    for words in ("syn3193805", "medicaldecathlon.com", "all sets of 0 of 9", "the tasks of 0 of"):
        assert words in answer.out


def test_cases_are_counted_by_part_beside_what_the_whole_dataset_has(data: Path) -> None:
    found = counts(data_status(data, {}))
    assert set(found) == set(DATASETS)
    for task in ("msd04", "msd06"):
        card = registry.task(task)
        folder = locate(card.files, task, card.folders, data, {})
        assert folder is not None
        masks = sum(record.label.kind != "none" for record in card.files.records(folder))
        assert found[task]["labelled"] == (masks, card.counts["labelled"]) and masks > 0
    assert found["lidc"] == {"patients": (len(list(data.rglob("LIDC-IDRI-*"))), 1010)}


def test_a_table_is_runnable_when_all_its_tasks_are_there(data: Path) -> None:
    tables = {table.name: table for table in data_status(data, {}).tables}
    assert set(tables) <= {table.name for table in paper_tables()}
    assert [(tables[name].here, tables[name].lacking, tables[name].state) for name in ("mg3d:III", "ar:4", "ar:3")] == [
        (("msd06",), (), "yes"),
        (("msd06",), ("ricord",), "partly"),
        ((), ("la", "ricord"), "no"),
    ]
    lines = bench("data", "status", "--root", data).out.splitlines()
    assert any(line.split("│")[0].strip() == "ar:4" and "1 of 2 tasks" in line and "ricord" in line for line in lines)


def test_phantoms_are_told_and_make_no_table_runnable(tmp_path: Path) -> None:
    write_task("msd06", "smoke", tmp_path)
    status = data_status(tmp_path, {})
    assert [place.phantom for place in status.tasks if place.found] == [True]
    assert {table.state for table in status.tables} == {"no"}
    assert "phantoms: " in bench("data", "status", "--root", tmp_path).out


def test_images_in_an_archive_are_counted_without_a_record_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of a million records take ten seconds to make; another file than the owners' is told all the same."""
    write_task("tissuemnist", "smoke", tmp_path)
    files = registry.task("tissuemnist").files
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    count = len(files.records(folder))
    monkeypatch.setattr(type(files), "records", lambda *_: pytest.fail("records are made"))
    assert counts(data_status(tmp_path, {}))["tissuemnist"] == {"labelled": (count, 236_386)}
    (folder / "PHANTOM.json").unlink()
    place = next(place for place in data_status(tmp_path, {}).tasks if place.key == "tissuemnist")
    assert not place.found and "has the md5" in place.problem


def test_sets_of_corpora_are_found_and_counted(tmp_path: Path) -> None:
    assert bench("phantom", "make", "mim-1k", "--size", "smoke", "--out", tmp_path).code == 0
    pools = {pool["key"]: pool for pool in bench("data", "status", "--root", tmp_path, "--json").value["corpora"]}
    assert (pools["mim-1k"]["volumes"], pools["mim-1k"]["printed"]) == (16, 746)
    assert [(s["key"], s["found"], s["counts"]["volumes"]) for s in pools["mim-1k"]["sets"]] == [
        ("btcv", True, [8, 24]),
        ("tcia-covid19", True, [8, 722]),
    ]


def test_what_is_wrong_with_one_dataset_stands_beside_its_name_and_stops_nothing(here: Path, data: Path) -> None:
    (here / "datasets.toml").write_text(f'btcv = "/no/such/place"\nmsd04 = "{data / "Task04_Hippocampus"}"\n')
    status = data_status(None, {})
    assert set(counts(status)) == {"msd04"}
    assert [place.key for place in status.tasks if place.problem] == ["btcv"]
    assert bench("data", "status").code == 0 and "no folder" in bench("data", "status").out
    (here / "datasets.toml").write_text('btvc = "/no/such/place"\n')
    assert "Did you mean 'btcv'?" in bench("data", "status", "--json").error["message"]


def test_a_place_is_listed_once_for_all_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (tmp_path / f"set{number}" / "inside").mkdir(parents=True)
    asked: list[Path] = []
    plain = find._folders
    monkeypatch.setattr(find, "_folders", lambda folder: asked.append(folder) or plain(folder))
    data_status(tmp_path, {})
    assert len(asked) == len(set(asked)) == 6
    for number in range(101):
        (tmp_path / "set1" / f"patient{number}" / "scan").mkdir(parents=True)
    asked.clear()
    data_status(tmp_path, {})
    assert len(asked) == len(set(asked)) == 6  # not those of every patient
    with folders_listed_once():
        pass
    assert find._listed.get() is None  # a later look sees what has changed


def test_a_phantom_that_is_drawn_is_read_where_one_may_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_task("msd04", "smoke", tmp_path)
    monkeypatch.setattr("bench.phantom_data.only_one", None)  # the lock beside the folder
    assert write_task("msd04", "smoke", tmp_path) == folder
