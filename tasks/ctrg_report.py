"""CTRG-Chest: write the findings of a chest CT, 1,804 volumes with reports translated into English.

Source   Tang et al., CTRG-Chest-548K; list and recipe of MG-3D (arXiv 2412.05876) and its released code
Split    360 test cases of the released list, whose val is its test; `bench`: 144 of the others are val by hash, 1,300 train
"""

from bench.contracts.cards import ReportTask
from bench.contracts.configs import Intensity
from bench.contracts.protocols import Protocol, SplitRule
from bench.contracts.recipes import ReportInference, ReportRecipe
from tasks.layouts.ctrg import Ctrg
from tasks.layouts.phantom_case import Look

LOOK = Look(
    dataset="ctrg_report",
    view="chest",
    modality="ct",
    smoke=(40, 40, 16),
    mini=(64, 64, 32),
    unseen=("ctrg_report.json", "test"),
)
METRICS = ("bleu-1", "bleu-2", "bleu-3", "bleu-4", "rouge-l")
WORDS = (
    "BLEU of the whole set, no smoothing, one reference; tokenisation `report` (sha256 of its answers 9241f863013d2ec1): "
    "lower case, punctuation as white space, each sentence closed by a full stop.",
    "ROUGE-L, an extra that the paper does not print, is coco-caption's (beta 1.2) on the same tokens: the mean over cases. "
    "There is no F1 of findings: the optional table of 14 observations tells them of the true reports alone, and nothing here "
    "reads them out of a generated one.",
    "The BLEU-4 by which weights are chosen is of texts written greedily, each word the likeliest; test reports are written by a "
    "beam.",
    "The target is the findings section alone. 8-bit grey of an unknown export window: no HU, no voxel size.",
)
BENCH = Protocol(
    split=SplitRule(
        file="bench_proposed.json",
        key="ctrg_report",
        origin="MG-3D's released test list; val of 144 by sha256('split-v1|ctrg_report|case') out of its 1,444 training cases",
    ),
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(128, 96, 128),
    recipe=ReportRecipe(
        steps=5_000,  # ours, 31 epochs of 1,300 reports
        batch_size=8,  # ours
        lr=1e-4,  # MG-3D released code
        weight_decay=5e-5,  # MG-3D released code
        warmup_steps=200,  # ours
        evaluate_every=500,  # ours
    ),
    inference=ReportInference(),
    metrics=METRICS,
    notes=(
        *WORDS,
        "The reference is the whole cleaned report; beside it (`decoded`) stands the reference cut at 150 words with <unk> for "
        "words that the vocabulary lacks, which the paper's code scores on.",
        "The view is that of MG-3D's pre-training: the middle 0.875 x 0.656 x 0.88 of a volume as 128 x 96 x 128.",
        "The generator is ours: three transformer layers on 27 pooled cells of all feature maps.",
    ),
)
MG3D = Protocol(
    split=SplitRule(
        file="ctrg_report.json",
        key="",
        origin="Xuefeng-Ni/MG-3D downstream/CTRG, 1,444 / 360, val is test",
        order="published",
    ),
    label_ratios=(1.0,),
    intensity=Intensity("u8"),
    spacing_mm=None,
    patch_voxels=(128, 128, 128),
    recipe=ReportRecipe(
        steps=21_660,  # MG-3D released code, 30 epochs of 1,444 reports, 2 at a time
        batch_size=2,  # MG-3D released code
        lr=1e-4,  # MG-3D released code; the encoder at half of it
        layer_decay=0.5,  # MG-3D released code, 5e-5 for the visual part
        weight_decay=5e-5,  # MG-3D released code
        warmup_steps=0,  # MG-3D released code
        evaluate_every=722,  # MG-3D released code, an epoch
        kept_share=(1.0, 1.0, 1.0),  # MG-3D released code, the full volume, unlike pre-training
        decoder_depth=1,  # MG-3D Sec. IV, one transformer layer
        memory_slots=60,  # MG-3D released code (M2KT)
    ),
    inference=ReportInference(reference="decoded"),
    metrics=METRICS,
    notes=(
        *WORDS,
        "As the released code scores, both texts go through the vocabulary, so rare words become <unk> and what stands beyond 150 "
        "words never counts; the full reference stands beside it (`full`).",
        "Words are cut as above. The code's own cleaning leaves no white space for a mark (0.8 becomes 08), keeps hyphens and "
        "drops a list's numbers: 247 of the 40,201 words of the 360 references differ, and BLEU-4 of one cleaning against the "
        "other is 0.98.",
        "The checkpoint is chosen by BLEU-4 on the 360 cases that are reported: the released list's val is its test. The code "
        "writes their texts by its beam there, too.",
        "The code clips gradient values at 5, takes AMSGrad and cuts the rate by 0.8 each epoch; here the norm is clipped at 5, "
        "the optimiser is AdamW and the rate falls as a cosine.",
        "A report counts by itself in the loss, and the end of one that is cut is taught, too; the code takes the mean over all "
        "words of both reports, so that a longer one weighs more, and cuts at 149 words without an end: 346 of 1,444 are as long.",
        "From its second epoch on the code makes the last 222 of 722 updates without dropout; here dropout is in all of them.",
        "The code stretches volumes with the outermost voxels in place; here the outermost borders are.",
        "The knowledge memory stands among the visual tokens; M2KT reads it by an attention of its own.",
        "Visual tokens are the five maps as the encoder gives them, 1,488 channels of Swin-B, normed token by token; the code "
        "pools Swin-UNETR's convolved scales beside the last map, 1,152 channels, and norms each over the 27 tokens.",
        "The paper prints 1,443 / 361; the released list has 1,444 / 360.",
    ),
)

TASK = ReportTask(
    title="CTRG-Chest reports",
    version=1,
    modality="CT",
    files=Ctrg(look=LOOK),
    classes=(),
    protocols={"bench": BENCH, "mg3d": MG3D},
    counts={"labelled": 1804},
    folders=("CTRG-Chest-548K", "CTRG-Chest", "ctrg_report"),
    gigabytes=40.0,
    licence="not stated by the owners",
    page="https://github.com/tangyuhao2016/CTRG (points to the download)",
    citation="Tang et al., Work like a doctor (scan localizer and dynamic generator), CTRG-Chest-548K, 2024",
)
