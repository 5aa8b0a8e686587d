"""The larger pool of MG-3D: all training volumes of CT-RATE, each with its report.

Source   MG-3D (arXiv 2412.05876) Sec. IV-A and Tab. V; Hamamci et al. (arXiv 2403.17834)
"""

from bench.contracts.cards import CorpusCard
from tasks.recipes.ct_rate import HU, SPACING_MM, pool_notes, training_part

CORPUS = CorpusCard(
    title="CT-RATE (47.1K)",
    version=1,
    key="ct-rate-47.1k",
    modality="CT",
    members=(training_part(printed=47_149),),
    printed=47_149,
    intensity=HU,
    spacing_mm=SPACING_MM,
    offers=frozenset({"volume", "report"}),
    licence="CC BY-NC-SA 4.0, gated, no redistribution",
    page="https://huggingface.co/datasets/ibrahimhamamci/CT-RATE (registration)",
    notes=pool_notes(),
)
