"""BraTS 2021: three nested regions of glioma in four MR contrasts, 1,251 labelled cases of 1 mm.

Source   Baid et al., arXiv 2107.02314; Synapse syn25829067 (registration and terms)
Split    test = fold 0 of MONAI's five folds, val is 100 of the other 1,000. MiM's table "BraTS 21" is not this set but MSD Task01
         with its labels read otherwise: `msd01@mim_compat --protocol mim`
"""

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Inference, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.brats import Brats
from tasks.layouts.phantom_case import Look

LOOK = Look(
    dataset="brats21",
    view="glioma",
    modality="flair",
    smoke=(32, 32, 32),
    mini=(64, 64, 64),
    unseen=("bench_proposed.json", "brats21/test"),
    orientations=("LPS",),
)
BENCH = Protocol(
    split=SplitRule(
        file="bench_proposed.json",
        key="brats21",
        origin="test = fold 0 of MONAI's published folds, val = 100 of the other 1,000 and the order of the rest by hash",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("zscore", over="nonzero"),
    spacing_mm=None,  # 1 mm in every header
    patch_voxels=(128, 128, 128),
    crop_foreground=True,
    recipe=FineTuneConfig(
        steps=50_000,
        batch_size=4,
        crops_per_volume=1,
        lr=1e-4,
        positive_share=0.5,
    ),
    inference=Inference(overlap=0.5),
    metrics=("dice", "dice@brats", "nsd@2mm", "hd95", "assd"),
    target="regions",
    notes=(
        "The recipe is ours; intensities, crop and the three sigmoid regions are those of MONAI's code for this set.",
        "WT is the whole tumour, TC its core (without the edema), ET what enhances.",
        "Channels are FLAIR, T1 with contrast agent, T1, T2, the order of MONAI's list.",
        "`dice` leaves out cases without the region and counts them; `dice@brats` counts them 1 or 0 as the challenge does.",
        "Encoders that were pre-trained on one channel have their first layer repeated for the other three, not divided.",
        "MiM's printed 'BraTS 21' has 484 cases, the number of MSD Task01, and its code reads that set: see msd01@mim_compat.",
        "NSD tolerance 2 mm is ours.",
    ),
)

TASK = SegmentationTask(
    title="BraTS 2021",
    version=1,
    modality="MR",
    files=Brats(look=LOOK),
    channels=4,
    classes=("necrotic-core", "edema", "enhancing-tumor"),
    label_values={4: 3},
    targets={
        "regions": {
            "wt": ("necrotic-core", "edema", "enhancing-tumor"),
            "tc": ("necrotic-core", "enhancing-tumor"),
            "et": ("enhancing-tumor",),
        },
    },
    protocols={"bench": BENCH},
    elsewhere={"mim": "msd01@mim_compat --protocol mim"},
    counts={"labelled": 1251, "unlabelled": 219},
    folders=("BraTS2021_Training_Data", "BraTS2021"),
    gigabytes=13.0,
    licence="challenge terms; research use, no redistribution",
    page="https://www.synapse.org/Synapse:syn25829067 (registration and terms)",
    citation="Baid et al., The RSNA-ASNR-MICCAI BraTS 2021 benchmark on brain tumor segmentation, arXiv 2107.02314, 2021",
)
