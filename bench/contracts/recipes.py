"""Recipes of the tasks that deal in words: what they need besides any fine-tuning. Plain values, no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from bench.contracts.configs import FineTuneConfig, Inference, from_disk, later
from bench.contracts.demands import demand_least


@dataclass(frozen=True, kw_only=True)
class WholeViewRecipe(FineTuneConfig):
    """A recipe that sees the middle of each volume, resized to one shape, and never turned: reports tell left from right."""

    kept_share: tuple[float, float, float] = (
        0.875,
        0.65625,
        0.88,
    )  # MG-3D released code, share of x, y, z kept in the middle
    crops_per_volume: int = 1  # ours, the whole view is one input
    positive_share: float = 0.0  # ours, no label lies in the voxels
    flip_axes: tuple[int, ...] = ()  # MG-3D Sec. IV, no augmentation
    intensity_scale: float = 0.0  # MG-3D Sec. IV, no augmentation
    intensity_shift: float = 0.0  # MG-3D Sec. IV, no augmentation


@dataclass(frozen=True, kw_only=True)
class ReportRecipe(WholeViewRecipe):
    """How a report generator is built on an encoder and trained: a transformer decoder over pooled feature maps."""

    loss: str = (
        "ce"  # MG-3D released code, cross-entropy of the next word; ours, mean over a report's words, then over reports
    )
    tokenisation: str = "report"  # ours, a name of bench.metrics.text.TOKENISATIONS
    max_tokens: int = 150  # MG-3D released code, words of a report that training sees and prediction may write
    least_count: int = 3  # MG-3D released code, times that a word must stand in the training reports to be known
    vocabulary: int = 4096  # ours, room for words, the four special ones among them
    pooled_side: int = 3  # MG-3D released code, each map is pooled to this many cells per axis
    decoder_width: int = 512  # MG-3D released code (M2KT)
    decoder_depth: int = 3  # ours; the paper's generator has 1 layer
    decoder_heads: int = 8  # MG-3D released code (M2KT)
    decoder_hidden: int = 512  # MG-3D released code (M2KT)
    memory_slots: int = 0  # ours; MG-3D's generator has 60 learnt vectors beside the visual ones
    dropout: float = 0.1  # ours

    def sized(self, preset: str, kind: str) -> ReportRecipe:
        sized = super().sized(preset, kind)
        assert isinstance(sized, ReportRecipe)
        if preset == "small":
            return dataclasses.replace(
                sized, vocabulary=2048, decoder_width=128, decoder_depth=2, decoder_heads=4, decoder_hidden=256
            )
        if preset == "tiny":
            return dataclasses.replace(
                sized,
                vocabulary=1024,
                max_tokens=40,
                decoder_width=32,
                decoder_depth=1,
                decoder_heads=2,
                decoder_hidden=32,
            )
        return sized


@dataclass(frozen=True, kw_only=True)
class ReportInference(Inference):
    """How a report is written and which reference it is scored on; the other reference stands beside it in the record.

    `full` is the whole cleaned report. `decoded` is what a generator could have written: cut at `max_tokens`, with `<unk>`
    for words that its vocabulary lacks.
    """

    beam: int = 3  # MG-3D released code; 1 is greedy
    reference: Literal["full", "decoded"] = "full"  # ours

    def __post_init__(self) -> None:
        super().__post_init__()
        demand_least("beam", self.beam, 1)

    def sized(self, preset: str) -> ReportInference:
        return dataclasses.replace(self, beam=2) if preset == "tiny" else self


@dataclass(frozen=True, kw_only=True)
class PairRecipe(WholeViewRecipe):
    """How volumes and sentences come into one space: both towers stay as they are, linear maps behind them are learnt."""

    frozen_encoder: bool = True  # MG-3D released code, both towers frozen
    log_scale: float = 1.0  # CT-CLIP released code, logarithm of what cosines are multiplied by, at the start; learnt
    text_tower: str = from_disk("", came_later=True)  # MG-3D released code, CXR-BERT of CT-CLIP; empty: the encoder's
    text_tower_length: int = later(512)  # CT-CLIP released code, tokens that it reads of a text


@dataclass(frozen=True, kw_only=True)
class PromptRecipe(PairRecipe):
    """Findings told by two sentences each. `{finding}` stands for the name in words, with a capital letter."""

    loss: str = (
        "pair_ce"  # ours; pair_ce is cross-entropy between the two sentences, pair_mse the squared gap to (1, 0)
    )
    affirm: str = "{finding} is present."  # CT-CLIP Sec. 3
    deny: str = "{finding} is not present."  # CT-CLIP Sec. 3
    fused: bool = later(
        False
    )  # ours; True lets both sentences guide a volume and trains what fuses, where an encoder does


@dataclass(frozen=True, kw_only=True)
class RetrievalRecipe(PairRecipe):
    """Reports and their volumes told apart from all others of the batch."""

    loss: str = "infonce"  # ours, symmetric; the paper's script is not released


@dataclass(frozen=True, kw_only=True)
class RetrievalInference(Inference):
    """How a gallery is asked: by the cosine of vectors that stand for themselves, and beside it by pairs."""

    fused: bool = later(True)  # MG-3D released code, each report meets each volume: n * n passes; False leaves them out
