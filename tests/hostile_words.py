"""Words that a browser, a spreadsheet, TeX, Markdown or a terminal would obey, and what shows that none did."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil","x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1+1",
    "\\input{/etc/passwd}",
    "$\\write18{rm}$",
    "100% & more_of #1 ^~{}",
    "[link=http://evil]x[/link]",
    "[bold red]x[/]",
    "a|b",
    "**bold** `code` [x](javascript:alert(1))",
    "line\nbreak\r\n| x | y |",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
    "*starred",
    "{{ 7*7 }}",
    "x" * 5000,
)
ESCAPES = {
    r"\textbackslash", r"\textasciicircum", r"\textasciitilde", r"\textless", r"\textgreater", r"\textbar",
    r"\dag", r"\ddag", r"\S", r"\P", r"\textbf", r"\underline",
}  # fmt: skip


class _Tags(HTMLParser):
    """Collects what a browser would obey."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def tags_of(html: str) -> set[str]:
    """The names of all tags and attributes."""
    tags = _Tags()
    tags.feed(html)
    return tags.found


def tex_commands(latex: str) -> set[str]:
    return set(re.findall(r"\\[a-zA-Z]+", latex))


def demand_that_none_is_obeyed(
    shown: Mapping[str, str], *, tags: set[str], commands: set[str], formula: str, markdown_tag: str, most_letters: int
) -> None:
    """AssertionError where one of the forms `html`, `latex` and `md` holds more than its writer puts there of itself.

    Its writer puts there: `tags` and attributes of HTML, `commands` and ESCAPES of TeX, formulas and HTML tags in Markdown
    that match these two patterns. CSV is left to the tests, for numbers may begin with a sign.
    """
    for text in shown.values():
        assert not set(text) & set("\x1b\x07\r\t\u202e")
        assert len(text) < most_letters
    assert tags_of(shown["html"]) <= tags

    assert tex_commands(shown["latex"]) <= commands | ESCAPES
    body = re.sub(r"\\[&%$#_{}]|\\\\$", "", shown["latex"], flags=re.M)
    depth = list(itertools.accumulate((letter == "{") - (letter == "}") for letter in body))
    assert min(depth) >= 0
    assert depth[-1] == 0
    assert all(re.fullmatch(formula, found) for found in re.findall(r"\$[^$]*\$", body))
    assert not re.search(r"^\s*[\[*]", shown["latex"], re.M)

    rows = [line for line in shown["md"].splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert not re.search(rf"<(?!/?{markdown_tag}>)", shown["md"])
    assert not re.search(r"(?<!\\)`|(?<!\\)\]\(|(?<!\\)://", shown["md"])
