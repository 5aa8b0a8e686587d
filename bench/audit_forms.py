"""Findings of the audit as plain values, rows for a terminal and Markdown. Text from files is shown, never obeyed."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from bench.contracts.counts import how_many
from bench.published.findings import CONFIDENCE, KINDS, Finding

COLUMNS = ("paper", "table", "row", "column", "kind", "printed", "recomputed", "difference", "confidence")
_STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKUP = str.maketrans({letter: f"\\{letter}" for letter in "\\|*_`[]<>~"} | {"&": "&amp;"})


def as_values(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings for a program, every field under its name."""
    return [asdict(finding) for finding in findings]


def as_rows(findings: Sequence[Finding], *, notes: bool = False) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows of a table, with a last column of notes where asked."""
    heads = (*COLUMNS, "note") if notes else COLUMNS
    return heads, [tuple(_shown(getattr(finding, head)) for head in heads) for finding in findings]


def as_markdown(findings: Sequence[Finding], title: str) -> str:
    """Findings as Markdown: how many of each kind, then each with its note. The same findings give the same bytes."""
    kinds = Counter(finding.kind for finding in findings)
    lines = [f"# {title.translate(_MARKUP)}", "", f"{how_many(len(findings), 'finding')}.", ""]
    if findings:
        lines += ["| kind | findings | meaning |", "|---|---|---|"]
        lines += [f"| {kind} | {kinds[kind]} | {told} |" for kind, told in KINDS.items() if kinds[kind]]
        lines += ["", *(f"- *{word}*: {told}." for word, told in CONFIDENCE.items()), ""]
        heads = [field.name for field in fields(Finding)]
        lines += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        for finding in findings:
            words = (_shown(getattr(finding, head)).translate(_MARKUP) for head in heads)
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join([*lines, ""])


def _shown(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:+.4g}" if isinstance(value, float) else str(value)
    return "".join("?" if unicodedata.category(letter) in _STEERING else letter for letter in text)
