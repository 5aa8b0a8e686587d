"""What the six CT tasks of the Decathlon share: how their phantoms look, our protocol, and AR's.

Source   AR's paper and its released fine-tuning code; split and `bench` are ours
Changes  told in the notes of each protocol
"""

from __future__ import annotations

import math
from dataclasses import replace

from bench.contracts.configs import FineTuneConfig, Inference, Intensity, Spacing
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.phantom_case import Look

SPLITS = "msd_712_proposed.json"
AR_RECIPE = FineTuneConfig(
    batch_size=16,
    crops_per_volume=4,
    lr=3e-4,
    betas=(0.9, 0.95),
    weight_decay=0.05,
    layer_decay=0.75,
    grad_clip=0.0,
    precision="fp16",
    positive_share=0.5,
    flip_probability=0.2,
    rot90_probability=0.2,
    intensity_scale_probability=0.1,
    intensity_shift_probability=0.1,
)
ELSEWHERE = (
    "Crops that are not centred on foreground lie anywhere here; the code centres them on background whose windowed image is above "
    "0."
)
# the released code's optimiser of networks that start without weights, on all segmentations
AR_SCRATCH = {"lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 1e-5, "decay_all": True, "layer_decay": 1.0}
# a crop's class is drawn uniformly among those present, background one of three
AR_BOTH_CLASSES = replace(AR_RECIPE, positive_share=2 / 3, balanced_classes=True)


def phantom_look(dataset: str, view: str) -> Look:
    """How phantoms of `dataset` look: CT of a view of the body, in the four orientations that the archives hold."""
    return Look(
        dataset=dataset,
        view=view,
        modality="ct",
        smoke=(40, 40, 24),
        mini=(96, 96, 48),
        spacing_mm=(0.8, 0.8, 1.5),
        unseen=(SPLITS, f"{dataset}/test"),
        orientations=("RAS", "LPS", "LAS", "RPI"),
        oblique_every=10,
    )


def bench_protocol(dataset: str, *, window_hu: tuple[float, float], spacing_mm: Spacing, nsd_mm: int) -> Protocol:
    """Our recipe on our split, at AR's spacing, window and crop; NSD at a tolerance of `nsd_mm`."""
    return Protocol(
        split=SplitRule(
            file=SPLITS,
            key=dataset,
            origin=f"ours: sha256('split-v1|{dataset}|case'), first 0.2 test, next 0.1 val",
        ),
        label_ratios=(0.1, 0.25, 0.5, 1.0),
        intensity=Intensity("hu", window_hu),
        spacing_mm=spacing_mm,
        patch_voxels=(96, 96, 96),
        crop_foreground=True,
        recipe=FineTuneConfig(rotate_degrees=(10.0, 10.0, 10.0), zoom=(0.9, 1.1)),
        metrics=("dice", f"nsd@{nsd_mm}mm", "hd95", "assd"),
        notes=(
            "The recipe is ours; spacing, window and crop are those of AR.",
            f"NSD tolerance {nsd_mm} mm is recalled from the challenge's supplement and not verified.",
        ),
    )


def ar_protocol(
    bench: Protocol,
    *,
    volumes: int,
    target: str,
    epochs: int = 1_000,
    recipe: FineTuneConfig = AR_RECIPE,
    notes: tuple[str, ...] = (),
) -> Protocol:
    """AR's recipe on the split and the sight of `bench`, for `epochs` over `volumes` for training; `notes` are the task's own."""
    epoch_steps = math.ceil(volumes / 4)  # 16 crops, 4 of a volume
    steps = epochs * epoch_steps
    return replace(
        bench,
        label_ratios=(1.0,),
        recipe=replace(recipe, steps=steps, warmup_steps=50 * epoch_steps, evaluate_every=50 * epoch_steps),
        scratch=AR_SCRATCH,
        inference=Inference(overlap=0.75, blending="constant"),
        metrics=("dice",),
        score_grid="resampled",
        target=target,
        notes=(
            "The paper splits 7:1:2 at random and publishes no list: the split is ours, so its test cases are others.",
            *notes,
            f"{epochs:,} epochs of {volumes} volumes by 4 are {steps:,} updates; "
            "warm-up and the distance of evaluations are 50 epochs (code).",
            "Layer decay 0.75 and the other values are for pre-trained encoders; a start without weights takes lr 1e-4, weight "
            "decay 1e-5 on every parameter, default betas and no layer decay (code). `--set finetune.matched_optim=true` gives it "
            "those of pre-trained encoders.",
            "Volumes are scored on the resampled, cropped grid (code); the paper is silent.",
            f"{ELSEWHERE} Padding counts nothing in the loss here, and as background there.",
        ),
    )
