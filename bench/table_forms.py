"""A table model -> text for a terminal, Markdown, LaTeX (booktabs), HTML or CSV. The same model gives the same bytes.

Every word of a record is escaped for its form: a method called `<script>` or `=cmd()` is shown, never obeyed. In the
Markdown and LaTeX templates escaping is what happens to all values; only what is made here may pass.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bench.contracts.errors import SpecError, nearest
from bench.table import DECIMALS, MARKS, Column, Entry, Section, TableModel

if TYPE_CHECKING:
    from rich.console import Group

FORMS = ("rich", "md", "latex", "html", "csv")
COLUMN_WIDTH = 22
_MD = {letter: f"\\{letter}" for letter in "\\`*_{}[]()#+-.!|~$^"} | {
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
    "@": "&#64;",
}
_LATEX = {letter: f"\\{letter}" for letter in "{}$&#%_"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "±": r"$\pm$",
}


class _Ready(str):
    """Text that is in its form already and passes a template unescaped."""

    __slots__ = ()


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
        "md": lambda: _from_template(model, _MD_TEMPLATE, _MD),
        "latex": lambda: _from_template(model, _LATEX_TEMPLATE, _LATEX),
        "html": lambda: _to_html(model),
        "csv": lambda: _to_csv(model),
    }
    if form not in makers:
        raise SpecError(f"No form '{form}'. {nearest(form, FORMS)}Possible: {', '.join(FORMS)}.", case=form)
    return makers[form]()


def to_rich(model: TableModel, width: int = 120) -> Group:
    """The table for `rich.console.Console.print`; columns that do not fit `width` letters follow below."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown: list[Any] = [Text(model.caption)]
    for section in model.sections:
        heads = _heads(section)
        labels = [[row.method, row.corpus, row.setting][: len(heads)] for row in section.rows]
        taken = sum(max(len(word) for word in (head, *(r[i] for r in labels))) + 3 for i, head in enumerate(heads))
        step = max(1, (width - taken - 1) // COLUMN_WIDTH)
        for start in range(0, len(section.columns), step):
            block = slice(start, start + step)
            drawn = Table(title=Text(section.title), title_justify="left", title_style="bold")
            for head in heads:
                drawn.add_column(head, overflow="fold")
            for column in section.columns[block]:
                drawn.add_column(Text(f"{column.task}\n{_percent(column)} of labels"), justify="right", no_wrap=True)
            for label, row in zip(labels, section.rows, strict=True):
                drawn.add_row(*(Text(word) for word in label), *(_rich_entry(entry) for entry in row.entries[block]))
            shown.append(drawn)
        shown += [Text(f"undefined: {note}") for note in section.notes]
    return Group(*shown, *(Text(f"{MARKS[mark][0]} {text}") for mark, text in model.footnotes))


def _rich_entry(entry: Entry | None) -> Any:
    from rich.text import Text

    parts = _parts(entry)
    style = {1: "bold", 2: "underline"}.get(parts.rank, "")
    return Text.assemble((parts.mean, style), parts.spread, parts.tail)


def _to_text(model: TableModel, width: int) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(to_rich(model, width))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _from_template(model: TableModel, template: str, escapes: dict[str, str]) -> str:
    from jinja2 import Environment, StrictUndefined

    def escape(value: object) -> str:
        return value if isinstance(value, _Ready) else "".join(escapes.get(letter, letter) for letter in str(value))

    environment = Environment(
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - that is for HTML alone; `finalize` escapes for this form
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    return environment.from_string(template).render(model=model, marks=MARKS, **_words(), ready=_Ready)


def _to_html(model: TableModel) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(_HTML_TEMPLATE).render(model=model, marks=MARKS, **_words())


def _words() -> dict[str, Any]:
    return {"parts": _parts, "heads": _heads, "percent": _percent, "spans": _spans}


def _to_csv(model: TableModel) -> str:
    """One line per entry with all its words, numbers in full; undefined numbers are empty."""
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
                numbers = [_number(entry.mean), _number(entry.sd), entry.runs]
                marks = " ".join(entry.marks)
                line = [*map(_csv_word, words), repr(column.ratio), _csv_word(model.metric), _csv_word(section.unit)]
                writer.writerow([*line, *numbers, entry.cases, marks, entry.rank or ""])
    return file.getvalue()


def _csv_word(word: str) -> str:
    """A word that no spreadsheet takes for a formula."""
    return f"'{word}" if word.lstrip()[:1] in tuple("=+-@|%\t\r\uff1d\uff0b\uff0d\uff20") and word.strip() else word


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


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


def _percent(column: Column) -> str:
    return f"{100 * column.ratio:g}%"


def _spans(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Neighbouring columns of one task as (task, how many)."""
    return [(task, len(list(group))) for task, group in groupby(columns, lambda column: column.task)]


_MD_TEMPLATE = """\
# Table <<model.name>>, <<model.metric>>

<<model.caption>>
<% for section in model.sections %>

## <<section.title>>

|<% for head in heads(section) %> <<head>> |<% endfor %>
<%- for column in section.columns %> <<column.task>> <<percent(column)>> |<% endfor +%>
|<% for head in heads(section) %> --- |<% endfor %><% for column in section.columns %> ---: |<% endfor +%>
<% for row in section.rows %>
| <<row.method>> | <<row.corpus>> |<% if heads(section)|length > 2 %> <<row.setting>> |<% endif %>
<%- for entry in row.entries %><% set p = parts(entry) %> <% if p.rank == 1 %>**<<p.mean>>**\
<% elif p.rank == 2 %><u><<p.mean>></u><% else %><<p.mean>><% endif %><<p.spread>><<p.tail>> |<% endfor +%>
<% endfor %>
<% if section.notes %>

Undefined:

<% for note in section.notes %>
- <<note>>
<% endfor %>
<% endif %>
<% endfor %>
<% if model.footnotes %>

<% for mark, text in model.footnotes %>
- <<marks[mark][0]>> <<text>>
<% endfor %>
<% endif %>
"""

_LATEX_TEMPLATE = r"""% needs \usepackage{booktabs} and \usepackage[utf8]{inputenc}
<% for section in model.sections %>
<% set labels = heads(section)|length %>
\begin{table}
\centering
\caption{<<section.title>>. <<model.caption>>
<%- for mark, text in model.footnotes %> <<marks[mark][0]>> <<text>>.<% endfor %>
<%- for note in section.notes %> Undefined: <<note>>.<% endfor %>}
\begin{tabular}{<% for head in heads(section) %>l<% endfor %><% for column in section.columns %>r<% endfor %>}
\toprule
<% for head in heads(section) %><<' & ' if false else ''>><% if not loop.first %> & <% endif %><% endfor %>
<%- for task, count in spans(section.columns) %> & \multicolumn{<<count>>}{c}{<<task>>}<% endfor %> \\
<% set place = namespace(at=labels + 1) %>
<% for task, count in spans(section.columns) %>\cmidrule(lr){<<ready(place.at)>>-<<ready(place.at + count - 1)>>}
<%- set place.at = place.at + count %><% endfor +%>
<% for head in heads(section) %><% if not loop.first %> & <% endif %><<head>><% endfor %>
<%- for column in section.columns %> & <<percent(column)>><% endfor %> \\
\midrule
<% for row in section.rows %>
<<row.method>> & <<row.corpus>><% if labels > 2 %> & <<row.setting>><% endif %>
<%- for entry in row.entries %><% set p = parts(entry) %> & <% if p.rank == 1 %>\textbf{<<p.mean>>}
<%- elif p.rank == 2 %>\underline{<<p.mean>>}<% else %><<p.mean>><% endif %><<p.spread>><<p.tail>><% endfor %> \\
<% endfor %>
\bottomrule
\end{tabular}
\end{table}
<% endfor %>
"""

_HTML_TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ model.name }}, {{ model.metric }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1.5rem 0; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { padding: .35rem .8rem; text-align: left; white-space: nowrap; }
thead tr:first-child th { border-top: 2px solid; }
thead tr:last-child th { border-bottom: 1px solid; }
tbody tr:last-child > * { border-bottom: 2px solid; }
tbody th { font-weight: 400; }
td.entry, th.task { text-align: right; font-variant-numeric: tabular-nums; }
.phantom caption { color: #b3400a; }
small { opacity: .75; }
</style>
</head>
<body>
<h1>{{ model.name }}, {{ model.metric }}</h1>
<p>{{ model.caption }}</p>
{% for section in model.sections %}
<table class="{{ 'real' if section.source == 'real' else 'phantom' }}">
<caption>{{ section.title }}</caption>
<thead>
<tr>{% for head in heads(section) %}<th rowspan="2" scope="col">{{ head }}</th>{% endfor %}
{% for task, count in spans(section.columns) %}<th class="task" colspan="{{ count }}">{{ task }}</th>{% endfor %}</tr>
<tr>{% for column in section.columns %}<th class="task" scope="col">{{ percent(column) }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in section.rows %}
<tr><th scope="row">{{ row.method }}</th><td>{{ row.corpus }}</td>
{%- if heads(section)|length > 2 %}<td>{{ row.setting }}</td>{% endif %}
{% for entry in row.entries %}
{% set p = parts(entry) %}
<td class="entry">{% if p.rank == 1 %}<b>{{ p.mean }}</b>{% elif p.rank == 2 %}<u>{{ p.mean }}</u>
{%- else %}{{ p.mean }}{% endif %}{{ p.spread }}<small>{{ p.tail }}</small></td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
{% if section.notes %}
<p>Undefined:</p>
<ul>
{% for note in section.notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
{% endfor %}
{% for mark, text in model.footnotes %}
<p><small>{{ marks[mark][0] }} {{ text }}</small></p>
{% endfor %}
</body>
</html>
"""
