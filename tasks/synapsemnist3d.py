"""SynapseMNIST3D: synapses in electron microscopy of rat cortex.

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,230 / 177 / 352 inside the file
"""

from bench.contracts.cards import ClassificationTask, FineTuneConfig, Intensity, Protocol, SplitRule
from tasks.layouts.medmnist import MedMnist

CLASSES = (
    "inhibitory",
    "excitatory",
)
BENCH = Protocol(
    split=SplitRule(file="medmnist.json", key="synapsemnist3d", origin="official, inside the file", stratified=True),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(64, 64, 64),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=1_950,
        batch_size=32,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        flip_axes=(0, 1, 2),
        evaluate_every=50,
    ),
    metrics=("auc", "acc"),
    notes=(
        "The recipe is ours: 28 voxels a side stretched to 64, 1,950 updates.",
        "The split is inside the file; our hash orders the training images, classes interleaved.",
    ),
)
SPAD = Protocol(
    split=SplitRule(file="medmnist.json", key="synapsemnist3d", origin="official, inside the file", order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(160, 160, 160),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=3_900,
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
        evaluate_every=39,
    ),
    metrics=("auc", "acc"),
    notes=(
        "100 epochs of 1,230 by 32 are 3,900 updates; the rate falls to a tenth at epochs 50 and 75 (paper).",
        "Table 6 searches nine rates from 5e-8 to 5e-4 by validation AUC; 1e-5 stands here, the others are --set lr=...",
        "Other networks saw other sizes: 96 voxels a side (UniMiSS, SMIT), 28x224x224 (EVA-02).",
        "One channel is not repeated to three.",
        "SPAD classifies from its class token; other networks from the mean of their tokens.",
        "No variation of the images (code).",
    ),
)

TASK = ClassificationTask(
    title="SynapseMNIST3D",
    version=1,
    modality="EM",
    files=MedMnist(flag="synapsemnist3d", classes=2, modality="EM"),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    counts={"labelled": 1759},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.03,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
