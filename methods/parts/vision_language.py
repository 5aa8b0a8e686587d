"""A vision encoder with a frozen text encoder beside it: tokens of a volume, words and sentences of its report, one vector of each.

Source   MG-3D (arXiv 2412.05876), Sec. III-A and III-B
Shapes   B samples, N tokens of stride 32, L words, S sentences, W the common width, E features of the text encoder
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.errors import EncoderMismatch
from bench.contracts.method import Adopted, Encoder, Features
from bench.nets.patches import as_tokens
from bench.nets.text_encoder import TextEncoder, places
from bench.nets.vit3d import init_transformer_
from methods.parts.fusion import masked_mean
from methods.parts.heads import AttentionPool, ContrastHead, TokenPool
from methods.parts.informed import NAME, InformedVolume, none_without_its_tensors
from methods.parts.language import ReportTokens, fragment_means, membership

STRIDE = 32  # voxels per token and axis
AT_ONCE = 64  # texts described together


@dataclass(frozen=True)
class Report:
    """A report as a network sees it: frozen features (B, L, E), words W (B, L, W), sentences S (B, S, W), what of them is
    no padding, and each sentence's share of each word (B, S, L)."""

    frozen: Tensor
    words: Tensor
    sentences: Tensor
    word_shown: Tensor
    sentence_shown: Tensor
    members: Tensor


