"""FractureMNIST3D: rib fractures of three kinds in cubes of chest CT (RibFrac).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,027 / 103 / 240 inside the file
"""

from bench.contracts.cards import ClassificationTask
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "buckle",
    "nondisplaced",
    "displaced",
)
BENCH = bench_protocol(
    "fracturemnist3d", steps=1_650, flip_axes=(0, 1, 2), notes=("RibFrac is in the pools of SPAD and AR.",)
)
SPAD = spad_protocol("fracturemnist3d", images=1_027, notes=("RibFrac is in the pools of SPAD and AR.",))

TASK = ClassificationTask(
    title="FractureMNIST3D",
    version=1,
    modality="CT",
    files=MedMnist(flag="fracturemnist3d", classes=3, modality="CT"),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD},
    counts={"labelled": 1370},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.03,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
