"""What smoke phantoms of all tasks cost, in one process and one thread: `make bench-phantoms`.

The project's phantom plan, section D.2, allows 90 s on two cores and 60 MB, all tasks together.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import registry
from bench.data.atomic import write_json
from bench.phantom_data import Size, write_task
from tests.benchmarks.measured import machine

MOST_MB, MOST_S = 60.0, 90.0


@dataclass(frozen=True)
class Cost:
    """One task's phantom: seconds by the clock and of the processor to write it, files, and their bytes in MB (10^6)."""

    task: str
    seconds: float
    cpu_seconds: float
    files: int
    megabytes: float


def written(root: Path, size: Size) -> list[Cost]:
    """Write the phantoms of all tasks below `root`, as `bench phantom make` does, each in a folder of its own."""
    costs = []
    for task in registry.names(registry.TASKS):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        folder = write_task(task, size, root / task)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        costs.append(Cost(task, round(seconds, 2), round(cpu, 2), len(sizes), round(sum(sizes) / 1e6, 3)))
    return costs


def summary(costs: list[Cost]) -> dict[str, object]:
    """Sums over the tasks, what the plan allows, and every task."""
    return {
        "seconds": round(sum(cost.seconds for cost in costs), 1),
        "cpu_seconds": round(sum(cost.cpu_seconds for cost in costs), 1),
        "megabytes": round(sum(cost.megabytes for cost in costs), 2),
        "allowed": {"seconds_on_two_cores": MOST_S, "megabytes": MOST_MB},
        "tasks": [asdict(cost) for cost in costs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("smoke", "mini"), default="smoke")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    here = machine(("numpy", "scipy", "nibabel", "pydicom"))
    with tempfile.TemporaryDirectory() as folder:
        told = summary(written(Path(folder), options.size))
    spent = f"{told['seconds']} s in one process ({told['cpu_seconds']} s of its processor)"
    print(f"{options.size} phantoms of all tasks: {spent}, {told['megabytes']} MB")
    if options.out:
        write_json(options.out, {"command": "make bench-phantoms", "size": options.size, **told, "machine": here})


if __name__ == "__main__":
    main()
