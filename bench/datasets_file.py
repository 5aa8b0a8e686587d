"""`datasets.toml` in the working directory: which folder holds which dataset, one line each, as in `btcv = "/where/ever/RawData"`.

A key is a task's or that of a set in a corpus; a task and the sets of all corpora that bear its key share the line. The file
is asked after `--root` and before $BENCH_DATA, and only when a dataset is sought: a run on phantoms never opens it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import registry
from bench.contracts.cards import TaskCard
from bench.contracts.errors import DataMissing, SpecError, nearest
from bench.contracts.protocols import Layout
from bench.data.find import find_dataset, from_home, locate, missing_dataset

FILE = "datasets.toml"
SETS_NAMED = 3  # sets of a corpus that an error names
_AS_IT_SHOULD = 'One line per dataset: btcv = "/where/ever/RawData".'


def find_task_folder(
    key: str, card: TaskCard, root: Path | None, environ: Mapping[str, str], *, checked_by: str = ""
) -> Path:
    """The folder of a task's dataset: below `--root` if given, else what datasets.toml says, else below $BENCH_DATA, $nnUNet_raw.

    Raises DataMissing with size, licence, page, tree and next command (`checked_by` as for `find_dataset`) where it is not there;
    SpecError for an unsound file.
    """
    told = told_folder(key) if root is None else None
    if told is None:
        return find_dataset(key, card, root, environ, checked_by=checked_by)
    found = within(told, card.files, key, card.folders)
    if found is None:
        raise missing_dataset(key, card, told, environ, said_by=FILE, checked_by=checked_by)
    return found


def find_folder(
    files: Layout, key: str, folders: tuple[str, ...], root: Path | None, environ: Mapping[str, str]
) -> Path | None:
    """The folder in which `files` recognises its dataset, or None; looked for as `find_task_folder` says, and raises as it does.

    Like a root, a folder of datasets.toml is taken at its word: nowhere else is looked, and it may bear any name.
    """
    told = told_folder(key) if root is None else None
    return locate(files, key, folders, root, environ) if told is None else within(told, files, key, folders)


def told_folder(key: str) -> Path | None:
    """The folder that datasets.toml names for a dataset; None where there is no such line. Raises DataMissing where it is none."""
    told = told_folders().get(key)
    if told is not None and not told.is_dir():
        raise DataMissing(
            f"{FILE} says that it lies in '{told}', which is no folder.",
            case=key,
            remedy=f"Mend the line `{key}` in {Path(FILE).resolve()}, or take it out.",
        )
    return told


def told_folders() -> dict[str, Path]:
    """Every line of datasets.toml, `~` and relative paths resolved; empty where there is no such file.

    Raises SpecError where it is no TOML, names an unknown dataset or has a value that is no path.
    """
    path = Path(FILE).resolve()
    if not path.is_file():
        return {}
    told = _parsed(path)
    for key, value in told.items():
        demand_known(key, str(path))
        if not isinstance(value, str) or not value.strip():
            raise SpecError(
                f"The line `{key}` must be a folder, found {value!r}.", case=str(path), remedy=_AS_IT_SHOULD
            )
    return {key: path.parent / from_home(Path(value)) for key, value in told.items()}


def within(told: Path, files: Layout, key: str, folders: tuple[str, ...]) -> Path | None:
    """Where a layout finds its dataset in a folder that a person named for it, whatever the folder is called; None where not."""
    return locate(files, key, folders, told, {}) or _called(files, told.name).locate(told)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"This is no TOML: {error}.", case=str(path), remedy=_AS_IT_SHOULD) from error
    except OSError as error:
        raise SpecError(f"It cannot be read: {error.strerror}.", case=str(path), remedy="Mend its rights.") from error


def demand_known(key: str, case: str) -> None:
    """Raise SpecError, about `case`, where no task and no set of a corpus bears the key of a line."""
    if key in registry.names(registry.TASKS):
        return
    possible = {*registry.names(registry.TASKS), *_members()}
    if key in possible:
        return
    if key in registry.names(registry.CORPORA):
        sets = ", ".join(member.key for member in registry.corpus(key).members[:SETS_NAMED])
        raise SpecError(
            f"'{key}' is a corpus, and a line names one dataset.",
            case=case,
            remedy=f"Name each of its sets, such as {sets}. All of them: bench show {key}",
        )
    raise SpecError(
        f"No dataset is called '{key}'. {nearest(key, sorted(possible))}".strip(),
        case=case,
        remedy="A key is a task (bench list tasks) or a set of a corpus (bench show mim-10k and the like).",
    )


def _members() -> set[str]:
    return {member.key for name in registry.names(registry.CORPORA) for member in registry.corpus(name).members}


def _called(files: Layout, name: str) -> Layout:
    """The layout for which a folder of this name is named rightly, where it asks for names at all."""
    told: Any = files
    if hasattr(told, "forms"):
        return dataclasses.replace(told, forms=tuple(_called(form, name) for form in told.forms))
    return dataclasses.replace(told, names=(name,)) if getattr(told, "names", ()) else files
