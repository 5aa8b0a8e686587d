"""Put a file on disk whole or not at all, so that a killed process, a full disk or a second writer leaves no half.

The bytes go into a hidden temporary file in the same folder, are flushed to the device and renamed; the folder is
flushed last. A reader sees the earlier file or the new one.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.contracts.errors import StoreError

TEMPORARY = ".tmp"
_ROOM = "Free some room there, or name another folder; earlier results are intact."
_RIGHTS = "Ask for write permission there, or name another folder; earlier results are intact."
_FOLDER = "A file stands where a folder is needed; move it away or name another folder."
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOTDIR: _FOLDER,
    errno.EEXIST: _FOLDER,
    errno.EISDIR: "A folder stands where the file belongs; move it away or name another folder.",
    errno.ENAMETOOLONG: "Choose a folder with a shorter path.",
}


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all; missing folders are made. Raises StoreError when the disk refuses."""
    publish(stage_bytes(path, data), path)


def write_text(path: Path, text: str) -> None:
    """Put `text` at `path` as UTF-8 with the line ends it has. Raises StoreError when the disk refuses."""
    write_bytes(path, text.encode())


def demand_place(path: Path) -> None:
    """Raise StoreError where no file can be put at `path`: asked before the work whose outcome belongs there."""
    if path.is_dir():
        raise refused(IsADirectoryError(errno.EISDIR, ""), path, "write it")
    discard(stage_bytes(path, b""))


def write_json(path: Path, obj: Any) -> None:
    """Put `obj` at `path` as the JSON that `json_text` makes of it. Raises StoreError when the disk refuses."""
    write_text(path, json_text(obj))


def json_text(obj: Any) -> str:
    """An object as JSON with sorted names, so that equal objects have equal bytes.

    NaN becomes null, because JSON has no NaN; infinities become the words "Infinity" and "-Infinity", because to call
    them undefined would be wrong. Dataclasses, records, tuples, paths and numpy scalars and arrays are taken as well.
    Raises TypeError for what has no JSON form.
    """
    return json.dumps(_plain(obj), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def stage_bytes(path: Path, data: bytes) -> Path:
    """Write and flush `data` to a temporary file beside `path`, to be handed to `publish`.

    Two files that belong together are both staged before either is published: a full disk then stops the pair.
    """
    temporary = path.with_name(f".{path.name[:120]}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        _make_folder(path.parent)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        discard(temporary)
        if isinstance(error, OSError):
            raise refused(error, path, f"write {len(data)} bytes") from error
        raise
    return temporary


def publish(temporary: Path, path: Path) -> None:
    """Give a staged file its name and flush the folder. On failure the staged file is gone and `path` is as it was."""
    try:
        temporary.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        discard(temporary)
        if isinstance(error, OSError):
            raise refused(error, path, "put the finished file in place") from error
        raise


def discard(temporary: Path) -> None:
    """Remove a staged file if it is there; a disk that refuses even that leaves a file that no reader looks at."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        return


def refused(error: OSError, path: Path, tried: str) -> StoreError:
    """What to tell of a disk that would not do at `path` what was `tried`, with what helps against its reason."""
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    remedy = _REMEDIES.get(number, "Check the disk and the folder, or name another one; earlier results are intact.")
    return StoreError(f"{path}: could not {tried}: {reason}.", case=str(path), remedy=remedy)


def _make_folder(folder: Path) -> None:
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for part in missing:
        _flush_folder(part.parent)


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut; where a system cannot flush folders, the rename itself is all it offers."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return _number(float(value))
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(part) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(by_alias=True))
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
