"""A table model -> text for a terminal, Markdown, LaTeX (booktabs), HTML or CSV. The same model gives the same bytes.

Every word of a record is escaped for its form: a method called `<script>` or `=cmd()` is shown, never obeyed.

A little longer than 250 lines because five forms must tell one model alike.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contracts.errors import SpecError, nearest
from bench.tables.entries import DECIMALS
from bench.tables.model import MARKS, Column, Entry, Row, Section, TableModel
from bench.tables.words import csv_word, md_word, number_word, tex_word

if TYPE_CHECKING:
    from jinja2 import Template
    from rich.console import Group

FORMS = ("rich", "md", "latex", "html", "csv")
TEMPLATES = Path(__file__).parents[1] / "templates"


@dataclass(frozen=True)
class _Parts:
    """An entry in words: `86.32`, ` ± 0.45`, ` (3)†‡ 4 of 6`; the empty entry is a dash."""

    mean: str
    spread: str
    tail: str
    rank: int


def render(model: TableModel, form: str, *, width: int = 120) -> str:
    """The table in a form of `FORMS`. `width` is the terminal's, in letters. Raises SpecError on an unknown form."""
    makers: dict[str, Callable[[], str]] = {
        "rich": lambda: _to_text(model, width),
        "md": lambda: _to_md(model),
        "latex": lambda: _to_latex(model),
        "html": lambda: _to_html(model),
        "csv": lambda: _to_csv(model),
    }
    return in_form(form, makers)


def in_form(form: str, makers: Mapping[str, Callable[[], str]]) -> str:
    """What the maker of a form writes. Raises SpecError for a form that is none of FORMS."""
    if form not in makers:
        raise SpecError(
            f"No form '{form}'. {nearest(form, FORMS)}Possible: {', '.join(FORMS)}.",
            case=form,
            remedy="Name one of them with --format.",
        )
    return makers[form]()


