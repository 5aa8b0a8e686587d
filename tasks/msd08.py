"""MSD Task08 Hepatic Vessel: vessels and tumours of the liver in portal-venous CT, 303 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 212/30/61 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` reports on fold 0 of five published folds (242/61), which also selects
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from tasks.layouts.first_of import FirstOf
from tasks.layouts.msd import Msd
from tasks.layouts.nnunet import NnUnet
from tasks.recipes.decathlon_ct import AR_BOTH_CLASSES, ar_protocol, bench_protocol, phantom_look
from tasks.recipes.mim_ct import (
    FINE_RECIPE,
    FROM_ASSETS,
    LENGTH,
    SELECTED,
    decathlon_folds,
    mim_protocol,
    recalled_tolerance,
)

LABELS = ("vessel", "tumor")
LOOK = phantom_look("msd08", "hepatic-vessel")

BENCH = bench_protocol("msd08", window_hu=(0.0, 230.0), spacing_mm=(1.0, 1.0, 1.5), nsd_mm=3)
AR = ar_protocol(
    BENCH,
    volumes=212,
    epochs=500,
    recipe=AR_BOTH_CLASSES,
    target="both",
    notes=("The number is the mean over both classes, as the code averages; the paper does not say.",),
)
MIM = mim_protocol(
    split=decathlon_folds("08", "HepaticVessel"),
    window_hu=(0.0, 230.0),
    spacing_mm=(1.5, 1.5, 1.5),
    volumes=242,
    recipe=replace(FINE_RECIPE, rot90_probability=0.25),
    nsd_mm=3,
    target="both",
    notes=(
        SELECTED,
        FROM_ASSETS,
        "The number is the mean over both classes (inferred from its size).",
        LENGTH,
        recalled_tolerance(3),
    ),
)
TASK = SegmentationTask(
    title="MSD Task08 Hepatic Vessel",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(
                task="Task08_HepaticVessel",
                stem="hepaticvessel",
                modality="CT",
                labels=LABELS,
                look=LOOK,
                unlabelled=("hepaticvessel_003",),
            ),
            NnUnet(name="HepaticVessel", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "organ": {"vessel": ("vessel",)},
        "tumor": {"tumor": ("tumor",)},
        "both": {"vessel": ("vessel",), "tumor": ("tumor",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM},
    counts={"labelled": 303, "unlabelled": 140},
    archives={"Task08_HepaticVessel.tar": "641d79e80ec66453921d997fbf12a29c"},
    folders=("Task08_HepaticVessel",),
    gigabytes=8.7,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
