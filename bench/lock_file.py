"""`bench.lock` in the working directory, beside `datasets.toml`: what the files of each dataset held when they were first checked.

Written and read by `bench data check` alone, by the key of a task or of a set in a corpus (they share it, as they share a line
of datasets.toml). It holds names, sizes and hashes, no folder of this machine and no voxel; phantoms never enter it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench.contracts.errors import SpecError
from bench.data.atomic import write_json
from bench.data.drift import Print
from bench.data.lock import only_one

FILE = "bench.lock"
SCHEMA = "bench-lock/1"
Told = TypeVar("Told")


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


def write_lock(key: str, before: Locked, after: Locked) -> None:
    """Put what changed of one dataset, from `before` to `after`, into the file, whole or not at all.

    All else stays as it is by now: of two checks that end at one instant the second one waits, and adds to what the first one
    wrote. Raises as `read_lock`, and StoreError where the disk refuses.
    """
    path = Path(FILE).resolve()
    with only_one(path.with_name(".bench")):  # the kernel's lock is `.bench.lock`, out of sight
        told = read_lock()
        now = told.get(key, Locked())
        told[key] = Locked(
            _changed(now.files, before.files, after.files), _changed(now.images, before.images, after.images)
        )
        write_json(path, {"schema": SCHEMA, "datasets": {k: _plain(one) for k, one in told.items()}})


def _changed(now: Mapping[str, Told], before: Mapping[str, Told], after: Mapping[str, Told]) -> dict[str, Told]:
    """`now` with what came and went between `before` and `after`."""
    kept = {name: told for name, told in now.items() if name in after or name not in before}
    return kept | {name: told for name, told in after.items() if before.get(name) != told}


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
