"""LUNA16: is a candidate a nodule? False-positive reduction on 888 chest CTs.

Source   Setio et al., Medical Image Analysis 2017; luna16.grand-challenge.org
Split    by the owners' folders: 0 to 5 train, 6 val, 7 to 9 test (534 / 89 / 265 scans), scans in corpus_luna16.json
"""

from bench.contracts.cards import ClassificationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.luna16 import Luna16

FOLDERS = SplitRule(
    file="corpus_luna16.json",
    key="0-5/6/7-9",
    origin="the owners' ten folders; training scans in the order of our hash",
    unit="group",
)
FROC = (
    "`ap` and `froc` are extras that no paper here prints. `froc` is the challenge's score over the tested scans and all nodules "
    "annotated in them, a candidate of class 1 belonging to the nearest. One thing differs: candidates at findings that the "
    "challenge's script leaves out count as false positives, for the tables do not name them."
)
BENCH = Protocol(
    split=FOLDERS,
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-1000.0, 600.0)),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_voxels=(48, 48, 48),
    recipe=FineTuneConfig(
        steps=20_000,
        batch_size=32,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        balanced_classes=True,
        rotate_degrees=(10.0, 10.0, 10.0),
        zoom=(0.9, 1.1),
        evaluate_every=2_000,
    ),
    metrics=("auc", "acc", "ap", "froc"),
    notes=(
        "Candidates of candidates_V2.csv, as the organisers advise, in cubes of 48 mm at 1 mm.",
        "Nodules and others are drawn alike in training; validation and test hold every candidate, so ACC is mostly that of "
        "the many that are none.",
        "A label ratio takes whole scans. The recipe is ours.",
        "A scan is prepared once for all its candidates; opening the table takes about half a minute.",
        FROC,
    ),
)
MG3D = Protocol(
    split=FOLDERS,
    label_ratios=(1.0,),
    intensity=Intensity("hu", (-1000.0, 600.0)),
    spacing_mm=None,
    patch_voxels=(48, 48, 48),
    files=Luna16(table="candidates.csv"),
    recipe=FineTuneConfig(
        steps=50_000,
        batch_size=32,
        lr=1.5e-4,
        weight_decay=1e-6,
        schedule="constant",
        warmup_steps=0,
        grad_clip=0.0,
        loss="ce",
        balanced_classes=True,
        flip_axes=(),
        intensity_scale=0.0,
        intensity_shift=0.0,
        evaluate_every=5_000,
    ),
    metrics=("auc", "ap", "froc"),
    notes=(
        "Candidates of the older candidates.csv at native spacing, 48 voxels a side, as the code reads them.",
        "The folders are those of the code's config, which its loader does not read: its tables hold 0 to 4 to train on and 5 and "
        "6 to select on, as the numbers of candidates beside it say. Either way 623 scans are not tested on.",
        "Positives are original ones; the authors stored ten varied copies of each beside them.",
        "A cube that reaches over a border is filled up with air; the code moves it inside, off its candidate.",
        "Where a scan runs from right to left candidates lie where the table says; the code takes no notice and cuts that scan's "
        "cubes at its first voxels.",
        "Two outputs with cross-entropy stand for one with a sigmoid, which is the same up to a factor of two in the head.",
        "AdamW stands for Adam (weight decay 1e-6). The code has no fixed length; 50,000 updates is ours.",
        "Voxels are not rounded to 8 bits before they are scaled; of the code's only the varied copies are.",
        "An encoder of stride 32 (Swin) sees the cube stretched to 64 voxels a side; the code's Swin takes the 48 as they are.",
        "Validation by AUC over all candidates of folder 6, each 5,000 updates (ours; the code each 10 epochs).",
        FROC,
    ),
)

TASK = ClassificationTask(
    title="LUNA16",
    version=1,
    modality="CT",
    files=Luna16(unseen=FOLDERS),
    classes=("no-nodule", "nodule"),
    protocols={"bench": BENCH, "mg3d": MG3D},
    counts={"scans": 888},
    folders=("LUNA-16", "LUNA16"),
    gigabytes=120.0,
    licence="CC BY 4.0",
    page="https://luna16.grand-challenge.org (Zenodo 3723295 and 4121926, no registration)",
    citation="Setio et al., Validation, comparison, and combination of algorithms for pulmonary nodule detection, MedIA 42, 2017",
    hu=(-5000.0, 33000.0),
)
