"""MG-3D: rebuild hidden voxels with the report's sentences, hidden words with the volume, and tie patients by what both say.

Source   Ni et al., "MG-3D" (arXiv 2412.05876), Sec. III and IV; what the paper leaves open follows its released code
Changes  Without `text_folder` the frozen text encoder is not RadBERT but word vectors fitted on the corpus' own reports.
         Fusion layers are pre-norm and residual, attention weights average 1 (Eq. 1 alone shrinks 48 tokens 48-fold).
         Eq. 11 as printed gives all sentences one feature: sentences attend to the centred tokens of the image instead;
         @eq11_gate and @released_views are the two other readings. Contrasts and similarities are means. CML and DFA gather
         the features of all devices, as the code does, weighed so that together they have the gradient of one process. SSM
         pairs the patients of one device and MLM averages over its words: all 16 samples on one device, as ours run, 4 on
         each of the code's four. Masks are drawn per sample; padding is masked. A report that is cut keeps its last mark.
         `ref_code` is what the released code would do if it ran, without its stale text cache; its weight decay of 1e-8 is
         decoupled here, its heads start Xavier-uniform (there: normal, 0.02), and the second query of H_S and their pool have
         a Linear each (there: one). CTRG-Chest is resized trilinearly as CT-RATE is, where the code resizes its slices
         bicubically and depth to the nearest slice; CT-RATE is clipped to its window after resampling, in the code before.
         Swin's tables of relative positions decay as weights do; the code spares whatever has `bias` in its name, and lets
         the norms of contrastive heads decay. The middle of a volume is rounded to voxels, which the code truncates
Shapes   B volumes, N tokens each (48 at full size), L words, S sentences, W the width, E features of the text encoder

Longer than 250 lines because Tables III and IV and the released code are switches of one loss.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight, from_disk, later
from bench.contracts.errors import SpecError
from bench.contracts.method import Batch, Corpus, Losses, Method, Phase, Turn
from bench.nets.intensity import to_network_range
from bench.nets.swin3d import Merging, Swin3D
from bench.nets.text_encoder import build_text_encoder, places
from bench.nets.unet3d import UNet3D
from bench.nets.visible import rows_at
from bench.nets.vit3d import init_transformer_
from methods.parts.draws import epochs
from methods.parts.fusion import CrossAttention, FusionStack, all_shown
from methods.parts.gathered import BatchContrast
from methods.parts.heads import AttentionPool, ContrastHead, MeanPool, TokenPool, VolumeDecoder, sentence_projection
from methods.parts.informed import InformedVolume
from methods.parts.language import ReportTokens, VolumeAndReport, fragment_means, report_of
from methods.parts.losses import hidden_voxel_error, reconstruction_gap, token_mean
from methods.parts.masks import random_blocks
from methods.parts.sentence_views import WATCHED, Form, SentenceViews, similarity_gap, watched_similarities
from methods.parts.views import WholeVolume
from methods.parts.vision_language import STRIDE, Report, VisionLanguageEncoder

TERMS = ("mim", "mlm", "sfr", "cml", "ssm", "dfa")
STARTED = ("encoder", "volume_stack", "word_stack", "sentence_views")  # by rules of their own
LENT = {
    "volume_stack.": "encoder.informed_volume.stack.",
    "informed_image_pool.": "encoder.informed_volume.pool.",
    "cml_heads.0.": "encoder.informed_volume.head.",
}  # what the encoder's file holds too, so that retrieval may fuse: its name here, and the one that comes first


@dataclass(frozen=True, kw_only=True)
class MG3DConfig(MethodConfig):
    crop: Shape3 = (128, 96, 128)  # Sec. IV, voxels (x, y, z) that the middle of a volume is resized to
    middle_share: tuple[float, float, float] = (0.875, 0.65625, 0.88)  # released code, share of each axis that is kept
    encoder: Literal["swin", "unet3d"] = "swin"  # Tab. I
    feature: int = 48  # Sec. IV, Swin-B
    doubled: bool = later(False)  # Sec. IV, Swin-L: twice the features of Swin-B
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)  # released code, Swin blocks per stage
    heads: tuple[int, int, int, int] = (3, 6, 12, 24)  # released code, per stage
    window: Shape3 = (7, 7, 7)  # released code, tokens
    merging: Merging = "legacy"  # released code, MONAI 0.9
    unet_widths: tuple[int, ...] = (64, 128, 256, 512)  # Tab. I, Models Genesis' 3D U-Net
    text_folder: str = from_disk("")  # ours; a BERT on disk (RadBERT, released code); empty fits word vectors
    text_width: int = 768  # Sec. IV, as RadBERT; features of fitted word vectors
    text_vocabulary: int = 4096  # ours, fitted word vectors; RadBERT has 28,996
    text_length: int = 250  # released code, tokens of a report
    text_sentences: int = 64  # ours, most fragments of a report
    text_dropout: bool = False  # ours; released code keeps the frozen BERT's dropout active
    word_ratio: float = 0.15  # released code, share of words hidden
    block_ratio: float = 0.5  # released code, share of blocks hidden
    block: Shape3 = (16, 16, 16)  # released code, voxels
    shared_mask: bool = False  # ours; released code hides the same blocks in the whole batch
    terms: tuple[str, ...] = TERMS  # Eq. 15; Tab. III and IV turn some off
    mim_guide: Literal["sentence", "word", "word_stack"] = "sentence"  # Tab. III; word_stack is released code's typo
    volume_attention: CrossAttention = "proposed"  # Tab. III, in the stack of MIM and CML
    word_attention: CrossAttention = "proposed"  # Tab. III, in the stack of MLM
    width: int = 768  # released code
    fusion_depth: int = 2  # released code, layers
    fusion_heads: int = 12  # released config, of self-attention, which its code builds and never calls
    fusion_dropout: float = 0.1  # released config, as fusion_heads
    mask_padding: bool = True  # ours; released code lets padded words guide
    pool: Literal["mean", "learned"] = "mean"  # Sec. III; released code learns weights for the 48 tokens
    sentence_pool: Literal["attention", "mean"] = "attention"  # Sec. III; released code means the sentences of H_S
    transform_eps: float = later(1e-5)  # ours, of the norm before hidden words are told; released code has BERT's 1e-12
    sfr_space: Literal["frozen", "projected"] = "frozen"  # Eq. 6; released code trains two projections to 8 features
    sfr_reduction: Literal["sum", "mean"] = "sum"  # Eq. 6, over the sentences of a report
    cml: Literal["paper", "joined"] = "paper"  # Eq. 7 and 8; released code joins volume and report
    cml_symmetric: bool = False  # Eq. 7 and 8 go one way
    cml_direct: bool = False  # ours; True adds volume against report without fusion
    temperature: float = 0.1  # released code
    sentence_views: Form = "tokens"  # ours, H_S of Eq. 11
    centred: bool = True  # ours, H_S from tokens less their mean
    ssm_text: Literal["encoder", "embedding"] = "encoder"  # Eq. 12; released code stops at the embedding layer
    ssm_target: Literal["soft", "thresholded"] = "soft"  # Eq. 12; released code pulls cosines below 0.6 to 0
    ssm_reduction: Literal["mean", "sum"] = "mean"  # released code, over a pair's sentences; Eq. 12 sums
    ssm_head: Literal["none", "linear", "released"] = "none"  # Eq. 12
    dfa_image: Literal["volume", "informed"] = "volume"  # Eq. 13; released code takes the volume informed by the report
    detached_sentences: bool = False  # ours; released code gives the text projection no gradient from CML, SSM and DFA
    projected_twice: bool = False  # ours; released code projects the image twice for CML, SSM and DFA
    intra_weight: float = 0.1  # Eq. 10, of SFR and CML
    inter_weight: float = 0.1  # Eq. 14, of SSM and DFA
    steps: int = 300_000  # Sec. IV, CTRG-Chest; 100,000 on CT-RATE, as the card says
    batch_size: int = 16  # Sec. IV, 4 on each of 4 devices
    lr: float = 1e-4  # Sec. IV, all but the vision encoder
    slow_lr: float = 2e-5  # Sec. IV, vision encoder
    slow_parts: tuple[str, ...] = ("encoder.vision.",)  # Sec. IV, what takes `slow_lr`
    betas: tuple[float, float] = (0.9, 0.98)  # released code, its AdamW branch
    schedule: str = "linear"  # released code
    warmup_steps: int = 10_000  # released code
    precision: str = "fp16"  # released code

    def multiple(self) -> Shape3:
        """A token stands for 32 x 32 x 32 voxels."""
        return (STRIDE, STRIDE, STRIDE)

    def features(self) -> int:
        """Of the first stage of Swin."""
        return 2 * self.feature if self.doubled else self.feature

    def grid(self) -> Shape3:
        """Tokens per axis."""
        d, h, w = (side // STRIDE for side in self.crop)
        return d, h, w

    def blocks(self) -> Shape3:
        """Blocks per axis that are hidden or not."""
        d, h, w = (side // length for side, length in zip(self.crop, self.block, strict=True))
        return d, h, w


class MG3D(Method):
    """Multi-grained vision-language pre-training (Sec. III): within a patient by fusion, between patients by similarity."""

    encoder: VisionLanguageEncoder

    def __init__(self, config: MG3DConfig, sight: Sight) -> None:
        super().__init__()
        check(config)
        self.config, self.wanted = config, frozenset(config.terms)
        self.channels, self.intensity = sight.channels, sight.intensity
        self.encoder = build_towers(config, sight)
        self._contrast = BatchContrast(config.temperature)
        self._add_fusion()
        self._add_intra()
        self._add_inter()
        for name, part in self.named_children():
            if name not in STARTED:
                init_transformer_(part)
        if fuses(config):  # the encoder's file holds it too: retrieval may fuse
            self.encoder.informed_volume = InformedVolume(
                self.volume_stack, self.informed_image_pool, self.cml_heads[0]
            )
        self.phases = (self._phase(),)

    def fit(self, corpus: Corpus) -> None:
        """Word vectors from all reports, where no BERT is given; the record then says so."""
        reports = [report_of(corpus, case) for case in corpus.cases]
        self.encoder.text.fit(reports)
        if not self.config.text_folder:
            self.told = (f"text encoder: word vectors fitted on {len(reports)} reports in place of RadBERT",)

    def prepare(self, batch: Batch) -> Batch:
        """Intensities to [0, 1] (Sec. IV); token ids as torch indexes with them."""
        text = {name: array.long() for name, array in batch.items() if name != "volume"}
        return {"volume": to_network_range(batch["volume"], self.intensity), **text}

    def blank(self, phase: str) -> Batch:
        length, room = self.config.text_length, self.config.text_length + 2 * self.config.text_sentences
        sides = dict.fromkeys(("words", "sentence", "corrupted"), length)
        sides |= dict.fromkeys(("hidden_place", "hidden_word"), self._report_tokens().most_hidden)
        sides |= dict.fromkeys(("apart_words", "apart_group", "apart_position"), room)
        text = {name: torch.empty(1, side, dtype=torch.long) for name, side in sides.items()}
        return {"volume": torch.empty(1, self.channels, *self.config.crop), **text}

    def loss(self, batch: Batch) -> Losses:
        """L = L_MIM + L_MLM + 0.1 (L_SFR + L_CML) + 0.1 (L_SSM + L_DFA) (Eq. 10, 14, 15)."""
        report = self.read(batch)
        losses: Losses = {}
        if "mim" in self.wanted:
            losses["mim"] = self.rebuild(batch["volume"], report)
        if self.wanted == {"mim"}:
            return losses
        image = self.encoder.look(batch["volume"])  # the whole volume once, for all other terms
        if self.wanted & {"mlm", "sfr"}:
            losses |= self.restore_words(image, report, batch)
        if self.wanted & {"cml", "ssm", "dfa"}:
            losses |= self.align(image, report, batch)
        return losses

    def read(self, batch: Batch) -> Report:
        """Words W and sentences S of the whole reports (Sec. III-B)."""
        report = self.encoder.read(batch["words"], batch["sentence"])
        if self.config.detached_sentences:
            report = dataclasses.replace(report, sentences=report.sentences.detach())
        if not self.config.mask_padding:
            report = dataclasses.replace(report, word_shown=torch.ones_like(report.word_shown))
        return report

    def rebuild(self, volume: Tensor, report: Report) -> Tensor:
        """L_MIM (Eq. 2): hidden blocks are zeroed and rebuilt under the report's guidance; squared error of their voxels."""
        hidden = self.hide(len(volume), volume.device)
        tokens = self.encoder.look(volume.masked_fill(hidden, 0.0))
        everywhere = all_shown(tokens)
        if self.config.mim_guide == "sentence":
            tokens, _ = self.volume_stack(tokens, report.sentences, everywhere, report.sentence_shown)
        elif self.config.mim_guide == "word":
            tokens, _ = self.volume_stack(tokens, report.words, everywhere, report.word_shown)
        else:
            _, tokens = self.word_stack(report.words, tokens, report.word_shown, everywhere)
        return hidden_voxel_error(self.mim_decoder(tokens), volume, hidden)

    def hide(self, batch: int, device: torch.device) -> Tensor:
        """(B, 1, D, H, W) bool, True = hidden: whole blocks, the same number in every volume."""
        config, rows = self.config, 1 if self.config.shared_mask else batch
        hidden = random_blocks(rows, config.blocks(), config.block, config.block_ratio, device)
        return hidden.expand(batch, -1, -1, -1, -1)

    def restore_words(self, image: Tensor, report: Report, batch: Batch) -> Losses:
        """L_MLM (Eq. 3 and 4) over hidden words, L_SFR (Eq. 5 and 6) over the sentences that hold them."""
        heard = self.encoder.as_text(self.encoder.listen(batch["corrupted"]))
        restored, _ = self.word_stack(heard, image, report.word_shown, all_shown(image))
        transformed = self.mlm_transform(restored)  # (B, L, E)
        losses: Losses = {}
        if "mlm" in self.wanted:
            logits = self.mlm_decoder(rows_at(transformed, batch["hidden_place"]))  # (B, M, vocabulary)
            losses["mlm"] = token_mean(logits, batch["hidden_word"])
        if "sfr" in self.wanted:
            losses["sfr"] = self.config.intra_weight * self.rebuild_sentences(transformed, report, batch["words"])
        return losses

    def rebuild_sentences(self, transformed: Tensor, report: Report, words: Tensor) -> Tensor:
        """L_SFR (Eq. 5 and 6): each sentence's mean of restored features (B, L, E) against that of the whole report."""
        projected = self.config.sfr_space == "projected"
        found = fragment_means(transformed, report.members)
        with torch.no_grad():
            original = self.encoder.text.embed(words, places(words)) if projected else report.frozen
            target = fragment_means(original, report.members)
        if projected:
            found, target = self.sfr_project(found), self.sfr_target(target)
        return reconstruction_gap(found, target, report.sentence_shown, self.config.sfr_reduction)

    def align(self, image: Tensor, report: Report, batch: Batch) -> Losses:
        """L_CML (Eq. 7 and 8) between a patient's plain and informed features; L_SSM and L_DFA between patients."""
        config = self.config
        if config.projected_twice:
            image = self.encoder.as_image(image)
        volume_feature = self.encoder.image_pool(image)  # F_I: (B, W)
        losses: Losses = {}
        side = volume_feature
        if self._informs:
            informed, said = self.volume_stack(image, report.sentences, all_shown(image), report.sentence_shown)
            informed_feature = self.informed_image_pool(informed)
            side = volume_feature if config.dfa_image == "volume" else informed_feature
            if "cml" in self.wanted:
                plain = (volume_feature, self.encoder.text_pool(report.sentences, report.sentence_shown))
                fused = (informed_feature, self.informed_text_pool(said, report.sentence_shown))
                losses["cml"] = config.intra_weight * self.contrast_modalities(plain, fused)
        if self.wanted & {"ssm", "dfa"}:
            views = self.sentence_views(report.sentences, report.sentence_shown, image, volume_feature)  # H_S
            losses |= self.compare_patients(views, side, report.sentence_shown, batch)
        return losses

    def compare_patients(self, views: Tensor, side: Tensor, shown: Tensor, batch: Batch) -> Losses:
        """L_SSM and L_DFA of sentence-specific features (B, S, W), the latter with one feature of each volume (B, W)."""
        losses: Losses = {}
        if "ssm" in self.wanted:
            seen, said = self.ssm_project(views), self.separate_sentences(batch)
            losses["ssm"] = self.config.inter_weight * self.match_similarities(seen, said, shown)
            losses |= watched_similarities(seen, said, shown)
        if "dfa" in self.wanted:
            losses["dfa"] = self.config.inter_weight * self.agree(self.views_pool(views, shown), side)
        return losses

    def contrast_modalities(self, plain: tuple[Tensor, Tensor], fused: tuple[Tensor, Tensor]) -> Tensor:
        """L_CML: F_I against every patient's informed volume (Eq. 7), F_T against every informed report (Eq. 8)."""
        anchors = [self.encoder.image_head(plain[0]), self.encoder.text_head(plain[1])]
        if self.config.cml == "joined":
            left, right = (head(torch.cat(pair, -1)) for head, pair in zip(self.cml_heads, (plain, fused), strict=True))
            total = self._contrast.both_ways(left, right)
        else:
            candidates = [head(x) for head, x in zip(self.cml_heads, fused, strict=True)]
            contrast = self._contrast.both_ways if self.config.cml_symmetric else self._contrast.one_way
            total = contrast(anchors[0], candidates[0]) + contrast(anchors[1], candidates[1])
        return total + self._contrast.both_ways(*anchors) if self.config.cml_direct else total

    def match_similarities(self, seen: Tensor, said: Tensor, shown: Tensor) -> Tensor:
        """L_SSM (Eq. 12): cosines between two patients' sentences, as seen in their volumes and as the text encoder has them."""
        return similarity_gap(
            seen,
            said,
            shown,
            thresholded=self.config.ssm_target == "thresholded",
            reduction=self.config.ssm_reduction,
        )

    def separate_sentences(self, batch: Batch) -> Tensor:
        """Frozen features of every sentence encoded alone, (B, S, E)."""
        words, group, position = (batch[f"apart_{name}"] for name in ("words", "group", "position"))
        return self.encoder.alone(words, group, position, embedded=self.config.ssm_text == "embedding")

    def agree(self, views: Tensor, side: Tensor) -> Tensor:
        """L_DFA (Eq. 13): what a patient's sentences see in the volume against every patient's volume, both ways."""
        return self._contrast.both_ways(self.dfa_heads[0](views), self.dfa_heads[1](side))

    @property
    def _informs(self) -> bool:
        """Whether the whole volume meets its report: for CML, and for DFA in the released code."""
        return "cml" in self.wanted or ("dfa" in self.wanted and self.config.dfa_image == "informed")

    def _phase(self) -> Phase:
        config = self.config
        views = VolumeAndReport(WholeVolume(config.crop, config.middle_share), self._report_tokens())
        turn = Turn("all", self.loss, rates=self._rates(), watched=frozenset(WATCHED))
        return Phase("pretrain", config, epochs, views, (turn,), splits_batch=False, gathers=True)

    def _rates(self) -> dict[str, float]:
        """Factors on the rate by name. A part that the encoder holds too is known by its name there and keeps its own rate."""
        slow, parts = self.config.slow_lr / self.config.lr, self.config.slow_parts
        names = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        rates = {part: slow for part in parts if any(name.startswith(part) for name in names)}
        lent = LENT if self.encoder.fuses else {}
        return rates | {there: slow if own.startswith(parts) else 1.0 for own, there in lent.items()}

    def _report_tokens(self) -> ReportTokens:
        config = self.config
        return ReportTokens(self.encoder.text.tokeniser, config.text_length, config.text_sentences, config.word_ratio)

    def _add_fusion(self) -> None:
        """The stacks that some term needs, without what only an unused end would need."""
        config, typo = self.config, self.config.mim_guide == "word_stack" and "mim" in self.wanted
        if self._informs or ("mim" in self.wanted and not typo):
            self.volume_stack = fusion_stack(config, config.volume_attention, both="cml" in self.wanted)
        if typo or self.wanted & {"mlm", "sfr"}:
            self.word_stack = fusion_stack(config, config.word_attention, both=typo)

    def _add_intra(self) -> None:
        config, width, text = self.config, self.config.width, self.encoder.text
        if "mim" in self.wanted:
            self.mim_decoder = VolumeDecoder(width, config.grid(), self.channels)
        if self.wanted & {"mlm", "sfr"}:
            self.mlm_transform = nn.Sequential(
                nn.Linear(width, text.width), nn.GELU(), nn.LayerNorm(text.width, config.transform_eps)
            )
        if "mlm" in self.wanted:
            self.mlm_decoder = nn.Linear(text.width, text.vocabulary)
        if "sfr" in self.wanted and config.sfr_space == "projected":
            self.sfr_project = sentence_projection(text.width, 128, 8)
            self.sfr_target = nn.Sequential(nn.Linear(text.width, 384), nn.ReLU(), nn.Linear(384, 8))
        if self._informs:
            self.informed_image_pool = TokenPool(width, learned_tokens(config))
        if "cml" in self.wanted:
            self.informed_text_pool = AttentionPool(width)
            joined = config.cml == "joined"
            self.cml_heads = nn.ModuleList(ContrastHead(2 * width if joined else width, width) for _ in range(2))

    def _add_inter(self) -> None:
        config, width = self.config, self.config.width
        if self.wanted & {"ssm", "dfa"}:
            self.sentence_views = SentenceViews(width, config.sentence_views, centred=config.centred)
        if "ssm" in self.wanted:
            self.ssm_project = ssm_head(config.ssm_head, width)
        if "dfa" in self.wanted:
            pool = AttentionPool if config.sentence_pool == "attention" else MeanPool
            self.views_pool = pool(width)
            self.dfa_heads = nn.ModuleList(ContrastHead(width, width) for _ in range(2))


def ssm_head(kind: str, width: int) -> nn.Module:
    """What H_S passes before its cosines are taken (Eq. 12: nothing); `released` is the code's, `linear` its last width alone."""
    if kind == "none":
        return nn.Identity()
    return nn.Linear(width, 128) if kind == "linear" else sentence_projection(width, 384, 128).append(nn.Tanh())


def check(config: MG3DConfig) -> None:
    """SpecError where the settings cannot stand together."""
    strangers = set(config.terms) - set(TERMS)
    if strangers or (not config.terms and config.steps > 0):
        raise SpecError(
            f"The terms of the loss are {config.terms}.", remedy=f"Choose some of {', '.join(TERMS)}, or steps=0."
        )
    if any(side % STRIDE for side in config.crop) or any(
        side % length for side, length in zip(config.crop, config.block, strict=True)
    ):
        raise SpecError(
            f"A crop of {config.crop} voxels is no whole number of tokens of {STRIDE} and of blocks of {config.block}.",
            remedy="Choose multiples of both.",
        )
    if config.lr == 0:
        raise SpecError(
            f"`slow_lr` ({config.slow_lr:g}) is reached as a share of `lr`, so `lr` cannot be 0.",
            remedy="To leave the weights as they begin: --set pretrain.steps=0.",
        )
    coarsest = 16 * config.features() if config.encoder == "swin" else config.unet_widths[-1]
    if config.projected_twice and coarsest != config.width:
        raise SpecError(
            f"The image can be projected twice only where the encoder's {coarsest} features are the width's {config.width}.",
            remedy="Set projected_twice=false.",
        )


