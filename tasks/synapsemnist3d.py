"""SynapseMNIST3D: synapses in electron microscopy of rat cortex.

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,230 / 177 / 352 inside the file
"""

from bench.contracts.cards import ClassificationTask
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "inhibitory",
    "excitatory",
)
BENCH = bench_protocol("synapsemnist3d", steps=1_950, flip_axes=(0, 1, 2))
SPAD = spad_protocol("synapsemnist3d", images=1_230)

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
