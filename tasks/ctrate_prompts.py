"""CT-RATE: eighteen findings of a chest CT, each told by the sentence that a volume is more like.

Source   Hamamci et al. (arXiv 2403.17834); VocabFine and recipe of MG-3D (arXiv 2412.05876) and its released code
Split    fine-tuning: the first 1,000 distinct scans of the owners' training part in hash order, the last 100 of them val; test:
         the owners' 3,039 validation volumes
"""

from bench.contracts.cards import PromptTask
from bench.contracts.protocols import Protocol
from bench.contracts.recipes import PromptRecipe
from tasks.layouts.ct_rate import CtRate
from tasks.recipes.ct_rate import HU, LOOK, SPACING_MM, SPLIT

COMMON = (
    "HU in [-1000, 1000] scaled to [0, 1]; 0.75 x 0.75 x 1.5 mm; the middle 0.875 x 0.656 x 0.88 as 128 x 96 x 128.",
    "The answers are CT-RATE's silver labels, written by a classifier of reports.",
    "A method whose encoder reads no text is set beside fixed vectors of the prompts' spelling (ours). The released code takes "
    "CT-CLIP's CXR-BERT for all: --set text_tower=FOLDER, with config.json and vocab.txt of CXR-BERT and CT-CLIP's weights as "
    "pytorch_model.bin.",
    "auc is the mean of eighteen AUCs over volumes, auc@scan over scans, a scan's reconstructions averaged first.",
)
BENCH = Protocol(
    split=SPLIT,
    label_ratios=(0.1, 0.25, 0.5, 1.0),
    intensity=HU,
    spacing_mm=SPACING_MM,
    patch_voxels=(128, 96, 128),
    recipe=PromptRecipe(
        steps=2_250,  # ours, 20 epochs of 900 scans
        batch_size=8,  # ours
        lr=1e-3,  # ours, linear maps alone
        weight_decay=1e-2,  # ours
        warmup_steps=50,  # ours
        evaluate_every=225,  # ours
    ),
    metrics=("auc", "auc@scan"),
    notes=(
        *COMMON,
        "Both towers stay frozen and a linear map behind each is learnt.",
        'Sentences: "<Finding> is present." and "<Finding> is not present."',
    ),
)
MG3D = Protocol(
    split=SPLIT,
    label_ratios=(1.0,),
    intensity=HU,
    spacing_mm=SPACING_MM,
    patch_voxels=(128, 96, 128),
    recipe=PromptRecipe(
        steps=10_000,  # MG-3D released code, 10 epochs of 1,000 scans
        batch_size=1,  # MG-3D released code
        lr=1e-5,  # MG-3D released code
        weight_decay=0.1,  # MG-3D released code
        decay_all=True,  # MG-3D released code
        warmup_steps=10_000,  # MG-3D released code: the rate rises to the end and never falls
        grad_clip=0.0,  # MG-3D released code
        loss="pair_mse",  # MG-3D released code
        affirm="{finding}.",  # MG-3D released code
        deny="not {finding}.",  # MG-3D released code
        fused=True,  # MG-3D released code
        selection="last",  # MG-3D Sec. IV, no validation part
    ),
    metrics=("auc", "auc@scan"),
    notes=(
        *COMMON,
        "Both towers stay frozen. Where an encoder fuses (MG-3D), both sentences of a finding guide the volume, the layers that "
        "fuse them are trained, and a linear map reads all its tokens, as in the released code; they pass the projection of "
        "pre-training first, which the code leaves out. Behind any other encoder linear maps alone are learnt.",
        "The paper draws 1,000 scans at random, the code takes the first of a directory listing; ours are drawn by hash, and 100 "
        "of them are left for val here, too.",
        "The code makes three updates of six findings per scan; here one update takes all eighteen.",
        "What cosines are multiplied by is learnt from e on; in the code it stays as CT-CLIP's weights have it, and the frozen "
        "text tower drops numbers out while the rest learns.",
        "The released loader stops after 1,000 test volumes; all 3,039 are scored here, as the paper says.",
    ),
)
CLASSES = (
    *("medical-material", "arterial-wall-calcification", "cardiomegaly", "pericardial-effusion"),
    *(
        "coronary-artery-wall-calcification",
        "hiatal-hernia",
        "lymphadenopathy",
        "emphysema",
        "atelectasis",
        "lung-nodule",
    ),
    *("lung-opacity", "pulmonary-fibrotic-sequela", "pleural-effusion", "mosaic-attenuation-pattern"),
    *("peribronchial-thickening", "consolidation", "bronchiectasis", "interlobular-septal-thickening"),
)

TASK = PromptTask(
    title="CT-RATE vocabulary prompts",
    version=1,
    modality="CT",
    files=CtRate(look=LOOK, label="findings"),
    classes=CLASSES,
    targets={"zero_shot": {}},
    text_targets=("zero_shot",),
    protocols={"bench": BENCH, "mg3d": MG3D},
    counts={"labelled": 50188},
    folders=("CT-RATE", "ct_rate"),
    gigabytes=21_000.0,
    licence="CC BY-NC-SA 4.0, gated, no redistribution",
    page="https://huggingface.co/datasets/ibrahimhamamci/CT-RATE (registration)",
    citation="Hamamci et al., Developing generalist foundation models from a multimodal dataset for 3D CT, arXiv 2403.17834",
    hu=(-32768.0, 32767.0),
)
