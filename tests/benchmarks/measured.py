"""Seconds and peak memory of one call, and the machine they were measured on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, seconds, and MiB by which the kernel's high-water mark rose above what was resident before."""
    Path("/proc/self/clear_refs").write_text("5")
    before = status_kib("VmRSS")
    begin = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begin
    return result, seconds, (status_kib("VmHWM") - before) / 1024


def status_kib(field: str) -> int:
    """A number from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on."""
    models = [
        line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }
