"""A paper's table as it is drawn: lines become rows of words, ranks and letters of footnotes, before any form sets them.

Where the view is `both`, a printed row becomes up to three: published, measured, difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.tables.paper_model import Head, Letters, Line, PaperTableModel, Place

WHAT = ("published", "measured", "difference")


@dataclass(frozen=True)
class Piece:
    """An entry in words: `86.32`, ` ± 0.45 (3)`, `within`, and the letters of its footnotes."""

    main: str = ""
    tail: str = ""
    rank: int = 0
    letters: Letters = ()
    verdict: str = ""

    @property
    def plain(self) -> str:
        """Without any marking: `**86.32** ± 0.45 (3) within^a` has 29 letters."""
        verdict = f" {self.verdict}" if self.verdict else ""
        return f"{'*' * 4 if self.rank else ''}{self.main}{self.tail}{verdict}{caret(self.letters)}"


@dataclass(frozen=True)
class GridRow:
    """One line of the drawn table; `what` is a word of `WHAT`."""

    stub: tuple[str, ...]
    letters: Letters
    what: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class GridGroup:
    """Rows under one heading; empty where the table has one group only."""

    head: str
    rows: tuple[GridRow, ...]


@dataclass(frozen=True)
class Span:
    """A head over several columns."""

    head: str
    letters: Letters
    columns: int


@dataclass(frozen=True)
class Grid:
    """The table as drawn. `telling` True: a column says of each row whether it is published, measured or a difference."""

    stub: tuple[str, ...]
    telling: bool
    spans: tuple[Span, ...]
    groups: tuple[GridGroup, ...]

    @property
    def width(self) -> int:
        """Columns in all."""
        return len(self.stub) + sum(span.columns for span in self.spans)


def grid(model: PaperTableModel) -> Grid:
    """The model's lines as drawn rows: of a line without any run of ours only the published row, blank rows left out."""
    one_group = len({line.group for line in model.lines}) == 1
    telling = model.view == "both" and any(line.measured for line in model.lines)
    groups = tuple(
        GridGroup("" if one_group else group, tuple(row for line in lines for row in _rows(model, line)))
        for group, lines in groupby(model.lines, key=lambda line: line.group)
    )
    return Grid((*model.stub, *([""] if telling else [])), telling, spans(model.heads), groups)


def spans(heads: Sequence[Head]) -> tuple[Span, ...]:
    """The upper heads, each over its neighbouring columns."""
    return tuple(
        Span(group, letters, len(list(within)))
        for (group, letters), within in groupby(heads, key=lambda head: (head.group, head.group_letters))
    )


def _rows(model: PaperTableModel, line: Line) -> Iterable[GridRow]:
    asked = WHAT if model.view == "both" else (model.view,)
    shown = [what for what in asked if what == model.view or what == "published" or line.measured]
    for at, what in enumerate(shown):
        stub = line.stub if at == 0 else ("",) * len(line.stub)
        pieces = tuple(_piece(place, head, what) for place, head in zip(line.places, model.heads, strict=True))
        yield GridRow(stub, line.letters if at == 0 else (), what, pieces)


def _piece(place: Place, head: Head, what: str) -> Piece:
    if what == "published" and place.printed:
        spread = f" ± {place.printed.std}" if place.printed.std else ""
        return Piece(place.printed.value, spread, place.printed_rank, place.printed_letters)
    if what == "measured" and (told := place.measured):
        if math.isnan(told.mean):
            return Piece("undefined", f" ({told.runs})", 0, place.measured_letters)
        spread = "" if math.isnan(told.sd) else f" ± {told.sd:.{head.decimals}f}"
        mean = f"{told.mean:.{head.decimals}f}"
        return Piece(mean, f"{spread} ({told.runs})", place.measured_rank, place.measured_letters)
    if what == "difference" and (made := place.comparison) and not math.isnan(made.difference):
        tolerance = "" if math.isnan(made.half_width) else f" ± {made.half_width:.{head.decimals}f}"
        return Piece(f"{made.difference:+.{head.decimals}f}", tolerance, 0, place.comparison_letters, made.verdict)
    return Piece()


def caret(letters: Letters) -> str:
    """Letters of footnotes for a form without raised ones. Example: `^a,b`."""
    return f"^{','.join(letters)}" if letters else ""


def told(model: PaperTableModel) -> list[str]:
    """What follows a table in plain words, commands apart."""
    lacking = [f"Not in this version: {'; '.join(model.lacking)}."] if model.lacking else []
    return [*model.notes, *lacking]


def blocks(model: PaperTableModel, drawn: Grid, width: int) -> list[slice]:
    """Runs of neighbouring columns that fit into `width` letters beside the labels, at least one column each."""
    rows = [row for group in drawn.groups for row in group.rows]
    stub = [max(len(word) for word in (head, *(row.stub[i] for row in rows))) + 3 for i, head in enumerate(model.stub)]
    room = width - 1 - sum(stub) - (max(map(len, WHAT)) + 3 if drawn.telling else 0) - 4
    starts, used = [0], 0
    for at, head in enumerate(model.heads):
        heads = (f"{head.group}{caret(head.group_letters)}", f"{head.head}{caret(head.letters)}")
        wide = max(len(word) for word in (*heads, *(row.pieces[at].plain for row in rows))) + 3
        if used and used + wide > room:
            starts, used = [*starts, at], 0
        used += wide
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(model.heads)], strict=True)]
