"""MSD Task10 Colon: primary cancers of the colon in portal-venous CT, 126 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 88/13/25 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` reports on fold 0 of five published folds (100/26), which also selects
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from tasks.layouts.first_of import FirstOf
from tasks.layouts.msd import Msd
from tasks.layouts.nnunet import NnUnet
from tasks.recipes.decathlon_ct import ar_protocol, bench_protocol, phantom_look
from tasks.recipes.mim_ct import (
    FINE_RECIPE,
    FROM_ASSETS,
    LENGTH,
    NO_MAGNIFICATION,
    SELECTED,
    decathlon_folds,
    mim_protocol,
    recalled_tolerance,
)

LABELS = ("tumor",)
LOOK = phantom_look("msd10", "colon")

BENCH = bench_protocol("msd10", window_hu=(-57.0, 175.0), spacing_mm=(1.0, 1.0, 1.5), nsd_mm=4)
AR = ar_protocol(BENCH, volumes=88, target="tumor")
MIM = mim_protocol(
    split=decathlon_folds("10", "Colon"),
    window_hu=(-57.0, 175.0),
    spacing_mm=(1.5, 1.5, 1.5),
    volumes=100,
    recipe=replace(FINE_RECIPE, rot90_probability=0.25),
    nsd_mm=4,
    target="tumor",
    notes=(
        SELECTED,
        FROM_ASSETS,
        LENGTH,
        "The sibling MG-3D code's base rate on the colon is 3e-4; the 2e-4 of its other tasks stands here (ours).",
        NO_MAGNIFICATION,
        recalled_tolerance(4),
    ),
)
TASK = SegmentationTask(
    title="MSD Task10 Colon",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(task="Task10_Colon", stem="colon", modality="CT", labels=LABELS, look=LOOK, unlabelled=("colon_002",)),
            NnUnet(name="Colon", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "tumor": {"tumor": ("tumor",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM},
    counts={"labelled": 126, "unlabelled": 64},
    archives={"Task10_Colon.tar": "bad7a188931dc2f6acf72b08eb6202d0"},
    folders=("Task10_Colon",),
    gigabytes=5.8,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
