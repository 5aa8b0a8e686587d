"""A results folder -> one static page: every result on its board, what the papers print beside it, each cell with its record.

The page needs no server and no network, and works from a file. Words of records reach it as JSON and are shown as text: nothing
in a record can become markup or a script, and the page's own policy lets no other script run. Small folders make one file;
for larger ones the records and per-case scores lie in `data/` and are read when a cell is opened. The same results give the
same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.case_columns import read_columns
from bench.contracts.errors import SpecError
from bench.contracts.record import Cell
from bench.data.atomic import write_bytes, write_text
from bench.metrics import METRICS
from bench.page_shelves import PICTURES, as_script, find_pictures, shelves
from bench.published.printed import Printed
from bench.store import Store
from bench.tables.entries import MARKS, Entry, is_distance, is_error, unit_of
from bench.tables.forms import html_template, template_text
from bench.tables.leaderboard import FEW_NOTE, TIES, Board, Result, boards, is_known
from bench.tables.leaderboard_printed import PrintedResult, in_table_unit, printed_results
from bench.tables.words import LONGEST_SETTING, clean

INLINE_BYTES = 3_000_000
_CHIPS = {
    "single": "one run",
    "partial": "partial",
    "mixed": "mixed",
    "apart": "other data",
    "undefined": "some undefined",
}


@dataclass(frozen=True)
class Page:
    """What was written. `files` counts all files, `unreadable` cells and per-case rows that the page names as broken."""

    path: Path
    results: int
    cells: int
    case_rows: int
    printed: int
    files: int
    unreadable: int


def write_page(results: Path, out: Path) -> Page:
    """Write `out/index.html`, and beside it what does not fit in. Raises StoreError when the disk refuses.

    Raises SpecError when there is nothing to show. What an earlier page left in `out/data` and `out/pictures` is removed.
    """
    store = Store(results)
    cells, broken = store.cells_and_broken()
    if not cells and not broken:
        raise SpecError(
            f"There are no results in '{results}'.", case=str(results), remedy="Make one: bench run --method M --task T"
        )
    columns = read_columns(store, [cell.name for cell in cells])
    found = boards(cells, columns)
    ordered = [cell for board in found for result in board.results for cell in result.cells]
    printed = printed_results()
    pictures = _write_pictures(results, out, ordered)
    told = list(shelves(ordered, columns, pictures))
    inline = sum(map(len, told)) <= INLINE_BYTES
    summary = {
        **_summary(found, ordered, printed),
        "broken": [[clean(b.path.name), clean(b.reason, 200)] for b in broken],
        "shelves": len(told),
        "inline": inline,
    }
    written = {out / "index.html": _html(summary, told if inline else [])}
    if not inline:
        written |= {out / "data" / f"cells-{at:04d}.js": f"shelf({at},{text});\n" for at, text in enumerate(told)}
    for path, text in written.items():
        write_text(path, text)
    _sweep(out, set(written), pictures)
    return Page(
        path=out / "index.html",
        results=sum(len(board.results) for board in found),
        cells=len(cells),
        case_rows=len(columns.values),
        printed=len(printed),
        files=len(written) + sum(map(len, pictures.values())),
        unreadable=len(broken) + len(columns.unreadable),
    )


def _html(summary: Mapping[str, Any], told: Sequence[str]) -> str:
    """The page. Its policy names its own style and script by their hashes, so that no other can run."""
    style, script = template_text("page.css"), template_text("page.js")
    return html_template("page.html").render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        summary=as_script(summary),
        shelves=told,
        ties=TIES,
        few=FEW_NOTE,
        marks=[(_CHIPS[mark], text) for mark, (_, text) in MARKS.items()],
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _summary(found: Sequence[Board], ordered: Sequence[Cell], printed: Sequence[PrintedResult]) -> dict[str, Any]:
    """What the page holds from the start: lists, not objects, since a page may have ten thousand of each."""
    place = {cell.name: at for at, cell in enumerate(ordered)}
    exposures = _Words()
    rows = [_row(at, r, board.words.unit, place, exposures) for at, board in enumerate(found) for r in board.results]
    lines = [_line(result, exposures) for result in printed]
    return {
        "metrics": _metrics(found, printed),
        "boards": [
            [w.source, clean(w.task), clean(w.protocol), clean(w.preset), w.ratio, clean(w.unit), clean(b.metric),
             b.tested, b.untested]
            for b in found for w in (b.words,)
        ],
        "measured": rows,
        "printed": lines,
        "exposures": exposures.told,
        "names": [cell.name for cell in ordered],
    }  # fmt: skip


class _Words:
    """Sentences that many rows share, each told once; called with a sentence, it says its place."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._places: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.told)
            self.told.append(clean(text, 400))
        return self._places[text]


