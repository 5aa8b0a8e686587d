"""Vocabulary prompts where the encoder fuses: both sentences of a finding guide a volume before they are set beside it.

Source   MG-3D (arXiv 2412.05876), CT-VocabFine, and its released code: frozen towers, a trained stack that fuses, and linear maps
         of all tokens of a fused volume and of each sentence into one space
Changes  tokens pass the projection of pre-training, which the code leaves out here, and so do the guides, which are the text
         encoder's sentences; with a `text_tower` they are its vectors, as in the code. A token takes the mean over its guides,
         as in pre-training, where the code's copy of these layers pools them by attention. A sentence's map reads it as the
         text encoder has it, the code's as the volume has informed it
Shapes   B volumes of N tokens, K findings of two sentences each, W the width of the fusion, E features of the common space
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.errors import EncoderMismatch
from bench.contracts.method import Encoder
from bench.nets.text_tower import TextTower
from tasks.kinds.pairing import PairNet


class FusedNet(PairNet):
    """Towers whose volumes are compared once they are fused; `tower` gives tokens (B, N, W). Maps start as they are drawn.

    `shown` (C, D, H, W) is what a volume is shown as: the map of all its tokens has as many inputs.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        learnt: bool,
        log_scale: float,
        reader: TextTower | None = None,
        shown: tuple[int, ...],
    ) -> None:
        super().__init__(encoder, learnt=learnt, log_scale=log_scale, reader=reader)
        with torch.no_grad():
            tokens, width = self.tower(torch.zeros(1, *shown)).shape[1:]
        self.image_map, self.text_map = nn.Linear(tokens * width, self.width), nn.Linear(self.width, self.width)
        self.guide_map = nn.Identity() if reader is None or reader.width == width else nn.Linear(reader.width, width)
        self._guides: dict[tuple[str, ...], Tensor] = {}

    def tower(self, volume: Tensor) -> Tensor:
        return self.encoder.seen(volume).float()

    def image(self, own: Tensor) -> Tensor:
        """(B, N, W) -> (B, E) of unit length, of volumes that nothing has guided or that something has."""
        return F.normalize(self.image_map(own.flatten(1)), dim=-1)

    def likeness(self, own: Tensor, pairs: Sequence[str]) -> Tensor:
        guides = _paired(self.guide_map(self.guides_of(pairs, own.device)))  # (K, 2, W)
        text = _paired(self.text(self.features_of(pairs, own.device)))  # (K, 2, E)
        tokens = own.repeat_interleave(len(guides), dim=0)  # (B K, N, W)
        fused = self.encoder.fused(tokens, guides.repeat(len(own), 1, 1))
        image = self.image(fused).view(len(own), len(guides), -1)
        return torch.einsum("bke,kje->bkj", image, text)

    def guides_of(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """(T, W): what guides a volume where a sentence speaks of it, worked out once per list of sentences."""
        key = tuple(texts)
        if key not in self._guides:
            with torch.no_grad():
                guides = self.encoder.guides(texts) if self.reader is None else self.reader.describe(texts)
            self._guides = {key: guides.float()}
        return self._guides[key].to(device)

    def let_fusion_learn(self) -> None:
        """Free what fuses of an encoder that is frozen else. Raises EncoderMismatch where its weights brought no fusion."""
        if not self.encoder.fuses:
            raise EncoderMismatch(
                "these weights hold no layers that fuse volume and text, which the protocol trains further.",
                remedy="Take weights that pre-training with reports left, or say --set finetune.fused=false.",
            )
        for part in self.encoder.fusing():
            part.requires_grad_(True).train()

    def fusion(self) -> str:
        """How sentences and volumes meet, in words for the record."""
        return "both sentences of a finding guide the volume, and the layers that fuse them learn"


def _paired(rows: Tensor) -> Tensor:
    """(2 K, F) -> (K, 2, F)."""
    return rows.view(len(rows) // 2, 2, -1)
