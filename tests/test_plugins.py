"""A method from another distribution, found by its entry point, is used like one of ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench import registry
from bench.corpora import corpus_word
from bench.spec import make_spec
from tests.command_line import bench

SOURCE = """
from dataclasses import replace
from methods.mae3d import METHOD as OURS

METHOD = replace(OURS, title="Theirs")
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "their_method.py").write_text(SOURCE)
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
