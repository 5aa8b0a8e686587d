"""What decides a result -> its key. Nothing else stands in a key: no device, path, worker count, interval or version.

A key is the sha256 of canonical JSON (sorted names, shortest floats), 64 hex digits; folders use the first 16, names of cells 8.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from bench.contracts.deciding import deciding
from bench.contracts.errors import PluginBroken


def key_of(**parts: Any) -> str:
    """The key of named parts: dataclasses count by their deciding fields, tuples and sets as lists."""
    try:
        text = json.dumps(plain(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _no_json(parts, error) from error
    return hashlib.sha256(text.encode()).hexdigest()


def _no_json(parts: dict[str, Any], error: Exception) -> Exception:
    """What to say where a part is none that a key can hold: the config's field that it is, or the error itself."""
    for config in parts.values():
        for name, value in deciding(config).items() if dataclasses.is_dataclass(config) else ():
            try:
                json.dumps(plain(value), allow_nan=False)
            except (TypeError, ValueError):
                return PluginBroken(
                    f"{name}={value!r} is nothing that a key can hold.",
                    case=type(config).__name__,
                    remedy="Fields are finite numbers, words, true or false, and tuples of them; a file is the word that "
                    "`from_disk` makes.",
                )
    return error


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(deciding(value))
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(part) for part in value)
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def short(key: str) -> str:
    """The part of a key that names a folder."""
    return key[:16]
