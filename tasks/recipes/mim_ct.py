"""MiM's protocol on CT segmentation: one recipe, of which each card states the chances of flips, quarter turns and shift.

Source   MiM's paper and released code, the table in its repository's assets; length and rate from the sibling MG-3D's code
Changes  told in the notes of each card
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bench.contracts.configs import FineTuneConfig, Inference, Intensity, Spacing
from bench.contracts.protocols import Protocol, SplitRule
from tasks.recipes.decathlon_ct import ELSEWHERE

RECIPE = FineTuneConfig(
    batch_size=16,
    crops_per_volume=4,
    lr=2e-4,
    weight_decay=1e-5,
    grad_clip=5.0,
    precision="fp16",
    positive_share=0.5,
    flip_probability=0.5,
    intensity_scale=0.0,
    intensity_shift=0.1,
    intensity_shift_probability=0.5,
)
# the Decathlon: two of three crops on foreground (its spleen: one of two), turned by up to 12 degrees about the long axis, scaled
FINE_RECIPE = replace(RECIPE, positive_share=2 / 3, rotate_degrees=(0.0, 0.0, 12.0), zoom=(0.9, 1.1))

SELECTED = "Selected on the reported fold (evaluated each 5 epochs); the paper has no test part and states no split."
FROM_ASSETS = (
    "Spacing, window and the chances of flips, turns and shift are the table in the repository's assets; "
    "the loader that used them is not released."
)
FLIPS_SWAP = "Flips swap left and right organs without renaming them, as on BTCV."
NO_MAGNIFICATION = "Left out, since the recipe has one zoom: a magnification of 1.3 to 1.5 (p 0.3)."
LENGTH = (  # its numbers are filled in by `mim_protocol`
    "Length and learning rate are published nowhere: 1,000 epochs, base rate 2e-4 per 16 crops (the sibling MG-3D code). "
    "{volumes} volumes by 4 a step are {epoch_steps} steps an epoch: {steps:,} updates, warm-up 50 epochs. The rate moves with "
    "each update, the code's with each epoch, as preset ref_code does."
)
FEWER_LABELS = (  # told after LENGTH
    " Smaller ratios keep all {steps:,} updates and an evaluation each {evaluate_every:,} (ours; 1,000 epochs of fewer volumes "
    "would be fewer, the paper does not say)."
)


def mim_protocol(
    *,
    split: SplitRule,
    window_hu: tuple[float, float],
    spacing_mm: Spacing,
    volumes: int,
    recipe: FineTuneConfig,
    notes: tuple[str, ...],
    label_ratios: tuple[float, ...] = (1.0,),
    nsd_mm: int = 2,
    target: str = "",
    ref_code: Mapping[str, Any] = MappingProxyType({}),
) -> Protocol:
    """MiM's protocol for 1,000 epochs over `volumes` for training; of `notes`, LENGTH is told with this task's numbers, and with
    what becomes of it where smaller label ratios are offered; and where crops lie that are not on foreground. `ref_code` is what
    the code does on this task alone."""
    epoch_steps = math.ceil(volumes / 4)  # 16 crops, 4 of a volume
    steps = 1_000 * epoch_steps
    length = (LENGTH + FEWER_LABELS * (len(label_ratios) > 1)).format(
        volumes=volumes, epoch_steps=epoch_steps, steps=steps, evaluate_every=5 * epoch_steps
    )
    return Protocol(
        split=split,
        label_ratios=label_ratios,
        intensity=Intensity("hu", window_hu),
        spacing_mm=spacing_mm,
        patch_voxels=(96, 96, 96),
        crop_foreground=True,
        recipe=replace(recipe, steps=steps, warmup_steps=50 * epoch_steps, evaluate_every=5 * epoch_steps),
        inference=Inference(overlap=0.5, blending="constant"),
        metrics=("dice", f"nsd@{nsd_mm}mm"),
        average="case_then_class",
        score_grid="resampled",
        target=target,
        ref_code={"lr_every": epoch_steps, **ref_code},
        notes=(*(length if note == LENGTH else note for note in notes), ELSEWHERE),
    )


def decathlon_folds(number: str, name: str, subsets: dict[float, str] | None = None) -> SplitRule:
    """MiM's five published folds of a task of the Decathlon: ("03", "Liver")."""
    return SplitRule(
        file=f"msd{number}_folds.json",
        key="folds",
        origin=f"published:JiaxinZhuang/MiM Finetune/jsons/10_Decathlon_Task{number}_{name}_folds.json",
        by_fold=True,
        order="published",
        subsets=subsets or {},
    )


def recalled_tolerance(nsd_mm: int) -> str:
    """The note on the NSD tolerance of a task of the Decathlon."""
    return f"NSD tolerance {nsd_mm} mm is the challenge's as we recall it; the paper gives none."
