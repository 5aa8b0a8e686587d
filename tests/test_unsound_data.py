"""Data that are not what they should be, through `bench run`: one line names the case, exit code 2, and nothing is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bench import registry
from bench.chain import find
from bench.data.splits import lists
from bench.data.volumes import write_nifti
from bench.phantom_data import task_ids
from bench.spec import make_spec
from bench.store import Store
from tests.command_line import Answer, bench

TINY = ("--preset", "tiny", "--device", "cpu", "--set", "finetune.steps=1", "--set", "finetune.evaluate_every=0")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hippocampus phantoms without the mark that tells them from real data: 13 cases of the 260 that the split lists."""
    root = tmp_path_factory.mktemp("written")
    card = registry.task("msd04")
    card.files.write_phantom(root / card.folders[0], task_ids(card, "smoke"), "smoke")
    (root / card.folders[0] / "PHANTOM.json").unlink()
    return root / card.folders[0]


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "data" / written.name)


def part(name: str, k: int = 0) -> str:
    parts = lists(registry.task("msd04").protocols["bench"].split, registry.splits_folder())
    return str(getattr(parts, name)[k])


def run(root: Path, results: Path, *words: str) -> Answer:
    task = ("run", "--method", "unet3d_scratch", "--task", "msd04", "--root", root, "--results", results, "--json")
    return bench(*task, *TINY, *words)


# Damaged files ---------------------------------------------------------------------------------------------


def truncated(image: Path, _: Path) -> None:
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def not_finite(image: Path, _: Path) -> None:
    found = nib.load(image)
    array = np.asarray(found.dataobj, dtype=np.float32).copy()
    array[3, 3, 3] = np.nan
    write_nifti(image, array, affine=found.affine.tolist(), dtype=np.float32)


def four_axes(image: Path, _: Path) -> None:
    found = nib.load(image)
    stack = np.stack([np.asarray(found.dataobj)] * 2, axis=-1)
    write_nifti(image, stack, affine=found.affine.tolist(), dtype=np.float32)


def unknown_label(_: Path, label: Path) -> None:
    found = nib.load(label)
    array = np.asarray(found.dataobj).astype(np.uint8)
    array[2, 2, 2] = 7
    write_nifti(label, array, affine=found.affine.tolist(), dtype=np.uint8)


def no_spacing(image: Path, _: Path) -> None:
    found = nib.load(image)
    content = bytearray(found.to_bytes())
    content[80:84] = np.float32(0).tobytes()  # pixdim[1]
    image.with_suffix("").write_bytes(content)
    image.unlink()


def other_shape(_: Path, label: Path) -> None:
    found = nib.load(label)
    array = np.asarray(found.dataobj).astype(np.uint8)[1:]
    write_nifti(label, array, affine=found.affine.tolist(), dtype=np.uint8)


HARMS: dict[Callable[[Path, Path], None], str] = {
    truncated: "truncated",
    not_finite: "NaN",
    four_axes: "4-D",
    unknown_label: "unknown values [7]",
    no_spacing: "spacing",
    other_shape: "shape",
}


@pytest.mark.parametrize("where", ["train", "test"])
@pytest.mark.parametrize("harm", list(HARMS), ids=lambda harm: harm.__name__)
def test_a_run_on_a_damaged_file_names_its_case_in_one_line_and_trains_nothing(
    harm: Callable[[Path, Path], None], where: str, folder: Path, tmp_path: Path
) -> None:
    case = part(where)
    harm(folder / "imagesTr" / f"{case}.nii.gz", folder / "labelsTr" / f"{case}.nii.gz")
    error = run(folder, tmp_path / "results", "--partial").error
    assert error["error"] == "DataUnsound" and error["case"] == case
    assert HARMS[harm] in error["message"] and error["remedy"]
    assert not (tmp_path / "results" / "cells").exists() and not (tmp_path / "results" / "runs" / "finetune").exists()


