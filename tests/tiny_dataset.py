"""A made-up dataset of a few hundred voxels a case in the Decathlon's tree, so that each test can break it in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import Intensity
from bench.contracts.protocols import Protocol, SplitRule
from bench.data.formats import encode_nifti
from bench.data.splits import Parts
from tasks.layouts.msd import Msd
from tasks.layouts.phantom_case import Look

LOOK = Look(dataset="tiny", view="hippocampus", modality="t1", smoke=(12, 12, 12), mini=(12, 12, 12))
LAYOUT = Msd(task="Task99_Tiny", stem="tiny", modality="MR", labels=("head", "tail"), look=LOOK)
CT_LAYOUT = Msd(task="Task99_Tiny", stem="tiny", modality="CT", labels=("head", "tail"), look=LOOK)
CASES = tuple(f"tiny_{number:03d}" for number in range(1, 9))
PARTS = Parts(CASES[:5], CASES[5:6], CASES[6:])
PROTOCOL = Protocol(
    split=SplitRule(file="bench_proposed.json", key="tiny", origin="made up"),
    label_ratios=(0.5, 1.0),
    intensity=Intensity("zscore"),
    spacing_mm=None,
    patch_voxels=(8, 8, 8),
)
AFFINE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
SHAPE = (9, 10, 11)


def card(**changes: Any) -> SegmentationTask:
    told: dict[str, Any] = {
        "title": "Tiny",
        "version": 1,
        "modality": "MR",
        "files": LAYOUT,
        "classes": ("head", "tail"),
        "protocols": {"bench": PROTOCOL},
        "counts": {"labelled": 8},
        "folders": ("Task99_Tiny",),
        "gigabytes": 0.5,
        "licence": "CC0-1.0",
        "page": "https://example.org/tiny",
    }
    return SegmentationTask(**{**told, **changes})


def write(folder: Path, cases: Sequence[str] = CASES) -> Path:
    """Every case with its own image and both labels."""
    for case in cases:
        write_image(folder, case, image_of(case))
        write_label(folder, case, label_of(case))
    return folder


def image_of(case: str) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(int(case[-3:])))
    return random.standard_normal(SHAPE, dtype=np.float32) * 100 + 500


def label_of(case: str) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 2:5, 2 : 4 + int(case[-3:]) % 3] = 1
    label[4:6, 2:5, 2:6] = 2
    return label


def write_image(folder: Path, case: str, array: np.ndarray, *, affine: Any = AFFINE, part: str = "imagesTr") -> Path:
    path = folder / part / f"{case}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_nifti(array, affine, array.dtype, zipped=True))  # no flush to disk: tests write many
    return path


def write_label(folder: Path, case: str, array: np.ndarray, *, affine: Any = AFFINE) -> Path:
    return write_image(folder, case, array, affine=affine, part="labelsTr")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
