"""SPAD: one network for images of any anisotropy learns to name hidden patches in the soft words of its own tokenizer.

Source   "Building Universal Foundation Models for Medical Image Analysis with Spatially Adaptive Networks" (arXiv
         2312.07630), Sec. 3, App. A to C; what the paper leaves open (tokenizer layers, loss weights, augmentation, batches)
         follows its released code, PUMIT
Changes  an update shares one degree of anisotropy, as the paper says, where the code has one per device. Where voxels
         are cubes depth is superior, as everywhere here; `ref_code` keeps the code's left-right. The class token takes
         its own position's row from EVA-02 (the code takes a patch's) and mask tokens start drawn (there: raw memory). Without
         a file of VGG weights the perceptual term is left out, and the record says so. Pools normalised as z-scores or by
         their owners are brought to [0, 1] by +-2.576. Encoders of 2-D tasks hold positions at their own grid. The
         discriminator's rate is ten times the tokenizer's down to the floor, 1.4e-5 at the end (code: 5.3e-6, one floor)
Shapes   B crops (B, 3, d, S, S), depth first; n tokens of 16 in-plane voxels; V words
Outcome  mean KL(q || uniform) of 2.79 nats on held-out images; BTCV Dice 87.31, 84.86 from scratch, 86.51 from EVA-02-B

Longer than 250 lines because it is two trainings: a tokenizer against a discriminator, then a transformer, each with its sizes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight, from_disk, later
from bench.contracts.errors import SpecError
from bench.contracts.method import Batch, Corpus, Losses, Method, Phase, Turn
from bench.contracts.pictures import Picture
from bench.nets.spad import degrees_by_depth
from bench.nets.spad_vit import SpadViT
from bench.nets.spad_vt import SpadDiscriminator, SpadTokenizer
from bench.nets.visible import rows_at
from methods.parts.adversary import Gate, Rebuilt, hinge
from methods.parts.equal_anisotropy import EqualAnisotropy
from methods.parts.foreign import read_foreign
from methods.parts.perceptual import MEAN, SD, Perceptual, as_slices, some_slices
from methods.parts.photometry import vary_intensity
from methods.parts.soft_tokens import dual_prior, soft_cross_entropy
from methods.parts.spad_encoder import SpadViTConfig, build_encoder
from methods.parts.token_pictures import tokenizer_pictures
from methods.parts.zoomed_crop import ZoomedCrop

Reduction = Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class SpadConfig(MethodConfig):
    batch_size: int = 48  # Sec. 4.1, tokenizer
    weight_decay: float = 0.05  # released code, linear and convolution weights alone
    schedule: str = "cosine_overlong"  # released code
    lr_floor: float = 1e-6  # released code
    lr_every: int = 100  # released code
    precision: str = "fp16"  # released code
    buffer: int = 16_384  # released code, images drawn at a time
    dataset_weights: Literal["paper", "even"] = "paper"  # released code, weights of data sets; the paper is silent
    exclude_overlap: bool = False  # ours; True leaves out sets that hold images of tasks here
    even_axis: int = 2  # ours, depth axis (x, y, z) where no spacing stands out; the released code keeps 0

    def in_plane(self) -> int:
        """In-plane voxels of a crop."""
        return self.crop[1]

    def token_side(self) -> int:
        """In-plane voxels of a token."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(SpadConfig):
    crop: Shape3 = (64, 128, 128)  # Sec. 4.1, depth first, at anisotropy 0
    steps: int = 600_000  # Sec. 4.1; the released config has 500,000
    lr: float = 1e-4  # released code
    warmup_steps: int = 25_000  # released code
    widths: tuple[int, int, int] = (128, 256, 512)  # released code, channels after each downsampling
    factors: tuple[int, int, int] = (4, 2, 2)  # released code, in-plane steps; their product is a token's side
    words: int = 1024  # Sec. 4.1, |V|
    codebook_reach: float = 1 / 1024  # released code, a word's numbers start uniform in +- this
    up_reduce: Reduction = "sum"  # released code; the paper says "reverse"
    usage_weight: float = 1.0  # released config, lambda_1; its README has 0.03, the paper no number
    certainty_weight: float = 0.2  # released config, lambda_2; its README has 1
    perceptual_weight: float = 1.0  # released code
    perceptual_slices: int = 24  # released code, at most so many per volume
    perceptual_file: str = from_disk("")  # ours, VGG16 and LPIPS weights; empty leaves the term out
    contrast_by_colour: bool = later(False)  # ours, False turns about the mean of all colours, as once
    lpips_shifted: bool = False  # ours; True repeats the released normaliser's slip of sign
    adversarial_weight: float = 3e-3  # released code, fixed
    gate_at: float = 0.025  # released code, the discriminator's loss below which the generator hears it
    gate_decay: float = 0.9  # released code
    discriminator_widths: tuple[int, int, int] = (128, 256, 512)  # released code
    discriminator_rate: float = 10.0  # released code, 1e-3 against 1e-4

    def token_side(self) -> int:
        return math.prod(self.factors)


