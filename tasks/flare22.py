"""FLARE22: thirteen abdominal organs in CT, 50 labelled volumes.

Source   Ma et al., Lancet Digital Health 2024; flare22.grand-challenge.org, labelled part Zenodo 7860267
Split    `mim` publishes none; the same group's list 40 / 10 is taken for it and reports on the ten that it selects on; `bench`
         tests on those ten, val is 4 of the 40
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.flare import Flare
from tasks.layouts.phantom_case import Look
from tasks.recipes.mim_ct import FLIPS_SWAP, FROM_ASSETS, LENGTH, RECIPE, mim_protocol

ORGANS = (
    "liver",
    "right-kidney",
    "spleen",
    "pancreas",
    "aorta",
    "ivc",
    "right-adrenal-gland",
    "left-adrenal-gland",
    "gallbladder",
    "esophagus",
    "stomach",
    "duodenum",
    "left-kidney",
)
LOOK = Look(
    dataset="flare22",
    view="thirteen-organs",
    modality="ct",
    smoke=(40, 40, 20),
    mini=(96, 96, 48),
    spacing_mm=(1.5, 1.5, 2.5),
    unseen=("bench_proposed.json", "flare22/test"),
    orientations=("RAS", "LPS", "LAS", "RPI"),
    oblique_every=10,
    sloped_every=4,
)
SOURCE = "The 50 labelled scans are cases of MSD Task07 Pancreas, and MSD07 may not count as unseen beside them."

BENCH = Protocol(
    split=SplitRule(
        file="bench_proposed.json",
        key="flare22",
        origin="test = val of the published 40/10 list (Luffy03/Large-Scale-Medical), val = 4 of the 40 and the order by hash",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-175.0, 250.0)),
    spacing_mm=(1.5, 1.5, 2.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(flip_axes=(), rotate_degrees=(10.0, 10.0, 10.0), zoom=(0.9, 1.1)),
    notes=(
        "The recipe is ours; spacing, window and crop are MiM's.",
        "No flips: left and right kidneys and adrenals are classes of their own.",
        "NSD tolerance 2 mm is ours. AR and SPAD pre-train on this set.",
        SOURCE,
    ),
)
MIM = mim_protocol(
    split=SplitRule(
        file="flare22.json",
        key="",
        origin="published:Luffy03/Large-Scale-Medical Downstream/monai/Flare22/dataset.json (same group; MiM publishes none)",
        order="published",
    ),
    label_ratios=(0.25, 0.5, 1.0),
    window_hu=(-175.0, 250.0),
    spacing_mm=(1.5, 1.5, 2.0),
    volumes=40,
    recipe=replace(RECIPE, flip_probability=0.2, rot90_probability=0.2, intensity_shift_probability=0.1),
    notes=(
        "MiM publishes no list for this set; that of the same group's later code stands in for it.",
        "Selected on the reported scans (evaluated each 5 epochs); the paper has no test part.",
        FROM_ASSETS,
        FLIPS_SWAP,
        LENGTH,
        "Smaller ratios take the first 10 and 20 of the list (ours; the paper names no subset).",
        "NSD is ours (2 mm); the paper reports Dice alone.",
        SOURCE,
    ),
)

TASK = SegmentationTask(
    title="FLARE22",
    version=1,
    modality="CT",
    files=Flare(look=LOOK),
    classes=ORGANS,
    protocols={"bench": BENCH, "mim": MIM},
    counts={"labelled": 50, "unlabelled": 2050},
    folders=("FLARE2022", "FLARE22"),
    gigabytes=2.6,
    licence="CC BY 4.0 as the record says; the challenge once forbade to pass on its links",
    page="https://zenodo.org/records/7860267 (50 labelled); challenge: flare22.grand-challenge.org (registration)",
    citation="Ma et al., Unleashing the strengths of unlabelled data in pan-cancer abdominal organ quantification, Lancet Digital "
    "Health 6, 2024",
    hu=(-3100.0, 32_767.0),
)