def build_encoder(config: MG3DConfig, sight: Sight) -> VisionLanguageEncoder:
    """The encoder that fine-tuning sees: both towers, and what fuses them where pre-training learns it."""
    encoder = build_towers(config, sight)
    if fuses(config):
        encoder.informed_volume = InformedVolume(
            fusion_stack(config, config.volume_attention, both=True),
            TokenPool(config.width, learned_tokens(config)),
            ContrastHead(config.width, config.width),
        )
    return encoder


def fuses(config: MG3DConfig) -> bool:
    """Whether pre-training finds a vector of the informed volume in the space of the plain one's: Eq. 7 does."""
    return "cml" in config.terms and config.cml == "paper"


def fusion_stack(config: MG3DConfig, cross: CrossAttention, *, both: bool) -> FusionStack:
    """A stack of the settings' width, depth and heads."""
    return FusionStack(
        config.width,
        depth=config.fusion_depth,
        heads=config.fusion_heads,
        cross=cross,
        dropout=config.fusion_dropout,
        both=both,
    )


def build_towers(config: MG3DConfig, sight: Sight) -> VisionLanguageEncoder:
    """The vision encoder with its frozen text encoder beside it."""
    text = build_text_encoder(
        config.text_folder,
        vocabulary=config.text_vocabulary,
        width=config.text_width,
        longest=config.text_length,
        dropout=config.text_dropout,
    )
    return VisionLanguageEncoder(
        build_vision(config, sight),
        text,
        width=config.width,
        length=config.text_length,
        sentences=config.text_sentences,
        learned_tokens=learned_tokens(config),
    )


