"""What a prediction holds becomes the owners' labels, and the owners' forms hold them: MSD, BraTS and CHAOS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bench import registry, submission
from bench.contracts.errors import SpecError
from bench.contracts.kind import Setup, make_setup
from bench.contracts.record import Record
from bench.data.volumes import label_map, read_header, read_label, to_native, write_nifti
from bench.run import Place
from bench.submission import labels_of
from tests.cells import make_cell


def setup_of(task: str, target: str) -> Setup:
    card = registry.task(task)
    chosen = card.protocols["bench"]
    return make_setup(
        card, target, chosen, preset="tiny", recipe=chosen.recipe, inference=chosen.inference, multiple=(8, 8, 8)
    )


@pytest.mark.parametrize(
    ("task", "target", "told"),
    [
        ("msd03", "", {1: 1, 2: 2}),
        ("msd07", "both", {1: 1, 2: 2}),
        # codes: whole 1, core 2, enhancing 4; the innermost region decides, nested or not
        ("brats21", "regions", {0b001: 2, 0b011: 1, 0b111: 3, 0b100: 3, 0b010: 1, 0b101: 3, 0b110: 3}),
        ("msd01", "official", {0b001: 1, 0b011: 2, 0b111: 3, 0b100: 3}),
        ("msd01", "mim_compat", {0b001: 1, 0b011: 3, 0b111: 2}),
    ],
)
def test_classes_and_codes_become_the_stored_labels_again(task: str, target: str, told: dict[int, int]) -> None:
    setup = setup_of(task, target)
    table = labels_of(setup)
    assert table[0] == 0 and {value: int(table[value]) for value in told} == told
    assert all(table[value] == label for label, value in setup.values.items())


@pytest.mark.parametrize(("task", "target"), [("msd03", "organ"), ("msd03", "organ_drop"), ("msd07", "tumor")])
def test_a_target_that_merges_or_drops_labels_cannot_be_handed_in(task: str, target: str) -> None:
    with pytest.raises(SpecError, match="does not tell the 2 labels apart"):
        labels_of(setup_of(task, target))


def phantom_of(task: str, folder: Path, case: str) -> list[Record]:
    """The labelled records of a phantom case that is written first."""
    files = registry.task(task).files
    files.write_phantom(folder, [case], "smoke")
    return [record for record in files.records(folder) if record.label.kind == "mask"]


def written(task: str, tmp_path: Path, folder: Path, record: Record) -> list[Path]:
    """The files of a case that is handed in with its own truth as the guess."""
    card = registry.task(task)
    truth = read_label(folder, record, label_map(len(card.classes), card.label_values)).array
    header = read_header(folder, record)
    labels = to_native(truth, header)
    return card.files.write_submission(tmp_path / "out", folder, record, labels, header.affine)  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("task", "case", "folder", "name"),
    [
        ("msd03", "liver_3", "Task03_Liver", "Task03_Liver/liver_3.nii.gz"),
        ("brats21", "01204", "BraTS2021_Training_Data", "BraTS2021_01204.nii.gz"),
    ],
)
def test_a_mask_handed_in_is_the_file_that_the_owners_ship(
    task: str, case: str, folder: str, name: str, tmp_path: Path
) -> None:
    home = tmp_path / folder
    (record,) = phantom_of(task, home, case)
    files = written(task, tmp_path, home, record)
    assert files == [tmp_path / "out" / name]
    guess, truth = nib.load(files[0]), nib.load(home / str(record.label.path))
    assert np.array_equal(np.asarray(guess.dataobj), np.asarray(truth.dataobj)) and np.array_equal(
        guess.affine, truth.affine
    )


def submitted(
    task: str,
    setup: Setup,
    folder: Path,
    guesses: dict[str, np.ndarray],
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str = "any",
) -> tuple[dict[str, Any], Path]:
    """What is handed in where each hidden case's prediction is given as its file stores it, by name; and where those lay."""
    asked: list[Path] = []

    def predicted(*words: Any) -> list[Path]:
        assert words[1].protocol.score_grid == "native" and words[1].inference == setup.inference
        paths = [words[5] / f"{case}.nii.gz" for case in words[4]]
        for case, path in zip(words[4], paths, strict=True):
            affine = nib.load(next(folder.rglob(f"*{case}*.nii.gz"))).affine
            write_nifti(path, guesses[case], affine=affine, dtype=np.uint8)
        asked.append(words[5])
        return paths

    monkeypatch.setattr(submission, "find_cell", lambda *_: (make_cell(keys={"finetune": model}), results))
    monkeypatch.setattr(submission, "spec_of", lambda *_: SimpleNamespace(task=task, phantom=False))
    monkeypatch.setattr(submission, "model_of", lambda *_: (SimpleNamespace(setup=setup), None, None))
    monkeypatch.setattr(submission, "find_task_folder", lambda *_: folder)
    monkeypatch.setattr(submission, "predict", predicted)
    written = submission.submit("any", None, results / "out", Place.at(results))
    return {Path(path).relative_to(results / "out").as_posix(): nib.load(path) for path in written}, asked[0]


