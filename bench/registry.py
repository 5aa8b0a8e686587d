"""Names -> cards. Finds methods, tasks and corpora by file name; imports one only when it is used.

Listing reads the closing `NAME = Card(...)` of each file as text, so that forty method files cost milliseconds and no
torch. Others' cards come by entry point: group `bench.methods` (a module holding `METHOD`), `bench.tasks` (`TASK`),
`bench.corpora` (`CORPUS`).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import DISTRIBUTION
from bench.card_text import card_key, literals
from bench.contracts.cards import CorpusCard, MethodCard, TaskCard
from bench.contracts.errors import BenchError, PluginBroken, SpecError, nearest


@dataclass(frozen=True)
class Shelf:
    """One sort of card: the package it lies in, the name of the card in a module, the entry point group."""

    word: str
    package: str
    attribute: str
    group: str


METHODS = Shelf("method", "methods", "METHOD", "bench.methods")
TASKS = Shelf("task", "tasks", "TASK", "bench.tasks")
CORPORA = Shelf("corpus", "tasks.corpora", "CORPUS", "bench.corpora")


@cache
def package_folder(package: str) -> Path:
    """The folder of an import package, found without importing the package itself."""
    head, *rest = package.split(".")
    spec = importlib.util.find_spec(head)
    if spec is None or not spec.submodule_search_locations:
        raise PluginBroken(
            f"The package '{head}' is not importable.", remedy="Install the project: pip install ssl3d-bench."
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    marker = folder / "__init__.py"
    if not (marker.is_file() and f'DISTRIBUTION = "{DISTRIBUTION}"' in marker.read_text(encoding="utf-8")):
        raise PluginBroken(
            f"'{folder}' is not this project's package '{head}': something else of that name comes first on the path.",
            case=head,
            remedy="Start from another folder, or rename what shadows it.",
        )
    return folder.joinpath(*rest)


@cache
def _files(shelf: Shelf) -> Mapping[str, Path]:
    """Key -> file of every card of ours: a file counts when its text closes with the card."""
    folder = package_folder(shelf.package)
    files = (path for path in sorted(folder.glob("*.py")) if path.is_file() and not path.name.startswith(("_", ".")))
    return {key: path for path in files if (key := card_key(path, shelf.attribute)) is not None}


@cache
def _foreign(shelf: Shelf) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    registered = (EntryPoint(name, module, shelf.group) for name, module in _registered.get(shelf, {}).items())
    for point in (*entry_points(group=shelf.group), *registered):
        taken = _files(shelf).get(point.name) or found.get(point.name)
        if taken is not None:
            raise PluginBroken(
                f"Two {shelf.word}s are called '{point.name}': {taken} and {point.value}.",
                case=point.name,
                remedy="Rename or uninstall one of them.",
            )
        found[point.name] = point
    return found


_registered: dict[Shelf, dict[str, str]] = {}


def register(shelf: Shelf, name: str, module: str) -> None:
    """Put the card of an importable module on a shelf for this process, as an installed package's entry point would.

    For a notebook that tries a method or a task; the same words a second time change nothing. Raises PluginBroken where
    the name belongs to another card.
    """
    if _registered.get(shelf, {}).get(name) == module:
        return
    taken = _files(shelf).get(name) or _foreign(shelf).get(name)
    if taken is not None:
        raise PluginBroken(
            f"A {shelf.word} is called '{name}' already: {getattr(taken, 'value', taken)}.",
            case=name,
            remedy="Take another name.",
        )
    _registered.setdefault(shelf, {})[name] = module
    _foreign.cache_clear()


def names(shelf: Shelf) -> tuple[str, ...]:
    """Every key of a shelf, ours first, each part in alphabetical order."""
    return (*sorted(_files(shelf)), *sorted(_foreign(shelf)))


def describe(shelf: Shelf) -> list[dict[str, Any]]:
    """What each card says of itself in literals, as objects with `name`; no card is imported."""
    ours = [{"name": key, **literals(path, shelf.attribute)} for key, path in sorted(_files(shelf).items())]
    theirs = [{"name": key, "origin": point.value} for key, point in sorted(_foreign(shelf).items())]
    return [*ours, *theirs]


def families() -> dict[str, str]:
    """Method -> family as its card says it, read as text; empty for one from elsewhere."""
    return {str(card["name"]): str(card.get("family", "")) for card in describe(METHODS)}


def variants(name: str) -> tuple[str, ...]:
    """The variants that a method of ours names in its card; read as text. Empty for a method from elsewhere."""
    path = _files(METHODS).get(name)
    return tuple(literals(path, METHODS.attribute).get("variants", ())) if path else ()


def offers(name: str) -> frozenset[str]:
    """What a method's encoder offers beside its maps, such as `text`; read as text from the card of a method of ours."""
    if name in _files(METHODS):
        return frozenset(literals(_files(METHODS)[name], METHODS.attribute).get("offers", ()))
    return frozenset(method(name).offers)


