"""The challenge's own left atria, coded 0 and 255 in NRRD files: trained on, predicted and scored through LA's card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import registry
from bench.data.splits import lists
from tasks.la import LOOK
from tasks.layouts.la_nrrd import LaNrrd
from tests.command_line import TINY, bench


def test_a_run_on_masks_coded_255_ends_in_a_cell(tmp_path: Path) -> None:
    import nrrd

    parts = lists(registry.task("la").protocols["bench"].split, registry.splits_folder())
    folder = tmp_path / "LA"
    LaNrrd(look=LOOK).write_phantom(folder, [*parts.train[:3], parts.val[0], *parts.test[:2]], "smoke")
    mask, _ = nrrd.read(str(next(folder.rglob("laendo.nrrd"))))
    assert set(np.unique(mask)) == {0, 255}
    words = ("run", "--method", "unet3d_scratch", "--task", "la", "--root", folder, "--partial")
    told = bench(*words, "--results", tmp_path / "r", *TINY, "--json").value
    assert told["n"] == 2 and told["scores"]["dice"] is not None


def test_under_ars_protocol_the_challenges_files_are_not_taken_for_the_h5_package(tmp_path: Path) -> None:
    parts = lists(registry.task("la").protocols["ar"].split, registry.splits_folder())
    LaNrrd(look=LOOK).write_phantom(tmp_path / "LA", [*parts.train[:3], *parts.test[:2]], "smoke")
    words = ("run", "--method", "unet3d_scratch", "--task", "la", "--protocol", "ar", "--root", tmp_path, "--partial")
    told = bench(*words, "--results", tmp_path / "r", *TINY)
    assert told.code == 2 and "mri_norm2.h5" in told.err and "lgemri.nrrd" not in told.err
    assert bench("data", "check", "la", "--root", tmp_path, "--partial").code == 0
