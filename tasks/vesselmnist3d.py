"""VesselMNIST3D: shapes of brain vessels, healthy or with an aneurysm (IntrA).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,335 / 191 / 382 inside the file
"""

from bench.contracts.cards import ClassificationTask, FineTuneConfig, Intensity, Protocol, SplitRule
from bench.phantoms.specimen import Style
from tasks.layouts.medmnist import MedMnist

CLASSES = (
    "vessel",
    "aneurysm",
)
BENCH = Protocol(
    split=SplitRule(file="medmnist.json", key="vesselmnist3d", origin="official, inside the file", stratified=True),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(64, 64, 64),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=2_100,
        batch_size=32,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        flip_axes=(0, 1, 2),
        evaluate_every=50,
        random_factor=True,
    ),
    metrics=("auc", "acc"),
    notes=(
        "The recipe is ours: 28 voxels a side stretched to 64, 2,100 updates.",
        "The split is inside the file; our hash orders the training images, classes interleaved.",
        "Training shapes are multiplied by a factor in [0, 1), all others by 0.5, as the owners do.",
        "An older file (package v2) has one image more: it is taken too, and its last image left out.",
    ),
)
SPAD = Protocol(
    split=SplitRule(file="medmnist.json", key="vesselmnist3d", origin="official, inside the file", order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(160, 160, 160),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=4_200,
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
        evaluate_every=42,
        random_factor=True,
    ),
    metrics=("auc", "acc"),
    notes=(
        "100 epochs of 1,335 by 32 are 4,200 updates; the rate falls to a tenth at epochs 50 and 75 (paper).",
        "Table 6 searches nine rates from 5e-8 to 5e-4 by validation AUC; 1e-5 stands here, the others are --set lr=...",
        "Other networks saw other sizes: 96 voxels a side (UniMiSS, SMIT), 28x224x224 (EVA-02).",
        "One channel is not repeated to three.",
        "SPAD classifies from its class token; other networks from the mean of their tokens.",
        "Training shapes are multiplied by a factor in [0, 1), all others by 0.5 (code).",
    ),
)

TASK = ClassificationTask(
    title="VesselMNIST3D",
    version=1,
    modality="SHAPE",
    files=MedMnist(flag="vesselmnist3d", classes=2, modality="SHAPE", style=Style(form="shape")),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    counts={"labelled": 1908},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.001,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
