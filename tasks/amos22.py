"""AMOS22: fifteen abdominal organs in CT, 300 labelled volumes (the CT part of training and validation).

Source   Ji et al., NeurIPS 2022; amos22.grand-challenge.org, archive Zenodo 7262581
Split    `mim` five folds over both official parts, 240 / 60, reports on the fold that it selects on; `bench` tests on the 100 CT
         of the official validation part, val is 20 of the 200 for training
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.amos import Amos
from tasks.layouts.phantom_case import Look
from tasks.recipes.mim_ct import FLIPS_SWAP, LENGTH, RECIPE, SELECTED, mim_protocol

ORGANS = (
    "spleen",
    "right-kidney",
    "left-kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "postcava",
    "pancreas",
    "right-adrenal-gland",
    "left-adrenal-gland",
    "duodenum",
    "bladder",
    "prostate-uterus",
)
LOOK = Look(
    dataset="amos22",
    view="trunk",
    modality="ct",
    smoke=(40, 40, 20),
    mini=(96, 96, 64),
    spacing_mm=(1.5, 1.5, 3.0),
    unseen=("amos22_official.json", "amos22/test"),
    orientations=("RAS", "LPS", "LAS", "RPI"),
    oblique_every=10,
)

BENCH = Protocol(
    split=SplitRule(
        file="amos22_official.json",
        key="amos22",
        origin="official: test = the CT of the validation part in the release's dataset.json; ours: val = 20 of the 200 CT for "
        "training, and the order, by hash",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-175.0, 250.0)),
    spacing_mm=(1.5, 1.5, 2.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(flip_axes=(), rotate_degrees=(10.0, 10.0, 10.0), zoom=(0.9, 1.1)),
    notes=(
        "The recipe is ours; spacing, window and crop are MiM's.",
        "MiM merges the two official parts: 17 of the 60 scans that it reports on are of the validation part, the other 43 train "
        "or choose here.",
        "No flips: left and right kidneys and adrenals are classes of their own.",
        "NSD tolerance 2 mm is ours. AR and SPAD pre-train on this set.",
    ),
)
MIM = mim_protocol(
    split=SplitRule(
        file="amos22.json",
        key="folds_val",
        origin="published:JiaxinZhuang/MiM Finetune/jsons/Amos22_splits_final.json",
        by_fold=True,
        order="published",
        subsets={0.25: "fold0_label_subsets/0.25", 0.5: "fold0_label_subsets/0.5"},
    ),
    label_ratios=(0.25, 0.5, 1.0),
    window_hu=(-175.0, 250.0),
    spacing_mm=(1.5, 1.5, 2.0),
    volumes=240,
    recipe=replace(RECIPE, rot90_probability=0.5),
    notes=(
        SELECTED,
        "Spacing, window and the chances of flips, turns and shift are the table in the repository's assets, which counts 301 "
        "scans; the list has 300. The loader that used them is not released.",
        FLIPS_SWAP,
        LENGTH,
        "NSD is ours (2 mm); the paper reports Dice alone.",
        "The subsets at 0.25 and 0.5 are the published ones, the first 61 and 121 ids. They belong to fold 0.",
    ),
)

TASK = SegmentationTask(
    title="AMOS22 CT",
    version=2,  # bench tests on the official validation part; on MiM's fold 0 before
    modality="CT",
    files=Amos(look=LOOK),
    classes=ORGANS,
    protocols={"bench": BENCH, "mim": MIM},
    counts={"labelled": 300, "unlabelled": 200},
    folders=("amos22", "AMOS22"),
    gigabytes=24.0,
    licence="CC BY-SA 4.0 as the archive's dataset.json says; the challenge's page says non-commercial: read the record",
    page="https://zenodo.org/records/7262581 (open download); challenge: amos22.grand-challenge.org",
    citation="Ji et al., AMOS: A large-scale abdominal multi-organ benchmark, NeurIPS Datasets and Benchmarks, 2022",
    hu=(-3100.0, 32_767.0),
)
