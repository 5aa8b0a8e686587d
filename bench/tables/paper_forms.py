"""A paper's table -> text for a terminal, Markdown, LaTeX (booktabs), HTML or CSV. The same model gives the same bytes.

CSV is long: a line per row and column. Every word of a record is escaped for its form, as in `bench.tables.forms`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.tables.forms import html_template, in_form
from bench.tables.paper_grid import Piece, blocks, caret, grid, told
from bench.tables.paper_latex import to_latex
from bench.tables.paper_model import Letters, Line, PaperTableModel, Place
from bench.tables.words import csv_word, md_word, number_word


def render_paper(model: PaperTableModel, form: str, *, width: int = 120) -> str:
    """The table in a form of `FORMS`. `width` is the terminal's, in letters. Raises SpecError on an unknown form."""
    makers: dict[str, Callable[[], str]] = {
        "rich": lambda: _to_text(model, width),
        "md": lambda: _to_md(model),
        "latex": lambda: to_latex(model),
        "html": lambda: html_template("paper_table.html").render(model=model, grid=grid(model), sup=_sup),
        "csv": lambda: _to_csv(model),
    }
    return in_form(form, makers)


def _sup(letters: Letters) -> Any:
    from markupsafe import Markup

    return Markup("<sup>{}</sup>").format(",".join(letters)) if letters else ""


# --- terminal ---


def _to_text(model: PaperTableModel, width: int) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = grid(model)
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(Text(model.title), Text(model.caption), sep="\n")
    for block in blocks(model, drawn, width):
        table = Table()
        for word in drawn.stub:
            table.add_column(Text(word))
        for head in model.heads[block]:
            over = f"{head.group}{caret(head.group_letters)}\n{head.head}{caret(head.letters)}"
            table.add_column(Text(over), justify="right", no_wrap=True)
        for group in drawn.groups:
            if group.head:
                table.add_section()
                table.add_row(Text(group.head), *[""] * (len(table.columns) - 1))
            for row in group.rows:
                labels = [*row.stub[:1], *row.stub[1:], *([row.what] if drawn.telling else [])]
                labels[0] += caret(row.letters)
                table.add_row(*map(Text, labels), *(Text(_marked(piece)) for piece in row.pieces[block]))
        console.print(table)
    console.print(*(Text(f"^{letter} {text}") for letter, text in model.footnotes), sep="\n")
    console.print(*(Text(f"- {text}") for text in told(model)), sep="\n")
    assert isinstance(console.file, io.StringIO)
    text = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"
    return text + "".join(f"{line}\n" for line in _fill(model))  # a command is copied, so it is never wrapped


def _fill(model: PaperTableModel) -> list[str]:
    return ["What is blank would be filled by:", *(f"  {line}" for line in model.commands)] if model.commands else []


def _marked(piece: Piece) -> str:
    rim = {1: "**", 2: "_"}.get(piece.rank, "")
    verdict = f" {piece.verdict}" if piece.verdict else ""
    return f"{rim}{piece.main}{rim}{piece.tail}{verdict}{caret(piece.letters)}"


# --- Markdown ---


def _to_md(model: PaperTableModel) -> str:
    drawn = grid(model)

    def line(words: Iterable[str]) -> str:
        return f"| {' | '.join(words)} |"

    def sup(letters: Letters) -> str:
        return f"<sup>{','.join(letters)}</sup>" if letters else ""

    def entry(piece: Piece) -> str:
        before, after = {1: ("**", "**"), 2: ("<u>", "</u>")}.get(piece.rank, ("", ""))
        verdict = f" {piece.verdict}" if piece.verdict else ""
        return f"{before}{md_word(piece.main)}{after}{md_word(piece.tail)}{verdict}{sup(piece.letters)}"

    heads = [
        " ".join(
            f"{md_word(word)}{sup(letters)}"
            for word, letters in ((head.group, head.group_letters), (head.head, head.letters))
            if word and (word == head.head or len(drawn.spans) > 1 or at == 0)
        )
        for at, head in enumerate(model.heads)
    ]
    lines = [f"# {md_word(model.title)}", "", md_word(model.caption), ""]
    lines += [line([*map(md_word, drawn.stub), *heads]), line(["---"] * len(drawn.stub) + ["---:"] * len(heads))]
    for group in drawn.groups:
        lines += [line([f"*{md_word(group.head)}*", *[""] * (drawn.width - 1)])] if group.head else []
        for row in group.rows:
            labels = [*map(md_word, row.stub), *([row.what] if drawn.telling else [])]
            labels[0] += sup(row.letters)
            lines.append(line([*labels, *map(entry, row.pieces)]))
    lines += (
        ["", *(f"- {sup((letter,))} {md_word(text)}" for letter, text in model.footnotes)] if model.footnotes else []
    )
    lines += ["", *(f"- {md_word(text)}" for text in told(model))]
    if model.commands:
        lines += ["", "What is blank would be filled by:", "", *(f"    {command}" for command in model.commands)]
    return "\n".join(lines) + "\n"


# --- CSV ---


def _to_csv(model: PaperTableModel) -> str:
    """A line per row and column; an empty field is something that is not there. Numbers are in the column's unit."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    stub = [f"stub: {head}" for head in model.stub]
    head = ["table", "group", *stub, "column_group", "column", "unit"]
    if model.view != "measured":
        head += ["published", "published_sd", "published_rank", "published_notes"]
    if model.view != "published":
        head += ["measured", "measured_sd", "runs", "measured_rank", "measured_notes"]
    if model.view == "both":
        head += ["difference", "tolerance", "basis", "verdict"]
    writer.writerow([*head, *(["command"] if model.view != "published" else [])])
    texts = dict(model.footnotes)
    for line in model.lines:
        for place, column in zip(line.places, model.heads, strict=True):
            words = (model.name, line.group, *line.stub, column.group, column.head, column.unit)
            writer.writerow([*map(csv_word, words), *_csv_values(model, line, place, texts)])
    return file.getvalue()


def _csv_values(model: PaperTableModel, line: Line, place: Place, texts: dict[str, str]) -> Iterable[object]:
    def notes(letters: Sequence[str]) -> str:
        return csv_word("; ".join(texts[letter] for letter in letters))

    if model.view != "measured":
        cell = place.printed
        values = (cell.value, cell.std) if cell else ("", "")
        yield from (*values, place.printed_rank or "", notes((*line.letters, *place.printed_letters)))
    if model.view != "published":
        ours = place.measured
        numbers = (number_word(ours.mean), number_word(ours.sd), ours.runs) if ours else ("", "", "")
        yield from (*numbers, place.measured_rank or "", notes(place.measured_letters))
    if model.view == "both":
        made = place.comparison
        told_by = (
            (number_word(made.difference), number_word(made.half_width), made.basis, made.verdict) if made else [""] * 4
        )
        yield from told_by
    if model.view != "published":
        yield csv_word(place.command)
