"""What a page shows of single cells when asked: record, per-case scores, pictures; some cells to a file, read when one is opened.

A script that calls `shelf({...})` and not plain JSON: a page opened from a file may load scripts that lie beside it, nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.case_columns import CaseColumns
from bench.contracts.record import Cell
from bench.keys import short
from bench.tables.words import printable

CELLS_A_SHELF = 256
PICTURES = ("best", "median", "worst")
LARGEST_PICTURE_BYTES = 8_000_000
_DIGITS = 6
_KEY = re.compile(r"[0-9a-f]{16,64}")
_PNG = b"\x89PNG\r\n\x1a\n"
_UNSAFE = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def script_text(json_text: str) -> str:
    """JSON as it may stand inside a script of a page: no letter ends the script, opens a comment or breaks a line."""
    return json_text.translate(_UNSAFE)


def as_script(value: Any) -> str:
    """A value as JSON that may stand inside a script; NaN must be None before. Letters that steer a reader are replaced."""
    return script_text(printable(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))))


def shelves(cells: Sequence[Cell], columns: CaseColumns, pictures: dict[str, list[str]]) -> Iterator[str]:
    """The shelves of the cells in their order, each as the text of one JSON object: name of a cell -> what is shown of it."""
    for start in range(0, len(cells), CELLS_A_SHELF):
        parts = []
        for cell in cells[start : start + CELLS_A_SHELF]:
            record = script_text(printable(cell.model_dump_json(by_alias=True)))
            beside = {"pictures": pictures.get(cell.name, []), "unreadable": columns.unreadable.get(cell.name, "")}
            told = f'"record":{record},"cases":{_cases(cell.name, columns)},"beside":{as_script(beside)}'
            parts.append(f"{as_script(cell.name)}:{{{told}}}")
        yield f"{{{','.join(parts)}}}"


def _cases(name: str, columns: CaseColumns) -> str:
    """The rows of a cell as JSON: words once, then the place of each row's words, then the values; undefined is null."""
    rows = columns.rows.get(name)
    if rows is None:
        return "null"
    told = {}
    for word, known, codes in (
        ("case", columns.cases, columns.case),
        ("class", columns.classes, columns.class_),
        ("metric", columns.metrics, columns.metric),
    ):
        used, places = np.unique(codes[rows], return_inverse=True)
        told[word] = [[known[at] for at in used], places.tolist()]
    values = np.round(columns.values[rows], _DIGITS)
    words = as_script(told)
    numbers = json.dumps(values.tolist(), separators=(",", ":")).replace("NaN", "null")
    numbers = re.sub("-?Infinity", lambda found: f'"{found[0]}"', numbers)  # a word: undefined it is not
    return f'{words[:-1]},"value":{numbers}}}'


def find_pictures(results: Path, cell: Cell) -> dict[str, bytes]:
    """The overlays that a run left beside its predictions: `best`, `median`, `worst` -> PNG. None where they are gone."""
    key = cell.keys.get("predict", "")
    if not _KEY.fullmatch(key):  # a record of a stranger names no folder of ours
        return {}
    folder = results / "runs" / "predict" / short(key)
    found = {}
    for word in PICTURES:
        path = folder / f"{word}.png"
        if path.is_file() and path.stat().st_size <= LARGEST_PICTURE_BYTES:
            data = path.read_bytes()
            if data.startswith(_PNG):
                found[word] = data
    return found