def build_vision(config: MG3DConfig, sight: Sight) -> Swin3D | UNet3D:
    """Swin-B, Swin-L or the U-Net of Tab. I."""
    if config.encoder == "unet3d":
        return UNet3D(sight, widths=config.unet_widths)
    return Swin3D(
        sight,
        feature=config.features(),
        depths=config.depths,
        heads=config.heads,
        window=config.window,
        merging=config.merging,
    )


def learned_tokens(config: MG3DConfig) -> int:
    """Tokens for which pooling weights are learned; 0 takes their mean."""
    return math.prod(config.grid()) if config.pool == "learned" else 0


REF_CODE = MG3DConfig(
    text_dropout=True,  # released code
    shared_mask=True,  # released code, the utility that fits its shapes
    mim_guide="word_stack",  # released code, by a typo in a task's name
    volume_attention="gate",  # released code
    word_attention="gate",  # released code
    mask_padding=False,  # released code
    pool="learned",  # released code
    sentence_pool="mean",  # released code
    transform_eps=1e-12,  # released code
    sfr_space="projected",  # released code
    cml="joined",  # released code
    sentence_views="gate",  # released code
    ssm_text="embedding",  # released code
    ssm_target="thresholded",  # released code
    ssm_head="released",  # released code
    dfa_image="informed",  # released code
    detached_sentences=True,  # released code
    projected_twice=True,  # released code
    batch_size=4,  # released script, CTRG-Chest on one device
    lr=5e-5,  # released script: 1e-5, five-fold for heads and what its code names multi_modal
    slow_lr=1e-5,  # released script
    slow_parts=(
        "encoder.vision.",
        "encoder.modality.",
        "encoder.image_pool.",
        "encoder.text_pool.",
        "volume_stack.",
        "word_stack.",
        "sentence_views.layers.",
        "informed_text_pool.",
        "cml_heads.",
        "sfr_target.",
    ),  # released code, what its optimiser finds in neither of two lists: names of heads, and multi_modal
    betas=(0.9, 0.999),  # released code, Adam
    weight_decay=1e-8,  # released code
)
SMALL = MG3DConfig(
    crop=(32, 64, 64),  # ours, 4 tokens
    feature=8,  # ours
    depths=(1, 2, 2, 2),  # ours
    heads=(1, 2, 4, 8),  # ours
    window=(4, 4, 4),  # ours, divides the first three stages
    unet_widths=(8, 16, 32, 64),  # ours
    text_width=96,  # ours
    text_vocabulary=1024,  # ours
    text_length=96,  # ours
    text_sentences=16,  # ours
    width=192,  # ours
    fusion_heads=6,  # ours
    steps=200,  # ours, 0.4 s each on one core
    batch_size=4,  # ours
    lr=1e-3,  # ours
    slow_lr=5e-4,  # ours
    warmup_steps=20,  # ours
    precision="fp32",  # ours
    workers=0,  # ours
    checkpoint_every=50,  # ours
)
TINY = dataclasses.replace(
    SMALL,
    crop=(32, 32, 64),  # ours, 2 tokens
    feature=6,  # ours
    depths=(1, 1, 1, 1),  # ours
    unet_widths=(4, 8, 16, 32),  # ours
    text_width=32,  # ours
    text_vocabulary=256,  # ours
    text_length=40,  # ours
    text_sentences=8,  # ours
    width=48,  # ours
    fusion_depth=1,  # ours
    fusion_heads=2,  # ours
    steps=12,  # ours
    batch_size=2,  # ours
    slow_lr=1e-3,  # ours
    warmup_steps=2,  # ours
    checkpoint_every=6,  # ours
    log_every=2,  # ours
)
INTRA = ("mim", "mlm", "sfr", "cml")
CT_RATE = ("ct-rate-1.4k", "ct-rate-2.8k", "ct-rate-10k", "ct-rate-47.1k")

