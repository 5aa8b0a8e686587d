"""Phantoms are written once, and anew where an earlier generator drew them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.contracts.errors import SpecError, StoreError
from bench.phantom_data import make_phantoms, write_task


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_task("msd04", "smoke", tmp_path)


def files_of(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_an_unknown_size_or_name_is_refused_with_what_is_possible(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"No size 'big'. Possible: smoke, mini.*--size"):
        make_phantoms("msd04", "big", tmp_path)
    with pytest.raises(SpecError, match=r"No task or corpus 'al'. Did you mean 'all'"):
        make_phantoms("al", "smoke", tmp_path)


def test_a_finished_phantom_is_kept(written: Path, tmp_path: Path) -> None:
    before = files_of(written)
    assert write_task("msd04", "smoke", tmp_path) == written and files_of(written) == before


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"generator": "bench.phantoms 5", "cases": 3, "files": {}}'])
def test_a_damaged_mark_is_an_error_that_says_what_to_remove(written: Path, tmp_path: Path, text: str) -> None:
    (written / "PHANTOM.json").write_text(text)
    before = files_of(written)
    with pytest.raises(StoreError, match=rf"no mark that a phantom leaves.*Remove the folder {written}"):
        write_task("msd04", "smoke", tmp_path)
    assert files_of(written) == before


def test_a_phantom_of_an_earlier_generator_is_drawn_anew_and_what_lies_beside_it_stays(
    written: Path, tmp_path: Path
) -> None:
    mark = written / "PHANTOM.json"
    told = json.loads(mark.read_text())
    old = written / "imagesTr" / "hippocampus_999.nii.gz"  # a case that the present lists do not name
    old.write_bytes(b"drawn otherwise")
    (written / "notes.txt").write_text("mine")
    files = {**told["files"], "imagesTr/hippocampus_999.nii.gz": "0"}
    mark.write_text(json.dumps({**told, "generator": "bench.phantoms 1", "files": files}))
    before = files_of(written)
    write_task("msd04", "smoke", tmp_path)
    after = files_of(written)
    assert json.loads(mark.read_text()) == told and not old.exists() and (written / "notes.txt").read_text() == "mine"
    assert set(before) - set(after) == {"imagesTr/hippocampus_999.nii.gz"}
    assert all(after[name] > before[name] for name in told["files"])
