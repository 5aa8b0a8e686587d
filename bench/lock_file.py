"""`bench.lock` in the working directory, beside `datasets.toml`: what the files of each dataset held when they were first checked.

Written and read by `bench data check` alone, by the key of a task or of a set in a corpus (they share it, as they share a line
of datasets.toml). It holds names, sizes and hashes, no folder of this machine and no voxel; phantoms never enter it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.contracts.errors import SpecError
from bench.data.atomic import write_json
from bench.data.drift import Print

FILE = "bench.lock"
SCHEMA = "bench-lock/1"


@dataclass(frozen=True)
class Locked:
    """A dataset: the print of every file, by its path below the dataset's folder, and the voxel fingerprint of every image that
    was read (`bench.data.twins`)."""

    files: Mapping[str, Print] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


def read_lock() -> dict[str, Locked]:
    """Every dataset of the file; empty where there is none. Raises SpecError where it is damaged or of another form."""
    path = Path(FILE).resolve()
    if not path.exists():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["schema"] != SCHEMA:
            raise ValueError(f"its schema is {told['schema']!r}, expected {SCHEMA!r}")
        return {key: _dataset(one) for key, one in told["datasets"].items()}
    except OSError as error:
        raise SpecError(f"It cannot be read: {error.strerror}.", case=str(path), remedy="Mend its rights.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(
            f"This is no file that `bench data check` wrote, or it was damaged: {_said(error)}.",
            case=str(path),
            remedy="Take it from a copy; or move it away, and the next check records anew what is on disk, unseen what it was.",
        ) from error


def write_lock(key: str, locked: Locked) -> None:
    """Put one dataset into the file, whole or not at all; the others stay as they are by now. Raises as `read_lock`, and
    StoreError where the disk refuses."""
    told = read_lock() | {key: locked}
    write_json(Path(FILE).resolve(), {"schema": SCHEMA, "datasets": {k: _plain(one) for k, one in told.items()}})


def _dataset(told: Mapping[str, Any]) -> Locked:
    files = {str(path): _print(line) for path, line in told["files"].items()}
    return Locked(files, {str(image): str(mark) for image, mark in told["images"].items()})


def _print(line: str) -> Print:
    size, changed_ns, content = line.split()
    if not content.startswith(("sha256:", "quick:")):
        raise ValueError(f"no fingerprint in {line!r}")
    return Print(int(size), int(changed_ns), content)


def _plain(locked: Locked) -> dict[str, dict[str, str]]:
    files = {path: f"{one.size} {one.changed_ns} {one.content}" for path, one in locked.files.items()}
    return {"files": files, "images": dict(locked.images)}


def _said(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)
