"""`bench score`: any folder of label maps beside another, with numbers that can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.data.volumes import write_nifti
from tests.command_line import Answer, bench

SPACING = (1.0, 1.0, 3.0)


def put(folder: Path, case: str, array: np.ndarray, spacing: tuple[float, float, float] = SPACING) -> None:
    write_nifti(folder / f"{case}.nii.gz", array, affine=np.diag([*spacing, 1.0]).tolist(), dtype=np.uint8)


def cubes(shift: int = 0) -> np.ndarray:
    """Label 1 of 4x4x4 voxels, moved along the third axis by `shift`, and label 2 of 2x2x2 that stays."""
    array = np.zeros((12, 12, 12), np.uint8)
    array[2:6, 2:6, 2 + shift : 6 + shift] = 1
    array[8:10, 8:10, 8:10] = 2
    return array


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two cases, of which the second is predicted one voxel off."""
    for case, shift in (("a", 0), ("b", 1)):
        put(tmp_path / "truth", case, cubes())
        put(tmp_path / "guess", case, cubes(shift))
    return tmp_path / "guess", tmp_path / "truth"


def score(folders: tuple[Path, Path], *words: str) -> Answer:
    return bench("score", "--predictions", folders[0], "--truth", folders[1], *words)


def values(answer: Answer) -> dict[tuple[str, str, str], float | None]:
    return {(row["case"], row["class"], row["metric"]): row["value"] for row in answer.value}


def test_rows_hold_every_case_class_and_metric(folders: tuple[Path, Path]) -> None:
    found = values(score(folders, "--metrics", "dice,hd", "--json"))
    assert found["a", "1", "dice"] == found["b", "2", "dice"] == 1.0 and found["a", "1", "hd"] == 0.0
    assert found["b", "1", "dice"] == 0.75  # 48 of 64 voxels shared
    assert found["b", "1", "hd"] == 3.0 and len(found) == 8


@pytest.mark.parametrize(("spacing_from", "hd"), [("truth", 3.0), ("prediction", 5.0), ("voxels", 1.0)])
def test_distances_take_their_spacing_from_where_they_are_told(
    spacing_from: str, hd: float, folders: tuple[Path, Path]
) -> None:
    put(folders[0], "b", cubes(1), (1.0, 1.0, 5.0))
    answer = score(folders, "--metrics", "hd", "--spacing-from", spacing_from, "--json")
    assert values(answer)["b", "1", "hd"] == hd
    assert "other affines" in answer.err and "1 case" in answer.err


def test_a_person_sees_means_and_undefined_numbers_by_name(folders: tuple[Path, Path]) -> None:
    put(folders[0], "a", np.where(cubes() == 2, 0, cubes()).astype(np.uint8))
    put(folders[0], "b", np.where(cubes() == 2, 0, cubes()).astype(np.uint8))
    answer = score(folders, "--metrics", " dice, hd ,")
    assert answer.code == 0 and "2 cases" in answer.out and "1.0000" in answer.out and "undefined" in answer.out
    assert "n failed: 2" in answer.out


def test_a_class_that_no_truth_of_a_case_holds_is_null_in_json(folders: tuple[Path, Path]) -> None:
    put(folders[1], "a", np.where(cubes() == 2, 0, cubes()).astype(np.uint8))
    found = values(score(folders, "--metrics", "dice", "--json"))
    assert found["a", "2", "dice"] is None and found["b", "2", "dice"] == 1.0


@pytest.mark.parametrize(("spacing_from", "volume"), [("truth", 24), ("prediction", 40), ("voxels", 24)])
def test_what_is_predicted_where_nothing_is_counts_in_mm3_though_distances_be_in_voxels(
    spacing_from: str, volume: int, folders: tuple[Path, Path]
) -> None:
    put(folders[1], "b", np.where(cubes() == 2, 0, cubes()))
    put(folders[0], "b", cubes(), (1.0, 1.0, 5.0))  # label 2 has 8 voxels
    assert f"false positive mm3: {volume}\n" in score(folders, "--spacing-from", spacing_from).out


def test_a_metric_asked_for_twice_is_scored_once(folders: tuple[Path, Path]) -> None:
    found = score(folders, "--metrics", "nsd@2mm,dice,nsd@2.0mm,dice", "--json").value
    assert [row["metric"] for row in found] == ["nsd@2mm", "dice"] * 4


