"""Write a line of `datasets.toml`, once the folder reads as the dataset that the line will say it is."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import registry
from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.protocols import Layout
from bench.data.atomic import write_text
from bench.data.find import from_home
from bench.data.lock import only_one
from bench.datasets_file import FILE, demand_known, told_folders, within

_VALUE = r"""[ \t]*(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""  # of a line: a quoted word, without the comment behind it


@dataclass(frozen=True)
class Added:
    """A line of the file: the dataset, the folder as written, what was found below it and by whom it is read.

    `phantom` True: what lies there was made up.
    """

    key: str
    folder: Path
    cases: int
    readers: tuple[str, ...]
    phantom: bool


def add_folder(key: str, folder: Path, *, replace: bool = False) -> Added:
    """Add or, with `replace`, change the line of a dataset; comments, one behind it too, and other lines stay as they are.

    Raises SpecError for an unknown key, an unsound file or a line that says otherwise, DataMissing where the folder does not
    read as the dataset.
    """
    path, place = Path(FILE).resolve(), from_home(folder).resolve()
    told_folders()  # an unsound file is refused before the folder is looked through
    demand_known(key, case=key)
    if not place.is_dir():
        what = f"'{place}' is a file, no folder." if place.is_file() else f"There is no folder '{place}'."
        raise DataMissing(what, case=key, remedy="Name the folder that holds the dataset.")
    readers = tuple(_readers(key))
    found = {name: at for name, files, folders in readers if (at := within(place, files, key, folders)) is not None}
    if not found:
        raise DataMissing(
            f"'{place}' does not read as {key}.",
            case=key,
            remedy="Expected there, or at most two folders below:\n"
            + "\nor\n".join(dict.fromkeys(_indented(files.tree()) for _, files, _ in readers)),
        )
    records = [files.records(found[name]) for name, files, _ in readers if name in found]
    with only_one(path.with_name(".bench")):  # of two at once each leaves the other's line there
        before = told_folders()
        if key in before and before[key].resolve() != place and not replace:
            raise SpecError(
                f"The line `{key}` of {path} says '{before[key]}', asked is '{place}'.",
                case=key,
                remedy="Add --replace to change it.",
            )
        if key not in before or before[key].resolve() != place:
            write_text(path, _with_line(path, key, place))
    most = max(records, key=len)
    return Added(key, place, len(most), tuple(found), phantom=any(record.source == "phantom" for record in most))


def _readers(key: str) -> Iterator[tuple[str, Layout, tuple[str, ...]]]:
    """Who would read the dataset: the task of that key, and each corpus that has a set so called."""
    if key in registry.names(registry.TASKS):
        card = registry.task(key)
        yield key, card.files, card.folders
    for corpus in registry.names(registry.CORPORA):
        for member in registry.corpus(corpus).members:
            if member.key == key:
                yield corpus, member.files, member.folders


def _with_line(path: Path, key: str, folder: Path) -> str:
    """The file's text with the line in place of the one there, or at its end. Raises SpecError where that is not plain."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    name = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
    line = f"{name} = {json.dumps(str(folder), ensure_ascii=False)}"
    own = re.compile(rf"""^[ \t]*["']?{re.escape(key)}["']?[ \t]*={_VALUE}""", re.MULTILINE)
    if own.search(before):
        text = own.sub(lambda _: line, before, count=1)
    else:
        text = before + ("" if not before or before.endswith("\n") else "\n") + line + "\n"
    try:
        told = tomllib.loads(text).get(key)
    except tomllib.TOMLDecodeError:
        told = None
    if told != str(folder):
        raise SpecError(
            f"The line `{key}` is written in a way that is not changed from here.",
            case=str(path),
            remedy=f"Write it by hand: {line}",
        )
    return text


def _indented(tree: str) -> str:
    return "\n".join(f"    {line}" for line in tree.strip("\n").splitlines())
