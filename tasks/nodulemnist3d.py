"""NoduleMNIST3D: lung nodules, benign or malignant, in cubes of chest CT (LIDC-IDRI).

Source   Yang et al., Scientific Data 2023; medmnist.com, Zenodo 10519652 (open download)
Split    1,158 / 165 / 310 inside the file
"""

from bench.contracts.cards import ClassificationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.medmnist import MedMnist
from tasks.recipes.medmnist import bench_protocol, spad_protocol

CLASSES = (
    "benign",
    "malignant",
)
BENCH = bench_protocol("nodulemnist3d", steps=1_850, flip_axes=(0, 1, 2), notes=("LIDC-IDRI is in SPAD's pool.",))
SPAD = spad_protocol("nodulemnist3d", images=1_158, notes=("LIDC-IDRI is in SPAD's pool.",))
AR = Protocol(
    split=SplitRule(file="medmnist.json", key="nodulemnist3d", origin="official, inside the file", order="published"),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(128, 128, 128),
    image_voxels=(28, 28, 28),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=7_300,
        batch_size=16,
        lr=1.5e-5,
        weight_decay=0.01,
        decay_all=True,
        warmup_steps=0,
        grad_clip=0.0,
        loss="ce",
        intensity_scale=0.0,
        intensity_shift=0.0,
        evaluate_every=73,
    ),
    scratch={"layer_decay": 1.0},  # `ar`'s card speaks of encoders with weights
    ref_code={"lr_every": 73},  # of each epoch
    metrics=("auc", "acc"),
    notes=(
        "The paper prints this task as LIDC-IDRI: 1,633 nodules, median ratings of 3 left out. The data are this file.",
        "100 epochs of 1,158 by 16 are 7,300 updates, an evaluation each epoch. The code stops after 30 epochs without a better "
        "AUC; all are trained here, and the weights of a later and better one are kept.",
        "No layer decay here, and weight decay on every parameter (code); the paper says a layer decay of 0.75 everywhere, which "
        "`ar` takes at preset full.",
        "28 voxels a side stretched to 128; the code rounds the stretched values down to bytes and reverses the axes.",
        "The cosine falls with each update, the code's with each epoch, as preset ref_code does. The head has a bias; the code's "
        "has none.",
        "LIDC-IDRI is in SPAD's pool.",
    ),
)

TASK = ClassificationTask(
    title="NoduleMNIST3D",
    version=1,
    modality="CT",
    files=MedMnist(flag="nodulemnist3d", classes=2, modality="CT"),
    classes=CLASSES,
    protocols={"bench": BENCH, "spad": SPAD, "ar": AR},
    counts={"labelled": 1633},
    folders=("MedMNIST", "medmnist"),
    gigabytes=0.03,
    licence="CC BY 4.0",
    page="https://zenodo.org/records/10519652 (open download, no registration)",
    citation="Yang et al., MedMNIST v2: a large-scale lightweight benchmark for biomedical images, Scientific Data 10, 2023",
    twins_told=True,
)