def to_rich(model: TableModel, width: int = 120, *, plain: bool = False) -> Group:
    """The table for `rich.console.Console.print`; columns that do not fit `width` letters follow below.

    `plain` True marks ranks by letters, for a console without styles.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown: list[Any] = [Text(model.caption)]
    for section in model.sections:
        shown += [Text(), Text(section.title, style="bold")]
        for block in _blocks(section, width):
            rows = [row for row in section.rows if any(row.entries[block])]
            settings = any(row.setting for row in rows)
            drawn = Table("method", "corpus", *(["setting"] if settings else []))
            for column in section.columns[block]:
                drawn.add_column(Text(f"{column.task}\n{_percent(column)} of labels"), justify="right", no_wrap=True)
            for row in rows:
                labels = (row.method, row.corpus, row.setting)[: 3 if settings else 2]
                drawn.add_row(*map(Text, labels), *(_rich_entry(made, plain) for made in row.entries[block]))
            shown.append(drawn)
        shown += [Text(line) for line in section.told]
    return Group(*shown, *(Text(f"{MARKS[mark][0]} {text}") for mark, text in model.footnotes))


def _blocks(section: Section, width: int) -> list[slice]:
    """Runs of neighbouring columns that fit into `width` letters beside the labels, at least one column each."""
    labels = zip(_heads(section), *(_labels(section, row) for row in section.rows), strict=True)
    room = width - 1 - sum(_width(words) for words in labels)
    starts, used = [0], 0
    for at, column in enumerate(section.columns):
        entries = (_parts(row.entries[at]) for row in section.rows)
        wide = _width(
            [column.task, f"{_percent(column)} of labels", *(f"**{e.mean}**{e.spread}{e.tail}" for e in entries)]
        )
        if used and used + wide > room:
            starts, used = [*starts, at], 0
        used += wide
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(section.columns)], strict=True)]


def _width(words: Iterable[str]) -> int:
    return max(len(word) for word in words) + 3


def _rich_entry(entry: Entry | None, plain: bool) -> Any:
    """The best bold, the second underlined; in plain text between stars and lines, as in Markdown."""
    from rich.text import Text

    parts = _parts(entry)
    style = {1: "bold", 2: "underline"}.get(parts.rank, "")
    rim = {1: "**", 2: "_"}.get(parts.rank, "") if plain else ""
    return Text.assemble((f"{rim}{parts.mean}{rim}", style), parts.spread, parts.tail)


def _to_text(model: TableModel, width: int) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(to_rich(model, width, plain=True))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _to_md(model: TableModel) -> str:
    def line(words: Iterable[str]) -> str:
        return f"| {' | '.join(words)} |"

    def drawn(entry: Entry | None) -> str:
        parts = _parts(entry)
        before, after = {1: ("**", "**"), 2: ("<u>", "</u>")}.get(parts.rank, ("", ""))
        return f"{before}{md_word(parts.mean)}{after}{md_word(parts.spread + parts.tail)}"

    lines = [f"# {md_word(model.name)}, {md_word(model.metric)}", "", md_word(model.caption)]
    for section in model.sections:
        heads = _heads(section)
        tasks = [f"{md_word(column.task)} {_percent(column)}" for column in section.columns]
        lines += ["", f"## {md_word(section.title)}", "", line([*heads, *tasks])]
        lines += [line(["---"] * len(heads) + ["---:"] * len(tasks))]
        lines += [line([*map(md_word, _labels(section, row)), *map(drawn, row.entries)]) for row in section.rows]
        lines += ["", *(f"- {md_word(line)}" for line in section.told)] if section.told else []
    lines += ["", *(f"- {MARKS[mark][0]} {md_word(text)}" for mark, text in model.footnotes)] if model.footnotes else []
    return "\n".join(lines) + "\n"


def _to_latex(model: TableModel) -> str:
    def drawn(entry: Entry | None) -> str:
        parts = _parts(entry)
        command = {1: r"\textbf", 2: r"\underline"}.get(parts.rank, "")
        mean = f"{command}{{{tex_word(parts.mean)}}}" if command else tex_word(parts.mean)
        return f"{mean}{tex_word(parts.spread + parts.tail)}"

    lines = [r"% needs \usepackage{booktabs}"]
    for section in model.sections:
        heads = _heads(section)
        marks = [f"{MARKS[mark][0]} {text}." for mark, text in model.footnotes if mark in section.marks]
        told = [f"{section.title}.", model.caption, *marks, *(f"{line[0].upper()}{line[1:]}." for line in section.told)]
        tasks, rules, at = [], [], len(heads) + 1
        for task, count in _spans(section.columns):
            tasks.append(rf"\multicolumn{{{count}}}{{c}}{{{tex_word(task)}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + count - 1}}}")
            at += count
        rows = [[*map(tex_word, _labels(section, row)), *map(drawn, row.entries)] for row in section.rows]
        lines += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{tex_word(' '.join(told))}}}",
            rf"\begin{{tabular}}{{{'l' * len(heads)}{'r' * len(section.columns)}}}",
            r"\toprule",
            rf"{' & '.join([''] * len(heads) + tasks)} \\".lstrip(),
            "".join(rules),
            rf"{' & '.join([*heads, *(tex_word(_percent(column)) for column in section.columns)])} \\",
            r"\midrule",
            *(rf"{' & '.join(row)} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def _to_html(model: TableModel) -> str:
    functions = {"parts": _parts, "heads": _heads, "labels": _labels, "percent": _percent, "spans": _spans}
    return html_template("table.html").render(model=model, marks=MARKS, **functions)


@cache
def html_template(name: str) -> Template:
    """A page of `bench/templates/`; whatever is put into it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def template_text(name: str) -> str:
    """A file of `bench/templates/` as it is: a style or a script of ours."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _to_csv(model: TableModel) -> str:
    """One line per entry with all its words, numbers to ten digits; undefined numbers are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = "table source protocol preset average method corpus setting task ratio metric unit mean sd runs cases marks rank"
    writer.writerow(head.split())
    for section in model.sections:
        front = (model.name, section.source, section.protocol, section.preset, section.average)
        for row in section.rows:
            for column, entry in zip(section.columns, row.entries, strict=True):
                if entry is None:
                    continue
                words = (*front, row.method, row.corpus, row.setting, column.task)
                numbers = [number_word(entry.mean), number_word(entry.sd), entry.runs]
                marks = " ".join(entry.marks)
                line = [*map(csv_word, words), repr(column.ratio), csv_word(model.metric), csv_word(section.unit)]
                writer.writerow([*line, *numbers, entry.cases, marks, entry.rank or ""])
    return file.getvalue()


def _parts(entry: Entry | None) -> _Parts:
    if entry is None:
        return _Parts("-", "", "", 0)
    marks = "".join(MARKS[mark][0] for mark in entry.marks)
    tail = f" ({entry.runs}){marks}" + (f" {entry.cases}" if entry.cases else "")
    if math.isnan(entry.mean):
        return _Parts("undefined", "", tail, 0)
    spread = "" if math.isnan(entry.sd) else f" ± {entry.sd:.{DECIMALS}f}"
    return _Parts(f"{entry.mean:.{DECIMALS}f}", spread, tail, entry.rank)


def _heads(section: Section) -> list[str]:
    return ["method", "corpus", *(["setting"] if any(row.setting for row in section.rows) else [])]


def _labels(section: Section, row: Row) -> list[str]:
    return [row.method, row.corpus, row.setting][: len(_heads(section))]


def _percent(column: Column) -> str:
    return f"{100 * column.ratio:g}%"


def _spans(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Neighbouring columns of one task as (task, how many)."""
    return [(task, len(list(group))) for task, group in groupby(columns, lambda column: column.task)]
