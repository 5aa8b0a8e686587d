"""MSD Task03 Liver: liver and its tumours in portal-venous CT, 131 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 92/13/26 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` reports on fold 0 of five published folds (104/27), which also selects
"""

from bench.contracts.cards import FineTuneConfig, Inference, Intensity, Protocol, SegmentationTask, SplitRule
from tasks.layouts.first_of import FirstOf
from tasks.layouts.msd import Msd
from tasks.layouts.nnunet import NnUnet
from tasks.layouts.phantom_case import Look

LABELS = ("liver", "tumor")
LOOK = Look(
    dataset="msd03",
    view="liver",
    modality="ct",
    smoke=(40, 40, 24),
    mini=(96, 96, 48),
    spacing_mm=(0.8, 0.8, 1.5),
    unseen=("msd_712_proposed.json", "msd03/test"),
    orientations=("RAS", "LPS", "LAS", "RPI"),
    oblique_every=10,
)
SPLIT = SplitRule(
    file="msd_712_proposed.json",
    key="msd03",
    origin="ours: sha256('split-v1|msd03|case'), first 0.2 test, next 0.1 val",
)

BENCH = Protocol(
    split=SPLIT,
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-21.0, 189.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(rotate_degrees=(10.0, 10.0, 10.0), zoom=(0.9, 1.1)),
    metrics=("dice", "nsd@7mm", "hd95", "assd"),
    notes=(
        "The recipe is ours; spacing, window and crop are those of AR.",
        "NSD tolerance 7 mm is recalled from the challenge's supplement and not verified.",
    ),
)
AR = Protocol(
    split=SPLIT,
    label_ratios=(1.0,),
    intensity=Intensity("hu", (-21.0, 189.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(
        steps=23_000,
        batch_size=16,
        crops_per_volume=4,
        lr=3e-4,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        layer_decay=0.75,
        warmup_steps=1_150,
        grad_clip=0.0,
        precision="fp16",
        positive_share=0.5,
        flip_probability=0.2,
        rot90_probability=0.2,
        intensity_scale_probability=0.1,
        intensity_shift_probability=0.1,
        evaluate_every=1_150,
    ),
    inference=Inference(overlap=0.75, blending="constant"),
    metrics=("dice",),
    score_grid="resampled",
    target="organ",
    notes=(
        "The paper splits 7:1:2 at random and publishes no list: the split is ours, so its test cases are others.",
        "Organ alone: only with the tumour merged into the liver is a Dice of 0.96 plausible (inferred, the paper does not say).",
        "1,000 epochs of 92 volumes by 4 are 23,000 updates; warm-up and the distance of evaluations are 50 epochs (code).",
        "Layer decay 0.75 and the other values are for pre-trained encoders; the paper's scratch baseline had lr 1e-4, "
        "weight decay 1e-5 and no layer decay.",
        "Volumes are scored on the resampled, cropped grid (code); the paper is silent.",
        "Crops centred on background may centre on air here; the code wants the windowed image above 0 there.",
    ),
)
MIM = Protocol(
    split=SplitRule(
        file="msd03_folds.json",
        key="folds",
        origin="published:JiaxinZhuang/MiM Finetune/jsons/10_Decathlon_Task03_Liver_folds.json",
        by_fold=True,
        order="published",
    ),
    label_ratios=(1.0,),
    intensity=Intensity("hu", (-21.0, 189.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(
        steps=26_000,
        batch_size=16,
        crops_per_volume=4,
        lr=2e-4,
        weight_decay=1e-5,
        warmup_steps=1_300,
        grad_clip=5.0,
        precision="fp16",
        positive_share=2 / 3,
        flip_probability=0.2,
        rot90_probability=0.2,
        rotate_degrees=(0.0, 0.0, 12.0),
        zoom=(0.9, 1.1),
        intensity_scale=0.0,
        intensity_shift=0.1,
        intensity_shift_probability=0.1,
        evaluate_every=130,
    ),
    inference=Inference(overlap=0.5, blending="constant"),
    metrics=("dice", "nsd@7mm"),
    average="case_then_class",
    score_grid="resampled",
    target="organ",
    notes=(
        "Selected on the reported fold (evaluated each 5 epochs); the paper has no test part and states no split.",
        "Spacing, window and the chances of flips, turns and shift are the table in the repository's assets; "
        "the loader that used them is not released.",
        "Organ alone (inferred from the size of the numbers). The code sets labels that it is not asked for to background, "
        "so tumour voxels may have been background: `@organ_drop` is that reading. The table counts 125 volumes, the list 131.",
        "Length and learning rate are published nowhere: 1,000 epochs, base rate 2e-4 per 16 crops (the sibling MG-3D code). "
        "104 volumes by 4 a step are 26 steps an epoch: 26,000 updates, warm-up 50 epochs.",
        "NSD tolerance 7 mm is the challenge's as we recall it; the paper gives none.",
    ),
)
TASK = SegmentationTask(
    title="MSD Task03 Liver",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(task="Task03_Liver", stem="liver", modality="CT", labels=LABELS, look=LOOK, unlabelled=("liver_131",)),
            NnUnet(name="Liver", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "organ": {"liver": ("liver", "tumor")},  # the tumour is part of the organ
        "organ_drop": {"liver": ("liver",)},  # the tumour is background
        "tumor": {"tumor": ("tumor",)},
        "both": {"liver": ("liver",), "tumor": ("tumor",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM},
    counts={"labelled": 131, "unlabelled": 70},
    archives={"Task03_Liver.tar": "a90ec6c4aa7f6a3d087205e23d4e6397"},
    folders=("Task03_Liver",),
    gigabytes=26.9,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
