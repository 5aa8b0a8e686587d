"""Some people lack the right kidney: nothing else about them changes, and a truth without it counts as the empty rule says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.kind import make_setup
from bench.data.splits import lists
from bench.data.volumes import label_map, read_header, read_label, to_native, write_nifti
from bench.phantom_data import task_ids
from bench.phantoms.body import RIGHT_KIDNEY_ABSENT_RATIO, person
from bench.phantoms.drawing import draw
from bench.phantoms.tissue import Tissue
from bench.phantoms.views import VIEWS
from tasks.kinds import segmentation

AMOS = registry.task("amos22")
WITHOUT = "0286"  # of AMOS's smoke phantoms one of the four that `bench` tests
KIDNEY = VIEWS["trunk"].classes.index("right-kidney") + 1


def test_about_four_percent_of_people_lack_the_right_kidney() -> None:
    absent = sum(not person("mini", "x", str(number)).right_kidney_present for number in range(600)) / 600
    assert absent == pytest.approx(RIGHT_KIDNEY_ABSENT_RATIO, abs=0.024)  # three standard errors of 600 draws


def test_without_the_kidney_only_its_own_place_is_drawn_otherwise() -> None:
    someone = person("smoke", "amos22", WITHOUT)
    assert not someone.right_kidney_present
    without, whole = (
        draw(dataclasses.replace(someone, right_kidney_present=present), "trunk", (40, 40, 20))
        for present in (False, True)
    )
    kidney = np.isin(whole.tissue, (Tissue.RIGHT_KIDNEY_CORTEX, Tissue.RIGHT_KIDNEY_MEDULLA))
    assert kidney.any() and (without.tissue[~kidney] == whole.tissue[~kidney]).all()
    assert (whole.label == KIDNEY).any() and not (without.label == KIDNEY).any()


def test_a_case_that_is_tested_lacks_it_which_is_counted_and_never_averaged(tmp_path: Path) -> None:
    assert WITHOUT in lists(AMOS.protocols["bench"].split, registry.splits_folder()).test
    assert WITHOUT in task_ids(AMOS, "smoke")
    AMOS.files.write_phantom(tmp_path / "amos22", [WITHOUT], "smoke")
    (record,) = AMOS.files.records(tmp_path / "amos22")
    truth = read_label(tmp_path / "amos22", record, label_map(len(AMOS.classes), AMOS.label_values))
    guess = truth.array.copy()
    guess[:, :, 0][guess[:, :, 0] == 0] = KIDNEY
    wrong_mm3 = (guess == KIDNEY).sum() * abs(np.linalg.det(np.asarray(truth.affine)[:3, :3]))
    assert wrong_mm3 > 0
    header = read_header(tmp_path / "amos22", record)
    write_nifti(tmp_path / "guess.nii.gz", to_native(guess, header), affine=header.affine, dtype=np.uint8)
    protocol = AMOS.protocols["bench"]
    setup = make_setup(
        AMOS, "", protocol, preset="full", recipe=protocol.recipe, inference=protocol.inference, multiple=(1, 1, 1)
    )
    found = segmentation.score_case(setup, tmp_path / "amos22", record, None, tmp_path / "guess.nii.gz")
    dice = {name: value for name, metric, value in found.rows if metric == "dice"}
    assert np.isnan(dice.pop("right-kidney")) and set(dice.values()) == {1.0}
    assert found.counts["n_empty_truth"] == 1 and found.counts["n_failed"] == 0
    assert found.counts["false_positive_mm3"] == round(wrong_mm3)
