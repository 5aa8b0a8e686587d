"""What the place in a volume tells alone: the training masks' mean as everyone's prediction, and no image is looked at.

    python -m tests.benchmarks.mean_mask [--task msd04] [--ratios 0.1 0.25] [--out FILE.json]

A control for `bench study`: what a network or a probe scores above this it has read from the image. Masks are laid over each
other by their middles, voxel by voxel; each voxel takes the class (or background) that most of them have there. Needs the
task's data (`--root`, datasets.toml or $BENCH_DATA); cases that are not there are left out. Dice is the mean over classes, then
cases.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cases import TaskCases, find_cases
from bench.data.atomic import write_json
from bench.data.volumes import label_map, read_label
from bench.metrics.overlap import dice
from bench.registry import task as task_card
from bench.spec import make_spec
from tests.benchmarks.measured import machine

Mask = NDArray[np.uint8]


def centred(mask: Mask, shape: Sequence[int]) -> Mask:
    """A mask in the middle of a grid: padded with background where it is shorter, cut where it is longer."""
    for axis, wanted in enumerate(shape):
        have = mask.shape[axis]
        first = max(0, (have - wanted) // 2)
        mask = mask.take(range(first, min(first + wanted, have)), axis)
        before = max(0, (wanted - have) // 2)
        pads = [(0, 0)] * mask.ndim
        pads[axis] = (before, wanted - mask.shape[axis] - before)
        mask = np.pad(mask, pads)
    return mask


def commonest(masks: Sequence[Mask], classes: int) -> Mask:
    """The class that most masks have at each voxel of the smallest grid that holds them all; the lower one of equals."""
    shape = np.max([mask.shape for mask in masks], axis=0).tolist()
    votes = np.zeros((classes + 1, *shape), np.int32)
    for mask in masks:
        laid = centred(mask, shape)
        for label in range(classes + 1):
            votes[label] += laid == label
    return votes.argmax(0).astype(np.uint8)


def scored(cases: TaskCases, task: str) -> dict[str, Any]:
    """The mean mask of a run's training cases against its test cases."""
    card = task_card(task)
    values, classes = label_map(len(card.classes), card.label_values), len(card.classes)
    train, test = (
        [read_label(cases.folder, record, values).array for record in cases.pick(part)]
        for part in (cases.train, cases.here.test)
    )
    mean = commonest(train, classes)
    guesses = [centred(mean, truth.shape) for truth in test]
    scores = np.array(
        [[dice(g == k, t == k) for k in range(1, classes + 1)] for g, t in zip(guesses, test, strict=True)]
    )
    return {
        "train": len(train),
        "test": len(test),
        "dice": float(np.nanmean(np.nanmean(scores, axis=1))),
        "by_class": dict(zip(card.classes, np.nanmean(scores, axis=0).tolist(), strict=True)),
    }


def main() -> None:
    """Score the mean mask at each ratio, print it, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="msd04")
    parser.add_argument("--ratios", nargs="+", type=float, default=[0.1, 0.25])
    parser.add_argument("--root", default="", help="the dataset's folder or one that holds it")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    asked = parser.parse_args()
    rows = []
    for ratio in asked.ratios:
        spec = make_spec(method="unet3d_scratch", task=asked.task, ratio=ratio, partial=True)
        cases = find_cases(spec, task_card(asked.task), Path(asked.root) if asked.root else None, os.environ)
        rows.append({"task": asked.task, "ratio": ratio, **scored(cases, asked.task)})
        print(rows[-1])
    if asked.out:
        write_json(asked.out, {"machine": machine(("numpy", "nibabel")), "rows": rows})


if __name__ == "__main__":
    main()