def test_images_in_place_of_masks_and_a_mistyped_metric_are_told_without_a_word_of_cards(
    folders: tuple[Path, Path],
) -> None:
    told = score(folders, "--metrics", "dcie", "--json").error
    assert "Did you mean 'dice'" in told["message"] and told["remedy"] == "Name one of these with --metrics."
    for values in (np.full((12, 12, 12), -1000, np.int16), np.full((12, 12, 12), 0.5, np.float32)):
        write_nifti(folders[0] / "a.nii.gz", values, affine=np.diag([*SPACING, 1.0]).tolist(), dtype=values.dtype.type)
        told = score(folders, "--json").error
        assert "1,728 voxels" in told["message"] and "whole numbers from 0 to 255" in told["message"]
        assert "label maps, not of images" in told["remedy"]


def test_chosen_classes_are_scored_and_no_others(folders: tuple[Path, Path]) -> None:
    answer = score(folders, "--metrics", "dice", "--classes", "2", "--json")
    assert {name for _, name, _ in values(answer)} == {"2"}
    assert "label 1 counted as background: 2 cases" in answer.err


def test_a_label_that_no_truth_holds_is_refused_by_case_unless_classes_are_named(folders: tuple[Path, Path]) -> None:
    stray = cubes()
    stray[0, 0, 0] = 9
    put(folders[0], "b", stray)
    error = score(folders, "--json").error
    assert (error["error"], error["case"]) == ("DataUnsound", "b") and "label 9" in error["message"]
    answer = score(folders, "--metrics", "dice", "--classes", "1,2", "--json")
    assert set(values(answer).values()) == {1.0} and "label 9 counted as background: 1 case" in answer.err


def test_no_metric_at_all_is_refused_and_not_told_as_no_case(folders: tuple[Path, Path]) -> None:
    assert "--metrics" in score(folders, "--metrics", " ,", "--json").error["message"]


def test_predictions_without_a_truth_are_left_out_and_told(folders: tuple[Path, Path]) -> None:
    put(folders[0], "c", cubes())
    answer = score(folders, "--metrics", "dice")
    assert answer.code == 0 and "left out, for want of a truth: 1 prediction (c)" in answer.out


def test_a_missing_prediction_is_an_error_and_never_left_out(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.nii.gz").unlink()
    error = score(folders, "--json").error
    assert (error["error"], error["case"]) == ("DataMissing", "b") and "1 of 2" in error["message"]


def test_another_shape_names_the_case(folders: tuple[Path, Path]) -> None:
    put(folders[0], "b", cubes()[1:])
    error = score(folders, "--json").error
    assert (error["error"], error["case"]) == ("DataUnsound", "b") and "(11, 12, 12)" in error["message"]


def test_one_case_in_two_files_is_refused(folders: tuple[Path, Path]) -> None:
    write_nifti(folders[0] / "b.nii", cubes(), affine=np.diag([*SPACING, 1.0]).tolist(), dtype=np.uint8)
    error = score(folders, "--json").error
    assert (error["error"], error["case"]) == ("DataUnsound", "b")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--metrics", "dise"), "dise"),
        (("--spacing-from", "thruth"), "Did you mean 'truth'"),
        (("--classes", "1,x"), "found 'x'"),
        (("--classes", "0"), "found '0'"),
    ],
)
def test_a_mistake_is_told(words: tuple[str, str], told: str, folders: tuple[Path, Path]) -> None:
    error = score(folders, *words, "--json").error
    assert error["error"] == "SpecError" and told in error["message"]


def test_empty_truths_are_no_truths(tmp_path: Path) -> None:
    for part in ("guess", "truth"):
        put(tmp_path / part, "a", np.zeros((4, 4, 4), np.uint8))
    error = score((tmp_path / "guess", tmp_path / "truth"), "--json").error
    assert error["error"] == "DataUnsound" and "--truth" in error["remedy"]


def test_an_axis_order_of_ones_own_does_not_change_a_score(folders: tuple[Path, Path]) -> None:
    lps = np.array([[-1.0, 0, 0, 11.0], [0, -1.0, 0, 11.0], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    before = json.loads(score(folders, "--json").out)
    write_nifti(folders[0] / "b.nii.gz", cubes(1)[::-1, ::-1], affine=lps.tolist(), dtype=np.uint8)
    assert json.loads(score(folders, "--json").out) == before
