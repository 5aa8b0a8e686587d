"""CC-CCII: COVID-19, another pneumonia, or neither, in 4,178 chest CT scans of 2,742 patients.

Source   Zhang et al., Cell 2020; China Consortium of Chest CT Image Investigation
Split    three patient-disjoint folds of MG-3D (splits/ccccii_folds.csv); the 405 scans that every fold holds out are `bench`'s test
"""

from bench.contracts.cards import ClassificationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.ccccii import COUNTED_MM, Ccccii

SHAPE = (384, 384, 32)
MIDDLE = (0.75, 0.75, 1.0)  # 384 of 512 pixels
FOLDS = "published: Xuefeng-Ni/MG-3D, csv folds (the same in Luffy03/Large-Scale-Medical)"
PRINTED = "The paper prints 2,785 / 1,393 scans, the published folds hold 2,514 / 1,664; fold 0 by default, 1 and 2 by --fold."
SIZES = "The middle 0.75 of a slice is the code's 384 of 512 pixels; slices are stretched to 32 linearly."
EPOCH = 629  # updates, of 2,514 scans by 4
PER_EPOCH = "The rate moves with each update, the code's with each epoch, as preset ref_code does."
SLICES = (
    "Slices are windowed bytes without a voxel size; a scan counts as one of anisotropy 1 (1 x 1 x 2 mm) unless "
    "--set slice_mm=MM tells how far they lie apart beside pixels of 1 mm. Encoders that adapt to anisotropy (SPAD) look at it."
)
RECIPE = FineTuneConfig(
    steps=130 * EPOCH,
    batch_size=4,
    lr=3e-4,
    weight_decay=0.01,
    warmup_steps=30 * EPOCH,
    grad_clip=0.0,
    precision="fp16",
    loss="ce",
    flip_axes=(2,),
    intensity_scale=0.05,
    intensity_shift=0.07,
    evaluate_every=EPOCH,
    select_by="acc",
    decay_all=True,
)
BENCH = Protocol(
    split=SplitRule(
        file="ccccii_folds.csv",
        key="holdout",
        origin="the 405 scans that no published fold trains on are test; val is what fold k alone holds out",
        by_fold=True,
        stratified=True,
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("u8"),
    spacing_mm=None,
    counted_mm=COUNTED_MM,
    box_share=MIDDLE,
    patch_voxels=(192, 192, 32),
    whole_volume=True,
    stored_voxels=(192, 192, 32),
    recipe=FineTuneConfig(
        steps=20_000,
        batch_size=8,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        flip_axes=(0, 2),
        rotate_degrees=(0.0, 0.0, 10.0),
        zoom=(0.9, 1.1),
        evaluate_every=500,
    ),
    metrics=("auc", "acc"),
    notes=(
        "The recipe is ours, and so is the size of half the papers' pixels a side.",
        "A label ratio takes whole patients, classes interleaved.",
        SLICES,
    ),
)
MIM = Protocol(
    split=SplitRule(file="ccccii_folds.csv", key="folds", origin=FOLDS, by_fold=True, order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    counted_mm=COUNTED_MM,
    box_share=MIDDLE,
    patch_voxels=SHAPE,
    whole_volume=True,
    stored_voxels=SHAPE,
    recipe=RECIPE,
    ref_code={"lr_every": EPOCH},
    metrics=("acc", "auc@micro", "auc"),
    notes=(
        "The paper states no split; its group's code reads the same folds. Selected on the reported scans, by accuracy (code).",
        "Length, rate and variation are published nowhere for this task: those of the sibling MG-3D code stand here.",
        PER_EPOCH,
        "AUC is micro-averaged over classes one against the rest (code); the macro average stands beside it.",
        "Depth 32 as in the repository's assets; its one preset of the network has 16.",
        "Bytes are divided by 255; the assets say min-max.",
        SIZES,
        SLICES,
    ),
)
MG3D = Protocol(
    split=SplitRule(file="ccccii_folds.csv", key="folds", origin=FOLDS, by_fold=True, order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    counted_mm=COUNTED_MM,
    box_share=MIDDLE,
    patch_voxels=SHAPE,
    whole_volume=True,
    stored_voxels=SHAPE,
    recipe=RECIPE,
    ref_code={"lr_every": EPOCH},
    metrics=("acc", "auc"),
    notes=(
        PRINTED,
        "Selected on the reported scans by accuracy, evaluated each epoch (code).",
        "130 epochs of 2,514 by 4 are 81,770 updates, warm-up 30 epochs (code). AdamW's amsgrad is left out.",
        PER_EPOCH,
        "The crop stands in the middle; the code moves it by up to 18 pixels.",
        "The code's Swin-L variant stacks each volume twice and adds a decoder; here every network has a linear head.",
        "The code norms the pooled features before that head; ours does not.",
        SIZES,
        SLICES,
    ),
)

TASK = ClassificationTask(
    title="CC-CCII",
    version=1,
    modality="CT",
    files=Ccccii(unseen=BENCH.split),
    classes=("normal", "common-pneumonia", "covid"),
    protocols={"bench": BENCH, "mim": MIM, "mg3d": MG3D},
    counts={"labelled": 4178},
    folders=("CC-CCII", "ccccii"),
    gigabytes=60.0,
    licence="for research, as the download page says; no redistribution is mentioned",
    page="http://ncov-ai.big.ac.cn/download (open download)",
    citation="Zhang et al., Clinically applicable AI system for COVID-19 pneumonia using CT, Cell 181, 2020",
)
