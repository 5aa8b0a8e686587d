"""Start-up of the command line beside the same program importing everything: `make bench-start`.

Whole processes, in turn, median of `--rounds`; the ratio is what counts, seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.data.atomic import write_json
from bench.provenance import provenance

COMMANDS = (["--help"], ["run", "--help"], ["list", "methods", "--json"], ["list", "tasks"])
LAZY = "from bench.cli import run_words; run_words({words!r})"
EAGER = "import torch, monai.networks.nets, lightning_fabric, pandas, sklearn.metrics; " + LAZY


def seconds(code: str) -> float:
    """Wall seconds of a fresh interpreter that runs `code`."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for words in COMMANDS:
        pairs = [(seconds(LAZY.format(words=words)), seconds(EAGER.format(words=words))) for _ in range(options.rounds)]
        lazy, eager = (statistics.median(column) for column in zip(*pairs, strict=True))
        rows.append({"command": " ".join(words), "seconds": lazy, "eager_seconds": eager, "ratio": eager / lazy})
        print(
            f"bench {' '.join(words):24s} {lazy:6.3f} s   importing everything {eager:6.2f} s   {eager / lazy:5.1f} times faster"
        )
    if options.out:
        write_json(options.out, {"rows": rows, "machine": provenance()})


if __name__ == "__main__":
    main()