def _row(board: int, result: Result, unit: str, place: Mapping[str, int], exposures: _Words) -> list[Any]:
    scores = {clean(metric): [*_entry(made), _other_unit(metric, unit)] for metric, made in result.entries.items()}
    return [
        board, clean(result.method), clean(result.family), clean(result.corpus), clean(result.setting, LONGEST_SETTING), result.n,
        int(result.few), result.letters, exposures(result.exposure), result.exposed, scores,
        [place[cell.name] for cell in result.cells],
    ]  # fmt: skip


def _entry(made: Entry) -> list[Any]:
    return [_number(made.mean), _number(made.sd), made.runs, made.cases, list(made.marks), made.rank]


def _other_unit(metric: str, of_run: str) -> str:
    """The unit of a distance that is not in mm, as the head of the page's column says; else ''."""
    unit = unit_of(metric, of_run)
    return "" if unit in ("%", "mm") else clean(unit)


def _line(result: PrintedResult, exposures: _Words) -> list[Any]:
    cell = next(iter(result.scores.values()), None) or next(iter(next(iter(result.regions.values())).values()))
    return [
        result.task, result.protocol, result.ratio, result.method, result.key, result.family, result.corpus,
        result.setting, result.table, result.title, result.command, exposures(result.exposure),
        {metric: _digits(metric, held) for metric, held in result.scores.items()},
        {region: {m: _digits(m, h) for m, h in held.items()} for region, held in result.regions.items()},
        list(cell.tags),
    ]  # fmt: skip


def _digits(metric: str, cell: Printed) -> list[Any]:
    """A printed number: value and spread in the unit of our tables, the number to sort by, and both as printed with their unit."""
    shown, spread = in_table_unit(metric, cell)
    return [shown, spread, float(shown), cell.value, cell.std, cell.unit]


def _metrics(found: Sequence[Board], printed: Sequence[PrintedResult]) -> list[list[Any]]:
    """Every metric as [id, title, unit, higher is better, results that have it], those that head most boards first."""
    heads = Counter(board.metric for board in found for _ in board.results)
    held = Counter(metric for board in found for result in board.results for metric in result.entries)
    told = Counter(metric for result in printed for metric in result.scores)
    every = sorted({*held, *told}, key=lambda metric: (-heads[metric], -held[metric], -told[metric], metric))
    return [[clean(m), _title(m), "mm" if is_distance(m) else "%", not is_error(m), held[m] + told[m]] for m in every]


def _title(metric: str) -> str:
    if not is_known(metric):
        return clean(metric)
    name, _, tail = metric.partition("@")
    return METRICS[metric].title if metric in METRICS else f"{METRICS[name].title} @ {tail}"


def _write_pictures(results: Path, out: Path, cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Copy the overlays beside the page; cell -> which of them there are."""
    if not (results / "runs" / "predict").is_dir():
        return {}
    copied: dict[str, list[str]] = {}
    for cell in cells:
        for word, data in find_pictures(results, cell).items():
            write_bytes(out / "pictures" / cell.name / f"{word}.png", data)
            copied.setdefault(cell.name, []).append(word)
    return copied


def _sweep(out: Path, written: set[Path], pictures: Mapping[str, Sequence[str]]) -> None:
    """Remove what an earlier page left and this one does not name; nothing but files of a page's own names."""
    for path in (out / "data").glob("cells-[0-9]*.js"):
        if path not in written:
            path.unlink()
    for path in (out / "pictures").glob("*/*.png"):
        if path.stem in PICTURES and path.stem not in pictures.get(path.parent.name, ()):
            path.unlink()


def _number(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else round(value, 4)
