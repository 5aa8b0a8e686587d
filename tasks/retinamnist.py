"""RetinaMNIST: five grades of diabetic retinopathy in colour fundus pictures (DeepDRiD).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,080 / 120 / 400 inside the file
"""

from bench.contracts.cards import ClassificationTask
from bench.phantoms.specimen import Style
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "grade-0",
    "grade-1",
    "grade-2",
    "grade-3",
    "grade-4",
)
BENCH = bench_protocol(
    "retinamnist",
    steps=850,
    flip_axes=(0, 1),
    dims=2,
    notes=("Grades are ordered; they are scored as five classes, as the owners do.",),
)
SPAD = spad_protocol(
    "retinamnist",
    images=1_080,
    dims=2,
    notes=("Grades are ordered; they are scored as five classes, as the owners do.",),
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
