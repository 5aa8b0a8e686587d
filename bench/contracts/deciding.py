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
    """The sha256 over names and contents of a file or of all files under a folder; in words where nothing lies there."""
    digest, top = hashlib.sha256(), Path(path)
    for file in _files(top):
        digest.update((file.relative_to(top).as_posix() if top.is_dir() else file.name).encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest() if _files(Path(path)) else f"nothing at {path}"


def _files(path: Path) -> list[Path]:
    """The file itself, or the files that lie in a folder and in folders within it; hidden files and folders are left out."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
