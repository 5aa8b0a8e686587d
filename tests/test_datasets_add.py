"""bench data add: a line of datasets.toml is written when the folder reads as the dataset, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from bench import registry
from bench.contracts.errors import DataMissing, SpecError
from bench.data.atomic import write_text
from bench.datasets_add import add_folder
from bench.datasets_file import told_folders
from bench.phantom_data import write_task
from tests.command_line import bench


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task("msd04", "smoke", tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_line_is_written_and_the_dataset_is_found_by_it(here: Path, data: Path) -> None:
    answer = bench("data", "add", "msd04", data.parent)
    assert answer.code == 0 and "msd04: 14 cases of phantoms below" in answer.out and "read by msd04" in answer.out
    assert told_folders() == {"msd04": data.parent}
    assert bench("data", "check", "msd04").code == 0
    before = (here / "datasets.toml").read_bytes()
    assert bench("data", "add", "msd04", data.parent).code == 0 and (here / "datasets.toml").read_bytes() == before


def test_comments_and_other_lines_stay_and_the_line_is_changed_on_demand_only(
    here: Path, data: Path, tmp_path: Path
) -> None:
    file = here / "datasets.toml"
    file.write_text(f'# mine\nbtcv = "/x"  # large\nmsd04 = "{here}" # small')
    with pytest.raises(SpecError, match=r"The line `msd04` of .* says '.*work', asked is .*--replace"):
        add_folder("msd04", data.parent)
    add_folder("msd04", data.parent, replace=True)
    assert file.read_text() == f'# mine\nbtcv = "/x"  # large\nmsd04 = "{data.parent}" # small'
    quoted = tmp_path / 'a "b"'
    quoted.mkdir()
    (quoted / data.name).symlink_to(data)
    assert add_folder("msd04", quoted, replace=True).cases == 14 and told_folders()["msd04"] == quoted


def test_two_lines_that_are_added_at_once_are_both_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = next(m for m in registry.corpus("mim-1k").members if m.key == "tcia-covid19")
    member.files.write_phantom(tmp_path / "covid", ["0001"], "smoke")
    other = Thread(target=add_folder, args=("tcia-covid19", tmp_path / "covid"))

    def slowly(path: Path, text: str) -> None:
        if other.ident is None:
            other.start()
            other.join(0.5)  # time enough to write, were it not for the lock
        write_text(path, text)

    monkeypatch.setattr("bench.datasets_add.write_text", slowly)
    add_folder("msd04", data.parent)
    other.join()
    assert set(told_folders()) == {"msd04", "tcia-covid19"}


def test_a_set_of_a_corpus_is_read_by_all_corpora_that_hold_it(data: Path, tmp_path: Path) -> None:
    member = next(m for m in registry.corpus("mim-1k").members if m.key == "tcia-covid19")
    member.files.write_phantom(tmp_path / "any name", ["0001", "0002"], "smoke")
    added = add_folder("tcia-covid19", tmp_path / "any name")
    assert added.cases == 2 and {"mim-1k", "mim-10k"} <= set(added.readers)


def test_a_folder_that_does_not_read_as_the_dataset_is_refused_with_the_tree(here: Path, data: Path) -> None:
    with pytest.raises(DataMissing, match="does not read as btcv") as caught:
        add_folder("btcv", data)
    assert "img" in caught.value.remedy
    with pytest.raises(DataMissing, match="There is no folder"):
        add_folder("msd04", data / "nowhere")
    with pytest.raises(DataMissing, match=r"dataset\.json' is a file, no folder"):
        add_folder("msd04", data / "dataset.json")
    with pytest.raises(SpecError, match=r"^msd4: No dataset is called 'msd4'. Did you mean 'msd04'"):
        add_folder("msd4", data)
    with pytest.raises(SpecError, match=r"'mim-1k' is a corpus.*btcv, tcia-covid19.*bench show mim-1k"):
        add_folder("mim-1k", data)
    assert not (here / "datasets.toml").exists()


def test_a_line_in_a_form_of_its_own_is_left_to_its_writer(here: Path, data: Path) -> None:
    text = f'msd04 = """{here}\\\n"""\n'
    (here / "datasets.toml").write_text(text)
    with pytest.raises(SpecError, match=r"not changed from here.*Write it by hand: msd04 = "):
        add_folder("msd04", data.parent, replace=True)
    assert (here / "datasets.toml").read_text() == text
