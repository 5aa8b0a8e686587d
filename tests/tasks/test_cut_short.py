"""Downloads that look whole and are not: an owner's table cut short, marks that got lost; and whole ones that look cut."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import registry
from bench.cases import TaskCases, find_cases
from bench.chain import find
from bench.contracts.cards import TaskCard
from bench.contracts.errors import DataMissing
from bench.corpora import named_corpus
from bench.corpus_check import check_corpus
from bench.data.check_report import CheckReport
from bench.data.checks import check
from bench.data.official import Shipped, beyond, cut_short
from bench.data.roster import roster_of
from bench.data.splits import lists
from bench.phantom_data import task_ids
from bench.spec import make_spec
from tasks.layouts import ct_rate_tables as tables

SPLITS = registry.splits_folder()
TASKS = ("ctrate_retrieval", "ctrate_prompts", "luna16", "lidc")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Phantoms without the mark that tells them from real data."""
    root = tmp_path_factory.mktemp("cut-short")
    for task in TASKS:
        card = registry.task(task)
        card.files.write_phantom(root / task, task_ids(card, "smoke"), "smoke")
        (root / task / "PHANTOM.json").unlink()
    return {task: root / task for task in TASKS}


@pytest.fixture
def copied(written: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    return {task: Path(shutil.copytree(folder, tmp_path / task)) for task, folder in written.items()}


def as_shipped(task: str, folder: Path) -> TaskCard:
    """The task's card as if its owners had shipped what lies in the folder."""
    card = registry.task(task)
    files: Any = card.files
    found = [one.found for one in files.shipped(folder)]
    own = {
        "luna16": lambda: {"rows": {files.table: found[0]}, "nodules": found[1]},
        "lidc": lambda: {"scans": found[0]},
        "ctrate_retrieval": lambda: {"rows": {"train": found[0], "valid": found[1]}},
        "ctrate_prompts": lambda: {"rows": {"train": found[0], "valid": found[1]}},
    }[task]()
    return replace(card, files=replace(files, **own))


def found_by(card: TaskCard, task: str, folder: Path, *, partial: bool = False) -> TaskCases:
    return find_cases(make_spec(method="unet3d_scratch", task=task, partial=partial), card, folder, {})


def checked(card: TaskCard, folder: Path, *, partial: bool = False) -> CheckReport:
    roster = roster_of(card.files, folder, card.files.records(folder))
    return check(card, folder, lists(card.protocols["bench"].split, SPLITS, 0, roster), partial=partial, full=False)


def shortened(path: Path, rows: int) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[:-rows]) + "\n")


def silenced(folder: Path, part: tables.Part, volume: str) -> None:
    """Take both sections of a volume's report away, as the owners write it."""
    rows = list(tables.reports(folder, part).values())
    path = folder / tables.REPORTS[part]
    lines = [",".join(tables.REPORT_COLUMNS)]
    for row in rows:
        silent = row["VolumeName"] == f"{volume}.nii.gz"
        told = {**row, "Findings_EN": "Not given.", "Impressions_EN": "Not given."} if silent else row
        lines.append(",".join('"' + told[name].replace('"', '""') + '"' for name in tables.REPORT_COLUMNS))
    path.write_text("\n".join(lines) + "\n")


# Reports that were never given ----------------------------------------------------------------------------


def test_a_whole_tree_with_reports_that_were_not_given_is_taken(copied: dict[str, Path]) -> None:
    folder = copied["ctrate_retrieval"]
    card = as_shipped("ctrate_retrieval", folder)
    before = found_by(card, "ctrate_retrieval", folder)
    silent = {"train": before.here.train[1], "valid": before.here.test[0]}
    for part, volume in silent.items():
        silenced(folder, part, volume)  # type: ignore[arg-type]
    found = found_by(card, "ctrate_retrieval", folder)
    assert not found.missing and not found.partial
    assert found.here.train == tuple(v for v in before.here.train if v != silent["train"])
    assert found.here.test == before.here.test[1:] and found.here.val == before.here.val
    assert checked(card, folder).exit_ok


def test_a_task_of_findings_keeps_volumes_whose_report_was_not_given(copied: dict[str, Path]) -> None:
    folder = copied["ctrate_prompts"]
    card = as_shipped("ctrate_prompts", folder)
    silent = found_by(card, "ctrate_prompts", folder).here.test[0]
    silenced(folder, "valid", silent)
    assert silent in found_by(card, "ctrate_prompts", folder).here.test


# Tables cut short -----------------------------------------------------------------------------------------


def test_the_owners_counts_are_those_of_the_published_tables() -> None:
    shipped = {task: registry.task(task).files for task in TASKS}
    assert shipped["luna16"].rows == {"candidates_V2.csv": 754_975, "candidates.csv": 551_065}  # type: ignore[attr-defined]
    assert shipped["luna16"].nodules == 1_186  # type: ignore[attr-defined]
    assert shipped["lidc"].scans == 1_018  # type: ignore[attr-defined]
    for task in ("ctrate_retrieval", "ctrate_prompts"):
        assert shipped[task].rows == {"train": 47_149, "valid": 3_039}  # type: ignore[attr-defined]
    assert registry.task("ctrate_retrieval").counts["labelled"] == 47_149 + 3_039


CUT = {
    "luna16": ("candidates_V2.csv", "46 of 48 rows of candidates_V2.csv"),
    "ctrate_retrieval": (tables.REPORTS["valid"], "of 7 rows of radiology_text_reports/validation_reports.csv"),
    "ctrate_prompts": (tables.LABELS["train"], "rows of multi_abnormality_labels/train_predicted_labels.csv"),
}


