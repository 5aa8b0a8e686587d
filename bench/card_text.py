"""What the closing `NAME = Card(...)` of a file says in literals, read as text: nothing of the file is imported."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

from bench.contracts.errors import PluginBroken


def card_key(path: Path, attribute: str) -> str | None:
    """A file's key: its own name, unless its card says `key=` (corpora: a file's name has no '-' or '.'); None where no card
    closes it. Raises PluginBroken for a file that cannot be read as text, or a card that cannot be read as Python."""
    card = _closing(path, attribute)
    return None if card is None else _read(card, path).get("key") or path.stem


def literals(path: Path, attribute: str) -> dict[str, Any]:
    """The keywords of a file's card whose values are literals. Raises as `card_key` does."""
    return _read(_closing(path, attribute) or "", path)


def _closing(path: Path, attribute: str) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PluginBroken(
            f"{path} cannot be read: {error}.", case=path.stem, remedy="Save it as UTF-8, or move it elsewhere."
        ) from error
    start = text.rfind(f"\n{attribute} = ")
    return None if start < 0 else text[start + 1 :]


@cache
def _read(tail: str, path: Path) -> dict[str, Any]:
    try:
        statement = ast.parse(tail).body[0]
    except (SyntaxError, IndexError) as error:
        raise PluginBroken(
            f"The card that closes {path.name} cannot be read: {error}.",
            case=path.stem,
            remedy=f"Mend {path}, or move it elsewhere: no card is read while one is torn.",
        ) from error
    call = statement.value if isinstance(statement, ast.Assign) else None
    if not isinstance(call, ast.Call):
        return {}
    return {k.arg: value for k in call.keywords if k.arg and (value := _literal(k.value)) is not None}


def _literal(node: ast.expr) -> Any:
    """A keyword's value where it is a literal; a dict of non-literals gives its keys; sets become sorted lists."""
    if isinstance(node, ast.Dict):
        return [key.value for key in node.keys if isinstance(key, ast.Constant)]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "frozenset" and node.args:
        node = node.args[0]
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return sorted(value) if isinstance(value, set) else value
