"""How hard the phantoms are, rung by rung: from what must tell nothing up to what tells nearly all. `make bench-ladder`.

    python -m tests.benchmarks.ladder [--rungs RUNG ...] [--networks TASK[:STEPS] ...] [--pretrained TASK[:STEPS] ...]
                                      [--pool CORPUS] [--processes N] [--results DIR] [--out FILE]

Rungs and the bands in which the phantoms' plan wants them:
  header      logistic regression on shape, spacing, axes, bytes, files, mean, variance, place: at most 3 SE above chance
  permuted    ridge on raw voxels, labels dealt out anew: AUC within 3 SE of 0.5
  ridge       ridge on raw voxels: AUC below 0.65
  intensity   BTCV by the best interval of HU per class, and by k-means: Dice below 0.45
  network     unet3d_scratch, preset small, all labels: Dice 0.75 to 0.88, AUC 0.80 to 0.92; with 25 % at least 0.06 lower
  pretrained  mae3d, preset small, 25 % of the labels, 5 seeds: pre-trained on --pool (the task's own images) it beats scratch
              by more than 2 SE of the mean difference; pre-trained on shuffled voxels or white noise it does not; with permuted
              labels its mean AUC is within 3 SE of 0.5
  described   logistic regression on 37 numbers that describe a cube by hand: no band, but what it reads is visible
  oracle      logistic regression on the latent factors: AUC above 0.97 for the class that is shown; that of the label beside it

One label in twenty is wrong on purpose, and nothing in an image says which: of two classes even the true one tells the label
with an AUC of 0.95 only. So the oracle's band holds before that noise, where it asks what it is meant to ask, whether the
factors make the class. A network is asked for labels as they stand, and its band ends below what the noise allows.

Samples are `smoke` phantoms of the training part, BTCV's and the networks' are `mini`. The first four rungs and the oracle take
minutes; networks take up to hours, so they are trained only for the tasks that are named, and a finished one in --results is
read. Rungs that are not asked for, and tasks that are not named, stay in FILE as they were measured, if the generator is the
same. A band that is missed fails nothing: the JSON says which.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.data.atomic import write_json
from bench.data.splits import lists
from bench.data.volumes import label_map, read_image, read_label
from bench.metrics.ranking import auc
from bench.phantom_data import write_task
from bench.phantoms import GENERATOR_VERSION
from bench.phantoms.factors import latent
from bench.run import Place
from tasks.layouts.medmnist import MedMnist
from tests.benchmarks.described import description
from tests.benchmarks.intensity_alone import Case, blurred, interval_dice, kmeans_dice
from tests.benchmarks.labelled_phantoms import classification_tasks, drawn, header_columns
from tests.benchmarks.measured import machine
from tests.benchmarks.probes import (
    Probed,
    Sample,
    cross_validated,
    header_model,
    permuted,
    voxel_model,
)
from tests.benchmarks.trained_rungs import ALLOWED_SE, Climb, network, pretrained

SIDE = 14  # voxels an axis that the ridge sees
RIDGE_AUC, INTENSITY_DICE, ORACLE_AUC = 0.65, 0.45, 0.97
DESCRIBED = ("nodulemnist3d",)
RUNGS = ("intensity", "questions", "oracle", "described", "networks", "pretrained")


def told(found: Probed) -> dict[str, Any]:
    """A probe as numbers."""
    return {
        "auc": round(found.auc, 4),
        "chance_se": round(found.chance_se, 4),
        "above_se": round(found.above_chance, 2),
    }


def of_question(task: str, question: str, cases: Sample) -> dict[str, Any]:
    """The rungs of one question, and which lie in their bands."""
    headers = cases.header[:, header_columns(task)]
    header = cross_validated(headers, cases.labels, cases.groups, header_model)
    ridge = cross_validated(cases.voxels, cases.labels, cases.groups, voxel_model)
    dealt = cross_validated(cases.voxels, permuted(cases.labels, 1), cases.groups, voxel_model)
    return {
        "task": task,
        "question": question,
        "cases": np.bincount(cases.labels).tolist(),
        "header": told(header),
        "ridge": told(ridge),
        "permuted": told(dealt),
        "in_band": {
            "header": header.above_chance <= ALLOWED_SE,
            "ridge": ridge.auc < RIDGE_AUC,
            "permuted": abs(dealt.above_chance) <= ALLOWED_SE,
        },
    }


def oracle(task: str, images: int) -> dict[str, Any] | None:
    """What the latent factors of a MedMNIST phantom tell of its label, and of the class that is shown; None for others."""
    files = registry.task(task).files
    if not isinstance(files, MedMnist):
        return None
    labels = np.arange(images) % files.classes
    people = [
        latent(files.flag, files.classes, int(k), "smoke", files.flag, f"train/{i:06d}") for i, k in enumerate(labels)
    ]
    factors = np.asarray([who.factors for who in people])
    alone = [str(i) for i in range(images)]
    label = cross_validated(factors, labels, alone, header_model)
    shown = cross_validated(factors, np.asarray([who.shown for who in people]), alone, header_model)
    return {"task": task, "label": told(label), "shown": told(shown), "in_band": {"shown": shown.auc > ORACLE_AUC}}


def intensity(results: Path) -> dict[str, Any]:
    """BTCV by intensity alone, at the native grid, fitted to the training part and told on the test part."""
    card = registry.task("btcv")
    folder = write_task("btcv", "mini", results / "runs" / "phantoms" / "mini")
    records = {record.case_id: record for record in card.files.records(folder)}
    parts = lists(card.protocols["bench"].split, registry.splits_folder())
    values = label_map(len(card.classes), card.label_values)
    train, test = (
        [
            Case(blurred(read_image(folder, records[c]).array[0]), read_label(folder, records[c], values).array)
            for c in part
            if c in records
        ]
        for part in (parts.train, parts.test)
    )
    found = {
        "interval": round(interval_dice(train, test, len(card.classes)), 4),
        "kmeans": round(kmeans_dice(train, test, len(card.classes)), 4),
    }
    below = {name: value < INTENSITY_DICE for name, value in found.items()}
    return {"task": "btcv", "train": len(train), "test": len(test), "dice": found, "in_band": below}


def described(task: str, results: Path) -> dict[str, Any]:
    """What a linear model reads from hand-made descriptions of a MedMNIST set of cubes, fitted to train and told on test."""
    card = registry.task(task)
    assert isinstance(card.files, MedMnist)
    folder = write_task(task, "mini", results / "runs" / "phantoms" / "mini")
    with np.load(folder / f"{card.files.flag}.npz") as arrays:
        (train, learnt), (test, asked) = (
            (np.stack([description(cube) for cube in arrays[f"{part}_images"]]), arrays[f"{part}_labels"].ravel())
            for part in ("train", "test")
        )
    scores = header_model().fit(train, learnt).predict_proba(test)
    return {"task": task, "train": len(train), "test": len(test), "auc": round(auc(scores, asked), 4)}


def questions(images: int, chests: int) -> list[dict[str, Any]]:
    """The lower rungs of every question of every classification task."""
    found = []
    for task in classification_tasks():
        count = images if isinstance(registry.task(task).files, MedMnist) else chests
        for question, cases in drawn(task, count, SIDE).items():
            found.append(of_question(task, question, cases))
            print(found[-1], flush=True)
    return found


def earlier(out: Path | None) -> dict[str, Any]:
    """What a climb over phantoms of this generator left in the file; nothing of another generator, or of none."""
    found: dict[str, Any] = json.loads(out.read_text()) if out and out.exists() else {}
    return found if found.get("generator") == GENERATOR_VERSION else {}


def with_earlier(before: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was trained, by task, each as it was found last."""
    return list({one["task"]: one for one in (*before, *found)}.values())


