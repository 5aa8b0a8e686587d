"""bench.lock: what is recorded, what drift says, how a change is accepted, and images that two datasets hold."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench import lock_file
from bench.contracts.errors import SpecError, StoreError
from bench.data.drift import Print
from bench.lock_file import Locked
from bench.phantom_data import write_corpus, write_task
from bench.trust import Trust
from tests.command_line import Answer, bench


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task and a pool whose files pass for real: their marks are taken away."""
    root = tmp_path_factory.mktemp("made")
    write_task("msd04", "smoke", root)
    write_task("covid1920", "smoke", root)
    write_corpus("mim-1k", "smoke", root)
    for mark in root.rglob("PHANTOM.json"):
        mark.unlink()
    return root


@pytest.fixture
def data(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data, and an empty working directory to stand in."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Path(shutil.copytree(made, tmp_path / "data"))


def check(name: str, data: Path, *words: str) -> Answer:
    return bench("data", "check", name, "--root", data, "--partial", *words)


def images(data: Path) -> list[Path]:
    return sorted(data.rglob("imagesTr/hippocampus_*.nii.gz"))


def pooled(data: Path) -> list[Path]:
    """The volumes of the pool's second set."""
    return sorted((data / "CT-Images-in-COVID-19").glob("volume-covid19-A-*.nii.gz"))


def lock() -> Any:
    return json.loads(Path("bench.lock").read_text())["datasets"]


def test_a_first_check_records_every_file_and_a_second_finds_nothing_new(data: Path) -> None:
    first = check("msd04", data)
    assert first.code == 0 and "27 files are new to bench.lock" in first.out  # 13 images, 13 masks, 1 without
    held = Path("bench.lock").read_bytes()
    told = lock()["msd04"]
    assert len(told["files"]) == 27 and len(told["images"]) == 13
    assert all(" sha256:" in line for line in told["files"].values())
    again = check("msd04", data)
    assert again.code == 0 and "new to bench.lock" not in again.out and Path("bench.lock").read_bytes() == held
    assert check("msd04", data, "--json").value["checks"]["checksums"] == "ok"
    assert str(data) not in held.decode()


def test_a_changed_file_is_an_error_that_names_file_record_find_and_the_next_command(data: Path) -> None:
    check("msd04", data)
    victim, other = images(data)[:2]
    mask = victim.parent.parent / "labelsTr" / victim.name
    shutil.copy(mask.with_name(other.name), mask)
    shutil.copy(victim.with_name(other.name), victim)
    before = Path("bench.lock").read_bytes()
    answer = check("msd04", data, "--json")
    assert answer.code == 2
    report = json.loads(answer.out)
    told = [one for one in report["unsound"] if one["check"] == "checksums"]
    assert [one["case"] for one in told] == [victim.name.removesuffix(".nii.gz")] * 2
    assert told[0]["problem"].startswith(f"its file 'imagesTr/{victim.name}' has changed: bench.lock has sha256 ")
    assert "found is sha256 " in told[0]["problem"] and "bench data check msd04 --accept-changes" in told[0]["remedy"]
    assert report["checks"]["checksums"] == "2 unsound"
    assert Path("bench.lock").read_bytes() == before  # it is not taken for granted by being seen


def test_a_change_that_is_meant_is_accepted_once(data: Path) -> None:
    check("msd04", data)
    victim = images(data)[0]
    raw = bytearray(victim.read_bytes())
    raw[4:8] = b"\1\2\3\4"  # the time in a gzip header: other bytes, the same voxels
    victim.write_bytes(raw)
    assert check("msd04", data).code == 2
    accepted = check("msd04", data, "--accept-changes")
    assert accepted.code == 0 and "1 change is accepted" in accepted.out
    assert check("msd04", data).code == 0


def test_what_the_check_finds_unsound_is_never_recorded(data: Path) -> None:
    victim = images(data)[0]
    victim.write_bytes(victim.read_bytes()[:300])
    assert check("msd04", data).code == 2
    files = lock()["msd04"]["files"]
    assert f"imagesTr/{victim.name}" not in files and f"labelsTr/{victim.name}" not in files and len(files) == 25


def test_an_unsound_change_is_not_accepted_and_the_advice_does_not_go_in_a_circle(data: Path) -> None:
    check("msd04", data)
    victim = images(data)[0]
    victim.write_bytes(victim.read_bytes()[:300])
    report = json.loads(check("msd04", data, "--accept-changes", "--json").out)
    remedy = next(one["remedy"] for one in report["unsound"] if one["check"] == "checksums")
    assert remedy == "Fetch it again: of an unsound case no change is accepted."


def test_a_file_that_is_gone_is_an_error_unless_a_part_will_do(data: Path) -> None:
    pool = ("data", "check", "mim-1k", "--root", data)
    bench(*pool)
    pooled(data)[0].unlink()
    assert check("mim-1k", data).code == 0
    told = bench(*pool)
    assert told.code == 2 and "is gone; bench.lock knows it (quick " in told.out
    forgotten = bench(*pool, "--accept-changes")
    assert "1 change is accepted" in forgotten.out and "is gone" not in forgotten.out
    assert "is gone" not in bench(*pool).out


@pytest.mark.parametrize("name", ["msd04", "mim-1k"])
def test_half_a_download_ends_in_what_to_do_and_a_part_that_will_do_does_not(data: Path, name: str) -> None:
    assert bench("data", "check", name, "--root", data).out.endswith(
        "or add --partial, here and to runs, to take what is there.\n"
    )
    assert "--partial" not in check(name, data).out


def test_phantoms_are_made_anew_at_will_and_leave_no_lock(data: Path, tmp_path: Path) -> None:
    write_task("msd04", "smoke", tmp_path / "phantoms")
    assert check("msd04", tmp_path / "phantoms").code == 0
    assert not Path("bench.lock").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Expecting"),
        ('{"schema": "bench-lock/9", "datasets": {}}', "expected 'bench-lock/1'"),
        ('{"schema": "bench-lock/1"}', "it lacks 'datasets'"),
        ('{"schema": "bench-lock/1", "datasets": {"msd04": {"files": {"a": "1 2"}, "images": {}}}}', "unpack"),
        (
            '{"schema": "bench-lock/1", "datasets": {"msd04": {"files": {"a": "1 2 x"}, "images": {}}}}',
            "no fingerprint",
        ),
        ("[]", "This is no file that"),
    ],
)
def test_a_damaged_lock_is_told_and_stops_the_check(data: Path, text: str, told: str) -> None:
    Path("bench.lock").write_text(text)
    with pytest.raises(SpecError, match="or it was damaged: ") as caught:
        lock_file.read_lock()
    assert (
        told in str(caught.value) and caught.value.case.endswith("bench.lock") and "move it away" in caught.value.remedy
    )
    error = check("msd04", data, "--json").error
    assert error["case"].endswith("bench.lock") and Path("bench.lock").read_text() == text


