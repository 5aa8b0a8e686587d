"""A copy of the phantom that a file of tests has written, for a test that breaks it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    """`written` is a fixture of the file itself: the folder under its official name."""
    return Path(shutil.copytree(written, tmp_path / written.name))
