"""What tells phantom nodules apart without a network, and what the frozen encoders of a study tell of the same things.

    python -m tests.benchmarks.nodule_rules [--study RESULTS] [--methods ar mae3d mg3d spad] [--out FILE.json]

A control for `bench study`. Rules: the brightness of the block and of its middle, the roughness of the middle (standard deviation
of what a blur of 1.5 voxels takes away), and logistic regression on the means or standard deviations of blocks of 4^3 voxels at
each label ratio; all by AUC on the test part. With `--study`, for each start of each method whose linear probe is there: how much
of the variance of the middle's brightness and roughness a ridge regression on pooled features explains on test blocks (R^2), how
many directions the features fill (exponential of the entropy of their covariance's eigenvalues), and the AUC of logistic
regression with all training labels.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench import study
from bench.data.atomic import write_json
from bench.nets.intensity import to_network_range
from bench.phantom_data import write_task
from bench.run import Place, resolve_at, trained_model
from bench.train.hardware import Hardware
from tasks.kinds.classification import sized
from tests.benchmarks.measured import machine

TASK = "nodulemnist3d"
MIDDLE = slice(8, 20)  # of 28 voxels; nodules lie there
BLOCK, BLUR_VOXELS = 4, 1.5
PENALTIES = tuple(float(p) for p in np.logspace(-2, 5, 15))
LIMIT = 0.01  # inverse strength of the regression's penalty, for few labels and many numbers
Blocks = NDArray[np.float32]
Table = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Blocks (n, 28, 28, 28) and their classes, 0 or 1 (n)."""

    blocks: Blocks
    classes: NDArray[np.int64]


def parts_of(file: Path) -> tuple[Part, Part]:
    """The training and the test part of a NoduleMNIST3D file."""
    with np.load(file) as found:
        train, test = (
            Part(found[f"{name}_images"].astype(np.float32), found[f"{name}_labels"].ravel().astype(np.int64))
            for name in ("train", "test")
        )
    return train, test


def brightness(blocks: Blocks) -> Table:
    """Mean of the middle of each block (n)."""
    return np.asarray(blocks[:, MIDDLE, MIDDLE, MIDDLE].mean((1, 2, 3), dtype=np.float64))


def roughness(blocks: Blocks) -> Table:
    """Standard deviation, over the middle of each block, of what a blur takes away (n)."""
    fine = blocks - gaussian_filter(blocks, (0, *[BLUR_VOXELS] * 3), mode="nearest")
    return np.asarray(fine[:, MIDDLE, MIDDLE, MIDDLE].std((1, 2, 3), dtype=np.float64))


def by_block(blocks: Blocks) -> Blocks:
    """(n, cubes, voxels): each block cut into cubes of 4^3."""
    n, count = len(blocks), blocks.shape[1] // BLOCK
    cut = blocks.reshape(n, count, BLOCK, count, BLOCK, count, BLOCK).transpose(0, 1, 3, 5, 2, 4, 6)
    return cut.reshape(n, count**3, BLOCK**3)


def fitted_auc(
    shown: Table | Blocks, classes: NDArray[np.int64], asked: Table | Blocks, truth: NDArray[np.int64]
) -> float:
    """AUC on the test rows of a logistic regression fitted to the training rows."""
    fit = make_pipeline(StandardScaler(), LogisticRegression(C=LIMIT, max_iter=3000)).fit(shown, classes)
    return float(roc_auc_score(truth, fit.decision_function(asked)))


def explained(shown: Table | Blocks, value: Table, asked: Table | Blocks, truth: Table) -> float:
    """R^2 on the test rows of a ridge regression fitted to the training rows; below 0 it is worse than their mean."""
    return float(make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(shown, value).score(asked, truth))


def directions(features: Table | Blocks) -> float:
    """How many directions features (n, F) fill: 1 where all lie on a line, F where they spread evenly."""
    share = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    share = share[share > 0] / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def rules(train: Part, test: Part, ratios: tuple[float, ...]) -> list[dict[str, Any]]:
    """AUC of each rule; those of one number are as they come, above 0.5 where malignant blocks have more of it."""
    single = {
        "brightness of the block": test.blocks.mean((1, 2, 3), dtype=np.float64),
        "brightness of the middle": brightness(test.blocks),
        "roughness of the middle": roughness(test.blocks),
    }
    found = [{"rule": name, "auc": float(roc_auc_score(test.classes, value))} for name, value in single.items()]
    for name, told in (("mean", np.mean), ("standard deviation", np.std)):
        shown, asked = (told(by_block(part.blocks), axis=2) for part in (train, test))
        for ratio in ratios:
            n = round(ratio * len(shown))
            auc = fitted_auc(shown[:n], train.classes[:n], asked, test.classes)
            found.append({"rule": f"{name} of each 4^3 voxels, logistic regression", "ratio": ratio, "auc": auc})
    return found


def encoders(train: Part, test: Part, place: Place, methods: list[str]) -> Iterator[dict[str, Any]]:
    """What the frozen features of each finished probe of the full study tell (first seed, least labels)."""
    for arm in study.arms("full", methods):
        if arm.pool != study.NODULES or arm.way != "linear probe" or arm.start == "permuted labels":
            continue
        if arm.spec.seed != 0 or arm.spec.ratio != min(arm.pool.ratios):
            continue
        chain = resolve_at(arm.spec, place)
        if not (place.folder("finetune", chain.keys["finetune"]) / "trained.json").exists():
            continue
        model = trained_model(chain, place).eval()
        shown, asked = (_pooled(model, part.blocks, chain.blueprint.setup) for part in (train, test))
        yield {
            "method": arm.method,
            "start": arm.start,
            "brightness_r2": explained(shown, brightness(train.blocks), asked, brightness(test.blocks)),
            "roughness_r2": explained(shown, roughness(train.blocks), asked, roughness(test.blocks)),
            "directions": directions(shown),
            "auc_all_labels": fitted_auc(shown, train.classes, asked, test.classes),
        }


@torch.no_grad()
def _pooled(model: Any, blocks: Blocks, setup: Any) -> Table:
    found = []
    for some in torch.from_numpy(blocks)[:, None].split(50):
        found.append(model.encoder.pooled(sized(setup, to_network_range(some, setup.sight.intensity))).double())
    return np.asarray(torch.cat(found).numpy())


def measured(results: Path | None, methods: list[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """The rules and, where a study is named, its encoders."""
    with tempfile.TemporaryDirectory() as scratch:
        train, test = parts_of(write_task(TASK, "mini", Path(scratch)) / f"{TASK}.npz")
    found: dict[str, Any] = {"rules": rules(train, test, study.NODULES.ratios)}
    if results:
        cache = Path(environ["BENCH_CACHE"]) if "BENCH_CACHE" in environ else results / "cache"
        place = Place(results=results, cache=cache, environ=environ, hardware=Hardware(device="cpu"))
        found["encoders"] = list(encoders(train, test, place, methods))
    return found


def main() -> None:
    """Score the rules and the encoders, print them, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="results folder of a study of size full")
    parser.add_argument("--methods", nargs="+", default=["ar", "mae3d", "mg3d", "spad"])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    asked = parser.parse_args()
    found = measured(asked.study, asked.methods, os.environ)
    for row in [row for rows in found.values() for row in rows]:
        print(
            *(f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()),
            sep=", ",
        )
    if asked.out:
        write_json(asked.out, {"machine": machine(("numpy", "scikit-learn")), **found})


if __name__ == "__main__":
    main()
