"""A stored cell by any of the words that commands take for one."""

from __future__ import annotations

from pathlib import Path

from bench.cell_files import KEY_DIGITS, is_file, safe
from bench.contracts.record import Cell
from bench.store import Store


def find_cell(name: str, results: Path) -> tuple[Cell, Path]:
    """A stored cell by name, by the path of its JSON, or by the start of its key, and the results folder that holds it.

    Raises StoreError with the nearest name where there is none, or says why the file of that name is none.
    """
    found, results = seek_cell(name, results)
    return found or Store(results).read(_stem(name)), results


def seek_cell(name: str, results: Path) -> tuple[Cell | None, Path]:
    """As `find_cell`, but None where nothing is called so. Raises StoreError where a file is, and is no cell."""
    path = Path(name)
    results = path.absolute().parent.parent if path.suffix == ".json" and is_file(path) else results
    store, stem = Store(results), _stem(name)
    if stem == safe(stem) and is_file(store.path(stem)):
        return store.read(stem), results
    by_key = (cell for cell in store.cells() if len(name) >= KEY_DIGITS and cell.key.startswith(name))
    return next(by_key, None), results


def _stem(name: str) -> str:
    return Path(name).stem if name.endswith(".json") else name
