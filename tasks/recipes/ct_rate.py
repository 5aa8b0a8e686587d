"""What the cards of CT-RATE share: its split, how its voxels are read, how its phantoms look, and pools of its training part.

Source   Hamamci et al. (arXiv 2403.17834); MG-3D (arXiv 2412.05876) Sec. IV-A and Tab. V
"""

from __future__ import annotations

from bench.contracts.cards import CorpusMember
from bench.contracts.configs import Intensity
from bench.contracts.protocols import SplitRule
from tasks.layouts.ct_rate import CtRate
from tasks.layouts.phantom_case import Look

LOOK = Look(
    dataset="ct-rate",
    view="chest",
    modality="ct",
    smoke=(40, 40, 16),
    mini=(64, 64, 40),
    spacing_mm=(1.0, 0.9, 2.0),
    orientations=("LPS", "RAS"),
)
HU = Intensity("hu", (-1000.0, 1000.0))
SPACING_MM = (0.75, 0.75, 1.5)
SPLIT = SplitRule(
    file="",
    key="",
    origin="the owners' train and validation tables; of train 1,000 scans by sha256('split-v1|ctrate_prompts|scan')",
    order="published",
)


def training_part(*, printed: int, scans: int = 0) -> CorpusMember:
    """The owners' training volumes with their reports, or one of each of the first `scans` in hash order."""
    return CorpusMember(
        key="ct-rate",
        files=CtRate(look=LOOK, parts=("train",), scans=scans),
        folders=("CT-RATE-train", "CT-RATE", "ct_rate"),
        printed=printed,
        named_as=("ctrate_prompts", "ctrate_retrieval"),
    )


def pool_notes(*, scans: int = 0) -> tuple[str, ...]:
    """What is to be known of a pool of the training part, or of `scans` of it."""
    drawn = (
        f"The authors' draw is unknown; ours: the first {scans:,} distinct scans in the order of "
        "sha256('split-v1|ctrate_prompts|scan'), the lowest reconstruction of each: a smaller pool is part of a larger one."
    )
    every = "Reconstructions of one scan share a report; a volume whose report has no text is left out."
    return (
        "HU in [-1000, 1000] scaled to [0, 1]; 0.75 x 0.75 x 1.5 mm.",
        drawn if scans else every,
        "Exposure: the 1,000 scans that ctrate_prompts fine-tunes on are training volumes; no validation volume is in the pool.",
    )
