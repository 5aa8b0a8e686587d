"""No test knows whose machine it runs on: neither data nor settings of a developer's own reach one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.data.find import PLACES
from tests import real_volumes  # noqa: F401  (reads $BENCH_DATA before it is hidden)

ROOT = Path(__file__).parents[1]
HIDDEN = (*PLACES, "BENCH_CACHE", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "MATPLOTLIBRC")


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home, an empty working directory (so no datasets.toml and no bench.lock), no variable that names data or settings.

    What programs keep in a cache is no setting: the cache stays, or each session would look through all fonts again.
    Processes that a test starts find this checkout, as they did while they began in it.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in HIDDEN:
            patch.delenv(name, raising=False)
        patch.setenv("PYTHONPATH", path)
        patch.setenv("XDG_CACHE_HOME", cache)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        here = tmp_path_factory.mktemp("here")
        patch.chdir(here)
        yield here


@pytest.fixture(autouse=True)
def _an_empty_working_directory(_nothing_of_ones_own: Path) -> Iterator[None]:
    """What a command of one test writes where it stands, such as bench.lock, is gone before the next."""
    yield
    for path in _nothing_of_ones_own.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
