"""DermaMNIST: seven kinds of pigmented skin lesions in colour (HAM10000).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    7,007 / 1,003 / 2,005 inside the file; `corrected`: 8,215 / 573 / 1,227 of DermaMNIST-C (Abhishek et al., arXiv
         2401.14497), whose file the user brings
"""

from dataclasses import replace

from bench.contracts.cards import ClassificationTask
from bench.contracts.protocols import SplitRule
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
LEAK = "The official split lets images of one lesion stand on both sides (arXiv 2401.14497); --protocol corrected does not."
BENCH = bench_protocol(
    "dermamnist",
    steps=5_500,
    flip_axes=(0, 1),
    dims=2,
    evaluate_every=110,
    notes=(LEAK,),
)
SPAD = spad_protocol(
    "dermamnist",
    images=7_007,
    dims=2,
    notes=(LEAK,),
)
LOOK = Style(channels=3)
PAGE = "https://zenodo.org/records/12739457 (open download; code and lists: github kakumarabhishek/Corrected-Skin-Image-Datasets)"
CORRECTED = MedMnist(
    flag="dermamnist_c",
    classes=7,
    modality="PATH",
    dims=2,
    style=LOOK,
    facts="medmnist_corrected.json",
    stem="dermamnist_corrected",
    hint="DermaMNIST-C is no file of MedMNIST: its authors give it out on Zenodo, record 12739457.",
)
BENCH_C = replace(
    bench_protocol(
        "dermamnist_c",
        steps=6_450,
        flip_axes=(0, 1),
        dims=2,
        evaluate_every=129,
        notes=(
            "DermaMNIST-C: the same pictures in parts that share no lesion, as its authors say (arXiv 2401.14497). No paper here "
            "reports on it, and no number of the official split may stand beside it.",
        ),
    ),
    split=SplitRule(
        file="medmnist_corrected.json",
        key="dermamnist_c",
        origin="Abhishek et al., arXiv 2401.14497, inside the file",
        stratified=True,
    ),
    files=CORRECTED,
    page=PAGE,
)

TASK = ClassificationTask(
    title="DermaMNIST",
    version=1,
    modality="PATH",
    files=MedMnist(flag="dermamnist", classes=7, modality="PATH", dims=2, style=LOOK, beside=CORRECTED),
    classes=CLASSES,
    protocols={"bench": BENCH, "corrected": BENCH_C, "spad": SPAD},
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
