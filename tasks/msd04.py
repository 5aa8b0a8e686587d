"""MSD Task04: head and body of the hippocampus in T1 MR crops, 260 labelled volumes of 1 mm; the set a laptop can train on.

Source   Antonelli et al., Nature Communications 2022; medicaldecathlon.com (open download)
Split    182 train / 26 val / 52 test by hash of the case name, in splits/msd_712_proposed.json; no paper of ours reports it
"""

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Inference, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.first_of import FirstOf
from tasks.layouts.msd import Msd
from tasks.layouts.nnunet import NnUnet
from tasks.layouts.phantom_case import Look

LOOK = Look(
    dataset="msd04",
    view="hippocampus",
    modality="t1",
    smoke=(35, 50, 36),  # the median of 200 real crops, at both sizes
    mini=(35, 50, 36),
    unseen=("msd_712_proposed.json", "msd04/test"),
)
BENCH = Protocol(
    split=SplitRule(
        file="msd_712_proposed.json",
        key="msd04",
        origin="ours: sha256('split-v1|msd04|case'), first 0.2 test, next 0.1 val",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("zscore"),
    spacing_mm=None,  # 1 mm in every header
    patch_voxels=(48, 64, 48),
    whole_volume=True,
    recipe=FineTuneConfig(
        steps=10_000,
        batch_size=8,
        crops_per_volume=1,  # the whole volume is one input
        positive_share=0.0,
        flip_axes=(0,),  # left/right; a flip of axis 1 would swap what the two labels mean
        rotate_degrees=(10.0, 10.0, 10.0),
        zoom=(0.9, 1.1),
        evaluate_every=500,
    ),
    inference=Inference(overlap=0.0, blending="constant"),
    metrics=("dice", "nsd@1mm", "hd95", "assd"),
    notes=(
        "Ours throughout; no published number carries this key.",
        "The length of 10,000 updates of 8 volumes is ours: about 440 epochs of 182 volumes.",
        "195 heads give 390 crops, presumably both sides of one head. The pairing is not published, so the unit is the volume, "
        "and the two sides of one person may stand in different parts.",
        "NSD tolerance 1 mm is recalled from the challenge's supplement and not verified.",
        "z-score over all voxels before padding to 48x64x48; the padding counts neither in the loss nor in a metric. "
        "Networks that need multiples of 32 pad to 64x64x64.",
        "SPAD pre-trains on all 390 images of this set.",
    ),
)

TASK = SegmentationTask(
    title="MSD Task04 Hippocampus",
    version=1,
    modality="MR",
    files=FirstOf(
        (
            Msd(
                task="Task04_Hippocampus",
                stem="hippocampus",
                modality="MR",
                labels=("anterior", "posterior"),
                look=LOOK,
                unlabelled=("hippocampus_002",),
            ),
            NnUnet(name="Hippocampus", modality="MR", labels=("anterior", "posterior"), look=LOOK),
        )
    ),
    classes=("anterior", "posterior"),
    targets={"organ": {"hippocampus": ("anterior", "posterior")}},
    protocols={"bench": BENCH},
    counts={"labelled": 260, "unlabelled": 130},
    archives={"Task04_Hippocampus.tar": "9d24dba78a72977dbd1d2e110310f31b"},
    folders=("Task04_Hippocampus",),
    gigabytes=0.03,
    licence="CC BY-SA 4.0",
    page="http://medicaldecathlon.com (open download, no registration)",
    citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
)
