"""Archives that lie beside what was unpacked from them, held against their owners' checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.contracts.cards import TaskCard
from bench.data.check_report import Unsound


def archives_beside(card: TaskCard, folder: Path) -> dict[Path, str]:
    """The owners' archives that still lie in a dataset's folder or beside it, with the md5 that each must have."""
    places = {folder / name: md5 for name, md5 in card.archives.items()}
    places |= {folder.parent / name: md5 for name, md5 in card.archives.items()}
    return {path: md5 for path, md5 in places.items() if path.is_file()}


def archive_problem(path: Path, md5: str) -> Unsound | None:
    """What is wrong with an archive whose owners publish its md5; None where nothing is."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found == md5:
        return None
    told = f"the archive '{path.name}' has md5 {found}, the owners' has {md5}."
    return Unsound("", "checksums", told, "Fetch it again, and unpack it again.")
