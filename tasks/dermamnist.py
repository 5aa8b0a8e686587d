"""DermaMNIST: seven kinds of pigmented skin lesions in colour (HAM10000).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    7,007 / 1,003 / 2,005 inside the file
"""

from bench.contracts.cards import ClassificationTask, FineTuneConfig, Intensity, Protocol, SplitRule
from bench.phantoms.specimen import Style
from tasks.layouts.medmnist import MedMnist

CLASSES = (
    "actinic-keratosis",
    "basal-cell-carcinoma",
    "benign-keratosis",
    "dermatofibroma",
    "melanoma",
    "melanocytic-nevus",
    "vascular-lesion",
)
BENCH = Protocol(
    split=SplitRule(file="medmnist.json", key="dermamnist", origin="official, inside the file", stratified=True),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("u8"),
    spacing_mm=(1.0, 1.0, 1e8),
    patch_voxels=(64, 64, 1),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=5_500,
        batch_size=64,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        flip_axes=(0, 1),
        evaluate_every=110,
    ),
    metrics=("auc", "acc"),
    notes=(
        "The recipe is ours: 28 pixels a side stretched to 64, 5,500 updates.",
        "The split is inside the file; our hash orders the training images, classes interleaved.",
        "The official split lets images of one lesion stand on both sides (arXiv 2401.14497).",
    ),
)
SPAD = Protocol(
    split=SplitRule(file="medmnist.json", key="dermamnist", origin="official, inside the file", order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=(1.0, 1.0, 1e8),
    patch_voxels=(160, 160, 1),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=5_500,
        batch_size=128,
        lr=1e-5,
        weight_decay=0.01,
        schedule="milestones",
        warmup_steps=0,
        grad_clip=0.0,
        loss="ce",
        flip_axes=(),
        intensity_scale=0.0,
        intensity_shift=0.0,
        evaluate_every=55,
    ),
    metrics=("auc", "acc"),
    notes=(
        "100 epochs of 7,007 by 128 are 5,500 updates; the rate falls to a tenth at epochs 50 and 75 (paper).",
        "Table 6 searches nine rates from 5e-8 to 5e-4 by validation AUC; 1e-5 stands here, the others are --set lr=...",
        "Networks other than SPAD saw other sizes: 224x224 in two dimensions.",
        "Pictures are stretched linearly; the code does so bicubically.",
        "SPAD classifies from its class token; other networks from the mean of their tokens.",
        "No variation of the images (code).",
        "The official split lets images of one lesion stand on both sides (arXiv 2401.14497).",
    ),
)

TASK = ClassificationTask(
    title="DermaMNIST",
    version=1,
    modality="PATH",
    files=MedMnist(flag="dermamnist", classes=7, modality="PATH", dims=2, style=Style(channels=3)),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    channels=3,
    dims=2,
    counts={"labelled": 10015},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.02,
    licence="CC BY-NC 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
