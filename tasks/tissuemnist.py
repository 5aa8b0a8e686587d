"""TissueMNIST: eight kinds of kidney cells in grey projections (BBBC051).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    165,466 / 23,640 / 47,280 inside the file
"""

from bench.contracts.cards import ClassificationTask
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import ONE_CHANNEL, bench_protocol, spad_protocol

CLASSES = (
    "collecting-duct",
    "distal-convoluted-tubule",
    "glomerular-endothelial",
    "interstitial-endothelial",
    "leukocyte",
    "podocyte",
    "proximal-tubule",
    "thick-ascending-limb",
)
BENCH = bench_protocol("tissuemnist", steps=20_000, flip_axes=(0, 1), dims=2, evaluate_every=400)
SPAD = spad_protocol("tissuemnist", images=165_466, dims=2, notes=(ONE_CHANNEL,))

TASK = ClassificationTask(
    title="TissueMNIST",
    version=1,
    modality="PATH",
    files=MedMnist(flag="tissuemnist", classes=8, modality="PATH", dims=2),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    dims=2,
    counts={"labelled": 236386},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.12,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
