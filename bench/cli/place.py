"""Where a command works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.run import Place


def place_of(results: Path, device: str, quiet: bool, devices: int = 1) -> Place:
    """Where a command works; `quiet` shows no progress."""
    import os

    if devices > 1 and "LOCAL_RANK" not in os.environ:
        _one_process_per_device(devices)
    from bench.cli.console import progress_for
    from bench.run import Place
    from bench.train.loop import Hardware

    return Place.at(results, hardware=Hardware(device=device, devices=devices), progress=progress_for(quiet))


def _one_process_per_device(devices: int) -> None:
    """Start this very command once per device, in place of this process."""
    import os
    import sys

    os.execv(sys.executable, [sys.executable, "-m", "bench.engines.devices", str(devices), *sys.argv[1:]])