METHOD = MethodCard(
    title="MG-3D",
    version=1,
    family="language",
    paper="arXiv:2412.05876",
    licence="none given with the released code; nothing of it is copied here",
    decoder="swin_unetr",
    corpus="ctrg-chest-1.4k",
    needs={"volume", "report"},
    offers={"text"},
    build=MG3D,
    encoder=build_encoder,
    full=MG3DConfig(transform_eps=1e-12),  # released code
    small=SMALL,
    tiny=TINY,
    ref_code=REF_CODE,
    variants={
        "scratch": {"terms": (), "steps": 0},
        "intra_word": {
            "terms": INTRA,
            "mim_guide": "word",
            "volume_attention": "classical",
            "word_attention": "classical",
        },
        "intra_sentence": {"terms": INTRA, "volume_attention": "classical", "word_attention": "classical"},
        "intra_attn_mim": {"terms": INTRA, "word_attention": "classical"},
        "intra_no_cml": {"terms": ("mim", "mlm", "sfr")},
        "intra_full": {"terms": INTRA},
        "no_sfr": {"terms": ("mim", "mlm", "cml", "ssm", "dfa")},
        "no_dfa": {"terms": ("mim", "mlm", "sfr", "cml", "ssm")},
        "no_ssm": {"terms": ("mim", "mlm", "sfr", "cml", "dfa")},
        "swin_l": {"doubled": True},
        "unet3d": {"encoder": "unet3d", "decoder": "unet"},
        "gate": {"volume_attention": "gate", "word_attention": "gate"},
        "ssm_thresholded": {"ssm_target": "thresholded"},
        "eq11_gate": {"sentence_views": "eq11_gate"},
        "released_views": {"sentence_views": "gate"},
        "cml_joined": {"cml": "joined"},
        "cml_direct": {"cml_direct": True},
    },
    on_corpus={
        **{pool: {"steps": 100_000} for pool in CT_RATE},  # Sec. IV; the released code takes 300,000 everywhere
        **{f"{pool} ref_code": {"batch_size": 16} for pool in CT_RATE},  # released code, 4 on each of 4 devices
    },
)
