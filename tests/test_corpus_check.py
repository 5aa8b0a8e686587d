"""A pool is counted against the paper and its lists, and unsound volumes are named."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from bench import registry
from bench.corpora import named_corpus, pool_content
from bench.corpus_check import check_corpus
from bench.store import Store
from tests.command_line import SHORT, bench


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


def test_a_pool_is_named_by_what_it_holds_wherever_it_lies_as_a_run_names_it(pool: Path, tmp_path: Path) -> None:
    report = check_corpus("mim-1k", pool, {}, partial=True)
    elsewhere = Path(shutil.copytree(pool, tmp_path / "elsewhere"))
    corpus = named_corpus("mim-1k", elsewhere, {}, None, partial=True)
    assert report.id == corpus.id and re.fullmatch("mim-1k#[0-9a-f]{8}", report.id)
    assert f"is recorded as {report.id}, 16/746" in bench("data", "check", "mim-1k", "--root", elsewhere).out
    next(elsewhere.rglob("volume-covid19-A-*.nii.gz")).unlink()
    less = check_corpus("mim-1k", elsewhere, {}, partial=True)
    assert less.id != report.id and less.as_json()["id"] == less.id
    assert less.id == named_corpus("mim-1k", elsewhere, {}, None, partial=True).id


def test_sets_that_are_drawn_by_weight_count_into_a_pools_name() -> None:
    card = registry.corpus("spad-55")
    evenly = dataclasses.replace(card, members=tuple(dataclasses.replace(m, weight=1.0) for m in card.members))
    assert pool_content(evenly, ["a", "b"]) == "a b" and pool_content(card, ["a", "b"]).startswith(
        "a b brats23-gli*0.4 "
    )


def test_a_run_and_its_plan_name_the_volumes_that_it_is_pre_trained_on(pool: Path, tmp_path: Path) -> None:
    assert bench("phantom", "make", "msd04", "--size", "smoke", "--out", tmp_path / "data").code == 0
    words = ("--method", "mae3d", "--task", "msd04", "--preset", "tiny", "--corpus", "mim-1k", "--partial", *SHORT)
    places = ("--root", tmp_path / "data", "--corpus-root", pool, "--results", tmp_path / "results")
    name = named_corpus("mim-1k", pool, {}, None, partial=True).id
    shown = [job["what"] for job in bench("plan", *words[:-2], *places, "--json").value]
    assert any(what.startswith(f"mae3d tiny on {name}, 16/746, ") for what in shown)
    cell = Store(tmp_path / "results").read(bench("run", *words, *places, "--json").value["cell"])
    assert (cell.corpus_id, cell.corpus_volumes) == (name, (16, 746))
    assert f"corpus: {name}, 16/746 volumes" in bench("table", "msd04", "--results", tmp_path / "results").out


def test_a_pool_that_is_not_there_names_the_command_that_tells_where_a_set_lies(tmp_path: Path) -> None:
    words = ("--method", "mae3d", "--corpus", "mim-1k", "--corpus-root", tmp_path, "--results", tmp_path)
    error = bench("pretrain", *words, "--json").error
    assert "lacks btcv, tcia-covid19" in error["message"] and "bench data add btcv DIR" in error["remedy"]
