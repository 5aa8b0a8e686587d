"""OrganMNIST3D: eleven organs and bones in cubes cut from abdominal CT (LiTS).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    971 / 161 / 610 inside the file
"""

from bench.contracts.cards import ClassificationTask
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "liver",
    "kidney-right",
    "kidney-left",
    "femur-right",
    "femur-left",
    "bladder",
    "heart",
    "lung-right",
    "lung-left",
    "spleen",
    "pancreas",
)
BENCH = bench_protocol(
    "organmnist3d",
    steps=1_550,
    flip_axes=(),
    notes=(
        "An older file (package v2) has one image more: it is taken too, and its last image left out.",
        "No flips: left and right kidneys, femurs and lungs are classes of their own.",
        "LiTS is in SPAD's pool.",
    ),
)
SPAD = spad_protocol(
    "organmnist3d",
    images=971,
    notes=(
        "No flips: left and right kidneys, femurs and lungs are classes of their own.",
        "LiTS is in SPAD's pool.",
    ),
)

TASK = ClassificationTask(
    title="OrganMNIST3D",
    version=1,
    modality="CT",
    files=MedMnist(flag="organmnist3d", classes=11, modality="CT"),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    counts={"labelled": 1742},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.03,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