@pytest.mark.parametrize("task", CUT)
def test_a_table_cut_short_is_refused_and_may_be_taken_in_part(task: str, copied: dict[str, Path]) -> None:
    folder, (table, told) = copied[task], CUT[task]
    card = as_shipped(task, folder)
    assert found_by(card, task, folder, partial=True).cut_short == () == checked(card, folder).cut_short
    shortened(folder / table, 2)
    with pytest.raises(DataMissing) as caught:
        found_by(card, task, folder)
    assert told in caught.value.message and str(folder) in caught.value.message and caught.value.case == task
    assert "--partial" in caught.value.remedy and f"bench data check {task}" in caught.value.remedy
    taken = found_by(card, task, folder, partial=True)
    assert told in taken.partial and any(told in line for line in taken.cut_short)
    report = checked(card, folder)
    assert not report.exit_ok and any(told in line for line in report.lines()) and report.checks["counts"] != "ok"
    assert any(told in line for line in checked(card, folder, partial=True).lines())


def test_a_phantom_is_not_refused_for_being_small(tmp_path: Path) -> None:
    card = registry.task("luna16")
    card.files.write_phantom(tmp_path, task_ids(card, "smoke"), "smoke")
    assert found_by(card, "luna16", tmp_path).cut_short == () == checked(card, tmp_path).cut_short
    assert checked(card, tmp_path).exit_ok


def test_lost_marks_of_readers_are_told_with_their_patient(copied: dict[str, Path]) -> None:
    folder = copied["lidc"]
    card = as_shipped("lidc", folder)
    whole = found_by(card, "lidc", folder, partial=True)
    patient = whole.here.test[0].partition("/")[0]
    for path in (folder / patient).rglob("*.xml"):
        path.unlink()
    told = f"12 of 13 CTs with the XML of their readers (none in {patient})"
    with pytest.raises(DataMissing, match="lacks 997 of the 1,010 groups that the split names") as caught:
        found_by(card, "lidc", folder)  # the phantom lacks most patients
    assert told in caught.value.message
    assert told in found_by(card, "lidc", folder, partial=True).partial


def test_a_count_names_three_places_and_how_many_more() -> None:
    assert str(Shipped("rows", 1_000, 2_000)) == "1,000 of 2,000 rows"
    assert str(Shipped("scans", 1, 6, ("a", "b", "c", "d", "e"))) == "1 of 6 scans (none in a, b, c and 2 more)"


def test_a_layout_whose_cases_a_list_names_ships_nothing_else(tmp_path: Path) -> None:
    assert cut_short(registry.task("msd04").files, tmp_path, "real") == ()


def test_a_run_on_a_table_cut_short_is_refused_or_says_so_in_its_record(written: dict[str, Path]) -> None:
    from bench.cell_of_run import _departures

    told = "48 of 754,975 rows of candidates_V2.csv"
    nodules = "24 of 1,186 rows of annotations.csv"
    words = {"method": "unet3d_scratch", "task": "luna16", "root": str(written["luna16"])}
    with pytest.raises(DataMissing, match=told):
        find(make_spec(**words), {})
    cases = find(make_spec(**words, partial=True), {}).cases
    assert cases.partial.startswith("12 of 888 groups; ") and cases.partial.endswith(
        f"{told}; {nodules}"
    )  # as record and tables have it
    setup = SimpleNamespace(recipe=SimpleNamespace(selection="last"))
    chain: Any = SimpleNamespace(words=SimpleNamespace(cases=cases), blueprint=SimpleNamespace(differs=(), setup=setup))
    assert [line for line in _departures(chain, {}) if "rows" in line] == [told, nodules]


def test_a_pool_whose_table_is_cut_short_is_refused_and_may_be_taken_in_part(copied: dict[str, Path]) -> None:
    root = copied["ctrate_retrieval"].rename(copied["ctrate_retrieval"].with_name("CT-RATE")).parent
    told = "of 47,149 rows of radiology_text_reports/train_reports.csv"
    with pytest.raises(DataMissing, match=told) as caught:
        named_corpus("ct-rate-1.4k", root, {}, None, partial=False)
    assert "--partial" in caught.value.remedy
    assert named_corpus("ct-rate-1.4k", root, {}, None, partial=True).found > 0
    report = check_corpus("ct-rate-1.4k", root, {}, partial=False)
    assert not report.exit_ok and any(told in line for line in report.lines())
    assert check_corpus("ct-rate-1.4k", root, {}, partial=True).exit_ok


# Like with like -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "what", "shipped"), [("luna16", "scans", 12), ("lidc", "patients", 13)])
def test_counts_of_scans_and_patients_are_held_against_scans_and_patients(
    task: str, what: str, shipped: int, written: dict[str, Path]
) -> None:
    records = registry.task(task).files.records(written[task])
    assert len(records) > shipped and set(registry.task(task).counts) == {what}
    whole = replace(registry.task(task), counts={what: shipped})
    assert beyond(whole, records) == []
    fewer = replace(whole, counts={what: shipped - 1})
    assert beyond(fewer, records) == [f"{shipped} {what} with a labelled case on disk, the owners ship {shipped - 1}."]
    assert beyond(replace(whole, counts={"labelled": 5}), records) == [
        f"{len(records)} labelled cases on disk, the owners ship 5."
    ]
