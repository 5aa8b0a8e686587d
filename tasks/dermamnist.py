"""DermaMNIST: seven kinds of pigmented skin lesions in colour (HAM10000).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    7,007 / 1,003 / 2,005 inside the file
"""

from bench.contracts.cards import ClassificationTask
from bench.phantoms.specimen import Style
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "actinic-keratosis",
    "basal-cell-carcinoma",
    "benign-keratosis",
    "dermatofibroma",
    "melanoma",
    "melanocytic-nevus",
    "vascular-lesion",
)
BENCH = bench_protocol(
    "dermamnist",
    steps=5_500,
    flip_axes=(0, 1),
    dims=2,
    evaluate_every=110,
    notes=("The official split lets images of one lesion stand on both sides (arXiv 2401.14497).",),
)
SPAD = spad_protocol(
    "dermamnist",
    images=7_007,
    dims=2,
    notes=("The official split lets images of one lesion stand on both sides (arXiv 2401.14497).",),
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
