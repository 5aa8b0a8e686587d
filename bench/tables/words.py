"""A word of a record -> a word that a form shows and never obeys, be it called `<script>`, `=cmd()` or `\\input`."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Sequence

LONGEST_WORD = 80
LONGEST_SETTING = 400  # what parts two rows may stand at the end of it
_STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # the wide forms count in East Asian spreadsheets
_MD = {letter: f"\\{letter}" for letter in "\\`*_[]|~$!#"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_LATEX = {letter: f"\\{letter}" for letter in "{}$&#%_"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "‖": r"$\|$",
    "±": r"$\pm$",
    "\u2212": "$-$",
}
_ACCENTS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327"  # grave to cedilla
_OWN_LETTERS = "ßæœøÆŒØłŁ"


def clean(word: str, longest: int = LONGEST_WORD) -> str:
    """A word of a record without characters that steer a terminal or turn the reading direction, and not endless."""
    shown = printable(word)
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def apart(names: Sequence[str], longest: int) -> list[str]:
    """Names cut to so many letters, numbered where they then look alike. Example: to 7, `one two` and `one three` stay apart."""
    short = [textwrap.shorten(name, longest, placeholder="...") for name in names]
    return [
        f"{textwrap.shorten(name, longest - 4, placeholder='...')} #{short[: at + 1].count(word)}"
        if short.count(word) > 1
        else word
        for at, (name, word) in enumerate(zip(names, short, strict=True))
    ]


def printable(text: str) -> str:
    """Text of any length without characters that steer a terminal or turn the reading direction; they become `?`."""
    if text.isprintable():
        return text
    return "".join("?" if unicodedata.category(letter) in _STEERING else letter for letter in text)


def md_word(text: str) -> str:
    """Text that Markdown shows as it is."""
    shown = "".join(_MD.get(letter, letter) for letter in text)
    return shown.replace("://", r"\://").replace("www.", r"www\.")  # a bare address would become a link


def tex_word(text: str) -> str:
    """Text that LaTeX shows as it is; letters that plain pdflatex cannot set become `?`."""
    shown = "".join(_LATEX.get(letter) or (letter if _settable(letter) else "?") for letter in text)
    return re.sub("-(?=-)", "-{}", shown)  # two hyphens of an option would become one dash


def _settable(letter: str) -> bool:
    """True for what every encoding of TeX can set: ASCII, and Latin letters of a base letter and a common accent."""
    parts = unicodedata.normalize("NFD", letter)
    accented = letter < "\u0180" and len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS
    return letter.isascii() or letter in _OWN_LETTERS or accented


def csv_word(word: str) -> str:
    """A word that no spreadsheet takes for a formula."""
    return f"'{word}" if word.lstrip()[:1] in _FORMULA else word


def number_word(value: float) -> str:
    """A number for CSV, empty where undefined."""
    return "" if math.isnan(value) else f"{value:.10g}"
