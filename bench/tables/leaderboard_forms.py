"""The leaderboard as text for a terminal, Markdown, LaTeX (booktabs), HTML or CSV; the same results give the same bytes.

Measured lines come first on each board. Printed ones, where asked for, follow under a head of their own and are never ranked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from bench.tables.forms import html_template, in_form
from bench.tables.leaderboard_sheets import HEADS, Line, Sheet, notes
from bench.tables.words import csv_word, md_word, tex_word

_PRINTED = "as printed, never ranked with ours"


def render_sheets(told: Sequence[Sheet], form: str, *, width: int = 120) -> str:
    """The sheets in a form of `FORMS`. Raises SpecError on an unknown form."""
    makers: dict[str, Callable[[], str]] = {
        "rich": lambda: _to_text(told, width),
        "md": lambda: _to_md(told),
        "latex": lambda: _to_latex(told),
        "html": lambda: html_template("leaderboard.html").render(sheets=told, heads=HEADS, notes=notes(told)),
        "csv": lambda: _to_csv(told),
    }
    return in_form(form, makers)


def _to_text(told: Sequence[Sheet], width: int) -> str:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    shown: list[Text | Table] = []
    for sheet in told:
        shown += [Text(), Text(sheet.title, style="bold")]
        table = Table(*HEADS, show_edge=False, pad_edge=False)
        for lines, head in ((sheet.measured, ""), (sheet.printed, _PRINTED)):
            if lines and head and sheet.measured:
                table.add_section()
                table.add_row("", Text(head, style="italic"))
            for line in lines:
                rim = {1: "**", 2: "_"}.get(line.rank, "")
                table.add_row(*(Text(f"{rim}{w}{rim}" if at == 4 else w) for at, w in enumerate(line.words)))
        shown += [table, *([Text(sheet.note)] if sheet.note else [])]
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(Group(*shown, Text(), *map(Text, notes(told))))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()).strip("\n") + "\n"


def _to_md(told: Sequence[Sheet]) -> str:
    def drawn(line: Line) -> list[str]:
        before, after = {1: ("**", "**"), 2: ("<u>", "</u>")}.get(line.rank, ("", ""))
        return [f"{before}{md_word(w)}{after}" if at == 4 else md_word(w) for at, w in enumerate(line.words)]

    def row(words: Iterable[str]) -> str:
        return f"| {' | '.join(words)} |"

    lines = ["# Leaderboard"]
    for sheet in told:
        lines += ["", f"## {md_word(sheet.title)}", "", row(HEADS), row(["---"] * len(HEADS))]
        lines += [row(drawn(line)) for line in sheet.measured]
        if sheet.printed and sheet.measured:
            lines += [row(["", f"*{_PRINTED}*", *[""] * (len(HEADS) - 2)])]
        lines += [row(drawn(line)) for line in sheet.printed]
        lines += ["", md_word(sheet.note)] if sheet.note else []
    return "\n".join([*lines, "", *(f"- {md_word(note)}" for note in notes(told))]).rstrip("\n") + "\n"


def _to_latex(told: Sequence[Sheet]) -> str:
    lines = [r"% needs \usepackage{booktabs}"]
    for sheet in told:
        caption = " ".join([f"{sheet.title}.", *([sheet.note] if sheet.note else []), *notes([sheet])])
        lines += [r"\begin{table}", r"\centering", rf"\caption{{{tex_word(caption)}}}"]
        lines += [r"\begin{tabular}{rlllrrrll}", r"\toprule", rf"{' & '.join(HEADS)} \\".lstrip(), r"\midrule"]
        for at, part in enumerate((sheet.measured, sheet.printed)):
            lines += [r"\midrule"] if at and part and sheet.measured else []
            for line in part:
                command = {1: r"\textbf", 2: r"\underline"}.get(line.rank, "")
                words = [tex_word(word) for word in line.words]
                words[4] = f"{command}{{{words[4]}}}" if command else words[4]
                lines.append(rf"{' & '.join(words)} \\".lstrip())
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _to_csv(told: Sequence[Sheet]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["source", "task", "protocol", "preset", "ratio", "average", "metric", "unit", "kind", "place", *HEADS[1:]]
    )
    for sheet in told:
        for kind, lines in (("measured", sheet.measured), ("printed", sheet.printed)):
            for line in lines:
                front = [*sheet.key, sheet.metric, sheet.unit, kind]
                writer.writerow([csv_word(word) for word in (*front, *line.words)])
    return file.getvalue()
