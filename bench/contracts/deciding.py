"""What of a config decides a result, and so its key."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any


def deciding(config: Any) -> dict[str, Any]:
    """The fields of a config that decide the result, as a plain dict; a `later` field only where it departs.

    A field made by `from_disk` stands for the sha256 of what lies there.
    """
    chosen: Iterable[dataclasses.Field[Any]] = dataclasses.fields(config)
    values = {f.name: _told(f, getattr(config, f.name)) for f in chosen if f.metadata.get("decides", True)}
    return {f.name: values[f.name] for f in chosen if f.name in values and not _as_before(f, values[f.name])}


def _as_before(option: dataclasses.Field[Any], value: Any) -> bool:
    return "since" in option.metadata and bool(value == option.metadata["since"])


def _told(option: dataclasses.Field[Any], value: Any) -> Any:
    if not (option.metadata.get("path") and value):
        return value
    return _content(value, max((p.stat().st_mtime_ns for p in _files(Path(value))), default=0))


@cache
def _content(path: str, _changed_ns: int) -> str:
    """The sha256 over names and contents of a file or of a folder's files; in words where nothing lies there."""
    digest = hashlib.sha256()
    for file in _files(Path(path)):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest() if _files(Path(path)) else f"nothing at {path}"


def _files(path: Path) -> list[Path]:
    """The file itself, or the files that lie in a folder, hidden ones left out."""
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in inside if file.is_file() and not file.name.startswith(".")]
