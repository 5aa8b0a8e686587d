"""CHAOS: liver, both kidneys and spleen in MR, 20 labelled patients with two volumes each (T1-DUAL and T2-SPIR).

Source   Kavur et al., Medical Image Analysis 2021; chaos.grand-challenge.org, Zenodo 3431873
Split    the paper (SPAD) reports on 20 hidden patients through the challenge's server, which a program cannot ask. `bench` and
         `spad` test on patients of the labelled 20: five folds by hash, `bench` on the first with a val part of two
"""

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Inference, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.chaos import Chaos
from tasks.layouts.phantom_case import Look

LOOK = Look(
    dataset="chaos",
    view="four-organs",
    modality="in_phase",
    smoke=(32, 32, 10),
    mini=(96, 96, 14),
    spacing_mm=(1.6, 1.6, 8.0),
    unseen=("bench_proposed.json", "chaos/test"),
    orientations=("LPS",),
)
BANDS = (range(55, 71), range(110, 136), range(175, 201), range(240, 256))  # around 63, 126, 189 and 252
CHANNELS = (
    "Two channels: in phase and out of phase of T1-DUAL; T2-SPIR is shown twice. One model serves both sequences."
)
SPACING_MM = (1.62109, 1.62109, 9.0)

BENCH = Protocol(
    split=SplitRule(
        file="bench_proposed.json",
        key="chaos",
        origin="ours: patients by sha256('split-v1|chaos|<id>'), test = fold 0 of five, val = 2 of the other 16",
        unit="group",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("zscore", clip_percentiles=(0.5, 99.5)),
    spacing_mm=SPACING_MM,
    patch_voxels=(192, 192, 32),
    recipe=FineTuneConfig(flip_axes=(), rotate_degrees=(0.0, 0.0, 10.0), zoom=(0.9, 1.1)),
    metrics=("dice", "ravd", "nsd@2mm", "hd", "hd95", "assd"),
    notes=(
        "Split and recipe are ours; spacing and crop are SPAD's. No flips: the kidneys are classes of their own.",
        "A label ratio takes whole patients, both volumes of each.",
        CHANNELS,
        "Dice, RAVD, ASSD and `hd`, which the challenge calls MSSD, are its own metrics; it prints RAVD in percent.",
        "NSD tolerance 2 mm is ours. SPAD pre-trains on all 40 patients, hidden ones too.",
    ),
)
SPAD = Protocol(
    split=SplitRule(
        file="chaos.json",
        key="proposed_local_folds_test",
        origin="ours: five folds of the 20 labelled patients by hash; the paper trains on all 20 and reports the server's numbers",
        by_fold=True,
        unit="group",
    ),
    label_ratios=(1.0,),
    intensity=Intensity("zscore", over="positive", clip_percentiles=(0.5, 99.5)),
    spacing_mm=SPACING_MM,
    patch_voxels=(192, 192, 32),
    recipe=FineTuneConfig(
        steps=50_000,
        batch_size=8,
        crops_per_volume=1,
        lr=1e-4,
        weight_decay=0.05,
        warmup_steps=5_000,
        schedule="cosine_overlong",
        lr_floor=1e-6,
        loss="dice_ce_plain",
        grad_clip=1.0,
        precision="fp16",
        positive_share=0.0,
        rotate_degrees=(0.0, 0.0, 90.0),
        rotate_probability=0.2,
        zoom=(1 / 1.1, 1 / 0.7),  # the code takes 0.7 to 1.1 of the field of view, ours is how much an image grows
        zoom_probability=0.2,
        intensity_scale=0.25,
        intensity_scale_probability=0.15,
        intensity_shift=0.0,
        blur_probability=0.1,
        blur_sd=(0.8, 1.2),
        contrast_probability=0.15,
        gamma_probability=3 / 13,
        selection="last",
    ),
    inference=Inference(overlap=0.75, blending="gaussian", mirrored=True),
    ref_code={"lr_every": 100},
    metrics=("dice", "ravd", "assd", "hd"),
    notes=(
        "Never to stand beside Table 4: the paper trains on all 20 labelled patients and reports 20 hidden ones through the "
        "server; here 16 train and 4 are tested.",
        CHANNELS,
        "Mean and sd are of voxels above 0 after the percentiles, per channel (code). The code varies images in [0, 1] and applies "
        "them last; here gain and padding act on z-scores, so that padding is the mean where theirs is the darkest.",
        "The code stores the volume (z, y, x) with axes S, A, R; ours is (x, y, z), so 32x192x192 reads (192, 192, 32).",
        "Distances are in mm, as the challenge has them; it also scores RAVD, which the paper does not print.",
        "Last weights; eight mirrored copies are averaged at test (code).",
        "The code draws the zoom as a factor 0.7 to 1.1 of the field of view, so that images grow by 0.91 to 1.43; ours is uniform "
        "in the growth.",
        "The rate starts at 0 and ends at 3.4e-6, as in the code. It moves with each update, the code's with each hundredth, as "
        "preset ref_code does. SPAD's own decoder is supervised at four resolutions (8, 4, 2, 1 parts of 15); any other at full "
        "size.",
        "Gamma acts in the crop's own range and keeps its mean and sd, contrast stays inside that range; in the code both act in "
        "[0, 1], and gamma acts on the inverted image with p 1/13 besides, which is left out. So is low resolution (p 0.15), which "
        "is one of slices there and of all axes in our field.",
        "Left out: noise (p 0.1), whose sd is given for images in [0, 1] and here would act on z-scores.",
    ),
)

TASK = SegmentationTask(
    title="CHAOS MR",
    version=1,
    modality="MR",
    files=Chaos(look=LOOK),
    channels=2,
    classes=("liver", "right-kidney", "left-kidney", "spleen"),
    label_values={grey: label for label, band in enumerate(BANDS, start=1) for grey in band},
    protocols={"bench": BENCH, "spad": SPAD},
    counts={"labelled": 40, "unlabelled": 40},
    folders=("CHAOS", "CHAOS_Train_Sets", "chaos"),
    gigabytes=1.0,
    licence="CC BY-NC-SA 4.0 as far as we know: read the record",
    page="https://zenodo.org/records/3431873 (open download); challenge: chaos.grand-challenge.org",
    citation="Kavur et al., CHAOS challenge: combined (CT-MR) healthy abdominal organ segmentation, Medical Image Analysis "
    "69, 2021",
)
