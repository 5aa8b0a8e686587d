"""FractureMNIST3D: rib fractures of three kinds in cubes of chest CT (RibFrac).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,027 / 103 / 240 inside the file
"""

from bench.contracts.cards import ClassificationTask, FineTuneConfig, Intensity, Protocol, SplitRule
from tasks.layouts.medmnist import MedMnist

CLASSES = (
    "buckle",
    "nondisplaced",
    "displaced",
)
BENCH = Protocol(
    split=SplitRule(file="medmnist.json", key="fracturemnist3d", origin="official, inside the file", stratified=True),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(64, 64, 64),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=1_650,
        batch_size=32,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        flip_axes=(0, 1, 2),
        evaluate_every=50,
    ),
    metrics=("auc", "acc"),
    notes=(
        "The recipe is ours: 28 voxels a side stretched to 64, 1,650 updates.",
        "The split is inside the file; our hash orders the training images, classes interleaved.",
        "RibFrac is in the pools of SPAD and AR.",
    ),
)
SPAD = Protocol(
    split=SplitRule(file="medmnist.json", key="fracturemnist3d", origin="official, inside the file", order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(160, 160, 160),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=3_300,
        batch_size=32,
        lr=1e-5,
        weight_decay=0.01,
        schedule="milestones",
        warmup_steps=0,
        grad_clip=0.0,
        loss="ce",
        flip_axes=(),
        intensity_scale=0.0,
        intensity_shift=0.0,
        evaluate_every=33,
    ),
    metrics=("auc", "acc"),
    notes=(
        "100 epochs of 1,027 by 32 are 3,300 updates; the rate falls to a tenth at epochs 50 and 75 (paper).",
        "Table 6 searches nine rates from 5e-8 to 5e-4 by validation AUC; 1e-5 stands here, the others are --set lr=...",
        "Other networks saw other sizes: 96 voxels a side (UniMiSS, SMIT), 28x224x224 (EVA-02).",
        "One channel is not repeated to three.",
        "SPAD classifies from its class token; other networks from the mean of their tokens.",
        "No variation of the images (code).",
        "RibFrac is in the pools of SPAD and AR.",
    ),
)

TASK = ClassificationTask(
    title="FractureMNIST3D",
    version=1,
    modality="CT",
    files=MedMnist(flag="fracturemnist3d", classes=3, modality="CT"),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    counts={"labelled": 1370},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.03,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