def test_a_truncated_h5_names_its_case(tmp_path: Path) -> None:
    card = registry.task("la")
    folder = tmp_path / card.folders[0]
    card.files.write_phantom(folder, task_ids(card, "smoke")[:13], "smoke")
    broken = sorted(folder.rglob("*.h5"))[0]
    truncated(broken, broken)
    words = ("run", "--method", "unet3d_scratch", "--task", "la", "--root", tmp_path, "--results", tmp_path / "results")
    error = bench(*words, *TINY, "--json").error
    assert error["error"] == "DataUnsound" and error["case"] == broken.parent.name
    assert "truncated or damaged" in error["message"]


def test_two_files_of_one_case_are_refused(folder: Path, tmp_path: Path) -> None:
    case = part("train")
    image = nib.load(folder / "imagesTr" / f"{case}.nii.gz")
    (folder / "imagesTr" / f"{case}.nii").write_bytes(image.to_bytes())
    error = run(folder, tmp_path / "results", "--partial").error
    assert (error["error"], error["case"]) == ("DataUnsound", case) and "bear this id" in error["message"]


def test_several_unsound_cases_are_named_together(folder: Path, tmp_path: Path) -> None:
    cases = [part("train", k) for k in (0, 1)]
    for case in cases:
        truncated(folder / "imagesTr" / f"{case}.nii.gz", folder)
    error = run(folder, tmp_path / "results", "--partial").error
    assert error["case"] in cases and all(case in f"{error['case']} {error['message']}" for case in cases)


# Half a download -------------------------------------------------------------------------------------------


def test_half_a_download_is_refused_with_the_missing_ids(folder: Path, tmp_path: Path) -> None:
    error = run(folder, tmp_path / "results").error
    missing = part("train", 8)  # the first that the phantom lacks
    assert error["error"] == "DataMissing" and error["case"] == "msd04"
    assert "247 of the 260 cases" in error["message"] and missing in error["message"] and "--partial" in error["remedy"]


def test_a_partial_run_is_marked_with_how_many_cases_there_were(folder: Path, tmp_path: Path) -> None:
    told = run(folder, tmp_path / "results", "--partial").value
    cell = Store(tmp_path / "results").read(told["cell"])
    assert (told["source"], told["n"]) == ("real", 3)
    assert (cell.partial, cell.n, cell.n_listed, cell.n_train) == ("13 of 260", 3, 52, 8)
    assert "13 of 260 cases of the split; 8 of 182 training cases" in cell.differs
    table = bench("table", "msd04", "--results", tmp_path / "results", "--format", "md")
    assert "‡" in table.out and "13 of 260" in table.out
    assert "root" not in cell.command and str(tmp_path) not in json.dumps(cell.provenance)
    absent = bench("verify", told["cell"], "--results", tmp_path / "results", "--json")
    assert {c["name"]: c["verdict"] for c in absent.value["checks"]}[
        "rescored"
    ] == "absent"  # nobody said where the data lie
    found = bench("verify", told["cell"], "--results", tmp_path / "results", "--root", folder, "--json")
    assert {c["name"]: c["verdict"] for c in found.value["checks"]}["rescored"] == "ok"


def test_data_that_changed_since_are_told_by_verify(folder: Path, tmp_path: Path) -> None:
    told = run(folder, tmp_path / "results", "--partial").value
    label = folder / "labelsTr" / f"{part('test')}.nii.gz"
    found = nib.load(label)
    write_nifti(label, np.roll(np.asarray(found.dataobj), 1, 0), affine=found.affine.tolist(), dtype=np.uint8)
    answer = bench("verify", told["cell"], "--results", tmp_path / "results", "--root", folder, "--json")
    verdicts = {check["name"]: check["verdict"] for check in json.loads(answer.out)["checks"]}
    assert answer.code == 2 and verdicts["rescored"] == "differs" and verdicts["predictions"] == "ok"


def test_a_ratio_of_which_no_case_is_there_is_refused_with_a_remedy(folder: Path, tmp_path: Path) -> None:
    for k in range(7):  # of the first 10 % (19 cases) none is left, of all there is one
        for path in folder.glob(f"*/{part('train', k)}.nii.gz"):
            path.unlink()
    last = part("train", 7)
    for path in folder.glob(f"*/{last}.nii.gz"):
        path.rename(path.with_name(f"{part('train', 100)}.nii.gz"))
    error = run(folder, tmp_path / "results", "--partial", "--ratio", "0.1").error
    assert error["error"] == "DataMissing" and "None of 19 training cases" in error["message"]
    assert "--ratio" in error["remedy"]
    whole = find(make_spec(method="unet3d_scratch", task="msd04", root=str(folder), partial=True), {})
    assert whole.cases.train == (part("train", 100),)


