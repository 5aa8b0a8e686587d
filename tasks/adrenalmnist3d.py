"""AdrenalMNIST3D: shapes of adrenal glands, normal or enlarged (Zhongshan Hospital).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,188 / 98 / 298 inside the file
"""

from bench.contracts.cards import ClassificationTask
from bench.phantoms.specimen import Style
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "normal",
    "hyperplasia",
)
BENCH = bench_protocol("adrenalmnist3d", steps=1_900, flip_axes=(0, 1, 2), random_factor=True)
SPAD = spad_protocol("adrenalmnist3d", images=1_188, random_factor=True)

TASK = ClassificationTask(
    title="AdrenalMNIST3D",
    version=1,
    modality="SHAPE",
    files=MedMnist(flag="adrenalmnist3d", classes=2, modality="SHAPE", style=Style(form="shape")),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    counts={"labelled": 1584},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.001,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
