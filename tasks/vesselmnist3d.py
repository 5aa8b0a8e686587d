"""VesselMNIST3D: shapes of brain vessels, healthy or with an aneurysm (IntrA).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,335 / 191 / 382 inside the file
"""

from bench.contracts.cards import ClassificationTask
from bench.phantoms.specimen import Style
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "vessel",
    "aneurysm",
)
BENCH = bench_protocol(
    "vesselmnist3d",
    steps=2_100,
    flip_axes=(0, 1, 2),
    random_factor=True,
    notes=("An older file (package v2) has one image more: it is taken too, and its last image left out.",),
)
SPAD = spad_protocol("vesselmnist3d", images=1_335, random_factor=True)

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
