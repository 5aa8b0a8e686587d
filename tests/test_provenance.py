"""Where a result was made, as its record tells it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import provenance


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A person's own git checkout, in which the package lies below a folder of their environment."""
    source = tmp_path / ".venv" / "bench" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("")
    (tmp_path / "mine.txt").write_text("")
    (tmp_path / ".gitignore").write_text(".venv\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "mine.txt", ".gitignore")
    git(tmp_path, "commit", "-q", "-m", "mine")
    monkeypatch.setattr(provenance, "__file__", str(source))
    provenance.commit.cache_clear()
    yield tmp_path
    provenance.commit.cache_clear()


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True)


def test_the_commit_of_a_checkout_around_an_installed_package_is_not_told(elsewhere: Path) -> None:
    assert provenance.commit() == ""


def test_the_commit_of_ones_own_checkout_is_told_and_marked_where_files_differ(elsewhere: Path) -> None:
    git(elsewhere, "add", "-f", ".venv/bench/provenance.py")
    git(elsewhere, "commit", "-q", "-m", "ours")
    assert len(provenance.commit()) == 40
    (elsewhere / "mine.txt").write_text("changed")
    provenance.commit.cache_clear()
    assert provenance.commit().endswith("+")
