"""A pool is counted against the paper and its lists, and unsound volumes are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.corpus_check import check_corpus
from tests.command_line import bench


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    assert bench("phantom", "make", "mim-1k", "--size", "smoke", "--out", folder).code == 0
    return folder


def test_a_phantom_pool_is_sound_and_counted_against_the_paper(pool: Path) -> None:
    report = check_corpus("mim-1k", pool, {}, partial=False)
    assert report.exit_ok and report.quarantine() == ""
    assert [(m.key, m.found, m.printed, m.listed) for m in report.members] == [
        ("btcv", 8, 24, 24),
        ("tcia-covid19", 8, 722, 722),
    ]
    assert report.lines()[0] == "MiM-1k: 16 of the 746 volumes that the paper counts"


def test_a_damaged_volume_is_named_in_the_report_and_on_the_quarantine_list(pool: Path, tmp_path: Path) -> None:
    broken = tmp_path / "pool"
    shutil.copytree(pool, broken)
    victim = next(broken.rglob("volume-covid19-A-*.nii.gz"))
    victim.write_bytes(victim.read_bytes()[:200])
    listed = tmp_path / "quarantine.tsv"
    answer = bench("data", "check", "mim-1k", "--root", broken, "--quarantine", listed)
    assert answer.code == 2 and victim.name.removesuffix(".nii.gz") in answer.out
    assert listed.read_text().startswith(victim.name[-11:-7] + "\tfiles\t")  # cases bear the number alone


def test_a_pool_of_which_nothing_is_there_is_not_sound_but_no_error(tmp_path: Path) -> None:
    report = check_corpus("mim-1k", tmp_path, {}, partial=True)
    assert not report.exit_ok and [member.found for member in report.members] == [0, 0]
