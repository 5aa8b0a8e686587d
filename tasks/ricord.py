"""RICORD: COVID-19 or not in 330 chest CT series of 227 patients.

Source   Tsai et al., Radiology 2021; TCIA MIDRC-RICORD-1A (COVID-19) and 1B (none)
Split    194 / 52 / 84 series of 137 / 45 / 45 patients, the list of MedCoSS (splits/ricord_*.txt), which AR uses
"""

from bench.contracts.cards import ClassificationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.ricord import Ricord

LISTS = SplitRule(
    file="ricord_train.txt+ricord_val.txt+ricord_test.txt",
    key="ricord",
    origin="published: yeerwen/MedCoSS and serena9525/AR-SSL4M; smaller ratios by our hash of patients, classes interleaved",
    stratified=True,
)
BENCH = Protocol(
    split=LISTS,
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (-1024.0, 376.0)),
    spacing_mm=None,
    patch_voxels=(128, 128, 64),
    whole_volume=True,
    stored_voxels=(128, 128, 64),
    recipe=FineTuneConfig(
        steps=4_800,
        batch_size=8,
        lr=1e-4,
        weight_decay=0.01,
        loss="ce",
        flip_axes=(0, 1, 2),
        rotate_degrees=(10.0, 10.0, 10.0),
        zoom=(0.9, 1.1),
        evaluate_every=48,
    ),
    metrics=("auc", "acc"),
    notes=(
        "Rescaled to HU and sorted by position; the window is AR's, read as HU where the intercept is -1024.",
        "Each series is stretched to 128x128x64, whatever it shows and however thick its slices are.",
        "A case is a series, and patients have several; a label ratio takes whole patients (14, 35, 69, 137).",
        "The recipe is ours.",
    ),
)
AR = Protocol(
    split=LISTS,
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", (0.0, 1400.0)),
    spacing_mm=None,
    patch_voxels=(128, 128, 64),
    whole_volume=True,
    stored_voxels=(128, 128, 64),
    stored_values=True,
    recipe=FineTuneConfig(
        steps=4_800,
        batch_size=8,
        lr=5e-5,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        layer_decay=0.75,
        warmup_steps=0,
        grad_clip=12.0,
        loss="ce_by_class",
        rotate_degrees=(15.0, 15.0, 15.0),
        rotate_probability=0.2,
        zoom=(0.8, 1.18),
        zoom_probability=0.2,
        intensity_scale=0.25,
        intensity_scale_probability=0.15,
        intensity_shift=0.17,
        intensity_shift_probability=0.075,
        elastic_probability=0.2,
        noise_probability=0.1,
        blur_probability=0.1,
        contrast_probability=0.15,
        low_resolution_probability=0.125,
        gamma_probability=0.15,
        evaluate_every=24,
        select_by="acc+auc",
    ),
    # the code's: torch's AdamW over all parameters alike
    scratch={"lr": 1e-5, "betas": (0.9, 0.999), "weight_decay": 1e-4, "decay_all": True, "layer_decay": 1.0},
    ref_code={"schedule": "poly", "lr_every": 24},  # of each epoch
    metrics=("auc", "acc"),
    notes=(
        "Pixels as stored, without rescale, slices by InstanceNumber, those of another size dropped (code): 0 to 1400 is about "
        "-1024 to 376 HU only where the intercept is -1024.",
        "200 epochs of 194 by 8, the last incomplete batch dropped, are 4,800 updates, an evaluation each epoch. Smaller ratios "
        "keep all 4,800 and an evaluation each 24 (ours; fewer cases would make epochs of fewer, the paper does not say).",
        "The cosine is the paper's; the code falls with each epoch by a polynomial of power 0.9, as preset ref_code does.",
        "The loss is the mean over both classes of each one's mean in the batch, an absent class counting as 0 (code).",
        "Weights are those of the best sum of validation ACC and AUC (code).",
        "A start without weights takes rate 1e-5, weight decay 1e-4 on every parameter, default betas and no layer decay (code); "
        "`--set finetune.matched_optim=true` gives it the recipe of pre-trained encoders.",
        "How the paper drew its smaller ratios is unpublished; ours are 14, 35, 69 of 137 patients in nested hash order.",
        "Resized with each voxel standing for its share; the code samples slice i L / n and so reads up to half a voxel earlier.",
        "The offset is uniform in +-0.17, which has the sd of the code's N(0, 0.1). The head has a bias; the code's has none.",
        "The code zooms by multiplying sampling positions by 0.85 to 1.25, so that images grow by 0.8 to 1.18; ours is uniform in "
        "the growth. Blur, offset and low resolution (p 0.2, 0.15, 0.25) skip a channel half the time: halved, for there is one.",
        "Gamma is uniform in 0.7 to 1.5, below 1 in three of eight; the code's is below 1 in one of two, uniform on either side.",
        "Turned and bent images are interpolated linearly (code: cubic); bends are drawn on a grid four times coarser.",
    ),
)

TASK = ClassificationTask(
    title="RICORD COVID-19",
    version=1,
    modality="CT",
    files=Ricord(),
    classes=("no-covid", "covid"),
    protocols={"bench": BENCH, "ar": AR},
    counts={"labelled": 330},
    folders=("RICORD", "MIDRC-RICORD"),
    gigabytes=45.0,
    licence="CC BY-NC 4.0 with TCIA's data usage policy (as recalled; see the page)",
    page="https://www.cancerimagingarchive.net/collection/midrc-ricord-1a/ and .../midrc-ricord-1b/ (open download)",
    citation="Tsai et al., The RSNA International COVID-19 Open Radiology Database (RICORD), Radiology 299, 2021",
    hu=(-3100.0, 33000.0),
)
