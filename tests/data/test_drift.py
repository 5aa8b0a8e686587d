"""A file is measured by what it held first: by all its bytes, or by its ends, whatever its time says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench.contracts.record import ImageFile, Record
from bench.data import drift, twins
from bench.data.drift import Print, drifted, gone, take

MIB = 2**20


def touch(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


def test_all_bytes_or_the_ends_decide_and_a_new_time_is_no_drift(tmp_path: Path) -> None:
    path = tmp_path / "scan.raw"
    path.write_bytes(bytes(3 * MIB))
    whole, ends = take(path, whole=True), take(path, whole=False)
    assert whole.whole and not ends.whole and whole.size == ends.size == 3 * MIB
    touch(path, 1_000)
    assert drifted(tmp_path, {"scan.raw": whole}, ["scan.raw"], whole=True)[1] == []
    changed = bytearray(3 * MIB)
    changed[MIB + 5] = 1  # in the middle
    path.write_bytes(changed)
    touch(path, 2_000)
    assert drifted(tmp_path, {"scan.raw": ends}, ["scan.raw"], whole=False)[1] == []
    now, (found,) = drifted(tmp_path, {"scan.raw": whole}, ["scan.raw"], whole=True)
    assert (
        found.path == "scan.raw"
        and found.recorded == whole
        and found.found == now["scan.raw"] == take(path, whole=True)
    )


def test_what_keeps_its_bytes_and_time_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.raw"
    path.write_bytes(b"voxels")
    before = {"scan.raw": take(path, whole=True)}
    monkeypatch.setattr(drift, "take", lambda *_, **__: pytest.fail("read again"))
    assert drifted(tmp_path, before, ["scan.raw"], whole=False) == (before, [])


def test_a_print_of_ends_gives_way_to_one_of_all_bytes_and_never_the_other_way(tmp_path: Path) -> None:
    path = tmp_path / "scan.raw"
    path.write_bytes(b"voxels")
    ends = {"scan.raw": take(path, whole=False)}
    now, found = drifted(tmp_path, ends, ["scan.raw"], whole=True)
    assert not found and now == {"scan.raw": take(path, whole=True)}
    touch(path, 1_000)
    assert drifted(tmp_path, now, ["scan.raw"], whole=False)[0]["scan.raw"].whole
    path.write_bytes(b"vowels")
    touch(path, 2_000)
    assert [one.path for one in drifted(tmp_path, ends, ["scan.raw"], whole=True)[1]] == ["scan.raw"]


def test_a_folder_of_slices_and_a_header_with_voxels_beside_it_are_seen_whole(tmp_path: Path) -> None:
    series = tmp_path / "series"
    series.mkdir()
    for number in range(3):
        (series / f"{number}.dcm").write_bytes(bytes([number]) * 100)
    (tmp_path / "scan.mhd").write_text("ElementDataFile = scan.raw\n")
    (tmp_path / "scan.raw").write_bytes(b"voxels")
    names = ["series", "scan.mhd"]
    before, _ = drifted(tmp_path, {}, names, whole=True)
    assert drifted(tmp_path, before, names, whole=True) == (before, [])
    ends = take(series, whole=False)
    (series / "1.dcm").rename(series / "15.dcm")  # slices are stacked by their names where pixels are taken as stored
    assert take(series, whole=False).content != ends.content
    (series / "15.dcm").rename(series / "1.dcm")
    assert take(series, whole=False) == ends
    (series / "1.dcm").write_bytes(bytes([9]) * 100)
    touch(series / "1.dcm", 2_000_000_000)
    (tmp_path / "scan.raw").write_bytes(b"vowels")
    touch(tmp_path / "scan.raw", 2_000_000_000)
    assert [one.path for one in drifted(tmp_path, before, names, whole=True)[1]] == names


def test_a_recorded_file_may_be_gone_but_a_copy_in_another_form_has_lost_nothing(tmp_path: Path) -> None:
    recorded = {name: Print(1, 0, "sha256:00") for name in ("a.nii.gz", "b.nii.gz")}
    assert gone(tmp_path, recorded) == []
    (tmp_path / "a.nii.gz").touch()
    (lost,) = gone(tmp_path, recorded)
    assert (lost.path, lost.found) == ("b.nii.gz", None)


def record(*images: ImageFile) -> Record:
    return Record(dataset="d", adapter_version="d@1", case_id="c", patient_id="c", group="c", images=images)


def test_each_channel_of_a_case_is_an_image_of_its_own_under_one_name_for_every_reader() -> None:
    array = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    stack = record(
        ImageFile(path="t1.nii", format="nifti", channel=1), ImageFile(path="t2.nii", format="nifti", channel=0)
    )
    alone = record(ImageFile(path="t2.nii", format="nifti"))
    marks = twins.fingerprints(stack, array)
    assert set(marks) == {"t1.nii", "t2.nii"} and marks["t1.nii"] != marks["t2.nii"]
    assert twins.fingerprints(alone, array[:1]) == {"t2.nii": marks["t2.nii"]}
    assert (
        twins.image_name(ImageFile(path="a.npz", format="npz", key="train_images", index=7)) == "a.npz#train_images#7"
    )


def test_pairs_within_and_across_datasets_are_told_once_and_shortly() -> None:
    images = {"a": "1", "b": "2", "c": "1", "d": "1"}
    assert twins.doubled(images) == [("c", "a"), ("d", "a")]
    assert twins.shared(images, {"x": "2", "y": "2", "z": "3"}) == [("b", "x")]
    assert twins.told([("c", "a"), ("d", "a"), ("e", "a")]) == "c = a, d = a and 1 more"
