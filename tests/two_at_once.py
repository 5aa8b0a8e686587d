"""A script run by two processes at once, as on two devices, and what each leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]


def two_at_once(script: str, folder: Path) -> list[dict[str, Any]]:
    """Run `script FOLDER RANK` (a path below the project) for ranks 0 and 1, and read the `rank_{RANK}.pt` that each writes."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "WORLD_SIZE", "RANK")}
    words = [sys.executable, str(ROOT / script), str(folder)]
    environment = {**inherited, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    begun = [subprocess.Popen([*words, str(r)], env=environment, stderr=subprocess.PIPE, text=True) for r in range(2)]
    for process in begun:
        _, wrong = process.communicate(timeout=300)
        assert process.returncode == 0, wrong[-3000:]
    return [torch.load(folder / f"rank_{rank}.pt", weights_only=True) for rank in range(2)]
