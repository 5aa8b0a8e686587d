"""RetinaMNIST: five grades of diabetic retinopathy in colour fundus pictures (DeepDRiD).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,080 / 120 / 400 inside the file
"""

from bench.contracts.cards import ClassificationTask, FineTuneConfig, Intensity, Protocol, SplitRule
from bench.phantoms.specimen import Style
from tasks.layouts.medmnist import MedMnist

CLASSES = (
    "grade-0",
    "grade-1",
    "grade-2",
    "grade-3",
    "grade-4",
)
BENCH = Protocol(
    split=SplitRule(file="medmnist.json", key="retinamnist", origin="official, inside the file", stratified=True),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("u8"),
    spacing_mm=(1.0, 1.0, 1e8),
    patch_voxels=(64, 64, 1),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=850,
        batch_size=64,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        flip_axes=(0, 1),
        evaluate_every=50,
    ),
    metrics=("auc", "acc"),
    notes=(
        "The recipe is ours: 28 pixels a side stretched to 64, 850 updates.",
        "The split is inside the file; our hash orders the training images, classes interleaved.",
        "Grades are ordered; they are scored as five classes, as the owners do.",
    ),
)
SPAD = Protocol(
    split=SplitRule(file="medmnist.json", key="retinamnist", origin="official, inside the file", order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=(1.0, 1.0, 1e8),
    patch_voxels=(160, 160, 1),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=900,
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
        evaluate_every=9,
    ),
    metrics=("auc", "acc"),
    notes=(
        "100 epochs of 1,080 by 128 are 900 updates; the rate falls to a tenth at epochs 50 and 75 (paper).",
        "Table 6 searches nine rates from 5e-8 to 5e-4 by validation AUC; 1e-5 stands here, the others are --set lr=...",
        "Networks other than SPAD saw other sizes: 224x224 in two dimensions.",
        "Pictures are stretched linearly; the code does so bicubically.",
        "SPAD classifies from its class token; other networks from the mean of their tokens.",
        "No variation of the images (code).",
        "Grades are ordered; they are scored as five classes, as the owners do.",
    ),
)

TASK = ClassificationTask(
    title="RetinaMNIST",
    version=1,
    modality="FP",
    files=MedMnist(flag="retinamnist", classes=5, modality="FP", dims=2, style=Style(channels=3)),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    channels=3,
    dims=2,
    counts={"labelled": 1600},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.003,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