class VisionLanguageEncoder(Encoder):
    """`vision` gives maps to any task; `look` and `read` bring volume and report to one width, `image_vector` and
    `describe` to one vector each: the pooled feature behind its head for contrast. `informed_volume` is what pre-training
    learnt of fusing both, where it did; a method sets it.

    Weights of `vision` alone, as others publish them, may be adopted too.
    """

    def __init__(
        self, vision: Encoder, text: TextEncoder, *, width: int, length: int, sentences: int, learned_tokens: int = 0
    ) -> None:
        super().__init__()
        self.vision, self.text = vision, text
        self.channels, self.strides, self.pooled_width = vision.channels, vision.strides, vision.pooled_width
        self.sentences = sentences
        self.tokens = ReportTokens(text.tokeniser, length, sentences, hidden_ratio=0.0)
        self.see = nn.Linear(vision.channels[-1], width)
        self.say = nn.Linear(text.width, width)
        self.modality = nn.Embedding(2, width)  # 0 text, 1 image
        self.image_pool, self.text_pool = TokenPool(width, learned_tokens), AttentionPool(width)
        self.image_head, self.text_head = ContrastHead(width, width), ContrastHead(width, width)
        for part in (self.see, self.say, self.image_pool, self.text_pool, self.image_head, self.text_head):
            init_transformer_(part)
        nn.init.normal_(self.modality.weight, std=0.02)
        self.informed_volume: InformedVolume | None = None
        self.register_load_state_dict_pre_hook(none_without_its_tensors)  # type: ignore[no-untyped-call]

    def forward(self, volume: Tensor) -> Features:
        found: Features = self.vision(volume)
        return found

    def look(self, volume: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, N, W): the last map, averaged to stride 32 where it is finer, row-major, projected."""
        coarse = self(volume).maps[-1]
        finer = [STRIDE // stride for stride in self.strides[-1]]
        if any(step > 1 for step in finer):
            coarse = F.avg_pool3d(coarse, finer)
        return self.as_image(as_tokens(coarse))

    def as_image(self, tokens: Tensor) -> Tensor:
        """Projection and modality embedding of image tokens."""
        return self.see(tokens) + self.modality.weight[1]

    def as_text(self, frozen: Tensor) -> Tensor:
        """Projection and modality embedding of word features."""
        return self.say(frozen) + self.modality.weight[0]

    @torch.no_grad()
    def listen(self, words: Tensor) -> Tensor:
        """The frozen encoder's last layer for one text a row, (B, L) -> (B, L, E)."""
        return self.text(words, self.shown(words).long(), places(words))

    def shown(self, words: Tensor) -> Tensor:
        """(B, L) bool, False = padding."""
        return words != self.text.tokeniser.padding

    def read(self, words: Tensor, sentence: Tensor) -> Report:
        """Ids and their fragments (B, L) -> the report; a sentence is the mean of its words."""
        frozen = self.listen(words)
        projected = self.as_text(frozen)
        members = membership(sentence, self.sentences)
        sentences = fragment_means(projected, members)
        return Report(frozen, projected, sentences, self.shown(words), members.sum(-1) > 0, members)

    @torch.no_grad()
    def alone(self, words: Tensor, group: Tensor, position: Tensor, *, embedded: bool = False) -> Tensor:
        """Frozen features of fragments that are packed behind each other, each as if encoded alone: (B, S, E).

        Ids, fragment numbers (0: padding) and places (B, L + 2 S) as `ReportTokens` packs them. A fragment is the mean of
        its tokens without start and end; `embedded` stops at the embedding layer and counts these two as well, as MG-3D's
        released code does.
        """
        if embedded:
            return fragment_means(self.text.embed(words, position), membership(group, self.sentences))
        framing = (words == self.text.tokeniser.start) | (words == self.text.tokeniser.end)
        features = self.text(words, group, position)
        return fragment_means(features, membership(group.masked_fill(framing, 0), self.sentences))

    def image_vector(self, volume: Tensor) -> Tensor:
        return self.image_head(self.image_pool(self.look(volume)))

    @torch.no_grad()
    def describe(self, texts: Sequence[str]) -> Tensor:
        parts = [self._described(texts[first : first + AT_ONCE]) for first in range(0, len(texts), AT_ONCE)]
        return torch.cat(parts) if parts else self.say.weight.new_zeros(0, self.say.out_features)

    def _described(self, texts: Sequence[str]) -> Tensor:
        report = self._report(texts)
        return self.text_head(self.text_pool(report.sentences, report.sentence_shown))

    def _report(self, texts: Sequence[str]) -> Report:
        """What tasks ask of texts is asked once and kept: nothing of a text is dropped here, whatever pre-training drops."""
        self.text.eval()
        arrays = [self.tokens.whole(text) for text in texts]
        words, sentence = (
            torch.stack([torch.from_numpy(row[name]) for row in arrays]).to(self.say.weight.device).long()
            for name in ("words", "sentence")
        )
        report = self.read(words, sentence)
        self.text.train(self.training)
        return report

    @property
    def fuses(self) -> bool:
        return self.informed_volume is not None

    def seen(self, volume: Tensor) -> Tensor:
        return self.look(volume)

    @torch.no_grad()
    def informed(self, seen: Tensor, text: str) -> Tensor:
        assert self.informed_volume is not None
        report = self._report([text])
        told = max(1, int(report.sentence_shown.sum()))  # a text without a word guides by one empty sentence
        return self.informed_volume(seen, report.sentences[:, :told])

    @torch.no_grad()
    def guides(self, texts: Sequence[str]) -> Tensor:
        report = self._report(texts)
        return masked_mean(report.sentences, report.sentence_shown)

    def fused(self, seen: Tensor, guides: Tensor) -> Tensor:
        assert self.informed_volume is not None
        return self.informed_volume.inform(seen, guides)

    def fusing(self) -> list[nn.Module]:
        return [] if self.informed_volume is None else self.informed_volume.moves_tokens()

    def layers(self) -> list[nn.Module]:
        return self.vision.layers()

    def at_head(self) -> list[nn.Module]:
        return [*self.vision.at_head(), *(part for name, part in self.named_children() if name != "vision")]

    def declared(self) -> frozenset[str]:
        inside = frozenset(f"vision.{name}" for name in self.vision.declared())
        return inside | {name for name in self.state_dict() if not name.startswith("vision.")}

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        head, _, inner = name.partition(".")
        return self.vision.reshape(inner, found, wanted) if head == "vision" else None

    def adopt(self, weights: Mapping[str, Tensor], *, declared: bool = True) -> Adopted:
        held, fuses = self.informed_volume, any(name.startswith(f"{NAME}.") for name in weights)
        self.informed_volume = held if fuses else None
        try:
            if not declared and not any(name.startswith("vision.") for name in weights):
                return self.vision.adopt(weights, declared=False)
            return super().adopt(weights, declared=declared)
        except EncoderMismatch:
            self.informed_volume = held
            raise
