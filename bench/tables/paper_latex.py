"""A paper's table for LaTeX with booktabs. A table too wide to be read comes in parts, each a float of its own."""

from __future__ import annotations

from collections.abc import Sequence

from bench.tables.paper_grid import Grid, Piece, blocks, grid, spans, told
from bench.tables.paper_model import Head, Letters, PaperTableModel
from bench.tables.words import tex_word

MANY_ROWS = 36  # a taller table needs smaller letters to stay on its page with caption and notes
LETTERS_A_LINE = 170  # what a page's width holds when the table is set at about six tenths of its size


def to_latex(model: PaperTableModel) -> str:
    """The table, to be put into a document that loads booktabs and graphicx. A part shrinks to the line if it must."""
    drawn = grid(model)
    parts = blocks(model, drawn, LETTERS_A_LINE)
    lines = [r"% needs \usepackage{booktabs,graphicx}"]
    for at, block in enumerate(parts):
        of = f" (part {at + 1} of {len(parts)})" if len(parts) > 1 else ""
        caption = f"{model.title}{of}. {model.caption if at == 0 else 'Read as in part 1.'}"
        lines += _part(drawn, block, model.heads[block], caption, _below(model) if at == len(parts) - 1 else [])
    return "\n".join(lines) + "\n"


def _part(drawn: Grid, block: slice, columns: Sequence[Head], caption: str, below: list[str]) -> list[str]:
    over, rules, at = [], [], len(drawn.stub) + 1
    for span in spans(columns):
        over.append(rf"\multicolumn{{{span.columns}}}{{c}}{{{tex_word(span.head)}{_raised(span.letters)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + span.columns - 1}}}" if span.head else "")
        at += span.columns
    heads = [*map(tex_word, drawn.stub), *(f"{tex_word(head.head)}{_raised(head.letters)}" for head in columns)]
    body: list[str] = []
    for group in drawn.groups:
        body.append(r"\midrule")
        if group.head:
            body.append(rf"\multicolumn{{{len(heads)}}}{{l}}{{\textit{{{tex_word(group.head)}}}}} \\")
        for row in group.rows:
            labels = [*map(tex_word, row.stub), *([row.what] if drawn.telling else [])]
            labels[0] = (
                f"{labels[0] or '{}'}{_raised(row.letters)}"  # what opens a row must not belong to the one before
            )
            body.append(rf"{' & '.join([*labels, *map(_entry, row.pieces[block])])} \\")
    size = "scriptsize" if len(body) > MANY_ROWS else "footnotesize"
    return [
        r"\begin{table}",
        rf"\centering\{size}",
        rf"\caption{{{tex_word(caption)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(drawn.stub)}{'r' * len(columns)}}}",
        r"\toprule",
        rf"{' & '.join([''] * len(drawn.stub) + over)} \\".lstrip(),
        "".join(rules),
        rf"{' & '.join(heads)} \\",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        *([r"\par\medskip\parbox{\linewidth}{\scriptsize\raggedright", *below, "}"] if below else []),
        r"\end{table}",
    ]


def _below(model: PaperTableModel) -> list[str]:
    lines = [f"{_raised((letter,))} {tex_word(text)}." for letter, text in model.footnotes]
    lines += [tex_word(text) for text in told(model)]
    lines += ["What is blank would be filled by:"] if model.commands else []
    lines += [rf"\texttt{{{tex_word(command)}}}" for command in model.commands]
    return [rf"{line}\par" for line in lines]


def _entry(piece: Piece) -> str:
    command = {1: r"\textbf", 2: r"\underline"}.get(piece.rank, "")
    main = f"{command}{{{tex_word(piece.main)}}}" if command else _signed(piece.main)
    verdict = f" {piece.verdict}" if piece.verdict else ""
    return f"{main}{tex_word(piece.tail)}{verdict}{_raised(piece.letters)}"


def _signed(number: str) -> str:
    """A difference with its sign as LaTeX sets signs; other words as they are."""
    return f"${number}$" if number[:1] in ("+", "-") and number[1:].replace(".", "").isdigit() else tex_word(number)


def _raised(letters: Letters) -> str:
    return rf"\textsuperscript{{{','.join(letters)}}}" if letters else ""
