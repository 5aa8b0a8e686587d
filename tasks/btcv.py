"""BTCV: thirteen abdominal organs in portal-venous CT, 30 labelled volumes.

Source   Landman et al., MICCAI 2015 challenge, Synapse syn3193805 (registration needed)
Split    `mim` 24/6 and `spad` 21/9 report on the cases they select on; `bench` tests on the 24/6 list's six, val is 2 of the 24
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Inference, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.btcv import Btcv
from tasks.layouts.first_of import FirstOf
from tasks.layouts.nnunet import NnUnet
from tasks.layouts.phantom_case import Look
from tasks.recipes.mim_ct import LENGTH, RECIPE, mim_protocol

ORGANS = (
    "spleen",
    "right-kidney",
    "left-kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "ivc",
    "portal-splenic-veins",
    "pancreas",
    "right-adrenal-gland",
    "left-adrenal-gland",
)
LOOK = Look(
    dataset="btcv",
    view="abdomen",
    modality="ct",
    smoke=(40, 40, 20),
    mini=(96, 96, 48),
    spacing_mm=(1.5, 1.5, 3.0),
    unseen=("bench_proposed.json", "btcv/test"),
    orientations=("RAS", "LPS", "LAS", "RPI"),
    oblique_every=10,
)

BENCH = Protocol(
    split=SplitRule(
        file="bench_proposed.json",
        key="btcv",
        origin="test = the published 24/6 list's val (JiaxinZhuang/MiM), val = 2 of the 24 and the order of the rest by hash",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-175.0, 250.0)),
    spacing_mm=(1.5, 1.5, 2.0),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(flip_axes=(), rotate_degrees=(10.0, 10.0, 10.0), zoom=(0.9, 1.1)),
    notes=(
        "The recipe is ours; spacing, window and crop are those of MiM and Swin-UNETR.",
        "No flips: left and right kidneys and adrenals are classes of their own.",
        "NSD tolerance 2 mm is ours.",
    ),
)
MIM = mim_protocol(
    split=SplitRule(
        file="btcv.json",
        key="monai_folds",
        origin="published:JiaxinZhuang/MiM Finetune/jsons/BTCV_folds.json; fold 0 is the 24/6 list",
        by_fold=True,
        order="published",
        subsets={0.25: "monai_24_6_label_subsets/0.25", 0.5: "monai_24_6_label_subsets/0.5"},
    ),
    label_ratios=(0.25, 0.5, 1.0),
    window_hu=(-175.0, 250.0),
    spacing_mm=(1.5, 1.5, 2.0),
    volumes=24,
    recipe=replace(RECIPE, flip_probability=0.1, rot90_probability=0.1),
    ref_code={"summed_passes": 4},
    notes=(
        "Selected on the six reported scans (evaluated each 5 epochs); the paper has no test part.",
        "The paper states no spacing: 1.5x1.5x2.0 mm is the table in the repository's assets, 1.5 mm isotropic its code's default.",
        LENGTH,
        "The code sums the gradients of 4 accumulated passes where we average, as preset ref_code does.",
        "Flips (p 0.1 per axis) swap left and right organs without renaming them, as the code does.",
        "Variation is the table in the repository's assets (flips and quarter turns p 0.1, shift p 0.5); an older loader also had "
        "a gain of +-10 %.",
        "The average is over classes of a case, then cases (code); printed columns per organ are means over cases.",
        "NSD tolerance 2 mm is ours; the paper gives none.",
        "The subsets at 0.25 and 0.5 are the published ones: the first 6 and 12 of the list. They belong to fold 0.",
    ),
)
SPAD = Protocol(
    split=SplitRule(
        file="btcv.json",
        key="smit_21_9",
        origin="published:The-Veeraraghavan-Lab/SMIT dataset/dataset_0.json",
        order="hash",
        count="int",
    ),
    label_ratios=(0.2, 0.4, 0.6, 0.8, 1.0),
    intensity=Intensity("hu", (-175.0, 250.0), (-1.0, 1.0)),
    spacing_mm=(0.75, 0.75, 3.0),
    patch_voxels=(192, 192, 48),
    recipe=FineTuneConfig(
        steps=50_000,
        batch_size=4,
        crops_per_volume=1,
        lr=1e-4,
        weight_decay=0.05,
        warmup_steps=5_000,
        schedule="cosine_overlong",
        lr_floor=1e-6,
        loss="dice_ce_plain",
        grad_clip=1.0,
        precision="fp16",
        positive_share=0.75,
        balanced_classes=True,
        rotate_degrees=(0.0, 0.0, 90.0),
        rotate_probability=0.2,
        zoom=(1 / 1.4, 1 / 0.7),  # the code takes 0.7 to 1.4 of the field of view, ours is how much an image grows
        zoom_probability=0.2,
        intensity_scale=0.25,
        intensity_scale_probability=0.15,
        intensity_shift=0.0,
        noise_probability=0.1,
        noise_sd=(0.0, 0.2),
        blur_probability=0.1,
        blur_sd=(0.8, 1.2),
        contrast_probability=0.15,
        gamma_probability=3 / 13,
        selection="last",
    ),
    inference=Inference(overlap=0.75, blending="gaussian", mirrored=True),
    ref_code={"lr_every": 100},
    metrics=("dice", "assd", "hd", "assd@mm", "hd@mm"),
    distance_unit="voxels",
    notes=(
        "Last weights, as the paper says; the code also keeps the best on the nine reported scans.",
        "ASSD and HD are in voxels of the original grid, as printed: the code calls the surface metrics without spacing. The same "
        "in mm stand beside them (`assd@mm`, `hd@mm`), and no printed number belongs to those.",
        "The authors draw 4, 8, 12, 16 of 21 cases by an unseeded choice; sizes are theirs, the nested hash order is ours.",
        "Eight mirrored copies are averaged at test (code); the paper is silent.",
        "The code stores the volume (z, y, x) with axes S, A, R; ours is (x, y, z), so 48x192x192 reads (192, 192, 48).",
        "Three crops in four centre on a foreground class drawn uniformly among those present.",
        "The rate starts at 0 and ends at 3.4e-6, as in the code. It moves with each update, the code's with each hundredth, as "
        "preset ref_code does. SPAD's own decoder is supervised at four resolutions (8, 4, 2, 1 parts of 15); any other at full "
        "size.",
        "The gain of +-25 % (p 0.15) acts on images in [-1, 1]; the code applies it in [0, 1]. Noise of sd up to 0.1 there "
        "is up to 0.2 here.",
        "The code draws the zoom as a factor 0.7 to 1.4 of the field of view, so that images grow by 0.71 to 1.43; ours is uniform "
        "in the growth.",
        "Gamma acts in the crop's own range and keeps its mean and sd, contrast stays inside that range; in the code both act in "
        "[0, 1], and gamma acts on the inverted image with p 1/13 besides, which is left out. So is low resolution (p 0.15), which "
        "is one of slices there and of all axes in our field.",
        "Probabilities go back to the original grid linearly along every axis; the code takes the nearest slice along depth.",
        "Swin-UNETR was trained on crops of 96x96x96 in this table.",
    ),
)

TASK = SegmentationTask(
    title="BTCV",
    version=1,
    modality="CT",
    files=FirstOf((Btcv(look=LOOK), NnUnet(name="BTCV", modality="CT", labels=ORGANS, look=LOOK, prefix="img"))),
    classes=ORGANS,
    protocols={"bench": BENCH, "mim": MIM, "spad": SPAD},
    counts={"labelled": 30, "unlabelled": 20},
    folders=("BTCV", "RawData"),
    gigabytes=2.5,
    licence="Synapse data use agreement; no redistribution",
    page="https://www.synapse.org/Synapse:syn3193805 (registration and agreement needed)",
    citation="Landman et al., MICCAI Multi-Atlas Labeling Beyond the Cranial Vault, 2015",
    hu=(-3100.0, 4100.0),
)
