"""A method from another distribution, found by its entry point, is used like one of ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.contracts.cards import CorpusCard, CorpusMember
from bench.contracts.configs import Intensity
from bench.contracts.errors import PluginBroken
from bench.corpora import cached_corpus, named_corpus
from bench.corpus_words import corpus_word
from bench.data.volumes import write_nifti
from bench.spec import make_spec
from tests.command_line import bench

SOURCE = """
from dataclasses import replace
from methods.mae3d import METHOD as OURS

METHOD = replace(OURS, title="Theirs", needs={needs})
"""


@pytest.fixture(params=[frozenset({"volume"})])
def theirs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "their_method.py").write_text(SOURCE.format(needs=set(request.param)))
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("theirs", "their_method", "bench.methods")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "bench.methods" else [])
    registry._foreign.cache_clear()
    yield "theirs"
    registry._foreign.cache_clear()
    sys.modules.pop("their_method", None)


def test_a_strangers_method_is_listed_with_its_origin_and_shown(theirs: str) -> None:
    rows = {row["name"]: row for row in bench("list", "methods", "--json").value}
    assert rows[theirs] == {"name": "theirs", "origin": "their_method"}
    assert bench("show", theirs, "--json").value["title"] == "Theirs"


def test_a_strangers_method_pre_trains_on_the_corpus_of_its_card(theirs: str, tmp_path: Path) -> None:
    assert corpus_word(make_spec(method=theirs, task="msd04")) == "mim-1k"
    words = ("--method", theirs, "--task", "msd04", "--preset", "tiny", "--corpus", "own", "--phantom")
    jobs = bench("plan", *words, "--results", tmp_path, "--json").value
    assert [job["room"] for job in jobs] == ["pretrain:pretrain", "finetune", "predict, score"]


@pytest.mark.parametrize("theirs", [{"volume", "report"}], indirect=True)
def test_a_corpus_without_what_a_method_needs_is_refused_with_those_that_have_it(theirs: str, tmp_path: Path) -> None:
    (tmp_path / "volumes").mkdir()
    write_nifti(tmp_path / "volumes" / "a.nii.gz", np.zeros((8, 8, 8), np.int16), affine=np.eye(4), dtype=np.int16)
    words = ("--method", theirs, "--task", "msd04", "--preset", "tiny", "--phantom", "--results", tmp_path)
    for corpus, told in (((), "'mim-1k'"), (("--corpus", "own"), "'own'"), (("--corpus-root", tmp_path), "'folder'")):
        error = bench("plan", *words, *corpus, "--json").error
        assert f"pre-trains on volume and report of every case; the corpus {told} offers no report" in error["message"]
        assert "--weights FILE" in error["remedy"]


def test_a_pool_of_ones_own_shows_a_network_all_the_contrasts_of_its_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brains = registry.task("msd01")
    brains.files.write_phantom(tmp_path / "Task01_BrainTumour", ["BRATS_001", "BRATS_002"], "smoke")
    member = CorpusMember(key="brains", files=brains.files, folders=brains.folders, printed=2)
    told = {"title": "Brains", "version": 1, "modality": "MR", "members": (member,), "printed": 2}
    card = CorpusCard(**told, intensity=Intensity("zscore"))
    monkeypatch.setattr(registry, "corpus", lambda key: card)
    found = named_corpus("brains", None, {}, tmp_path, partial=False)
    assert found.channels == 4 == cached_corpus(found, tmp_path / "cache").sight.channels


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A method and a task in files of one's own, which nothing installs."""
    (tmp_path / "my_method.py").write_text(SOURCE.format(needs={"volume"}))
    (tmp_path / "my_task.py").write_text("from tasks.msd04 import TASK\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_registered", {})
    registry._foreign.cache_clear()
    yield tmp_path
    registry._foreign.cache_clear()
    for name in ("my_method", "my_task"):
        sys.modules.pop(name, None)


def test_a_file_that_a_notebook_registers_is_used_like_an_installed_one(mine: Path) -> None:
    for _ in range(2):  # a cell of a notebook is run again
        registry.register(registry.METHODS, "mine", "my_method")
        registry.register(registry.TASKS, "my-task", "my_task")
    assert bench("show", "mine", "--json").value["title"] == "Theirs"
    words = ("--method", "mine", "--task", "my-task", "--preset", "tiny", "--corpus", "own", "--phantom")
    jobs = bench("plan", *words, "--results", mine / "results", "--json").value
    assert [job["room"] for job in jobs] == ["pretrain:pretrain", "finetune", "predict, score"]


@pytest.mark.parametrize("taken", ["mae3d", "mine"])
def test_a_name_that_belongs_to_another_card_cannot_be_registered(mine: Path, taken: str) -> None:
    registry.register(registry.METHODS, "mine", "my_method")
    with pytest.raises(PluginBroken, match=f"A method is called '{taken}' already"):
        registry.register(registry.METHODS, taken, "other_method")
    assert registry.method("mine").title == "Theirs"
