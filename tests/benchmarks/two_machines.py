"""How far apart the same runs end on two machines: two reports of a study, arm by arm and seed by seed.

    python -m tests.benchmarks.two_machines results/study/full-epyc.json results/study/full.json [--out FILE.json]

Seeds, software and data are the same; what differs is the order in which a processor adds. An older report that tells no score of
a seed counts where an arm has one alone, the study's first. A difference between two starts that is no larger than this is none.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.atomic import write_json

WORDS = ("pool", "method", "way", "ratio", "start", "metric")


def runs(report: Mapping[str, Any]) -> dict[tuple[Any, ...], float]:
    """Words of an arm and its seed -> that run's score."""
    return {
        (*(line[word] for word in WORDS), int(seed)): score
        for line in report["lines"]
        for seed, score in (line.get("scores") or ({"0": line["mean"]} if line["seeds"] == 1 else {})).items()
    }


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs that both reports tell, with both scores, in the order of the first."""
    first, second = runs(one), runs(other)
    return [
        {
            **dict(zip((*WORDS, "seed"), words, strict=True)),
            "scores": [score, second[words]],
            "difference": second[words] - score,
        }
        for words, score in first.items()
        if words in second
    ]


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """By metric, way and whether anything was pre-trained: how many runs, median and largest difference without sign."""
    groups: dict[str, list[float]] = {}
    for line in lines:
        start = "scratch" if line["start"] == "scratch" else "pre-trained"
        groups.setdefault(f"{line['metric']}, {line['way']}, {start}", []).append(abs(line["difference"]))
    return {
        name: {"runs": len(found), "median": statistics.median(found), "largest": max(found)}
        for name, found in sorted(groups.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs=2, type=Path)
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    one, other = (json.loads(path.read_text()) for path in words.reports)
    lines = apart(one, other)
    told = {"machines": [one["machine"], other["machine"]], "summary": summary(lines), "runs": lines}
    for name, found in told["summary"].items():
        print(f"{name}: {found['runs']} runs, median {found['median']:.4f}, largest {found['largest']:.4f}")
    if words.out:
        write_json(words.out, told)


if __name__ == "__main__":
    main()
