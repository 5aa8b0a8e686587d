"""What decides a result -> its key. Nothing else stands in a key: no device, path, worker count, interval or version.

A key is the sha256 of canonical JSON (sorted names, shortest floats), 64 hex digits; folders use the first 16, names of cells 8.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from bench.contracts.deciding import deciding


def key_of(**parts: Any) -> str:
    """The key of named parts: dataclasses count by their deciding fields, tuples and sets as lists."""
    text = json.dumps(plain(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
