"""What a prediction holds becomes the owners' labels, and the owners' forms hold them: MSD, BraTS and CHAOS."""

from __future__ import annotations

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


def written(task: str, tmp_path: Path, case: str, folder_name: str) -> tuple[Path, Record, np.ndarray, list[Path]]:
    """A phantom case handed in with its own truth as the guess: folder, record, labels in file order, files."""
    card = registry.task(task)
    folder = tmp_path / folder_name
    card.files.write_phantom(folder, [case], "smoke")
    record = next(r for r in card.files.records(folder) if r.label.kind == "mask")
    truth = read_label(folder, record, label_map(len(card.classes), card.label_values)).array
    header = read_header(folder, record)
    labels = to_native(truth, header)
    files = card.files.write_submission(tmp_path / "out", folder, record, labels, header.affine)  # type: ignore[attr-defined]
    return folder, record, labels, files


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
    home, record, _, files = written(task, tmp_path, case, folder)
    assert files == [tmp_path / "out" / name]
    guess, truth = nib.load(files[0]), nib.load(home / str(record.label.path))
    assert np.array_equal(np.asarray(guess.dataobj), np.asarray(truth.dataobj)) and np.array_equal(
        guess.affine, truth.affine
    )


def test_a_prediction_is_handed_in_as_it_lies_in_the_file_that_the_owners_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the patient's axes the file runs back, left and down: taken as it is read, the mask would be turned."""
    affine = ((0.0, -1.0, 0.0, 9.0), (-2.0, 0.0, 0.0, 5.0), (0.0, 0.0, -3.0, 40.0), (0.0, 0.0, 0.0, 1.0))
    folder, guess = tmp_path / "Task04_Hippocampus", np.zeros((8, 8, 8), np.uint8)
    guess[1:3, 2:7, 4], guess[6, 1, 1:4] = 1, 2
    for name in ("imagesTr/hippocampus_001", "labelsTr/hippocampus_001", "imagesTs/hippocampus_002"):
        write_nifti(folder / f"{name}.nii.gz", np.arange(512.0).reshape(8, 8, 8), affine=affine, dtype=np.float32)

    def predicted(*words: Any) -> list[Path]:
        write_nifti(path := words[5] / f"{words[4][0]}.nii.gz", guess, affine=affine, dtype=np.uint8)
        return [path]

    plan = SimpleNamespace(setup=setup_of("msd04", ""))
    monkeypatch.setattr(submission, "find_cell", lambda *_: (make_cell(keys={"finetune": "any"}), tmp_path / "results"))
    monkeypatch.setattr(submission, "spec_of", lambda *_: SimpleNamespace(task="msd04", phantom=False))
    monkeypatch.setattr(submission, "model_of", lambda *_: (plan, None, None))
    monkeypatch.setattr(submission, "find_task_folder", lambda *_: folder)
    monkeypatch.setattr(submission, "predict", predicted)
    (written,) = submission.submit("any", None, tmp_path / "out", Place.at(tmp_path / "results"))
    found = nib.load(written)
    assert Path(written) == tmp_path / "out" / "Task04_Hippocampus" / "hippocampus_002.nii.gz"
    assert np.array_equal(np.asarray(found.dataobj), guess) and np.array_equal(found.affine, affine)


def test_chaos_takes_a_picture_per_slice_named_as_the_slice_in_two_tasks(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    folder, record, _, files = written("chaos", tmp_path, "22", "CHAOS")
    ground = folder / str(record.label.path)
    results = Path("MR") / "22" / record.contrast / "Results"
    assert len(files) == 2 * 10
    for picture in sorted(ground.iterdir()):
        truth = np.asarray(Image.open(picture))
        all_organs = np.asarray(Image.open(tmp_path / "out" / "Task5" / results / picture.name))
        liver = np.asarray(Image.open(tmp_path / "out" / "Task3" / results / picture.name))
        assert np.array_equal(all_organs, truth) and np.array_equal(liver, np.where(truth == 63, 63, 0))
