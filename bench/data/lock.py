"""One process at a time in a folder: a second one waits, then finds the work done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contracts.errors import StoreError


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, made beside it as `<folder>.lock`. The kernel frees it when a holder is killed."""
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(folder.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise StoreError(
            f"Cannot write in {folder.parent}: {error.strerror or error}.",
            case=folder.name,
            remedy="Free space or change permissions, or choose another place with --results DIR.",
        ) from error
    try:
        yield
    finally:
        lock.release()