@dataclass(frozen=True, kw_only=True)
class PredictConfig(SpadConfig, SpadViTConfig):
    crop: Shape3 = (80, 160, 160)  # Sec. 4.1, depth first, at anisotropy 0
    steps: int = 300_000  # Sec. 4.1
    batch_size: int = 84  # Sec. 4.1
    lr: float = 2e-5  # Sec. 4.1
    warmup_steps: int = 10_000  # released code
    grad_clip: float = 0.5  # released code, norm
    mask_ratio: float = 0.55  # Sec. 4.1
    masked_keep_position: bool = False  # released code, mask tokens replace positions too; BEiT's keep them
    eva02_file: str = from_disk("")  # App. B, EVA-02-B's weights; empty starts from scratch
    eva02_class_row: int = 0  # ours, as every SPAD-ViT's, and part of each key since the first results

    def token_side(self) -> int:
        return self.patch

    def eps(self) -> float:
        return self.eva02_eps if self.eva02_file else self.norm_eps


class Spad(Method):
    """Two phases: a tokenizer with its discriminator, then a transformer that predicts the tokenizer's soft tokens."""

    encoder: SpadViT
    mean: Tensor
    sd: Tensor

    def __init__(self, configs: Mapping[str, MethodConfig], sight: Sight) -> None:
        super().__init__()
        first, second = configs["tokenizer"], configs["predict"]
        assert isinstance(first, TokenizerConfig) and isinstance(second, PredictConfig)
        check(first, second)
        self.first, self.second = first, second
        self._add_tokenizer(first)
        self._add_transformer(second, first.words)
        for name, values in (("mean", MEAN), ("sd", SD)):  # on the device, so that no step waits for a copy
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1, 1), persistent=False)
        self.told = notes(first, second, self.perceptual)
        self.phases = (self._tokenizer_phase(first), self._predict_phase(second))

    def _add_tokenizer(self, config: TokenizerConfig) -> None:
        self.tokenizer = SpadTokenizer(
            widths=config.widths,
            factors=config.factors,
            words=config.words,
            up_reduce=config.up_reduce,
            codebook_reach=config.codebook_reach,
        )
        self.discriminator = SpadDiscriminator(widths=config.discriminator_widths)
        self.gate = Gate(config.gate_at, config.gate_decay)
        self.rebuilt = Rebuilt()
        self.perceptual: tuple[Perceptual, ...] = ()  # in a tuple: others' weights are no part of what is saved
        if config.perceptual_file:
            self.perceptual = (Perceptual(config.perceptual_file, shifted=config.lpips_shifted),)

    def _add_transformer(self, config: PredictConfig, words: int) -> None:
        d, h, w = (side // config.patch for side in config.crop)
        self.encoder = SpadViT(
            channels=3,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            patch=config.patch,
            table=(d, h, w),
            norm_eps=config.eps(),
        )
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(config.width), std=0.02))
        self.head = nn.Sequential(nn.Linear(config.width, config.width), nn.GELU(), nn.Linear(config.width, words))
        if config.eva02_file:
            rest = self.encoder.adopt_eva02(read_foreign(config.eva02_file), cls_row=config.eva02_class_row)
            if "mask_token" in rest:
                self.mask_token.data.copy_(rest["mask_token"])

    def _tokenizer_phase(self, config: TokenizerConfig) -> Phase:
        rates = {"discriminator.": config.discriminator_rate}
        makes = Turn("generator", self.generator_loss, self.tokenizer.parameters)
        judges = Turn("discriminator", self.discriminator_loss, self.discriminator.parameters, rates)
        turns = (makes, judges)
        return Phase("tokenizer", config, self._draw(config), self._views(config), turns, False, gathers=True)

    def _predict_phase(self, config: PredictConfig) -> Phase:
        turns = (Turn("all", self.loss, self._predicts),)
        return Phase("predict", config, self._draw(config), self._views(config), turns)

    def told_of(self, phase: str) -> tuple[str, ...]:
        """Of the tokenizer what concerns it alone: transformers of any start may take it over."""
        return notes_of_tokenizer(self.first, self.perceptual) if phase == "tokenizer" else self.told

    def prepare(self, batch: Batch) -> Batch:
        """Vary intensities of images in [0, 1] and show them on three channels."""
        x = vary_intensity(batch["volume"].float(), by_colour=self.first.contrast_by_colour)
        return {"volume": x.expand(-1, 3, -1, -1, -1)}

    def begin_turn(self, turn: str) -> None:
        self.rebuilt.begin(making=turn == "generator")

    def generator_loss(self, batch: Batch) -> Losses:
        """L1 + LPIPS + lambda_1 (-H(mean q)) + lambda_2 E[H(q)] + gate * w_g (-E[D(x')]) (Sec. 3.2)."""
        config = self.first
        x, da = batch["volume"] * 2 - 1, self.degree(batch["volume"], config)
        made, q = self.tokenizer(x, da)
        self.rebuilt.keep(made)
        used, unsure = dual_prior(q)
        losses = {
            "rebuild": (made.float() - x).abs().mean(),
            "usage": config.usage_weight * used,
            "certainty": config.certainty_weight * unsure,
            "adversary": -config.adversarial_weight * self.gate() * self.discriminator(made, da).float().mean(),
        }
        for distance in self.perceptual:
            chosen = some_slices(x, config.perceptual_slices)
            gap = distance.to(x.device)(as_slices(made, chosen), as_slices(x, chosen))
            losses["perceptual"] = config.perceptual_weight * gap
        return losses

    def discriminator_loss(self, batch: Batch) -> Losses:
        """Hinge loss on the volume and on what the generator has just made of it (Sec. 3.2)."""
        x, da = batch["volume"] * 2 - 1, self.degree(batch["volume"], self.first)
        made = self.rebuilt.take(len(x))
        if made is None:
            with torch.no_grad():
                made = self.tokenizer(x, da)[0]
        loss = hinge(self.discriminator(x, da), self.discriminator(made, da))
        self.gate.add(loss, len(x))
        return {"hinge": loss}

    def loss(self, batch: Batch) -> Losses:
        """Mean over masked tokens of -sum q ln q', q the frozen tokenizer's soft tokens (Sec. 3.3, Eq. 3)."""
        volume, da = batch["volume"], self.degree(batch["volume"], self.second)
        with torch.no_grad():
            q = self.tokenizer.soft_tokens(volume * 2 - 1, da)  # (B, n, V)
        tokens, grid = self.encoder.embedded(self.normalised(volume), da)  # (B, n, W)
        masked = self.masked(len(tokens), tokens.shape[1], tokens.device)  # (B, m)
        seen, _ = self.encoder.encoded(self.hide(tokens, masked, grid), grid)
        return {"predict": soft_cross_entropy(self.head(rows_at(seen[:, 1:], masked)), rows_at(q, masked))}

    def normalised(self, volume: Tensor) -> Tensor:
        """[0, 1] by ImageNet's mean and sd, as EVA-02 saw its images (code)."""
        return (volume - self.mean) / self.sd

    def masked(self, batch: int, tokens: int, device: torch.device) -> Tensor:
        """Places of the masked tokens, uniform per sample; 1 - int(n (1 - 0.55)) / n of them are (code): 276 of 500."""
        return torch.rand(batch, tokens, device=device).argsort(1)[:, visible_count(tokens, self.second.mask_ratio) :]

    def hide(self, tokens: Tensor, masked: Tensor, grid: Shape3) -> Tensor:
        """The learned vector at masked places: it takes the token's position too, and knows its place by rotation alone."""
        blank = self.mask_token.to(tokens.dtype).expand(*masked.shape, -1)
        if self.second.masked_keep_position:
            table = self.encoder.place_table(grid).to(tokens.dtype).expand(len(tokens), -1, -1)
            blank = blank + rows_at(table, masked)
        return tokens.scatter(1, masked[..., None].expand_as(blank), blank)

    def after_step(self, progress: float) -> None:
        self.gate.close()

    def degree(self, volume: Tensor, config: SpadConfig) -> int:
        """The anisotropy of a batch, read off its depth, so that nobody waits for the device."""
        return degrees_by_depth(config.crop[0] // config.token_side(), config.token_side())[volume.shape[2]]

    def pictures(self, phase: str, corpus: Corpus) -> tuple[Picture, ...]:
        """After the tokenizer: reconstructions of held-out images, and how often each word is used on them."""
        if phase != "tokenizer":
            return ()
        config = self.first
        return tokenizer_pictures(self.tokenizer, corpus, config.in_plane(), config.crop[0], config.even_axis)

    def blank(self, phase: str) -> Batch:
        config = self.first if phase == "tokenizer" else self.second
        return {"volume": torch.empty(1, 3, *config.crop)}  # at anisotropy 0

    def _predicts(self) -> itertools.chain[nn.Parameter]:
        return itertools.chain(self.encoder.parameters(), [self.mask_token], self.head.parameters())

    def _draw(self, config: SpadConfig) -> EqualAnisotropy:
        return EqualAnisotropy(
            side=config.in_plane(),
            buffer=config.buffer,
            weighted=config.dataset_weights == "paper",
            even_axis=config.even_axis,
            exclude_overlap=config.exclude_overlap,
        )

    def _views(self, config: SpadConfig) -> ZoomedCrop:
        side = config.token_side()
        return ZoomedCrop(config.in_plane(), config.crop[0] // side, side, config.even_axis)


def visible_count(tokens: int, mask_ratio: float) -> int:
    """int(n (1 - ratio)) in floating point, as the code has it: 224 of 500, 44 of 100."""
    return int(tokens * (1 - mask_ratio))


def notes(first: TokenizerConfig, second: PredictConfig, perceptual: tuple[Perceptual, ...]) -> tuple[str, ...]:
    """What the record tells of files that were not given."""
    told = notes_of_tokenizer(first, perceptual)
    if second.eva02_file:
        return told
    return (*told, "no file of EVA-02-B weights (eva02_file): the transformer started from scratch")


def notes_of_tokenizer(config: TokenizerConfig, perceptual: tuple[Perceptual, ...]) -> tuple[str, ...]:
    """What of that its first phase tells."""
    if not perceptual and config.perceptual_weight:
        return ("no file of VGG16 weights (perceptual_file): the tokenizer was trained without its perceptual term",)
    if perceptual and not perceptual[0].is_weighted:
        return ("the file of VGG16 weights holds no LPIPS weights: channels of a layer count alike",)
    return ()


def check(first: TokenizerConfig, second: PredictConfig) -> None:
    """SpecError where the two phases cannot stand together."""
    token = first.token_side()
    if token != second.patch:
        raise SpecError(
            f"A token of the tokenizer is {token} voxels wide (factors {first.factors}), a patch {second.patch}.",
            remedy="Make them equal: the transformer names patches.",
        )
    if second.eva02_file and second.norm_eps != SpadViTConfig.norm_eps:
        raise SpecError(
            f"norm_eps={second.norm_eps:g} is of a start without EVA-02's weights, and eva02_file names some.",
            case="spad",
            remedy=f"Say --set predict.eva02_eps={second.norm_eps:g} instead.",
        )
    for config in (first, second):
        if any(side % token for side in config.crop) or config.crop[1] != config.crop[2] or config.crop[0] < 2 * token:
            raise SpecError(
                f"A crop of {config.crop} voxels (depth first, at anisotropy 0) is asked to be square in-plane and whole "
                f"patches of {token}, at least two deep."
            )


FULL = {
    "tokenizer": TokenizerConfig(contrast_by_colour=True),  # released code
    "predict": PredictConfig(),
}
REF_CODE = {
    "tokenizer": TokenizerConfig(
        steps=500_000,  # released config
        contrast_by_colour=True,  # released code
        lpips_shifted=True,  # released code
        even_axis=0,  # released code
    ),
    "predict": PredictConfig(even_axis=0, eva02_class_row=1, eva02_eps=1e-5),  # released code
}
SMALL_TOKENIZER = TokenizerConfig(
    crop=(32, 32, 32),  # ours, holds most of a hippocampus
    steps=250,  # ours
    batch_size=8,  # ours
    lr=3e-3,  # ours
    warmup_steps=20,  # ours
    schedule="cosine",  # ours
    lr_every=1,  # ours
    widths=(32, 64, 96),  # ours
    factors=(2, 2, 2),  # ours
    words=128,  # ours
    usage_weight=0.1,  # ours, with the paper's share words name places before they name what is there
    certainty_weight=0.02,  # ours
    codebook_reach=1.0,  # ours, so that the decoder's first norm passes words on from the start
    discriminator_widths=(16, 32, 64),  # ours
    discriminator_rate=0.1,  # ours
    precision="bf16",  # ours
    workers=0,  # ours
    checkpoint_every=50,  # ours
)
SMALL_PREDICT = PredictConfig(
    crop=(40, 40, 40),  # ours
    steps=200,  # ours
    batch_size=8,  # ours
    lr=1e-3,  # ours
    warmup_steps=20,  # ours
    schedule="cosine",  # ours
    lr_every=1,  # ours
    patch=8,  # ours
    width=192,  # ours
    depth=6,  # ours
    heads=6,  # ours
    taps=(2, 3, 4, 6),  # ours
    precision="bf16",  # ours
    workers=0,  # ours
    checkpoint_every=50,  # ours
)
TINY = {
    "tokenizer": replace(
        SMALL_TOKENIZER,
        crop=(24, 32, 32),  # ours
        steps=10,  # ours
        batch_size=2,  # ours
        warmup_steps=2,  # ours
        lr=1e-3,  # ours
        widths=(16, 16, 32),  # ours
        words=32,  # ours
        discriminator_widths=(16, 16, 16),  # ours
        precision="fp32",  # ours
        checkpoint_every=5,  # ours
        log_every=2,  # ours
    ),
    "predict": replace(
        SMALL_PREDICT,
        crop=(24, 32, 32),  # ours
        steps=10,  # ours
        batch_size=2,  # ours
        warmup_steps=2,  # ours
        width=48,  # ours
        depth=4,  # ours
        heads=4,  # ours
        taps=(1, 2, 3, 4),  # ours
        precision="fp32",  # ours
        checkpoint_every=5,  # ours
        log_every=2,  # ours
    ),
}

METHOD = MethodCard(
    title="SPAD",
    version=1,
    family="masked",
    paper="arXiv:2312.07630",
    licence="none given with the released code; nothing of it is copied here",
    decoder="spad",
    corpus="spad-55",
    build=Spad,
    encoder=build_encoder,
    full=FULL,
    small={"tokenizer": SMALL_TOKENIZER, "predict": SMALL_PREDICT},
    tiny=TINY,
    ref_code=REF_CODE,
    dims={2, 3},
    variants={
        "readme_prior": {"usage_weight": 0.03, "certainty_weight": 1.0},
        "up_mean": {"up_reduce": "mean"},
        "even_datasets": {"dataset_weights": "even"},
        "no_overlap": {"exclude_overlap": True},
        "masked_positions": {"masked_keep_position": True},
    },
)
