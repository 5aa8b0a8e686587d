"""MSD Task09 Spleen: spleen in portal-venous CT, 41 labelled volumes.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    `bench` and `ar` 29/4/8 by hash of the case name (splits/msd_712_proposed.json), since AR publishes no list;
         `mim` reports on fold 0 of five published folds (32/9), which also selects
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from tasks.layouts.first_of import FirstOf
from tasks.layouts.msd import Msd
from tasks.layouts.nnunet import NnUnet
from tasks.recipes.decathlon_ct import ar_protocol, bench_protocol, phantom_look
from tasks.recipes.mim_ct import FINE_RECIPE, LENGTH, SELECTED, decathlon_folds, mim_protocol, recalled_tolerance

LABELS = ("spleen",)
LOOK = phantom_look("msd09", "spleen")

BENCH = bench_protocol("msd09", window_hu=(-57.0, 175.0), spacing_mm=(1.0, 1.0, 1.0), nsd_mm=3)
AR = ar_protocol(BENCH, volumes=29, target="organ")
MIM = mim_protocol(
    split=decathlon_folds("09", "Spleen", subsets={0.25: "fold0_label_subsets/0.25", 0.5: "fold0_label_subsets/0.5"}),
    label_ratios=(0.25, 0.5, 1.0),
    window_hu=(-57.0, 164.0),
    spacing_mm=(1.0, 1.0, 1.0),
    volumes=32,
    recipe=replace(FINE_RECIPE, positive_share=0.5, rot90_probability=0.25),
    nsd_mm=3,
    target="organ",
    notes=(
        SELECTED,
        "The window is that of the released loader, which centres one crop in two on the spleen and turns and scales every crop; "
        "the table in the repository's assets, whence spacing, flips, quarter turns and shift, prints -57 to 175.",
        "The subsets at 0.25 and 0.5 are the published ones: fold 1, and folds 1 and 2. They belong to fold 0.",
        LENGTH,
        recalled_tolerance(3),
    ),
)
TASK = SegmentationTask(
    title="MSD Task09 Spleen",
    version=1,
    modality="CT",
    files=FirstOf(
        (
            Msd(task="Task09_Spleen", stem="spleen", modality="CT", labels=LABELS, look=LOOK, unlabelled=("spleen_1",)),
            NnUnet(name="Spleen", modality="CT", labels=LABELS, look=LOOK),
        )
    ),
    classes=LABELS,
    targets={
        "organ": {"spleen": ("spleen",)},
    },
    protocols={"bench": BENCH, "ar": AR, "mim": MIM},
    counts={"labelled": 41, "unlabelled": 20},
    archives={"Task09_Spleen.tar": "410d4a301da4e5b2f6f86ec3ddba524e"},
    folders=("Task09_Spleen",),
    gigabytes=1.5,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
    hu=(-3100.0, 32_767.0),  # metal, and the padding of some scanners
)
