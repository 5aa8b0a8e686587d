"""Where on this machine a dataset lies, and what to tell a person who does not have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from bench.contracts.cards import TaskCard
from bench.contracts.errors import DataMissing
from bench.contracts.protocols import Layout

EXTRA_LEVELS = 2  # ours: folders of folders that may stand around a dataset
CROWDED = 100  # folders in one folder from which `folders_listed_once` takes them for cases
PLACES = ("BENCH_DATA", "nnUNet_raw")  # asked in this order


def find_dataset(
    key: str, card: TaskCard, root: Path | None, environ: Mapping[str, str], *, checked_by: str = ""
) -> Path:
    """The folder of a task's dataset: below `--root` if given, else below $BENCH_DATA, else below $nnUNet_raw.

    Raises DataMissing that says what is missing, how large it is, its licence, where to register, which tree is expected,
    and the next command, `bench data check` with the words `checked_by` (empty: the key).
    """
    found = locate(card.files, key, card.folders, root, environ)
    if found is None:
        raise missing_dataset(key, card, root, environ, checked_by=checked_by)
    return found


def locate(
    files: Layout, key: str, folders: tuple[str, ...], root: Path | None, environ: Mapping[str, str]
) -> Path | None:
    """The folder in which `files` recognises its dataset, or None.

    In each place: first a folder of an official name or called `key`, at most two levels down, then the place itself as
    the layout searches it. A `root` is taken at its word: where it does not hold the dataset, nowhere else is looked.
    """
    for place in _places(root, environ):
        for candidate in (*_named(place, (*folders, key)), place):
            found = files.locate(candidate)
            if found is not None:
                return found
    return None


def first_within(root: Path, holds: Callable[[Path], bool], levels: int = EXTRA_LEVELS) -> Path | None:
    """The nearest folder for which `holds` is true: `root`, then those below it level by level, by name. None if none.

    Hidden folders and folders that may not be read are passed over.
    """
    return next((folder for folder in _walk(root, levels) if holds(folder)), None)


@contextmanager
def folders_listed_once() -> Iterator[None]:
    """Within it each folder is listed once, and folders of a crowded one are passed over: they are cases, not datasets.

    For a look for many datasets in large places that nobody changes meanwhile.
    """
    kept = _listed.set({})
    try:
        yield
    finally:
        _listed.reset(kept)


def missing_dataset(
    key: str, card: TaskCard, root: Path | None, environ: Mapping[str, str], *, said_by: str = "", checked_by: str = ""
) -> DataMissing:
    """What to tell a person who lacks a task's data: one line of what was sought, then several of how to get on.

    `said_by` is the file that named the root, empty where the person did; `checked_by` as for `find_dataset`.
    """
    count = ", ".join(f"{number:,} {what}" for what, number in card.counts.items())
    size = f"{card.gigabytes:g} GB" if card.gigabytes else "size unknown"
    where = f" (so {said_by} says)" if said_by else ""
    tree = "\n".join(f"    {line}" for line in card.files.tree().strip("\n").splitlines())
    return DataMissing(
        f"its data ({card.title}: {count or 'count unknown'}; {size}) are not {_looked(root, environ)}{where}.",
        case=key,
        remedy=f"\n  Licence: {card.licence or 'see the page'}\n  Get them: {card.page or 'see the task card'}\n"
        f"  Expected, in a folder {' or '.join(card.folders) or key}:\n{tree}\n"
        f"  Next: bench data check {checked_by or key} --root DIR (or once and for all: bench data add {key} DIR, or set\n"
        "  BENCH_DATA to the folder that holds your datasets)\n"
        "  No data yet? Add --phantom to run on made-up volumes in the same layout.",
    )


def from_home(told: Path) -> Path:
    """The path with a leading `~` or `~name` resolved; as it is where nobody is called so, for then it is no folder."""
    try:
        return told.expanduser()
    except RuntimeError:
        return told


def _places(root: Path | None, environ: Mapping[str, str]) -> list[Path]:
    told = [root] if root is not None else [Path(environ[name]) for name in PLACES if environ.get(name)]
    return [found for place in told if (found := from_home(place)).is_dir()]


def _looked(root: Path | None, environ: Mapping[str, str]) -> str:
    if root is not None:
        return f"in {root}" if from_home(root).is_dir() else f"in {root}: there is no such folder"
    told = [f"${name} ({environ[name]})" for name in PLACES if environ.get(name)]
    return f"below {' or '.join(told)}" if told else f"anywhere: {' and '.join('$' + n for n in PLACES)} are not set"


def _named(place: Path, names: tuple[str, ...]) -> list[Path]:
    """Folders below `place` (or itself) that bear one of the names, nearest first, at one level in the order of names."""
    order = {name.casefold(): position for position, name in reversed(list(enumerate(names)))}
    hits = [
        (len(folder.relative_to(place).parts), order[folder.name.casefold()], folder)
        for folder in _walk(place, EXTRA_LEVELS)
        if folder.name.casefold() in order
    ]
    return [folder for _, _, folder in sorted(hits)]


def _walk(root: Path, levels: int) -> Iterator[Path]:
    """`root` and the folders below it, level by level, by name."""
    level = [root]
    for depth in range(levels + 1):
        yield from level
        level = [child for folder in level for child in _below(folder, root)] if depth < levels else []


_listed: ContextVar[dict[Path, list[Path]] | None] = ContextVar("folders listed so far", default=None)


def _below(folder: Path, root: Path) -> list[Path]:
    listed = _listed.get()
    if listed is None:
        return _folders(folder)
    if folder not in listed:
        listed[folder] = _folders(folder)
    return listed[folder] if folder == root or len(listed[folder]) <= CROWDED else []


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.is_dir())
    except OSError:
        return []
