"""Where slices lie is told by their places and headers alone: files may bear any name, and slices may lie on any axis."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from bench import registry
from bench.data.splits import lists
from bench.data.volumes import read_header, read_image
from bench.phantom_data import task_ids
from tasks.layouts.phantom_case import Look


def in_places(folder: Path) -> tuple[list[str], list[int]]:
    """File names and InstanceNumbers of a series, from the lowest slice up."""
    heads = {path.name: pydicom.dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")}
    names = sorted(heads, key=lambda name: float(heads[name].ImagePositionPatient[2]))
    return names, [int(heads[name].InstanceNumber) for name in names]


def tells_an_order(words: list[str] | list[int]) -> bool:
    return words in (sorted(words), sorted(words, reverse=True))


@pytest.mark.parametrize(("task", "numbered"), [("lidc", False), ("ricord", True)])
def test_some_series_lie_otherwise_than_their_files_are_named(task: str, numbered: bool, tmp_path: Path) -> None:
    card = registry.task(task)
    card.files.write_phantom(tmp_path, task_ids(card, "smoke")[:4], "smoke")
    series = {record.images[0].path for record in card.files.records(tmp_path)}
    orders = [in_places(tmp_path / path) for path in sorted(series)]
    shuffled = [(names, numbers) for names, numbers in orders if not tells_an_order(names)]
    assert 0 < len(shuffled) < len(orders)
    assert all(tells_an_order(numbers) == numbered for _, numbers in shuffled)


def as_drawn(look: Look, case: str) -> np.ndarray:
    """The image of a case in canonical order (D, H, W), straight from the generator."""
    ((_, phantom),) = look.draw([case], "smoke")
    return phantom.image.transpose(2, 1, 0)


def test_a_slope_in_a_files_header_leaves_the_values_that_were_drawn(tmp_path: Path) -> None:
    card = registry.task("flare22")
    look: Look = card.files.look  # type: ignore[attr-defined]
    sloped = [case for case in task_ids(card, "smoke") if look.slope(case) != (1.0, 0.0)]
    plain = next(case for case in task_ids(card, "smoke") if case not in sloped)
    tests = lists(card.protocols["bench"].split, registry.splits_folder()).test
    assert sloped and not set(sloped) <= set(tests)
    card.files.write_phantom(tmp_path, [sloped[0], plain], "smoke")
    slopes = {}
    for record in card.files.records(tmp_path):
        if record.case_id in (sloped[0], plain):
            slopes[record.case_id] = nib.load(tmp_path / record.images[0].path).dataobj.slope  # type: ignore[attr-defined]
            image = read_image(tmp_path, record).array
            assert sorted(image.ravel()) == sorted(as_drawn(look, record.case_id).ravel())
    assert slopes == {sloped[0]: 0.5, plain: 1.0}


def test_slices_of_whole_hearts_lie_on_any_axis_of_their_files_and_on_the_first_once_read(tmp_path: Path) -> None:
    card = registry.task("mmwhs")
    card.files.write_phantom(tmp_path, task_ids(card, "smoke"), "smoke")
    axes = set()
    for record in card.files.records(tmp_path):
        header, image = read_header(tmp_path, record), read_image(tmp_path, record)
        if record.modality == "CT":
            axes.add(header.depth_axis)
            assert image.array.shape == (1, 20, 40, 40) or image.array.shape == (1, 40, 40, 20)
    assert axes == {0, 1, 2}
