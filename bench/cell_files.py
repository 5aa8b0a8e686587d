"""The files of cells: how they are named, listed and read, and what is none."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from errno import ENAMETOOLONG
from pathlib import Path

from pydantic import ValidationError

from bench.contracts.errors import StoreError
from bench.contracts.record import SCHEMA_CELL, Cell

KEY_DIGITS = 8
LONGEST_NAME = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+-]+")


@dataclass(frozen=True)
class Broken:
    """A file among the cells that cannot be read as one, and why."""

    path: Path
    reason: str


def cell_name(
    *,
    method: str,
    task: str,
    protocol: str,
    ratio: float,
    preset: str,
    corpus: str,
    seed: int,
    fold: int,
    key: str,
    variant: str = "",
    target: str = "",
) -> str:
    """The name of a run's files: its words and the first 8 digits of its key, safe on any file system.

    Example: ``mim-btcv-bench-r0.25-small-own-s0-f0-1a2b3c4d``; a variant or target follows its word after ``@``.
    Characters other than letters, digits and ``._@+-`` become ``_``; a name is cut before the key at 200 characters.
    """
    words = [f"{method}@{variant}" if variant else method, f"{task}@{target}" if target else task, protocol]
    words += [f"r{ratio:g}", preset, corpus, f"s{seed}", f"f{fold}"]
    digits = safe(key[:KEY_DIGITS])
    return f"{safe('-'.join(words))[: LONGEST_NAME - len(digits) - 1]}-{digits}"


def check_name(cell: Cell) -> None:
    fits = cell.name == safe(cell.name) and len(cell.name) <= LONGEST_NAME
    if not fits or not cell.key or not cell.name.endswith(f"-{safe(cell.key[:KEY_DIGITS])}"):
        raise StoreError(
            f"'{cell.name}' cannot name a cell with the key '{cell.key[:16]}'.",
            case=cell.name,
            remedy="Name it by bench.cell_files.cell_name: its words and the first 8 digits of its key.",
        )


def read_cell(path: Path) -> Cell | Broken:
    try:
        cell = Cell.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return Broken(path, f"no cell: {place + ': ' if place else ''}{first['msg']}")
    except OSError as error:
        return Broken(path, f"cannot be read: {error.strerror or error}")
    if cell.schema_ != SCHEMA_CELL:
        return Broken(path, f"of another schema: expected {SCHEMA_CELL}, found '{cell.schema_}'")
    if cell.name != path.stem:
        return Broken(path, f"named after another cell: it says '{cell.name}'")
    return cell


def listed(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder by pattern, in the order of names; none where the folder is not there yet."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be listed: {error.strerror or error}.",
            case=str(folder),
            remedy="Ask for read permission there, or name another results folder.",
        ) from error
    return [folder / name for name in sorted(names) if fnmatch.fnmatchcase(name, pattern)]


def is_file(path: Path) -> bool:
    """True when a file is there. A word that is too long for a name is that of none."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            return False
        raise


def safe(words: str) -> str:
    return _UNSAFE.sub("_", words).lstrip(".") or "_"
