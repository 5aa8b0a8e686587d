"""CT-RATE: find the volume that a report was written about among all 3,039 of the validation part.

Source   Hamamci et al. (arXiv 2403.17834); MG-3D (arXiv 2412.05876) Sec. IV, report-to-volume retrieval
Split    as ctrate_prompts; as it stands the task trains nothing and its 1,000 scans are not used
"""

from bench.contracts.cards import RetrievalTask
from bench.contracts.protocols import Protocol
from bench.contracts.recipes import RetrievalInference, RetrievalRecipe
from tasks.layouts.ct_rate import CtRate
from tasks.recipes.ct_rate import HU, LOOK, SPACING_MM, SPLIT

COMMON = (
    "HU in [-1000, 1000] scaled to [0, 1]; 0.75 x 0.75 x 1.5 mm; the middle 0.875 x 0.656 x 0.88 as 128 x 96 x 128.",
    "The query is findings and impression; a volume whose report is not given stands in no gallery.",
    "recall@k counts the very volume (`index`, as the paper does); beside it stand any reconstruction of the scan (`scan`) and one "
    "volume and report per scan (`unique`), with what drawing at random would give (`chance`); 3,039 volumes make 50 a 1.65 %.",
    "recall@k ranks by the cosine of the towers' global vectors, as the paper words it; recall-fused@k lets the sentences of each "
    "report guide each volume first and takes the cosine of the informed volume with the report, by the layers that pre-training "
    "left. The released code ranks by pairs, too, but there one mean of all 512 tokens guides, and beside the informed volume "
    "stands the report as the volume has informed it, by maps that were fine-tuned. recall-fused@k is there where an encoder "
    "fuses, and costs n * n passes of those layers for n volumes, 9.2 million for 3,039, of 2.1 GFLOP each for MG-3D at full "
    "size; --set fused=false leaves it out.",
    "@finetune_1000 learns a linear map behind each frozen tower on 900 of the 1,000 scans, for 100 are left for val; an encoder "
    "that reads no text is then set beside fixed vectors of the reports' spelling (ours), and --set text_tower=FOLDER lets a BERT "
    "on disk read for any encoder.",
)
KS = (50, 5, 10, 100)
RECALL = (*(f"recall@{k}" for k in KS), *(f"recall-fused@{k}" for k in KS))
BENCH = Protocol(
    split=SPLIT,
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=HU,
    spacing_mm=SPACING_MM,
    patch_voxels=(128, 96, 128),
    recipe=RetrievalRecipe(
        steps=1_125,  # ours, 20 epochs of 900 scans
        batch_size=16,  # ours, a report against 15 others
        lr=1e-3,  # ours, linear maps alone
        weight_decay=1e-2,  # ours
        warmup_steps=50,  # ours
        evaluate_every=225,  # ours
    ),
    inference=RetrievalInference(),
    metrics=RECALL,
    notes=COMMON,
)
MG3D = Protocol(
    split=SPLIT,
    label_ratios=(1.0,),
    intensity=HU,
    spacing_mm=SPACING_MM,
    patch_voxels=(128, 96, 128),
    recipe=RetrievalRecipe(
        steps=750,  # MG-3D released weights' name, 12 epochs of 1,000 scans; 16 at a time is ours
        batch_size=16,  # ours, the paper does not say
        lr=1e-6,  # MG-3D released weights' name
        weight_decay=0.1,  # MG-3D released code, of VocabFine
        warmup_steps=0,  # ours, the paper does not say
        selection="last",  # MG-3D Sec. IV, no validation part
    ),
    inference=RetrievalInference(),
    metrics=RECALL,
    notes=(
        *COMMON,
        "The paper does not say whether retrieval follows fine-tuning, and its script is not released; the name of a checkpoint "
        "tells the length and the rate that @finetune_1000 takes.",
    ),
)

TASK = RetrievalTask(
    title="CT-RATE report-to-volume retrieval",
    version=1,
    modality="CT",
    files=CtRate(look=LOOK, label="report"),
    classes=(),
    targets={"finetune_1000": {}},
    text_targets=("",),
    protocols={"bench": BENCH, "mg3d": MG3D},
    counts={"labelled": 50188},
    folders=("CT-RATE", "ct_rate"),
    gigabytes=21_000.0,
    licence="CC BY-NC-SA 4.0, gated, no redistribution",
    page="https://huggingface.co/datasets/ibrahimhamamci/CT-RATE (registration)",
    citation="Hamamci et al., Developing generalist foundation models from a multimodal dataset for 3D CT, arXiv 2403.17834",
    hu=(-32768.0, 32767.0),
)
