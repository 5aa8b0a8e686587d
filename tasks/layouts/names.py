"""How volumes are called on disk: endings, AppleDouble companions, listing a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

NIFTI = (".nii.gz", ".nii")


def stem_of(name: str, endings: Iterable[str] = NIFTI) -> str | None:
    """A file's name without its ending; None where it has none of them or is hidden (`._*`, as macOS archives hold)."""
    if name.startswith("."):
        return None
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), None)


def volumes_in(folder: Path, endings: Iterable[str] = NIFTI) -> list[tuple[str, Path]]:
    """(stem, file) of the volumes in a folder, by name; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    found = ((stem_of(path.name, tuple(endings)), path) for path in folder.iterdir())
    return sorted((stem, path) for stem, path in found if stem)
