"""MM-WHS: seven structures of the heart in CT angiography, 20 labelled volumes.

Source   Zhuang et al., Medical Image Analysis 2019; registration and agreement needed
Split    `mim` five folds of four volumes, reports on the fold that it selects on; `bench` tests on fold 0, val is 2 of the other 16
"""

from dataclasses import replace

from bench.contracts.cards import SegmentationTask
from bench.contracts.configs import FineTuneConfig, Intensity
from bench.contracts.protocols import Protocol, SplitRule
from tasks.layouts.mmwhs import MmWhs
from tasks.layouts.phantom_case import Look
from tasks.recipes.mim_ct import LENGTH, RECIPE, SELECTED, mim_protocol

PARTS = (
    "left-ventricle-myocardium",
    "left-atrium",
    "left-ventricle",
    "right-atrium",
    "right-ventricle",
    "ascending-aorta",
    "pulmonary-artery",
)
LOOK = Look(
    dataset="mmwhs",
    view="whole-heart",
    modality="ct",
    smoke=(40, 40, 20),
    mini=(96, 96, 64),
    spacing_mm=(0.9, 0.9, 1.5),
    unseen=("bench_proposed.json", "mmwhs/test"),
    orientations=("RAS", "LPS", "ASL", "SPR"),  # slices lie on any of the three axes
)
WINDOW = (0.0, 1700.0)

BENCH = Protocol(
    split=SplitRule(
        file="bench_proposed.json",
        key="mmwhs",
        origin="test = fold 0 of the published folds (JiaxinZhuang/MiM), val = 2 of the other 16 and the order of the rest by hash",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("hu", WINDOW),
    spacing_mm=(1.5, 1.5, 1.5),
    patch_voxels=(96, 96, 96),
    crop_foreground=True,
    recipe=FineTuneConfig(flip_axes=(), rotate_degrees=(10.0, 10.0, 10.0), zoom=(0.9, 1.1)),
    notes=(
        "The recipe is ours; spacing and crop are MiM's, the window that of later code of the same group.",
        "No flips: left and right chambers are classes of their own.",
        "NSD tolerance 2 mm is ours.",
    ),
)
MIM = mim_protocol(
    split=SplitRule(
        file="mmwhs.json",
        key="folds",
        origin="published:JiaxinZhuang/MiM Finetune/jsons/MMWHS_ct.json",
        by_fold=True,
        order="published",
        subsets={0.25: "fold0_label_subsets/0.25", 0.5: "fold0_label_subsets/0.5"},
    ),
    label_ratios=(0.25, 0.5, 1.0),
    window_hu=WINDOW,
    spacing_mm=(1.5, 1.5, 1.5),
    volumes=16,
    recipe=replace(RECIPE, flip_probability=0.1, rot90_probability=0.1),
    notes=(
        SELECTED,
        "The window 0 to 1,700 is that of later code of the same group; the paper and the released code are silent.",
        "Variation is stated nowhere: flips, turns and shift are those of BTCV.",
        "Flips swap left and right chambers without renaming them, as on BTCV.",
        LENGTH,
        "NSD tolerance 2 mm is ours. Table VIII prints 76.65 and Table XIII 96.19 for nearly equal Dice, so their settings differ.",
        "The subsets at 0.25 and 0.5 are the published ones, 1005 to 1008 and 1005 to 1012. They belong to fold 0.",
    ),
)

TASK = SegmentationTask(
    title="MM-WHS CT",
    version=1,
    modality="CT",
    files=MmWhs(look=LOOK),
    classes=PARTS,
    label_values={
        205: 1,
        420: 2,
        421: 2,
        500: 3,
        550: 4,
        600: 5,
        820: 6,
        850: 7,
    },  # 421 is a slip of the owners for 420
    protocols={"bench": BENCH, "mim": MIM},
    counts={"labelled": 20, "unlabelled": 40},
    folders=("MMWHS", "MM-WHS", "MM-WHS 2017 Dataset"),
    gigabytes=4.0,
    licence="agreement; research only, no redistribution",
    page="https://zmic.org.cn (registration and agreement needed); archive: sdspeople.fudan.edu.cn/zhuangxiahai/0/mmwhs17",
    citation="Zhuang et al., Evaluation of algorithms for Multi-Modality Whole Heart Segmentation, Medical Image Analysis 58, 2019",
    hu=(-3100.0, 32_767.0),
    cut_to_organ=True,
)
