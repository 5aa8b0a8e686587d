"""A frozen BERT on disk as a text tower: one vector for each text, that of its [CLS].

Source   CT-CLIP (Hamamci et al., arXiv 2403.17834) and its released code, which cuts texts at 512 tokens
Shapes   T texts of L tokens, F features
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.nets.bert_folder import BertFolder
from bench.nets.text_encoder import places

AT_ONCE = 64  # texts in one pass


class TextTower(nn.Module):
    """The BERT of `folder` (see `BertFolder`), which reads the first `length` tokens of a text, its two marks among them.

    Its weights are part of the state and never learn. Raises DataMissing or SpecError where the folder holds no such BERT.
    """

    def __init__(self, folder: str, length: int) -> None:
        super().__init__()
        self.bert, self.length = BertFolder(folder, longest=length), length
        self.width = self.bert.width

    @torch.no_grad()
    def describe(self, texts: Sequence[str]) -> Tensor:
        """(T, F): the last layer at [CLS], on the tower's device."""
        parts = [self._cls(texts[first : first + AT_ONCE]) for first in range(0, len(texts), AT_ONCE)]
        return torch.cat(parts) if parts else torch.zeros(0, self.width)

    def _cls(self, texts: Sequence[str]) -> Tensor:
        marks, device = self.bert.tokeniser, next(self.bert.parameters()).device
        rows = [[marks.start, *marks.ids(text)[: self.length - 2], marks.end] for text in texts]
        words = torch.full((len(rows), max(map(len, rows))), marks.padding, device=device)
        for row, ids in zip(words, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids, device=device)
        return self.bert(words, (words != marks.padding).long(), places(words))[:, 0]
