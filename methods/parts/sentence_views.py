"""What each sentence of a report sees in a volume, and how alike the sentences of two patients are, in both modalities.

Source   MG-3D (arXiv 2412.05876), Sec. III-C, Eq. 11 and 12; its released code for the gate and the thresholds
Changes  Eq. 11 makes the pooled volume the only key, so that its softmax is 1 and all sentences of a patient see the
         same. `tokens` is ours: sentences ask the volume's tokens, less their mean, in two layers
Shapes   B patients, S sentences and N tokens of width W; `shown` (B, S) bool, True = a sentence, False = padding
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.errors import SpecError
from bench.nets.vit3d import init_transformer_
from bench.nets.without_autocast import without_autocast
from methods.parts.fusion import masked_mean

Form = Literal["tokens", "gate", "eq11", "eq11_gate"]
LAYERS: dict[Form, int] = {"tokens": 2, "gate": 2, "eq11": 1, "eq11_gate": 1}
ALIKE, UNLIKE = 0.9, 0.6  # released code's thresholds on cosines of texts
WATCHED = ("mean_v", "mean_t")


class Ask(nn.Module):
    """The three linear maps of one layer; `normed` puts a LayerNorm before queries and one before keys and values."""

    def __init__(self, width: int, *, normed: bool) -> None:
        super().__init__()
        self.norm_query, self.norm_seen = (nn.LayerNorm(width) if normed else nn.Identity() for _ in range(2))
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, asking: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.norm_seen(seen)
        return self.query(self.norm_query(asking)), self.key(seen), self.value(seen)


class SentenceViews(nn.Module):
    """H_S (B, S, W): sentence-specific visual features.

    `tokens`: H^l = softmax(Q(q^l) K(V)^T / sqrt(W)) Val(V) over tokens V less their mean (`centred`), q^1 = S,
    q^2 = S + H^1, H_S = H^2, without residual, so that nothing of the text is in it. `gate`: the released code, in which
    a sentence is key and value and the image one query: sigmoid(q . k / sqrt(W)) v. `eq11`: as printed; `eq11_gate`:
    sigmoid(Q(S) * K(F_I)) * Val(F_I), channel by channel. One head; Xavier-uniform, biases 0, but for `gate`, which starts
    as PyTorch does.
    """

    def __init__(self, width: int, form: Form = "tokens", *, centred: bool = True) -> None:
        super().__init__()
        if form not in LAYERS:
            raise SpecError(f"No sentence views '{form}'.", remedy=f"Choose one of {', '.join(LAYERS)}.")
        self.form, self.centred = form, centred
        self.layers = nn.ModuleList(Ask(width, normed=form == "tokens") for _ in range(LAYERS[form]))
        self.again = nn.Linear(width, width) if form == "gate" else None  # the image's query of the second layer
        if form != "gate":
            init_transformer_(self)

    def forward(self, sentences: Tensor, shown: Tensor, tokens: Tensor, pooled: Tensor) -> Tensor:
        """Sentences (B, S, W), tokens (B, N, W) and their pooled feature F_I (B, W) -> H_S (B, S, W)."""
        if self.form == "tokens":
            return self._from_tokens(sentences, tokens)
        if self.form == "gate":
            return self._gated(sentences, shown, pooled)
        query, key, value = self.layers[0](sentences, pooled[:, None])
        return value.expand_as(query) if self.form == "eq11" else (query * key).sigmoid() * value

    def _from_tokens(self, sentences: Tensor, tokens: Tensor) -> Tensor:
        seen = tokens - tokens.mean(1, keepdim=True) if self.centred else tokens
        asking, views = sentences, sentences
        for layer in self.layers:
            query, key, value = layer(asking, seen)
            shares = (query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])).float().softmax(-1)
            views = shares.to(value.dtype) @ value
            asking = sentences + views
        return views

    def _gated(self, sentences: Tensor, shown: Tensor, pooled: Tensor) -> Tensor:
        assert self.again is not None
        image, views = pooled, sentences
        for layer in self.layers:
            query, key, value = layer(image[:, None], views)
            views = (query * key).sum(-1, keepdim=True).div(math.sqrt(key.shape[-1])).sigmoid() * value
            image = self.again(masked_mean(views, shown)).tanh()
        return views


def similarity_gap(
    views: Tensor, texts: Tensor, shown: Tensor, *, thresholded: bool = False, reduction: str = "mean"
) -> Tensor:
    """Mean over pairs of patients i < j of |T_ij - V_ij| (Eq. 12), V and T the cosines between their sentences' views
    (B, S, W) and texts (B, S, E; no gradient).

    `reduction` over a pair's sentences: mean, or sum as Eq. 12 is printed. `thresholded`: targets of at least 0.9 stay,
    those of at most 0.6 become 0, and what lies between counts as no gap, but counts. One patient alone gives 0.
    """
    patients = len(shown)
    seen, said = (_cosines(x) for x in (views, texts.detach()))  # (B, S, B, S)
    gap = (said - seen).abs()
    if thresholded:
        gap = torch.where(said >= ALIKE, gap, torch.where(said <= UNLIKE, seen.abs(), torch.zeros_like(gap)))
    both = shown[:, :, None, None] & shown[None, None]
    summed, counted = (gap * both).sum((1, 3)), both.sum((1, 3))  # (B, B)
    each = summed if reduction == "sum" else summed / counted.clamp(min=1)
    pairs = patients * (patients - 1) / 2
    return each.triu(diagonal=1).sum() / max(pairs, 1)


@torch.no_grad()
def watched_similarities(views: Tensor, texts: Tensor, shown: Tensor) -> dict[str, Tensor]:
    """The means of V and T over the sentences of two patients each, by the names in `WATCHED`; 0 for one patient alone.

    V near 0 or near 1 for all pairs tells that the views have collapsed.
    """
    patients = torch.arange(len(shown), device=shown.device)
    both = (patients[:, None] < patients)[:, None, :, None] & shown[:, :, None, None] & shown[None, None]
    means = [(_cosines(x) * both).sum() / both.sum().clamp(min=1) for x in (views, texts)]
    return dict(zip(WATCHED, means, strict=True))


def _cosines(x: Tensor) -> Tensor:
    """Cosines between all sentences of all patients, (B, S, W) -> (B, S, B, S), in float32."""
    with without_autocast(x.device):
        flat = F.normalize(x.float(), dim=-1).flatten(0, 1)
        return (flat @ flat.T).view(*x.shape[:2], *x.shape[:2])