def test_a_download_without_test_cases_is_refused(folder: Path, tmp_path: Path) -> None:
    for k in range(3):
        for path in folder.glob(f"*/{part('test', k)}.nii.gz"):
            path.unlink()
    assert "None of 52 test cases" in run(folder, tmp_path / "results", "--partial").error["message"]


# Where data are found --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["Task04_Hippocampus", "a/Task04_Hippocampus", "msd04", "some-name"])
def test_the_root_may_be_the_folder_itself_or_one_that_holds_it(
    place: str, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the check leaves its bench.lock there
    shutil.copytree(written, tmp_path / "root" / place)
    for root in (tmp_path / "root", tmp_path / "root" / place):
        spec = make_spec(method="unet3d_scratch", task="msd04", root=str(root), partial=True)
        assert find(spec, {}).cases.folder == tmp_path / "root" / place
    assert bench("data", "check", "msd04", "--root", tmp_path / "root", "--partial", "--json").value["exit_ok"]


@pytest.mark.parametrize("name", ["BENCH_DATA", "nnUNet_raw"])
def test_data_are_found_through_the_environment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.layouts.nnunet import NnUnet
    from tasks.msd04 import LOOK

    layout = NnUnet(name="Hippocampus", modality="MR", labels=("anterior", "posterior"), look=LOOK)
    folder = tmp_path / "raw" / "Dataset004_Hippocampus"
    layout.write_phantom(folder, [part("train"), part("val"), part("test")], "smoke")
    monkeypatch.setenv(name, str(tmp_path / "raw"))
    assert bench("data", "check", "msd04", "--json").value["source"] == "phantom"
    answer = bench("plan", "--method", "unet3d_scratch", "--task", "msd04", "--preset", "tiny", "--json")
    assert [job["state"] for job in answer.value] == ["to do", "to do"]


# A corpus --------------------------------------------------------------------------------------------------


def test_half_a_corpus_is_refused_and_may_be_taken_in_part(tmp_path: Path) -> None:
    from bench.corpora import named_corpus
    from bench.phantom_data import write_corpus

    write_corpus("mim-1k", "smoke", tmp_path)
    words = ("run", "--method", "mim", "--task", "msd04", "--preset", "tiny", "--phantom", "--results", tmp_path / "r")
    error = bench(*words, "--weights", tmp_path / "none.safetensors", "--json").error
    assert error["error"] == "DataMissing"
    for mark in tmp_path.glob("*/PHANTOM.json"):
        mark.unlink()
    from bench.contracts.errors import DataMissing

    with pytest.raises(DataMissing, match="16 volumes of btcv") as caught:
        named_corpus("mim-1k", tmp_path, {}, None, partial=False)
    assert caught.value.case == "mim-1k" and "--partial" in caught.value.remedy
    found = named_corpus("mim-1k", tmp_path, {}, None, partial=True)
    assert found.found == 16 and "16 of 746 volumes at hand" in found.notes and found.source == "real"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "unet3d_scratch", "--corpus-root", "somewhere"), "does not pre-train"),
        (("--method", "mim", "--corpus", "own", "--corpus-root", "somewhere"), "--corpus folder"),
        (("--method", "mim", "--corpus", "none", "--corpus-root", "somewhere"), "--corpus folder"),
        (("--method", "mim", "--corpus", "folder"), "--corpus-root DIR"),
        (("--method", "mim", "--corpus", "mim-2k"), "Did you mean 'mim-1k'"),
        (("--method", ",", "--corpus", "own"), "--method names nothing"),
    ],
)
def test_a_corpus_that_cannot_be_is_refused(words: tuple[str, ...], told: str, folder: Path, tmp_path: Path) -> None:
    task = ("--task", "msd04", "--preset", "tiny", "--root", folder, "--partial", "--results", tmp_path / "results")
    error = bench("run", *words, *task, "--json").error
    assert told in f"{error['message']} {error['remedy']}"
