"""Finding a dataset: where it is looked for, in which order, and what a person reads who does not have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import registry
from bench.contracts.errors import DataMissing
from bench.data.find import find_dataset, first_within, locate
from tests import tiny_dataset as tiny
from tests.real_volumes import real

CARD = tiny.card()


def find(root: Path | None, **environ: Path | str) -> Path:
    return find_dataset("tiny", CARD, root, {name: str(path) for name, path in environ.items()})


@pytest.mark.parametrize("around", ["", "Task99_Tiny", "tiny", "a/Task99_Tiny", "a/tiny", "a/b"])
def test_a_dataset_is_found_at_the_root_or_two_levels_below_it(tmp_path: Path, around: str) -> None:
    folder = tiny.write(tmp_path / "place" / around, tiny.CASES[:1])
    assert find(tmp_path / "place") == folder


def test_a_dataset_three_levels_down_is_not_sought(tmp_path: Path) -> None:
    tiny.write(tmp_path / "a" / "b" / "c", tiny.CASES[:1])
    with pytest.raises(DataMissing):
        find(tmp_path)


def test_the_official_name_wins_over_another_folder_of_the_same_form(tmp_path: Path) -> None:
    tiny.write(tmp_path / "a_copy", tiny.CASES[:1])
    named = tiny.write(tmp_path / "task99_tiny", tiny.CASES[:1])
    assert find(tmp_path) == named


def test_places_are_asked_in_order_root_then_bench_data_then_nnunet(tmp_path: Path) -> None:
    one, two, three = (tiny.write(tmp_path / name / "tiny", tiny.CASES[:1]) for name in ("one", "two", "three"))
    environ = {"BENCH_DATA": two.parent, "nnUNet_raw": three.parent}
    assert find(one.parent, **environ) == one
    assert find(None, **environ) == two
    assert find(None, BENCH_DATA=tmp_path / "empty", nnUNet_raw=three.parent) == three


def test_a_root_that_lacks_the_dataset_is_not_replaced_by_another_place(tmp_path: Path) -> None:
    tiny.write(tmp_path / "data" / "tiny", tiny.CASES[:1])
    (tmp_path / "mistyped").mkdir()
    with pytest.raises(DataMissing, match="mistyped"):
        find(tmp_path / "mistyped", BENCH_DATA=tmp_path / "data")


def test_the_message_says_what_how_large_whose_where_which_tree_and_what_next(tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as caught:
        find(None, BENCH_DATA=tmp_path)
    message = str(caught.value)
    first, *rest = message.splitlines()
    assert first.startswith("tiny: its data (Tiny: 8 labelled; 0.5 GB) are not below $BENCH_DATA")
    for words in (
        "CC0-1.0",
        "https://example.org/tiny",
        "imagesTr/tiny_NNN.nii.gz",
        "bench data check tiny",
        "bench data add tiny DIR",
        "--phantom",
    ):
        assert words in "\n".join(rest)
    assert caught.value.case == "tiny"


def test_the_message_tells_unset_variables_and_a_root_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"\$BENCH_DATA and \$nnUNet_raw are not set"):
        find(None)
    with pytest.raises(DataMissing, match="there is no such folder"):
        find(tmp_path / "nowhere")


def test_a_root_by_a_tilde_that_lacks_the_data_is_not_said_to_be_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    with pytest.raises(DataMissing, match=r"are not in ~/here\.") as caught:
        find(Path("~/here"))
    assert "no such folder" not in str(caught.value)


def test_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    tiny.write(tmp_path / ".trash", tiny.CASES[:1])
    assert locate(tiny.LAYOUT, "tiny", (), tmp_path, {}) is None


def test_the_nearest_folder_wins_and_equals_go_by_name(tmp_path: Path) -> None:
    for name in ("b/x", "a/x", "c"):
        (tmp_path / name / "here").mkdir(parents=True)
    assert first_within(tmp_path, lambda folder: (folder / "here").is_dir()) == tmp_path / "c"
    (tmp_path / "c" / "here").rmdir()
    assert first_within(tmp_path, lambda folder: (folder / "here").is_dir()) == tmp_path / "a" / "x"


def test_names_and_data_are_checked_without_torch_monai_or_pandas() -> None:
    code = (
        "import sys, bench.data.splits, bench.data.find, bench.data.manifest, bench.data.checks\n"
        "import tasks.msd04, tasks.la, tasks.btcv, tasks.corpora.mim_10k, tasks.layouts.nnunet\n"
        "print(sorted({'torch', 'monai', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.data
@pytest.mark.parametrize(("task", "name", "count"), [("msd04", "Task04_Hippocampus", 200), ("la", "la", 20)])
def test_the_real_volumes_are_found_by_official_name_or_key(task: str, name: str, count: int) -> None:
    place, card = real(task).parent, registry.task(task)
    folder = find_dataset(task, card, None, {"BENCH_DATA": str(place)})
    assert folder.name == name and len(card.files.records(folder)) == count
    assert find_dataset(task, card, place, {}) == folder
    assert find_dataset(task, card, folder, {}) == folder