TURNED = ((0.0, -1.0, 0.0, 9.0), (-2.0, 0.0, 0.0, 5.0), (0.0, 0.0, -3.0, 40.0), (0.0, 0.0, 0.0, 1.0))


def test_a_prediction_is_handed_in_as_it_lies_in_the_file_that_the_owners_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the patient's axes the file runs back, left and down: taken as it is read, the mask would be turned."""
    folder, guess = tmp_path / "Task04_Hippocampus", np.zeros((8, 8, 8), np.uint8)
    guess[1:3, 2:7, 4], guess[6, 1, 1:4] = 1, 2
    for name in ("imagesTr/hippocampus_001", "labelsTr/hippocampus_001", "imagesTs/hippocampus_002"):
        write_nifti(folder / f"{name}.nii.gz", np.arange(512.0).reshape(8, 8, 8), affine=TURNED, dtype=np.float32)
    given = {"hippocampus_002": guess}
    files, _ = submitted("msd04", setup_of("msd04", ""), folder, given, tmp_path / "results", monkeypatch)
    (found,) = files.values()
    assert list(files) == ["Task04_Hippocampus/hippocampus_002.nii.gz"]
    assert np.array_equal(np.asarray(found.dataobj), guess) and np.array_equal(found.affine, TURNED)


def hidden_brains(folder: Path) -> dict[str, np.ndarray]:
    """Two hidden cases of grids of their own, and codes of regions as predictions."""
    plain, random = np.diag([1.0, 1.0, 1.0, 1.0]).tolist(), np.random.default_rng(0)
    guesses = {}
    for case, shape, affine in (("00002", (6, 8, 10), plain), ("00013", (10, 6, 8), TURNED)):
        for contrast in ("flair", "t1ce", "t1", "t2"):
            path = folder / f"BraTS2021_{case}" / f"BraTS2021_{case}_{contrast}.nii.gz"
            write_nifti(path, random.uniform(1, 9, shape), affine=affine, dtype=np.float32)
        guesses[case] = random.choice(np.array([0, 0b001, 0b011, 0b111], np.uint8), shape)
    return guesses


def test_each_case_is_handed_in_on_its_own_grid_in_the_owners_codes_whatever_grid_a_protocol_scores_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guesses, setup = hidden_brains(tmp_path / "brains"), setup_of("brats21", "regions")
    setup = replace(setup, protocol=replace(setup.protocol, score_grid="resampled"))
    files, _ = submitted("brats21", setup, tmp_path / "brains", guesses, tmp_path / "results", monkeypatch)
    assert list(files) == ["BraTS2021_00002.nii.gz", "BraTS2021_00013.nii.gz"]
    told = np.array([0, 2, 0, 1, 0, 0, 0, 4])  # the whole tumour alone is edema, its core necrosis, what enhances 4
    for (name, found), guess in zip(files.items(), guesses.values(), strict=True):
        assert np.array_equal(np.asarray(found.dataobj), told[guess]), name
    assert np.array_equal(files["BraTS2021_00013.nii.gz"].affine, TURNED)


def test_predictions_of_another_model_inference_or_file_are_not_handed_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guesses, setup = hidden_brains(tmp_path / "brains"), setup_of("brats21", "regions")
    mirrored = replace(setup, inference=replace(setup.inference, mirrored=True))

    def place(setup: Setup, model: str = "any") -> Path:
        return submitted("brats21", setup, tmp_path / "brains", guesses, tmp_path / "results", monkeypatch, model)[1]

    places = [place(setup), place(setup, "other"), place(mirrored)]
    assert place(setup) == places[0]
    path = tmp_path / "brains" / "BraTS2021_00002" / "BraTS2021_00002_t1.nii.gz"
    write_nifti(path, np.ones((6, 8, 10)), affine=nib.load(path).affine, dtype=np.float32)
    assert len({*places, place(setup)}) == 4


def test_chaos_takes_a_picture_per_slice_named_as_the_slice_in_two_tasks(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    folder = tmp_path / "CHAOS"
    records = phantom_of("chaos", folder, "22")
    assert [record.contrast for record in records] == ["T1DUAL", "T2SPIR"]
    for record in records:
        assert len(written("chaos", tmp_path, folder, record)) == 2 * 10
    for record in records:  # once both are there
        ground, results = folder / str(record.label.path), Path("MR") / "22" / record.contrast / "Results"
        for picture in sorted(ground.iterdir()):
            truth = np.asarray(Image.open(picture))
            all_organs = np.asarray(Image.open(tmp_path / "out" / "Task5" / results / picture.name))
            liver = np.asarray(Image.open(tmp_path / "out" / "Task3" / results / picture.name))
            assert np.array_equal(all_organs, truth) and np.array_equal(liver, np.where(truth == 63, 63, 0))
