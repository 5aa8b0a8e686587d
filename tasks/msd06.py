"""MSD Task06 Lung: tumours of the lung in CT, 63 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 44/6/13 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` and `mg3d` report on fold 0 of five published folds (50/13), which also selects
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Inference, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.first_of import FirstOf
from tasks.layouts.msd import Msd
from tasks.layouts.nnunet import NnUnet
from tasks.recipes.decathlon_ct import ELSEWHERE, ar_protocol, bench_protocol, phantom_look
from tasks.recipes.mim_ct import (
    FINE_RECIPE,
    FROM_ASSETS,
    LENGTH,
    NO_MAGNIFICATION,
    SELECTED,
    decathlon_folds,
    mim_protocol,
    recalled_tolerance,
)

LABELS = ("tumor",)
LOOK = phantom_look("msd06", "chest")

BENCH = bench_protocol("msd06", window_hu=(-1000.0, 1000.0), spacing_mm=(1.0, 1.0, 1.0), nsd_mm=2)
AR = ar_protocol(
    BENCH,
    volumes=44,
    target="tumor",
    notes=("The paper counts 64 volumes; the public archive labels 63.",),
)
MIM = mim_protocol(
    split=decathlon_folds("06", "Lung"),
    window_hu=(-1000.0, 1000.0),
    spacing_mm=(1.0, 1.0, 1.0),
    volumes=50,
    recipe=replace(FINE_RECIPE, rot90_probability=0.3, intensity_shift_probability=0.1),
    nsd_mm=2,
    target="tumor",
    notes=(
        SELECTED,
        FROM_ASSETS,
        LENGTH,
        NO_MAGNIFICATION,
        recalled_tolerance(2),
    ),
)
MG3D = Protocol(
    split=SplitRule(
        file="msd06_folds.json",
        key="folds",
        origin="published:JiaxinZhuang/MiM Finetune/jsons/10_Decathlon_Task06_Lung_folds.json, the list in MG-3D's code",
        by_fold=True,
        order="published",
    ),
    label_ratios=(1.0,),
    intensity=Intensity("hu", (-175.0, 250.0)),
    spacing_mm=(1.5, 1.5, 1.5),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(
        steps=25_000,
        batch_size=8,
        crops_per_volume=4,
        lr=1e-4,
        weight_decay=1e-5,
        warmup_steps=1_250,
        grad_clip=5.0,
        precision="fp16",
        loss="dice_plain",
        positive_share=2 / 3,
        flip_probability=0.5,
        rot90_probability=0.3,
        rotate_degrees=(0.0, 0.0, 12.0),
        zoom=(0.9, 1.1),
        intensity_scale_probability=0.1,
        intensity_shift_probability=0.1,
        evaluate_every=125,
    ),
    inference=Inference(overlap=0.5, blending="constant"),
    metrics=("dice",),
    average="case_then_class",
    score_grid="resampled",
    target="tumor",
    ref_code={"lr_every": 25},  # of each epoch
    notes=(
        "The window of -175 to 250 HU is an abdomen's and turns the lung itself to 0; it is what the released config says.",
        "Three repeats are folds 0, 1 and 2 (50/13); the paper prints 51/12. Selected on the reported fold.",
        "1,000 epochs of 50 volumes by 2 are 25,000 updates; warm-up 50 epochs, evaluations each 5 epochs (code). The rate "
        "moves with each update, the code's with each epoch, as preset ref_code does.",
        "Soft Dice alone is the loss (code). The code does not shuffle its training list, ours is shuffled.",
        NO_MAGNIFICATION,
        ELSEWHERE,
        "What a turn or a zoom out brings in from beyond a crop counts nothing in the loss here; the code fills it with the crop's "
        "mirror image, mask and all, and zooms each axis by itself.",
        "NSD exists in the code (tolerance 2 mm, overwritten by 4) and is not reported.",
    ),
)
TASK = SegmentationTask(
    title="MSD Task06 Lung",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(task="Task06_Lung", stem="lung", modality="CT", labels=LABELS, look=LOOK, unlabelled=("lung_002",)),
            NnUnet(name="Lung", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "tumor": {"tumor": ("tumor",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM, "mg3d": MG3D},
    counts={"labelled": 63, "unlabelled": 32},
    archives={"Task06_Lung.tar": "8afd997733c7fc0432f71255ba4e52dc"},
    folders=("Task06_Lung",),
    gigabytes=8.5,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
