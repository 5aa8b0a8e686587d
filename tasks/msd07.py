"""MSD Task07 Pancreas: pancreas and its masses in portal-venous CT, 281 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 197/28/56 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` reports on fold 0 of five published folds (224/57), which also selects
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
    NO_MAGNIFICATION,
    SELECTED,
    decathlon_folds,
    mim_protocol,
    recalled_tolerance,
)

LABELS = ("pancreas", "tumor")
LOOK = phantom_look("msd07", "pancreas")

BENCH = bench_protocol("msd07", window_hu=(-87.0, 199.0), spacing_mm=(1.0, 1.0, 1.5), nsd_mm=5)
AR = ar_protocol(
    BENCH,
    volumes=197,
    epochs=500,
    recipe=AR_BOTH_CLASSES,
    target="both",
    notes=(
        "The paper counts 282 volumes; the public archive labels 281.",
        "The number is the mean over both classes, as the code averages; the paper does not say.",
    ),
)
MIM = mim_protocol(
    split=decathlon_folds("07", "Pancreas"),
    window_hu=(-87.0, 199.0),
    spacing_mm=(1.5, 1.5, 1.5),
    volumes=224,
    recipe=replace(FINE_RECIPE, rot90_probability=0.25),
    nsd_mm=5,
    target="organ",
    notes=(
        SELECTED,
        FROM_ASSETS,
        "Organ alone (inferred from the size of the numbers). The code sets labels that it is not asked for to background, "
        "so tumour voxels may have been background: `@organ_drop` is that reading.",
        LENGTH,
        NO_MAGNIFICATION,
        recalled_tolerance(5),
    ),
)
TASK = SegmentationTask(
    title="MSD Task07 Pancreas",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(
                task="Task07_Pancreas",
                stem="pancreas",
                modality="CT",
                labels=LABELS,
                look=LOOK,
                unlabelled=("pancreas_002",),
            ),
            NnUnet(name="Pancreas", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "organ": {"pancreas": ("pancreas", "tumor")},  # the tumour is part of the organ
        "organ_drop": {"pancreas": ("pancreas",)},  # the tumour is background
        "tumor": {"tumor": ("tumor",)},
        "both": {"pancreas": ("pancreas",), "tumor": ("tumor",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM},
    counts={"labelled": 281, "unlabelled": 139},
    archives={"Task07_Pancreas.tar": "4f7080cfca169fa8066d17ce6eb061e4"},
    folders=("Task07_Pancreas",),
    gigabytes=11.5,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