def test_a_place_where_nothing_can_be_written_stops_no_check(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("bench.lock: no room.")

    monkeypatch.setattr("bench.trust.write_lock", refuse)
    answer = check("msd04", data)
    assert answer.code == 0 and "bench.lock was not written, so a later change will go unseen" in answer.out


# Twins --------------------------------------------------------------------------------------------------------


def test_a_pool_tells_the_volumes_that_it_holds_twice(data: Path) -> None:
    first, *_, last = pooled(data)
    shutil.copy(first, last)
    answer = check("mim-1k", data)
    assert answer.code == 0
    assert f"1 image of tcia-covid19 stands there twice: {last.name} = {first.name}." in answer.out


def test_the_voxels_beyond_the_first_twenty_are_read_on_demand_and_only_once(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench import corpus_check

    monkeypatch.setattr(corpus_check, "VOXELS_OF", 2)
    monkeypatch.setattr(corpus_check, "TOGETHER", 3)
    read: list[str] = []
    real = corpus_check.read_image
    monkeypatch.setattr(
        corpus_check, "read_image", lambda folder, record: read.append(record.case_id) or real(folder, record)
    )

    def look(full: bool) -> list[str]:
        read.clear()
        trust = Trust("mim-1k")
        assert corpus_check.check_corpus("mim-1k", data, {}, partial=True, full=full, trust=trust).exit_ok
        return list(read)

    assert [len(look(full)) for full in (False, False, True, True)] == [4, 0, 12, 0]
    assert {key: len(one["images"]) for key, one in lock().items()} == {"btcv": 8, "tcia-covid19": 8}


def test_copies_of_a_file_are_told_though_no_voxel_was_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import corpus_check

    monkeypatch.setattr(corpus_check, "VOXELS_OF", 1)
    *_, first, last = pooled(data)
    shutil.copy(first, last)
    report = corpus_check.check_corpus("mim-1k", data, {}, partial=True, trust=Trust("mim-1k"))
    assert f"1 image of tcia-covid19 stands there twice: {last.name} = {first.name}." in report.notes


def test_images_of_another_dataset_are_told_whatever_they_are_called_there(data: Path) -> None:
    image = next(data.rglob("volume-covid19-A-*_ct.nii.gz"))
    twin = pooled(data)[0]
    shutil.copy(image, twin)
    check("mim-1k", data)
    answer = check("covid1920", data)
    assert f"1 image of covid1920 is in tcia-covid19 too: Train/{image.name} = {twin.name}." in answer.out
    assert "1 image of tcia-covid19 is in covid1920 too" in check("mim-1k", data).out


def test_one_file_under_two_keys_is_no_twin(data: Path) -> None:
    write_task("ctrate_prompts", "smoke", data)
    for mark in data.rglob("PHANTOM.json"):
        mark.unlink()
    for task in ("ctrate_prompts", "ctrate_retrieval"):
        assert " too: " not in check(task, data).out
    assert len(lock()) == 2


def test_a_file_that_drifted_is_no_twin_for_the_lock_tells_what_it_was(data: Path) -> None:
    image = next(data.rglob("volume-covid19-A-*_ct.nii.gz"))
    twin, other = pooled(data)[:2]
    shutil.copy(image, twin)
    check("mim-1k", data)
    assert "in tcia-covid19 too" in check("covid1920", data).out
    shutil.copy(other, image)
    told = check("covid1920", data).out
    assert "has changed" in told and "in tcia-covid19 too" not in told
    shutil.copy(other, twin)
    told = check("mim-1k", data).out
    assert "has changed" in told and "in covid1920 too" not in told


# Two at once --------------------------------------------------------------------------------------------------

A, B, C = (Print(1, 2, f"sha256:{letter}") for letter in "abc")


def test_checks_that_end_at_one_instant_keep_each_others_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read = lock_file.read_lock

    def slowly() -> dict[str, Locked]:
        told = read()
        time.sleep(0.02)
        return told

    monkeypatch.setattr(lock_file, "read_lock", slowly)
    keys = [f"set{k}" for k in range(6)]
    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(lambda key: lock_file.write_lock(key, Locked(), Locked({"a": A})), keys))
    assert sorted(read()) == keys


def test_two_checks_of_one_dataset_add_up_and_what_one_forgot_stays_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = Locked({"a": A, "b": B}, {"a": "1"})
    lock_file.write_lock("one", Locked(), first)
    lock_file.write_lock("one", first, Locked({"a": A, "c": C}, {"a": "1", "c": "3"}))
    lock_file.write_lock("one", first, Locked({"a": C, "b": B}, {"a": "4"}))
    assert lock_file.read_lock()["one"] == Locked({"a": C, "c": C}, {"a": "4", "c": "3"})
