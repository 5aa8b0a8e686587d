"""A run tells which test cases its pre-training has seen, leaves them out where asked, and stops where a task's parts overlap."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from bench.corpora import corpus_id
from bench.store import Store
from tests.command_line import Answer, bench

BRIEF = ("--set", "finetune.steps=2", "--set", "finetune.evaluate_every=2", "--device", "cpu")
WORDS = ("run", "--method", "mae3d", "--task", "msd04", "--preset", "tiny", "--ratio", "0.25", *BRIEF, "--json")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exposed") / "data"
    assert bench("phantom", "make", "msd04", "--size", "smoke", "--out", folder).code == 0
    return folder


def images(root: Path) -> dict[str, Path]:
    return {path.name.removesuffix(".nii.gz"): path for path in root.rglob("imagesTr/hippocampus_*.nii.gz")}


def parts(results: Path, cell: str) -> dict[str, list[str]]:
    key = Store(results).read(cell).keys["finetune"][:16]
    found: dict[str, list[str]] = json.loads((results / "runs" / "finetune" / key / "cases.json").read_text())
    return found


def run(root: Path, results: Path, *words: str | Path) -> Answer:
    short = () if "--weights" in words else ("--set", "pretrain.steps=2")
    return bench(*WORDS, *short, "--root", root, "--results", results, *words)


def test_a_test_volume_hidden_in_the_corpus_is_told_and_left_out_on_demand(root: Path, tmp_path: Path) -> None:
    results, pool = tmp_path / "results", tmp_path / "pool"
    first = run(root, results, "--corpus", "own").value
    assert Store(results).read(first["cell"]).exposure == "no test case was seen"
    split = parts(results, first["cell"])
    pool.mkdir()
    shutil.copy(images(root)[split["train"][0]], pool / "harmless.nii.gz")
    shutil.copy(images(root)[split["test"][0]], pool / "renamed.nii.gz")

    seen = Store(results).read(run(root, results, "--corpus", "folder", "--corpus-root", pool).value["cell"])
    assert seen.exposed == {split["test"][0]: "the same voxels as folder/renamed"}
    assert seen.exposure == f"1 of {len(split['test'])} test cases were seen in pre-training"

    words = ("--corpus", "folder", "--corpus-root", pool, "--exclude-exposed")
    clean = Store(results).read(run(root, results, *words).value["cell"])
    assert clean.excluded == (split["test"][0],) and clean.n == seen.n - 1 and clean.key != seen.key
    assert clean.command.endswith("--exclude-exposed")
    assert clean.keys["finetune"] == seen.keys["finetune"]
    assert bench("verify", clean.name, "--root", root, "--results", results).code == 0


def test_weights_from_a_file_leave_exposure_unknown_and_cannot_be_excluded_from(root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    run(root, results, "--corpus", "own")
    encoder = next((results / "runs" / "pretrain").rglob("encoder.safetensors"))
    cell = Store(results).read(run(root, results, "--weights", encoder).value["cell"])
    assert cell.exposure.startswith("unknown: the weights come from a file")
    assert cell.corpus_id == corpus_id("file", hashlib.sha256(encoder.read_bytes()).hexdigest())  # one file, one row
    assert (
        "needs to know what pre-training saw"
        in run(root, results, "--weights", encoder, "--exclude-exposed").error["message"]
    )


def test_one_volume_under_two_names_in_train_and_test_stops_the_run(root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    split = parts(results, run(root, results, "--corpus", "own").value["cell"])
    broken = tmp_path / "broken"
    shutil.copytree(root, broken)
    files = images(broken)
    for part in ("imagesTr", "labelsTr"):
        source = files[split["train"][0]].parent.parent / part
        shutil.copy(source / files[split["train"][0]].name, source / files[split["test"][0]].name)
    told = run(broken, results, "--corpus", "own").error
    assert told["case"] == split["test"][0] and f"its image is that of '{split['train'][0]}'" in told["message"]
