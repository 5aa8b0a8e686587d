"""MedMNIST, cubes and pictures: our protocol, and SPAD's.

Source   Yang et al., Scientific Data 2023; SPAD's paper, Table 6, and its released code
Changes  told in the notes of each protocol
"""

from __future__ import annotations

import math

from bench.contracts.configs import FineTuneConfig, Intensity, Shape3, Spacing
from bench.contracts.protocols import Protocol, SplitRule

FLAT_MM = (1.0, 1.0, 1e8)  # a picture: nothing is beside it


def bench_protocol(
    flag: str,
    *,
    steps: int,
    flip_axes: tuple[int, ...],
    notes: tuple[str, ...] = (),
    dims: int = 3,
    evaluate_every: int = 50,
    random_factor: bool = False,
) -> Protocol:
    """Our recipe on the official split of `flag`, at all label ratios; `notes` are the task's own."""
    points = "voxels" if dims == 3 else "pixels"
    factor = "Training shapes are multiplied by a factor in [0, 1), all others by 0.5, as the owners do."
    centred = (
        "Grey values are scaled to [-1, 1]: from 0 up, the brightness that all images share drowns a small transformer."
    )
    return Protocol(
        split=SplitRule(file="medmnist.json", key=flag, origin="official, inside the file", stratified=True),
        label_ratios=(0.1, 0.25, 0.5, 1.0),
        intensity=Intensity("u8") if random_factor else Intensity("u8", scaled_to=(-1.0, 1.0)),
        spacing_mm=_spacing_mm(dims),
        patch_voxels=_side(64, dims),
        image_voxels=_side(28, dims),
        whole_volume=True,
        recipe=FineTuneConfig(
            steps=steps,
            batch_size=32 if dims == 3 else 64,
            lr=1e-4,
            weight_decay=0.01,
            loss="ce",
            flip_axes=flip_axes,
            evaluate_every=evaluate_every,
            random_factor=random_factor,
        ),
        metrics=("auc", "acc"),
        notes=(
            f"The recipe is ours: 28 {points} a side stretched to 64, {steps:,} updates.",
            "The split is inside the file; our hash orders the training images, classes interleaved.",
            factor if random_factor else centred,
            *notes,
        ),
    )


def spad_protocol(
    flag: str, *, images: int, notes: tuple[str, ...] = (), dims: int = 3, random_factor: bool = False
) -> Protocol:
    """SPAD's recipe: 100 epochs over `images` for training, no variation; `notes` are the task's own."""
    batch_size = 32 if dims == 3 else 128
    epoch_steps = math.ceil(images / batch_size)
    steps = 100 * epoch_steps
    return Protocol(
        split=SplitRule(file="medmnist.json", key=flag, origin="official, inside the file", order="published"),
        label_ratios=(1.0,),
        intensity=Intensity("u8"),
        spacing_mm=_spacing_mm(dims),
        patch_voxels=_side(160, dims),
        image_voxels=_side(28, dims),
        whole_volume=True,
        recipe=FineTuneConfig(
            steps=steps,
            batch_size=batch_size,
            lr=1e-5,
            weight_decay=0.01,
            schedule="milestones",
            warmup_steps=0,
            grad_clip=0.0,
            loss="ce",
            flip_axes=(),
            intensity_scale=0.0,
            intensity_shift=0.0,
            evaluate_every=epoch_steps,
            random_factor=random_factor,
        ),
        metrics=("auc", "acc"),
        notes=(
            f"100 epochs of {images:,} by {batch_size} are {steps:,} updates; "
            "the rate falls to a tenth at epochs 50 and 75 (paper).",
            "Table 6 searches nine rates from 5e-8 to 5e-4 by validation AUC; 1e-5 stands here, the others are --set lr=...",
            *(_OF_CUBES if dims == 3 else _OF_PICTURES),
            "SPAD classifies from its class token; other networks from the mean of their tokens.",
            "Training shapes are multiplied by a factor in [0, 1), all others by 0.5 (code)."
            if random_factor
            else "No variation of the images (code).",
            *notes,
        ),
    )


ONE_CHANNEL = "One channel is not repeated to three."
_OF_CUBES = (
    "Other networks saw other sizes: 96 voxels a side (UniMiSS, SMIT), 28x224x224 (EVA-02).",
    ONE_CHANNEL,
)
_OF_PICTURES = (
    "Networks other than SPAD saw other sizes: 224x224 in two dimensions.",
    "Pictures are stretched linearly; the code does so bicubically.",
)


def _side(voxels: int, dims: int) -> Shape3:
    return (voxels, voxels, voxels if dims == 3 else 1)


def _spacing_mm(dims: int) -> Spacing | None:
    return None if dims == 3 else FLAT_MM
