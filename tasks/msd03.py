"""MSD Task03 Liver: liver and its tumours in portal-venous CT, 131 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 92/13/26 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` reports on fold 0 of five published folds (104/27), which also selects
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
    SELECTED,
    decathlon_folds,
    mim_protocol,
    recalled_tolerance,
)

LABELS = ("liver", "tumor")
LOOK = phantom_look("msd03", "liver")

BENCH = bench_protocol("msd03", window_hu=(-21.0, 189.0), spacing_mm=(1.0, 1.0, 1.0), nsd_mm=7)
AR = ar_protocol(
    BENCH,
    volumes=92,
    target="organ",
    notes=(
        "Organ alone: only with the tumour merged into the liver is a Dice of 0.96 plausible (inferred, the paper does not say).",
    ),
)
MIM = mim_protocol(
    split=decathlon_folds("03", "Liver"),
    window_hu=(-21.0, 189.0),
    spacing_mm=(1.0, 1.0, 1.0),
    volumes=104,
    recipe=replace(FINE_RECIPE, flip_probability=0.2, rot90_probability=0.2, intensity_shift_probability=0.1),
    nsd_mm=7,
    target="organ",
    notes=(
        SELECTED,
        FROM_ASSETS,
        "Organ alone (inferred from the size of the numbers). The code sets labels that it is not asked for to background, "
        "so tumour voxels may have been background: `@organ_drop` is that reading. The table counts 125 volumes, the list 131.",
        LENGTH,
        recalled_tolerance(7),
    ),
)
TASK = SegmentationTask(
    title="MSD Task03 Liver",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(task="Task03_Liver", stem="liver", modality="CT", labels=LABELS, look=LOOK, unlabelled=("liver_131",)),
            NnUnet(name="Liver", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "organ": {"liver": ("liver", "tumor")},  # the tumour is part of the organ
        "organ_drop": {"liver": ("liver",)},  # the tumour is background
        "tumor": {"tumor": ("tumor",)},
        "both": {"liver": ("liver",), "tumor": ("tumor",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM},
    counts={"labelled": 131, "unlabelled": 70},
    archives={"Task03_Liver.tar": "a90ec6c4aa7f6a3d087205e23d4e6397"},
    folders=("Task03_Liver",),
    gigabytes=26.9,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
