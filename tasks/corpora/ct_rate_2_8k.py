"""A part of CT-RATE's training volumes, 2,800 scans, for MG-3D's study of data scale.

Source   MG-3D (arXiv 2412.05876) Sec. IV-A and Tab. V; Hamamci et al. (arXiv 2403.17834)
"""

from bench.contracts.cards import CorpusCard
from tasks.recipes.ct_rate import HU, SPACING_MM, pool_notes, training_part

CORPUS = CorpusCard(
    title="CT-RATE (2.8K)",
    version=1,
    key="ct-rate-2.8k",
    modality="CT",
    members=(training_part(printed=2_800, scans=2_800),),
    printed=2_800,
    intensity=HU,
    spacing_mm=SPACING_MM,
    offers=frozenset({"volume", "report"}),
    licence="CC BY-NC-SA 4.0, gated, no redistribution",
    page="https://huggingface.co/datasets/ibrahimhamamci/CT-RATE (registration)",
    notes=pool_notes(scans=2_800),
)
