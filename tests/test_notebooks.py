"""The notebooks: readers of the public API that run from top to bottom, and hold no output of anyone's machine."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
LIMIT_S = 240  # per cell, and only against a hang: on two idle cores a whole notebook takes less than a minute
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|work|Users|mnt|data)/|[A-Z]:\\")


def cells(path: Path, kind: str) -> list[str]:
    """The text of a notebook's code or markdown cells, in order."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def code(text: str) -> ast.Module:
    """A cell as Python: the file behind `%%writefile` counts as code, its first line does not."""
    return ast.parse(text.partition("\n")[2] if text.startswith("%%writefile ") else text)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    """One kernel for all notebooks, or each would import torch and MONAI anew: ten seconds. It sees this checkout, folders of its
    own, no data of anyone's, no way to a network."""
    place = tmp_path_factory.mktemp("kernel")
    manager = KernelManager(kernel_name="python3")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
            (place / name).mkdir()
            patch.setenv(name, str(place / name))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        manager.start_kernel(cwd=str(FOLDER))
        yield manager
        manager.shutdown_kernel(now=True)


def executed(path: Path, kernel: KernelManager) -> list[dict[str, Any]]:
    """The outputs of a notebook, run from top to bottom in its own folder; an error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # no name of another notebook is there
    client = NotebookClient(notebook, km=kernel, timeout=LIMIT_S, startup_timeout=LIMIT_S)
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_notebooks_are_numbered_without_a_gap() -> None:
    assert [name[:2] for name in NAMES] == [f"{number:02d}" for number in range(1, len(NAMES) + 1)] and len(NAMES) >= 8


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_valid_and_holds_no_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith(
        f"# {int(path.stem[:2])} · "
    )
    for cell in notebook.cells:
        assert not cell.metadata, "metadata of a cell tell of someone's editor"
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"} and set(notebook.metadata.language_info) == {
        "name"
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_names_no_path_of_a_machine(path: Path) -> None:
    found = MACHINE_PATH.search("\n".join([*cells(path, "code"), *cells(path, "markdown")]))
    assert found is None, found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_what_a_notebook_imports_is_there_and_used(path: Path) -> None:
    written = {cell.partition("\n")[0].rpartition("/")[2].removesuffix(".py") for cell in cells(path, "code")}
    for cell in cells(path, "code"):
        for node in ast.walk(code(cell)):
            if isinstance(node, ast.Import):
                for name in node.names:
                    assert name.name in written or importlib.import_module(name.name)
            if isinstance(node, ast.ImportFrom) and node.module != "__future__":
                module = importlib.import_module(node.module or "")
                absent = [name.name for name in node.names if not (hasattr(module, name.name) or is_module(node, name))]
                assert not absent, f"{node.module} has no {absent}"


def is_module(node: ast.ImportFrom, name: ast.alias) -> bool:
    """Whether `from package import module` names a module, which the package knows only once it was imported."""
    package = importlib.util.find_spec(node.module or "")
    inside = package is not None and package.submodule_search_locations is not None
    return inside and importlib.util.find_spec(f"{node.module}.{name.name}") is not None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_imports_instead_of_defining(path: Path) -> None:
    """Only the file that a notebook writes to show its form may hold functions and classes."""
    for cell in cells(path, "code"):
        if not cell.startswith("%%writefile "):
            defined = [node for node in ast.walk(code(cell)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
            assert not defined, ast.unparse(defined[0])


def written_card(notebook: str, attribute: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The card of the file that a notebook writes, imported under a name of its own."""
    (text,) = [cell for cell in cells(FOLDER / f"{notebook}.ipynb", "code") if cell.startswith("%%writefile ")]
    (folder / f"written_{attribute.lower()}.py").write_text(text.partition("\n")[2], encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return getattr(importlib.import_module(f"written_{attribute.lower()}"), attribute)


def test_the_method_that_a_notebook_writes_has_what_is_asked_of_a_method_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = written_card("07_adding_a_method", "METHOD", tmp_path, monkeypatch)
    assert type(card.full) is type(card.small) is type(card.tiny)


def test_the_task_that_a_notebook_writes_has_what_is_asked_of_a_task_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = written_card("08_adding_a_task", "TASK", tmp_path, monkeypatch)
    assert all((card.title, card.licence, card.page, card.citation, card.folders, card.counts, card.gigabytes))
    assert all(protocol.split.origin and protocol.notes for protocol in card.protocols.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_links_lead_to_files_of_the_checkout(path: Path) -> None:
    for text in cells(path, "markdown"):
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert (FOLDER / target).is_file(), target


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs_from_top_to_bottom_without_a_warning(path: Path, kernel: KernelManager) -> None:
    outputs = executed(path, kernel)
    warned = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not warned, warned
    assert any("image/png" in output.get("data", {}) for output in outputs) or path.stem == "03_a_paper_table"
