"""What a developer has set on the machine reaches no test: tests/conftest.py hides it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.data.find import PLACES
from bench.datasets_file import told_folders

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def as_a_module_finds_it() -> dict[str, object]:
    """What a fixture of a whole module sees, which is set up before those of a test."""
    return {"told": told_folders(), "set": [name for name in PLACES if name in os.environ]}


def test_no_data_no_results_and_no_settings_are_within_sight(as_a_module_finds_it: dict[str, object]) -> None:
    import matplotlib

    assert as_a_module_finds_it == {"told": {}, "set": []}
    assert "BENCH_CACHE" not in os.environ
    assert not (Path.home() / ".settings-of-ones-own").exists()
    assert Path(matplotlib.matplotlib_fname()).is_relative_to(Path(matplotlib.__file__).parent)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_what_one_test_leaves_where_it_stands_is_gone_before_the_next(turn: str) -> None:
    assert not list(Path.cwd().iterdir())
    Path("bench.lock").write_text(turn)
    Path("results").mkdir()


def test_what_stands_in_a_developers_home_folder_and_environment_reaches_no_test(tmp_path: Path) -> None:
    """A session of its own, begun in a folder and with a home that hold all of it, runs the test above."""
    home, here = tmp_path / "home", tmp_path / "here"
    for path, text in (
        (here / "datasets.toml", "no TOML"),
        (here / "matplotlibrc", "lines.linewidth: 7"),
        (home / ".config" / "matplotlib" / "matplotlibrc", "lines.linewidth: 7"),
        (home / ".settings-of-ones-own", ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = {name: str(here) for name in (*PLACES, "BENCH_CACHE", "MPLCONFIGDIR", "MATPLOTLIBRC")}
    test = f"{__file__}::{test_no_data_no_results_and_no_settings_are_within_sight.__name__}"
    words = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-c", str(ROOT / "pyproject.toml"), test]
    environ = {**os.environ, **own, "HOME": str(home)}
    done = subprocess.run(words, cwd=here, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
