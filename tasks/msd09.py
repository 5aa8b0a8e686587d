"""MSD Task09 Spleen: spleen in portal-venous CT, 41 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 29/4/8 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` reports on fold 0 of five published folds (32/9), which also selects
"""

from bench.contracts.cards import FineTuneConfig, Inference, Intensity, Protocol, SegmentationTask, SplitRule
from tasks.layouts.first_of import FirstOf
from tasks.layouts.msd import Msd
from tasks.layouts.nnunet import NnUnet
from tasks.layouts.phantom_case import Look

LABELS = ("spleen",)
LOOK = Look(
    dataset="msd09",
    view="spleen",
    modality="ct",
    smoke=(40, 40, 24),
    mini=(96, 96, 48),
    spacing_mm=(0.8, 0.8, 1.5),
    unseen=("msd_712_proposed.json", "msd09/test"),
    orientations=("RAS", "LPS", "LAS", "RPI"),
    oblique_every=10,
)
SPLIT = SplitRule(
    file="msd_712_proposed.json",
    key="msd09",
    origin="ours: sha256('split-v1|msd09|case'), first 0.2 test, next 0.1 val",
)

BENCH = Protocol(
    split=SPLIT,
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-57.0, 175.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(rotate_degrees=(10.0, 10.0, 10.0), zoom=(0.9, 1.1)),
    metrics=("dice", "nsd@3mm", "hd95", "assd"),
    notes=(
        "The recipe is ours; spacing, window and crop are those of AR.",
        "NSD tolerance 3 mm is recalled from the challenge's supplement and not verified.",
    ),
)
AR = Protocol(
    split=SPLIT,
    label_ratios=(1.0,),
    intensity=Intensity("hu", (-57.0, 175.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(
        steps=8_000,
        batch_size=16,
        crops_per_volume=4,
        lr=3e-4,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        layer_decay=0.75,
        warmup_steps=400,
        grad_clip=0.0,
        precision="fp16",
        positive_share=0.5,
        flip_probability=0.2,
        rot90_probability=0.2,
        intensity_scale_probability=0.1,
        intensity_shift_probability=0.1,
        evaluate_every=400,
    ),
    inference=Inference(overlap=0.75, blending="constant"),
    metrics=("dice",),
    score_grid="resampled",
    target="organ",
    notes=(
        "The paper splits 7:1:2 at random and publishes no list: the split is ours, so its test cases are others.",
        "1,000 epochs of 29 volumes by 4 are 8,000 updates; warm-up and the distance of evaluations are 50 epochs (code).",
        "Layer decay 0.75 and the other values are for pre-trained encoders; the paper's scratch baseline had lr 1e-4, "
        "weight decay 1e-5 and no layer decay.",
        "Volumes are scored on the resampled, cropped grid (code); the paper is silent.",
        "Crops centred on background may centre on air here; the code wants the windowed image above 0 there.",
    ),
)
MIM = Protocol(
    split=SplitRule(
        file="msd09_folds.json",
        key="folds",
        origin="published:JiaxinZhuang/MiM Finetune/jsons/10_Decathlon_Task09_Spleen_folds.json",
        by_fold=True,
        order="published",
        subsets={0.25: "fold0_label_subsets/0.25", 0.5: "fold0_label_subsets/0.5"},
    ),
    label_ratios=(0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-57.0, 164.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(
        steps=8_000,
        batch_size=16,
        crops_per_volume=4,
        lr=2e-4,
        weight_decay=1e-5,
        warmup_steps=400,
        grad_clip=5.0,
        precision="fp16",
        positive_share=0.5,
        flip_probability=0.5,
        rot90_probability=0.25,
        intensity_scale=0.0,
        intensity_shift=0.1,
        intensity_shift_probability=0.5,
        evaluate_every=40,
    ),
    inference=Inference(overlap=0.5, blending="constant"),
    metrics=("dice", "nsd@3mm"),
    average="case_then_class",
    score_grid="resampled",
    target="organ",
    notes=(
        "Selected on the reported fold (evaluated each 5 epochs); the paper has no test part and states no split.",
        "The window is that of the released loader; the table in the repository's assets, whence the spacing, prints -57 to 175.",
        "The subsets at 0.25 and 0.5 are the published ones: fold 1, and folds 1 and 2. They belong to fold 0.",
        "Length and learning rate are published nowhere: 1,000 epochs, base rate 2e-4 per 16 crops (the sibling MG-3D code). "
        "32 volumes by 4 a step are 8 steps an epoch: 8,000 updates, warm-up 50 epochs.",
        "NSD tolerance 3 mm is the challenge's as we recall it; the paper gives none.",
    ),
)
TASK = SegmentationTask(
    title="MSD Task09 Spleen",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(task="Task09_Spleen", stem="spleen", modality="CT", labels=LABELS, look=LOOK, unlabelled=("spleen_1",)),
            NnUnet(name="Spleen", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "organ": {"spleen": ("spleen",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM},
    counts={"labelled": 41, "unlabelled": 20},
    archives={"Task09_Spleen.tar": "410d4a301da4e5b2f6f86ec3ddba524e"},
    folders=("Task09_Spleen",),
    gigabytes=1.5,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