TRAIN: Mapping[str, Callable[[str, int, Climb], dict[str, Any]]] = {"networks": network, "pretrained": pretrained}


def _trained(
    train: Callable[[str, int, Climb], dict[str, Any]],
    named: Sequence[tuple[str, str, str]],
    before: list[dict[str, Any]],
    climb: Climb,
) -> list[dict[str, Any]]:
    return with_earlier(before, [train(task, int(steps or 0), climb) for task, _, steps in named])


def main() -> None:
    """Climb, print each rung, write the JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rungs", nargs="*", default=RUNGS, choices=RUNGS, help="which to measure; all by default")
    parser.add_argument("--images", type=int, default=300, help="MedMNIST images of each set")
    parser.add_argument("--chests", type=int, default=100, help="scans of each other set")
    for trained in TRAIN:
        parser.add_argument(
            f"--{trained}", nargs="*", default=(), metavar="TASK[:STEPS]", help="tasks on which to train"
        )
    parser.add_argument(
        "--pool", default="own", help="corpus on which the reference pre-trains; own: the task's images"
    )
    parser.add_argument("--processes", type=int, default=1, help="runs at once, for a large device")
    parser.add_argument("--results", type=Path, default=Path("results/runs/ladder"))
    parser.add_argument("--out", type=Path, help="JSON file to write")
    asked = parser.parse_args()
    report: dict[str, Any] = {"machine": {}, **earlier(asked.out), "generator": GENERATOR_VERSION}
    named = {rung: [word.partition(":") for word in getattr(asked, rung)] for rung in TRAIN}
    training = Climb(Place.at(asked.results, environ=dict(os.environ)), asked.pool, asked.processes)
    climb: Mapping[str, Callable[[], Any]] = {
        "intensity": lambda: intensity(asked.results),
        "questions": lambda: questions(asked.images, asked.chests),
        "oracle": lambda: [found for task in classification_tasks() if (found := oracle(task, 1_000))],
        "described": lambda: [described(task, asked.results) for task in DESCRIBED],
    } | {rung: partial(_trained, train, named[rung], report.get(rung, []), training) for rung, train in TRAIN.items()}
    for rung in asked.rungs:
        if rung not in TRAIN or named[rung]:
            report["machine"][rung] = machine(["torch", "scikit-learn", "numpy"])
        report[rung] = climb[rung]()
        print(report[rung], flush=True)
        if asked.out:
            write_json(asked.out, report)


if __name__ == "__main__":
    main()
