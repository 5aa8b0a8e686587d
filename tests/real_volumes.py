"""Where real volumes lie on this machine: the one setting of a developer's own that tests ask for.

$BENCH_DATA is read when this file is imported, which tests/conftest.py does first of all; after that no test sees the variable.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ["BENCH_DATA"]).expanduser().resolve() if os.environ.get("BENCH_DATA") else None


def real(part: str) -> Path:
    """A folder below $BENCH_DATA; skips the test where there is none."""
    folder = ROOT / part if ROOT else None
    if folder is None or not folder.is_dir():
        pytest.skip(f"real volumes are absent: set BENCH_DATA to the folder that holds {part}")
    return folder
