"""The larger pool of MG-3D: all training volumes of CT-RATE, each with its report.

Source   MG-3D (arXiv 2412.05876) Sec. IV-A and Tab. V; Hamamci et al. (arXiv 2403.17834)
"""

from bench.contracts.cards import CorpusCard, CorpusMember, Intensity
from tasks.layouts.ct_rate import CtRate
from tasks.layouts.phantom_case import Look

CHEST = Look(
    dataset="ct-rate",
    view="chest",
    modality="ct",
    smoke=(40, 40, 16),
    mini=(64, 64, 40),
    spacing_mm=(1.0, 0.9, 2.0),
    orientations=("LPS", "RAS"),
)

CORPUS = CorpusCard(
    title="CT-RATE (47.1K)",
    version=1,
    key="ct-rate-47.1k",
    modality="CT",
    members=(
        CorpusMember(
            key="ct-rate",
            files=CtRate(look=CHEST, parts=("train",)),
            folders=("CT-RATE-train", "CT-RATE", "ct_rate"),
            printed=47_149,
        ),
    ),
    printed=47_149,
    intensity=Intensity("hu", (-1000.0, 1000.0)),
    spacing_mm=(0.75, 0.75, 1.5),
    offers=frozenset({"volume", "report"}),
    licence="CC BY-NC-SA 4.0, gated, no redistribution",
    page="https://huggingface.co/datasets/ibrahimhamamci/CT-RATE (registration)",
    notes=(
        "HU in [-1000, 1000] scaled to [0, 1]; 0.75 x 0.75 x 1.5 mm.",
        "Reconstructions of one scan share a report; a volume whose report has no text is left out.",
        "Exposure: the 1,000 scans that ctrate_prompts fine-tunes on are training volumes; no validation volume is in the pool.",
    ),
)
