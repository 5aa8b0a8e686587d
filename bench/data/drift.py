"""Is a file still what it was when it was first looked at? For all that owners publish no checksum of.

Source   ours: what is found first is trusted, a later difference is an error
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.data.digest import sha256_of_file
from bench.data.metaimage import voxels_file
from bench.data.volumes import quick_fingerprint


@dataclass(frozen=True)
class Print:
    """A file, or a folder of slices, as it was: its bytes, when it last changed (ns), and `content`.

    `content` is `sha256:` of every byte, or `quick:` of size and ends (`bench.data.volumes.quick_fingerprint`). While bytes and
    time stay, the content is not read again; a new time alone is no drift.
    """

    size: int
    changed_ns: int
    content: str

    @property
    def whole(self) -> bool:
        """True when every byte decided `content`."""
        return self.content.startswith("sha256:")

    def __str__(self) -> str:
        kind, _, rest = self.content.partition(":")
        return f"{kind} {rest.rpartition(':')[2][:12]} of {self.size:,} bytes"


@dataclass(frozen=True)
class Drift:
    """A file that differs from what was recorded of it; `found` None where it is gone."""

    path: str
    recorded: Print
    found: Print | None


def take(path: Path, *, whole: bool) -> Print:
    """A file's print now, of all its bytes or of its ends. Raises DataMissing where there is no such file."""
    if not whole:
        return Print(*_stamp(path), quick_fingerprint(path))
    return Print(*_stamp(path), f"sha256:{_sha256(path)}")


def drifted(
    folder: Path, recorded: Mapping[str, Print], paths: Iterable[str], *, whole: bool
) -> tuple[dict[str, Print], list[Drift]]:
    """The prints of the files as they are, and those that are not as recorded.

    A file recorded by its ends is compared by its ends, and has all its bytes in the new print where `whole` is asked for.
    """
    now: dict[str, Print] = {}
    changed = []
    for path in paths:
        before = recorded.get(path)
        now[path] = _now(folder / path, before, whole)
        if before is not None and not _same(folder / path, before, now[path]):
            changed.append(Drift(path, before, now[path]))
    return now, changed


def gone(folder: Path, recorded: Mapping[str, Print]) -> list[Drift]:
    """Recorded files that are no longer there. A folder that holds none of them is another copy in another form: nothing."""
    lost = [path for path in recorded if not (folder / path).exists()]
    return [Drift(path, recorded[path], None) for path in lost] if len(lost) < len(recorded) else []


def _now(path: Path, before: Print | None, whole: bool) -> Print:
    if before is not None and (before.whole or not whole) and (before.size, before.changed_ns) == _stamp(path):
        return before
    return take(path, whole=whole or (before is not None and before.whole))


def _same(path: Path, before: Print, now: Print) -> bool:
    if before.whole == now.whole:
        return before.content == now.content
    return before.content == quick_fingerprint(path)


def _stamp(path: Path) -> tuple[int, int]:
    told = [file.stat() for file in _parts(path)]
    return sum(one.st_size for one in told), max((one.st_mtime_ns for one in told), default=0)


def _sha256(path: Path) -> str:
    """Of one file its own; of several one over a line `<sha256> <name>` for each, by name."""
    parts = _parts(path)
    if parts == [path]:
        return str(sha256_of_file(path))
    lines = "".join(f"{sha256_of_file(file)} {file.name}\n" for file in parts)
    return hashlib.sha256(lines.encode()).hexdigest()


def _parts(path: Path) -> list[Path]:
    """The files behind a path: the slices of a folder, an .mhd and the voxels beside it, else the file."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    beside = voxels_file(path)
    return [path, beside] if beside is not None and beside.is_file() else [path]
