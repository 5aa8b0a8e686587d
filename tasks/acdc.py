"""ACDC: right ventricle, myocardium and left ventricle in cine MR, 100 labelled patients of two frames each.

Source   Bernard et al., IEEE TMI 2018; humanheart-project.creatis.insa-lyon.fr
Split    `bench` 72/8/20 patients, five patient-level folds of ours; `official` 90/10/50, tested on the owners' testing part;
         `mg3d` 160/40 frames in three published folds that put frames of one patient on both sides
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Inference, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.acdc import Acdc
from tasks.layouts.phantom_case import Look

LOOK = Look(
    dataset="acdc",
    view="ventricles",
    modality="cine",
    smoke=(32, 32, 8),
    mini=(64, 64, 9),
    spacing_mm=(1.5, 1.5, 8.0),
    unseen=("bench_proposed.json", "acdc/test"),
    orientations=("LPS", "RAS"),
)

BENCH = Protocol(
    split=SplitRule(
        file="acdc_patient_proposed.json",
        key="folds_test",
        origin="ours: patients by sha256('split-v1|acdc|patientNNN'), five folds of 20 to test on, val = 8 of the other 80",
        by_fold=True,
        unit="group",
        divides="others",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("zscore"),
    spacing_mm=None,
    patch_voxels=(192, 192, 32),
    recipe=FineTuneConfig(flip_axes=(0, 1), rotate_degrees=(0.0, 0.0, 15.0), zoom=(0.9, 1.1)),
    metrics=("dice", "nsd@2mm", "hd95", "assd"),
    notes=(
        "Split and recipe are ours; voxels stay as they are, as in MG-3D. Slices lie 5 to 10 mm apart, so turns stay in the plane.",
        "A label ratio takes whole patients, both frames of each.",
        "The official testing part (patients 101 to 150) is what `official` tests on.",
        "NSD tolerance 2 mm is ours. SPAD pre-trains on this set.",
    ),
)
OFFICIAL = replace(
    BENCH,
    split=SplitRule(
        file="acdc_official.json",
        key="acdc",
        origin="official: train and test are the owners' training and testing parts; ours: val = 10 of the 100 for training",
        unit="group",
    ),
    notes=(
        "Recipe, voxels and tolerance as in `bench`; no published number of the four papers is of these 50 patients.",
        *BENCH.notes[1:2],
        "SPAD pre-trains on this set, the testing part's volumes among them.",
    ),
)
MG3D = Protocol(
    split=SplitRule(
        file="acdc_mg3d.json",
        key="folds_test",
        origin="published:Xuefeng-Ni/MG-3D downstream/ACDC/ACDC_fold{0,1,2}.json",
        by_fold=True,
        order="published",
        straddles=True,
    ),
    label_ratios=(1.0,),
    intensity=Intensity("zscore", over="nonzero"),
    spacing_mm=None,
    patch_voxels=(192, 192, 32),
    crop_foreground=True,
    recipe=FineTuneConfig(
        steps=48_000,
        batch_size=2,
        crops_per_volume=2,
        lr=3e-4,
        weight_decay=1e-5,
        warmup_steps=800,
        grad_clip=0.0,
        precision="fp16",
        loss="dice_ce_plain_foreground",
        positive_share=0.5,
        flip_probability=0.1,
        intensity_scale=0.0,
        intensity_shift=0.0,
        evaluate_every=1_600,
    ),
    inference=Inference(overlap=0.75, blending="constant"),
    metrics=("dice",),
    average="case_then_class",
    score_grid="resampled",
    notes=(
        "The published folds are folds of frames: 30 of 35, 40 of 40 and 40 of 40 test patients also appear in training "
        "with their other frame, so these numbers are no measure of a new patient. `bench` splits patients.",
        "Three repeats are folds 0, 1 and 2. Selected on the reported fold; the paper has no test part.",
        "300 epochs of 160 frames are 48,000 updates; warm-up 5 epochs, evaluations each 10 epochs (code).",
        "Soft Dice leaves the background out, cross-entropy does not (code).",
        "The code crops to what is brighter than the mean, in multiples of a crop's sides, and pads; ours to what is not 0, and "
        "pads where a crop is larger than the frame. Padding counts nothing in the loss here, and as background there: two thirds "
        "of the voxels of a frame of ten slices, so that cross-entropy weighs about three times as much here.",
        "Crops that are not centred on foreground lie anywhere here; the code centres them on background brighter than the mean.",
    ),
)

TASK = SegmentationTask(
    title="ACDC",
    version=1,
    modality="MR",
    files=Acdc(look=LOOK),
    classes=("right-ventricle", "myocardium", "left-ventricle"),
    protocols={"bench": BENCH, "official": OFFICIAL, "mg3d": MG3D},
    counts={"labelled": 300},
    folders=("ACDC", "acdc"),
    gigabytes=2.3,
    licence="CC BY-NC-SA 4.0 as far as we know: read the owners' page",
    page="https://humanheart-project.creatis.insa-lyon.fr/database (open download)",
    citation="Bernard et al., Deep learning techniques for automatic MRI cardiac multi-structures segmentation, IEEE TMI 37, 2018",
)
