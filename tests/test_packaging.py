"""What is installed: a wheel with everything a run needs, and cards that are found from any working directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bench import registry

ROOT = Path(__file__).parent.parent
LIST = "import json; from bench import registry as r; print(json.dumps([r.names(s) for s in (r.METHODS, r.TASKS, r.CORPORA)]))"


def elsewhere(script: str, folder: Path, **environ: str) -> str:
    """What a Python started in another folder prints, without the checkout on its path by accident."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=folder, env={**clean, **environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_editable_install_lists_every_card_from_another_folder(tmp_path: Path) -> None:
    listed = json.loads(elsewhere(LIST, tmp_path))
    shelves = (registry.METHODS, registry.TASKS, registry.CORPORA)
    assert listed == [list(registry.names(shelf)) for shelf in shelves] and all(listed)


def test_the_console_script_is_the_command_line() -> None:
    (script,) = entry_points(group="console_scripts", name="bench")
    assert script.value == "bench.cli:main"


def test_packages_declare_their_types_and_their_distribution() -> None:
    for package in ("bench", "methods", "tasks"):
        assert (ROOT / package / "py.typed").is_file()
        assert 'DISTRIBUTION = "ssl3d-bench"' in (ROOT / package / "__init__.py").read_text()


def test_a_file_that_makes_one_scroll_says_why() -> None:
    files = [path for package in ("bench", "methods", "tasks") for path in (ROOT / package).rglob("*.py")]
    told = {path: path.read_text(encoding="utf-8") for path in files}
    long = [path for path, text in told.items() if len(text.splitlines()) > 250]
    assert len(files) > 300 and long
    assert not [
        str(path) for path in long if "onger than 250 lines because" not in told[path].partition("from __future")[0]
    ]


@pytest.mark.slow
def test_a_wheel_holds_all_a_run_needs_and_nothing_else(tmp_path: Path) -> None:
    """Builds in isolation, so the build backend must be installable from a package index."""
    words = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--wheel-dir", str(tmp_path), "--quiet"]
    subprocess.run([*words, "--disable-pip-version-check"], check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    tracked = {
        path.relative_to(ROOT).as_posix()
        for package in ("bench", "methods", "tasks")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in held if ".dist-info/" not in name} == tracked
    needed = {"bench/py.typed", "methods/py.typed", "tasks/py.typed", "tasks/splits/bench_proposed.json"}
    needed |= {"bench/templates/table.html", "bench/published/numbers/mim.csv", "bench/published/tables.toml"}
    assert needed | {"tasks/splits/la_train.txt", "methods/mim.py"} <= held
    (licence,) = (name for name in held if name.endswith("/licenses/LICENSE"))
    assert licence.startswith("ssl3d_bench-")
    unpacked = str(tmp_path / "unpacked")
    where = "import bench, methods, tasks; print(bench.__file__, methods.__file__, tasks.__file__)"
    places = elsewhere(where, tmp_path, PYTHONPATH=unpacked).split()
    assert len(places) == 3 and all(place.startswith(unpacked) for place in places)
    assert elsewhere(LIST, tmp_path, PYTHONPATH=unpacked) == elsewhere(LIST, tmp_path)