def known(shelf: Shelf, name: str) -> str:
    """The name itself when the shelf has it; SpecError with the nearest otherwise."""
    if name in _files(shelf) or name in _foreign(shelf):
        return name
    plural = shelf.package.rpartition(".")[2]
    path = package_folder(shelf.package) / f"{name}.py"
    if name.isidentifier() and path.is_file():
        raise PluginBroken(
            f"{path} holds no {shelf.word}: no line of it begins with `{shelf.attribute} = `.",
            case=name,
            remedy=f"Close it with `{shelf.attribute} = ...` as the files beside it do.",
        )
    raise SpecError(
        f"No {shelf.word} '{name}'. {nearest(name, names(shelf))}".strip(),
        case=name,
        remedy=f"All of them: bench list {plural}",
    )


def task_or_corpus(name: str, *besides: str) -> str:
    """The name itself when a task, a corpus or one of the words `besides` bears it; SpecError with the nearest otherwise."""
    possible = (*names(TASKS), *names(CORPORA), *besides)
    if name in possible:
        return name
    raise SpecError(
        f"No task or corpus '{name}'. {nearest(name, possible)}".strip(),
        case=name,
        remedy="All of them: bench list tasks, bench list corpora.",
    )


def method(name: str) -> MethodCard:
    """Import a method and return its card; PluginBroken when the file does not hold one."""
    return _card(METHODS, name, MethodCard)


def task(name: str) -> TaskCard:
    """Import a task and return its card. Task cards never import torch."""
    return _card(TASKS, name, TaskCard)


def corpus(name: str) -> CorpusCard:
    """Import a corpus and return its card."""
    return _card(CORPORA, name, CorpusCard)


def kind(name: str) -> ModuleType:
    """The machinery of a task's kind (`tasks/kinds/NAME.py`); importing it imports torch."""
    return importlib.import_module(f"{TASKS.package}.kinds.{name}")


def layout(name: str) -> ModuleType:
    """A module of on-disk layouts (`tasks/layouts/NAME.py`)."""
    return importlib.import_module(f"{TASKS.package}.layouts.{name}")


def method_file(name: str) -> Path | None:
    """The source file of a method of ours."""
    return _files(METHODS).get(name)


def splits_folder() -> Path:
    """Where the case lists lie."""
    return package_folder(TASKS.package) / "splits"


def _card(shelf: Shelf, name: str, wanted: type[Any]) -> Any:
    known(shelf, name)
    point = _foreign(shelf).get(name)
    module_name = point.value if point else f"{shelf.package}.{_files(shelf)[name].stem}"
    try:
        module = importlib.import_module(module_name)
    except BenchError:  # a card's own check of itself
        raise
    except Exception as error:  # whatever an author's file does when it is imported
        raise PluginBroken(
            f"The {shelf.word} '{name}' cannot be imported: {_said(error)}.", case=name, remedy=f"See {module_name}."
        ) from error
    card = getattr(module, shelf.attribute, None)
    if not isinstance(card, wanted):
        raise PluginBroken(
            f"{module_name} must end with {shelf.attribute} = {wanted.__name__}(...), found {type(card).__name__}.",
            case=name,
            remedy="Compare it with a file beside it.",
        )
    return card


def _said(error: Exception) -> str:
    """In one line, with the sort of an error that is none of importing and the last line of an author's file that led to it: a
    config that refuses its values raises in a file of ours or of dataclasses'."""
    import dataclasses
    import traceback

    frames, behind = traceback.extract_tb(error.__traceback__), (f"{Path(__file__).parent}/", dataclasses.__file__, "<")
    at = next((frame for frame in reversed(frames) if not frame.filename.startswith(behind)), frames[-1])
    where = "" if isinstance(error, (ImportError, SyntaxError)) else f" ({Path(at.filename).name}, line {at.lineno})"
    told = " ".join(str(error).split())
    return told if isinstance(error, ImportError) else f"{type(error).__name__}: {told}{where}"
