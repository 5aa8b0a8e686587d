"""datasets.toml: where it stands among the places, whom it serves, what it refuses, and who never opens it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.contracts.errors import DataMissing, SpecError
from bench.corpora import member_records
from bench.corpus_check import check_corpus
from bench.data.find import locate
from bench.datasets_file import find_folder, find_task_folder
from bench.doctor import examine
from bench.phantom_data import write_task
from tests.command_line import bench

MSD04 = registry.task("msd04")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of msd04 in its official folder."""
    return write_task("msd04", "smoke", tmp_path_factory.mktemp("data"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def say(here: Path, *lines: str) -> None:
    (here / "datasets.toml").write_text("\n".join(lines) + "\n")


def find(root: Path | None = None, **environ: Path) -> Path:
    return find_task_folder("msd04", MSD04, root, {name: str(path) for name, path in environ.items()})


def test_a_line_comes_after_the_root_and_before_bench_data(here: Path, data: Path, tmp_path: Path) -> None:
    told, root, other = (tmp_path / name / data.name for name in ("told", "root", "other"))
    for folder in (told, root, other):
        folder.parent.mkdir()
        folder.symlink_to(data)
    say(here, f'msd04 = "{told}"')
    assert find(BENCH_DATA=other.parent) == told
    assert find(root.parent, BENCH_DATA=other.parent) == root
    say(here, '# msd04 = "/elsewhere"', 'btcv = "/where/ever/RawData"')
    assert find(BENCH_DATA=other.parent) == other  # a line of another dataset, whatever it says, is no matter


def test_a_path_may_be_relative_to_the_file_begin_at_home_and_hold_the_set_two_levels_down(
    here: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "renamed").symlink_to(data)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("../a/b/renamed", "~/a/b/renamed", "~/a"):
        say(here, f'msd04 = "{path}"')
        assert find().resolve() == data


def test_one_line_serves_a_task_and_the_sets_of_corpora_that_bear_its_key(here: Path, tmp_path: Path) -> None:
    for name in ("btcv", "tcia-covid19"):
        (tmp_path / name).mkdir()
    assert bench("phantom", "make", "mim-1k", "--size", "smoke", "--out", tmp_path / "pool").code == 0
    members = {member.key: member for member in registry.corpus("mim-1k").members}
    folders = {key: locate(m.files, key, m.folders, tmp_path / "pool", {}) for key, m in members.items()}
    say(here, *(f'{key} = "{folder}"' for key, folder in folders.items()))
    assert {member.key: member.found for member in check_corpus("mim-1k", None, {}, partial=True).members} == {
        "btcv": 8,
        "tcia-covid19": 8,
    }
    assert find_task_folder("btcv", registry.task("btcv"), None, {}) == folders["btcv"]


def test_a_set_that_is_known_by_its_folders_name_may_be_called_anything_in_the_file(here: Path, tmp_path: Path) -> None:
    member = next(m for m in registry.corpus("spad-55").members if m.key == "verse")
    member.files.write_phantom(tmp_path / "VerSe", ["verse_1", "verse_2"], "smoke")
    renamed = (tmp_path / "VerSe").rename(tmp_path / "spines, complete")
    assert find_folder(member.files, member.key, member.folders, renamed, {}) is None
    say(here, f'verse = "{renamed}"')
    folder, records = member_records(member, None, {}, None)
    assert folder == renamed and len(records) == 2


def test_a_folder_that_lacks_the_dataset_is_not_replaced_by_another_place_and_the_file_is_named(
    here: Path, data: Path, tmp_path: Path
) -> None:
    say(here, f'msd04 = "{here}"')
    with pytest.raises(DataMissing, match=r"are not in .*work \(so datasets.toml says\)"):
        find(BENCH_DATA=data.parent)
    assert find_folder(MSD04.files, "msd04", MSD04.folders, None, {"BENCH_DATA": str(data.parent)}) is None


def test_a_person_without_data_reads_how_to_write_the_line(here: Path) -> None:
    with pytest.raises(DataMissing, match="bench data add msd04 DIR"):
        find()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("btvc = '/x'", r"No dataset is called 'btvc'. Did you mean 'btcv'\?.*bench list tasks"),
        ("tcia-covid = '/x'", r"No dataset is called 'tcia-covid'. Did you mean 'tcia-covid19'\?.*bench show mim-10k"),
        ("btcv = /x", r"no TOML: .*line 1.* One line per dataset: btcv = "),
        ("btcv = 3", r"The line `btcv` must be a folder, found 3\. One line per dataset"),
        ("btcv = ''", r"The line `btcv` must be a folder, found ''"),
        ("[btcv]\nfolder = '/x'", r"The line `btcv` must be a folder, found \{"),
    ],
)
def test_an_unsound_file_is_named_with_its_line_or_key_and_the_remedy(here: Path, line: str, told: str) -> None:
    say(here, line)
    with pytest.raises(SpecError, match=told) as caught:
        find()
    assert caught.value.case == str(here / "datasets.toml")


def test_a_line_that_leads_nowhere_is_an_error_naming_key_folder_and_file(here: Path, data: Path) -> None:
    say(here, 'msd04 = "/no/such/place"')
    with pytest.raises(DataMissing, match="says that it lies in '/no/such/place', which is no folder") as caught:
        find(BENCH_DATA=data.parent)
    assert caught.value.case == "msd04" and f"Mend the line `msd04` in {here / 'datasets.toml'}" in caught.value.remedy


def test_the_home_of_nobody_is_told_as_a_folder_that_is_not_there(here: Path) -> None:
    nowhere = "~nobody-is-called-so/data"
    with pytest.raises(DataMissing, match=r"are not below \$BENCH_DATA \(~nobody-is-called-so/data\)"):
        find(BENCH_DATA=Path(nowhere))
    with pytest.raises(DataMissing, match="in ~nobody-is-called-so/data: there is no such folder"):
        find(Path(nowhere))
    assert "There is no folder" in bench("data", "add", "msd04", nowhere, "--json").error["message"]
    found = {check.what: check for check in examine({"BENCH_DATA": nowhere}, here)}
    assert found["data"].found == f"$BENCH_DATA={nowhere} is no folder"
    say(here, f'msd04 = "{nowhere}"')
    with pytest.raises(DataMissing, match="which is no folder"):
        find()


def test_a_run_on_phantoms_never_opens_it(here: Path, tmp_path: Path) -> None:
    say(here, "this is no TOML")
    words = (
        "plan",
        "--method",
        "mae3d",
        "--corpus",
        "mim-1k",
        "--task",
        "msd04",
        "--ratio",
        "0.25",
        "--preset",
        "tiny",
    )
    words = (*words, "--results", str(tmp_path / "results"), "--json")
    assert bench(*words, "--phantom").code == 0
    assert "no TOML" in bench(*words).error["message"]


def test_the_doctor_counts_its_lines_finds_what_they_say_and_reports_an_unsound_one(here: Path, data: Path) -> None:
    say(here, f'msd04 = "{data}"')
    found = {check.what: check for check in examine({}, here)}
    assert found["data"].found == "datasets.toml (1 dataset)" and found["msd04"].found == str(data)
    say(here, 'msd04 = "/no/such/place"')
    found = {check.what: check for check in examine({}, here)}
    assert found["msd04"].mark == "note" and "no folder" in found["msd04"].found
    say(here, 'msd4 = "/x"')
    found = {check.what: check for check in examine({}, here)}
    assert found["data"].mark == "bad" and "Did you mean 'msd04'?" in found["data"].found
