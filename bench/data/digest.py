"""The sha256 of what lies on disk, so that a record can name it and a reader can tell whether it is still the same."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of_file(path: Path) -> str | None:
    """The sha256 of a file's bytes, 64 hex digits; None when there is no such file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_folder(folder: Path) -> str | None:
    """One sha256 over the names and contents of all files below a folder; None when there are none.

    Hidden files are left out. It is the sha256 of one line per file, `<hex of the file> <path below the folder>`, in the
    order of paths.
    """
    if not folder.is_dir():
        return None
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = sorted(path.as_posix() for path in inside if not any(part.startswith(".") for part in path.parts))
    if not names:
        return None
    lines = "".join(f"{sha256_of_file(folder / name)} {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()
