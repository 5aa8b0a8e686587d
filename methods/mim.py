"""MiM: hide patches of a large crop, look into hidden ones at two finer levels, rebuild all, tie each child to its place.

Source   Zhuang et al., "MiM: Mask in Mask" (arXiv 2404.15580), Sec. III; what the paper leaves open follows its code
Changes  `full` is the paper: a masked level-1 patch (side / 6) becomes a child, Sec. III-B; Table II's 96^3 children
         are `table_fig9`. One positive per child in an InfoNCE over its parent's patches (Eq. 5 and 6 taken literally
         make every patch a positive); temperature 1 (never given); targets normalised per token and 4096 voxels long
         (code; the paper's C = 768 does not fit 16^3 voxels). `ref_code` is the released code with its defects:
         row-major chunks taken for octants, BYOL between a volume and its own siblings. Without weights the network starts
         as pre-training does (Xavier, sines as positions); the code draws its fine-tuning form anew, its layers truncated
         normal. Its mask token decays, ours is spared as all 1-D tensors are; its warm-up begins at a rate of 0, ours
         one update on; the norm before its classifier has an epsilon of 1e-6, ours 1e-5
Shapes   B crops, G children each, N tokens of 16^3 voxels, P numbers per token, F projected features
Outcome  pre-trained on mim-1k this must beat the same network from scratch (81.49 on BTCV) and level 1 alone (83.10,
         `loss_lr1`); 0.96 of the gain printed over Swin-UNETR from scratch (80.53) is the change of network. Whoever
         claims to reproduce the paper shows `table_fig9` too, the other reading of its level 2

Longer than 250 lines because Tables V and VIII to XII and the three readings of a level-2 volume are switches of one loss.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight, later, recorded
from bench.contracts.errors import SpecError
from bench.contracts.method import Batch, Losses, Method, one_phase
from bench.nets.conv3d import PATCH, HybridEncoder, MaskedConvEncoder
from bench.nets.intensity import to_network_range
from bench.nets.patches import grid_of, patchify
from bench.nets.vit3d import ViT3D, init_transformer_
from methods.parts.alignment import cosine_gap, info_nce
from methods.parts.decoders import TokenDecoder
from methods.parts.draws import epochs
from methods.parts.levels import block_means, block_of_each_token, choose, chunk_of_each_token, cut, hide_blocks, resize
from methods.parts.losses import mean_over_hidden, normalise_tokens
from methods.parts.masks import kept_count, random_hidden
from methods.parts.views import OneCrop

Reduction = Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class MiMConfig(MethodConfig):
    crop: Shape3 = (384, 384, 192)  # Table II, level-1 voxels at native spacing
    input_shape: Shape3 = (96, 96, 96)  # Table II "resize", voxels every level is brought to
    geometry: Literal["paper", "table_fig9", "repo"] = "paper"  # Sec. III-B; Table II and Fig. 9; released code
    octant_fix: bool = False  # ours; repo geometry only, True masks the octants that are cut, not row-major chunks
    mask_ratios: tuple[float, float, float] = (0.6, 0.6, 0.6)  # Table II, share of tokens hidden at each level
    children: int = 4  # Table II, gamma, next-level volumes per volume
    next_level_from: Literal["hidden", "visible"] = "hidden"  # Table IX, best row
    network: Literal["hybrid", "vit"] = later("hybrid")  # Sec. III-D; vit is Table V's UNETR row (ours, unreleased)
    widths: tuple[int, int, int, int] = (48, 96, 192, 384)  # released code, channels of S1..S4
    depths: tuple[int, int, int, int] = (2, 2, 2, 11)  # released code, blocks of S1..S4
    heads: int = 12  # released code, attention heads of S4
    drop_path: float = 0.2  # released fine-tuning code, rate at the last block; pre-training has none
    decoder_width: int = 576  # released code
    decoder_depth: int = 8  # released code, blocks
    decoder_heads: int = 16  # released code
    projection_hidden: int = 2048  # Sec. III-C gives D = 2048, released code the two layers
    projection_out: int = 2048  # Sec. III-C, D
    normalise_target: bool = True  # released code, each token of the target to mean 0 and variance 1
    rebuilt_levels: tuple[int, ...] = (1, 2, 3)  # Eq. 8; Table VIII turns some off
    aligned_pairs: tuple[str, ...] = ("12", "23")  # Eq. 9; Table VIII turns some off
    reconstruction_reduction: Reduction = "sum"  # Eq. 8 sums over levels, Eq. 3 averages
    level_schedule: Literal["constant", "coarse_to_fine", "fine_to_coarse"] = "constant"  # Table XII, best row
    alignment: Literal["info_nce", "byol", "byol_released"] = "info_nce"  # Table X, best row; released script
    alignment_weight: float = 0.1  # Sec. IV, alpha
    alignment_reduction: Reduction = "sum"  # Eq. 9 sums over pairs, Eq. 7 averages
    temperature: float = 1.0  # released code has none; the paper's value of tau is never given
    exclude_positive_from_denominator: bool = False  # released code; Eq. 5 may be read as True
    stop_grad_parent: bool = True  # released code
    negatives: Literal["all", "visible_only"] = "all"  # released code, the parent's patches that oppose a child
    betas: tuple[float, float] = (0.9, 0.95)  # released code
    precision: str = "fp16"  # released code, autocast with loss scaling
    workers: int = recorded(1)  # loader processes; a step of 256 crops is 13.5 GiB, and each holds two of them ready
    micro_batch: int = recorded(2)  # crops at once on a device; each is 21 encoder passes, about 7 GiB in 16 bits

    def multiple(self) -> Shape3:
        """Fine-tuning's coarsest map has stride 32; pre-training itself needs multiples of 16 in `input_shape`."""
        return (32, 32, 32)

    def grid(self) -> Shape3:
        """Tokens per axis of every level."""
        return grid_of(self.input_shape, PATCH)

    def blocks(self) -> Shape3:
        """Cells of level 1 per axis, each a possible level-2 volume: tokens' own boxes, or native ones of input size."""
        return self.grid() if self.geometry == "paper" else grid_of(self.crop, self.input_shape)


@dataclass(frozen=True)
class Level:
    """One level after its pass: volume (B, C, D, H, W), hidden (B, N), blocks chosen for children (B, G) or None at the
    last level, decoder features (B, N, W), rebuilt voxels (B, N, P)."""

    volume: Tensor
    hidden: Tensor
    chosen: Tensor | None
    features: Tensor
    rebuilt: Tensor


class MiM(Method):
    """Mask in Mask (Sec. III): one crop is 1 + 4 + 16 encoded volumes in three batched encoder calls."""

    encoder: MaskedConvEncoder | ViT3D
    progress: Tensor
    block: Tensor

    def __init__(self, config: MiMConfig, sight: Sight) -> None:
        super().__init__()
        check(config)
        self.config, self.intensity, self.grid, self.blocks = config, sight.intensity, config.grid(), config.blocks()
        self.channels = sight.channels
        self.deepest = deepest_level(config)
        self.encoder = pretraining_encoder(config, dataclasses.replace(sight, shape=config.input_shape))
        self.decoder = TokenDecoder(
            self.encoder.width,
            self.grid,
            width=config.decoder_width,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
            out=math.prod(PATCH) * sight.channels,
        )
        width, hidden, out = config.decoder_width, config.projection_hidden, config.projection_out
        self.project_context = nn.ModuleDict({pair: projection(width, hidden, out) for pair in config.aligned_pairs})
        self.project_patches = nn.ModuleDict({pair: projection(width, hidden, out) for pair in config.aligned_pairs})
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("block", block_of_tokens(config), persistent=False)
        self.phases = one_phase(config, draw=epochs, views=OneCrop(config.crop), loss=self.loss)

    def prepare(self, batch: Batch) -> Batch:
        """Clip and scale intensities (Sec. IV: HU -1000..1000 to 0..1)."""
        return {"volume": to_network_range(batch["volume"], self.intensity)}

    def blank(self, phase: str) -> Batch:
        return {"volume": torch.empty(1, self.channels, *self.config.crop)}

    def loss(self, batch: Batch) -> Losses:
        """L = sum_l w_l L_R^l + alpha (L_C^12 + L_C^23) (Eq. 8 and 9)."""
        levels = self.look(batch["volume"])
        return {**self.reconstruction(levels), **self.alignment(levels)}

    def look(self, x1: Tensor) -> list[Level]:
        """The levels that the loss needs, coarse to fine, from crops (B, C, *crop) in network range (Sec. III-B)."""
        levels = [self.see(resize(x1, self.config.input_shape), number=1)]
        if self.deepest > 1:
            x2 = cut(x1, self.blocks, chosen(levels[0]))  # (B * G, C, ...), out of the full-resolution crop
            levels.append(self.see(resize(x2, self.config.input_shape), number=2))
        if self.deepest > 2:
            x3 = cut(levels[1].volume, self.grid, chosen(levels[1]))  # (B * G * G, C, 16, 16, 16)
            levels.append(self.see(resize(x3, self.config.input_shape), number=3))
        return levels

    def see(self, volume: Tensor, *, number: int) -> Level:
        """Hide tokens, choose the children's places, encode what is visible and decode all (Sec. III-A and III-B)."""
        hidden, places = self.hide(len(volume), volume.device, number)
        visible = kept_count(len(self.block), self.config.mask_ratios[number - 1])  # V
        seen = self.encoder.tokens(volume, keep=~hidden, visible=visible)  # (B, V, C)
        features, rebuilt = self.decoder(seen, hidden)
        return Level(volume, hidden, places, features, rebuilt)

    def hide(self, batch: int, device: torch.device, number: int) -> tuple[Tensor, Tensor | None]:
        """Hidden tokens (B, N) of a level and the blocks chosen from them (B, G), None at the last level."""
        config = self.config
        tokens, ratio = len(self.block), config.mask_ratios[number - 1]
        from_hidden = config.next_level_from == "hidden"
        if number == 1 and config.geometry != "paper":
            blocks, kept = math.prod(self.blocks), kept_count(tokens, ratio)
            return hide_blocks(batch, self.block, blocks, kept, config.children, from_hidden=from_hidden)
        hidden = random_hidden(batch, tokens, ratio, device)
        if number == self.deepest:
            return hidden, None
        return hidden, choose(hidden if from_hidden else ~hidden, config.children)

    def reconstruction(self, levels: list[Level]) -> Losses:
        """L_R^l: mean squared error over hidden tokens (Eq. 1 and 2), weighted by level."""
        weights = level_weights(self.config.level_schedule, self.progress)
        share = share_of_each(self.config.reconstruction_reduction, len(self.config.rebuilt_levels))
        return {
            f"rebuild_{number}": share * weights[number - 1] * self.rebuild_error(levels[number - 1])
            for number in self.config.rebuilt_levels
        }

    def rebuild_error(self, level: Level) -> Tensor:
        target = patchify(level.volume, PATCH).float()  # (B, N, P)
        target = normalise_tokens(target) if self.config.normalise_target else target
        return mean_over_hidden(((level.rebuilt.float() - target) ** 2).mean(-1), level.hidden)

    def alignment(self, levels: list[Level]) -> Losses:
        """alpha L_C^{l,l+1} for each pair of neighbouring levels (Eq. 4 to 7, 9)."""
        share = share_of_each(self.config.alignment_reduction, len(self.config.aligned_pairs))
        measure = self.released_gap if self.config.alignment == "byol_released" else self.cross_level
        weight = self.config.alignment_weight * share
        return {
            f"align_{pair}": weight * measure(pair, levels[int(pair[0]) - 1], levels[int(pair[1]) - 1])
            for pair in self.config.aligned_pairs
        }

    def cross_level(self, pair: str, parent: Level, child: Level) -> Tensor:
        """L_C^{l,l+1}: each child's context c_i against the places p_j of its own parent, positive where it was cut."""
        config, place = self.config, chosen(parent)
        context = self.project_context[pair](child.features.mean(1)).view(*place.shape, -1)  # c: (B, G, F)
        features = parent.features.detach() if config.stop_grad_parent else parent.features
        if pair == "12" and config.geometry != "paper":
            features = block_means(features, self.block, math.prod(self.blocks))
        patches = self.project_patches[pair](features)  # p: (B, K, F), K = N or blocks
        if config.alignment == "byol":
            return cosine_gap(context, patches.gather(1, place[..., None].expand_as(context)))
        return info_nce(
            context,
            patches,
            place,
            temperature=config.temperature,
            positive_in_denominator=not config.exclude_positive_from_denominator,
            negatives=~parent.hidden if config.negatives == "visible_only" else None,
        )

    def released_gap(self, pair: str, parent: Level, child: Level) -> Tensor:
        """What the released script minimises in place of Eq. 5: 2 - 2 cos between means, without negatives.

        Pair 12 never looks at level 1: the first child's mean stands against the projected means of all children of the
        same crop, itself included, and gradient flows through both sides. Pair 23 compares projected means of parent
        (gradient stopped) and children.
        """
        means = child.features.mean(1).view(*chosen(parent).shape, -1)  # (B, G, W)
        projected = self.project_context[pair](means)
        if pair == "12":
            return cosine_gap(means[:, :1], projected)
        return cosine_gap(self.project_patches[pair](parent.features.mean(1).detach())[:, None], projected)

    def after_step(self, progress: float) -> None:
        """Where the level weights stand; part of the checkpoint, so that a resumed run goes on from it."""
        self.progress.fill_(progress)


def projection(width: int, hidden: int, out: int) -> nn.Sequential:
    """A projection head: two linear layers, GELU between, no norm; Xavier-uniform with bias 0 as every Linear here."""
    head = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out))
    init_transformer_(head)
    return head


def chosen(level: Level) -> Tensor:
    """The blocks of a level that became its children."""
    assert level.chosen is not None, "the last level has no children"
    return level.chosen


def share_of_each(reduction: Reduction, terms: int) -> float:
    """The factor of each of so many terms: 1 where they are summed, 1 / terms where averaged."""
    return 1.0 if reduction == "sum" else 1.0 / max(terms, 1)


def level_weights(schedule: str, progress: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(w1, w2, w3) at progress e/E (Table XII as the released code has it): coarse to fine 1 + cos(pi e / 2E), 1,
    sin(pi e / 2E); fine to coarse swaps the outer two."""
    one, angle = torch.ones_like(progress), progress * (math.pi / 2)
    if schedule == "constant":
        return one, one, one
    falls, rises = 1 + angle.cos(), angle.sin()
    return (falls, one, rises) if schedule == "coarse_to_fine" else (rises, one, falls)


def block_of_tokens(config: MiMConfig) -> Tensor:
    """(N,) the block of level 1 with which each token is hidden: where it lies, or a row-major chunk in the released code."""
    if config.geometry == "repo" and not config.octant_fix:
        return chunk_of_each_token(config.grid(), math.prod(config.blocks()))
    return block_of_each_token(config.grid(), config.blocks())


def possible_children(config: MiMConfig, number: int) -> int:
    """How many children level `number` can have whose tokens are all hidden (or all visible), whatever the draw.

    A child is one token; at level 1 of the other geometries it is a block of them, and the largest may be drawn.
    """
    tokens = math.prod(config.grid())
    kept = kept_count(tokens, config.mask_ratios[number - 1])
    room = tokens - kept if config.next_level_from == "hidden" else kept
    if number > 1 or config.geometry == "paper":
        return room
    with torch.device("cpu"):  # a number, also where a network is built without values
        largest_first = torch.bincount(block_of_tokens(config)).sort(descending=True).values
        return int((largest_first.cumsum(0) <= room).sum())


def deepest_level(config: MiMConfig) -> int:
    """The last level that some term of the loss looks at."""
    return max((0, *config.rebuilt_levels, *(int(pair[1]) for pair in config.aligned_pairs)))


def check(config: MiMConfig) -> None:
    """SpecError where the settings cannot stand together."""
    grid_of(config.crop, config.blocks())
    if any(cells > along for cells, along in zip(config.blocks(), config.grid(), strict=True)):
        raise SpecError(
            f"Level 1 has {config.blocks()} blocks on a grid of {config.grid()} tokens: some block would own no token.",
            remedy="Choose a crop of at most as many inputs per axis as the input has tokens.",
        )
    if deepest_level(config) == 0 and config.steps > 0:
        raise SpecError("No level is rebuilt and no pair aligned: there is nothing to learn.", remedy="Set steps=0.")
    if not set(config.rebuilt_levels) <= {1, 2, 3} or not set(config.aligned_pairs) <= {"12", "23"}:
        raise SpecError(
            f"Levels {config.rebuilt_levels} and pairs {config.aligned_pairs}: levels are 1, 2, 3 and pairs 12, 23."
        )
    for number in range(1, deepest_level(config)):
        places = possible_children(config, number)
        if places < config.children:
            raise SpecError(
                f"Level {number} has {places} {config.next_level_from} places for {config.children} children.",
                remedy="Lower `children`, or change `crop`, `input_shape` or `mask_ratios`.",
            )
    if config.octant_fix and config.geometry != "repo":
        raise SpecError(
            f"octant_fix mends the geometry of the released code, found geometry={config.geometry}.",
            remedy="Take --preset ref_code, or leave it out.",
        )
    if config.alignment == "byol_released" and config.projection_out != config.decoder_width:
        raise SpecError(
            f"byol_released compares projected with plain features: projection_out {config.projection_out} must equal "
            f"decoder_width {config.decoder_width}."
        )
    if config.negatives == "visible_only" and config.geometry != "paper":
        raise SpecError("visible_only needs one candidate per token.", remedy="Set geometry=paper.")


def pretraining_encoder(config: MiMConfig, sight: Sight) -> MaskedConvEncoder | ViT3D:
    """The encoder that sees visible tokens only."""
    if config.network == "vit":
        return plain_vit(config, sight)
    return MaskedConvEncoder(sight, widths=config.widths, depths=config.depths, heads=config.heads)


def build_encoder(config: MiMConfig, sight: Sight) -> HybridEncoder | ViT3D:
    """The encoder that fine-tuning sees, for volumes of `sight.shape` (multiples of 32)."""
    if config.network == "vit":
        return plain_vit(config, sight)
    return HybridEncoder(
        sight, widths=config.widths, depths=config.depths, heads=config.heads, drop_path=config.drop_path
    )


def plain_vit(config: MiMConfig, sight: Sight) -> ViT3D:
    """UNETR's ViT at the hybrid's size: at full size ViT-B/16, width 768 = 2 x 384, 12 = 11 + 1 blocks, 12 heads; at least the
    four blocks whose maps UNETR's decoder reads."""
    depth = max(config.depths[3] + 1, 4)
    return ViT3D(
        sight,
        width=2 * config.widths[3],
        depth=depth,
        heads=config.heads,
        patch=PATCH,
        skips=tuple(depth * quarter // 4 for quarter in (1, 2, 3, 4)),
    )


FULL = MiMConfig()
REF_CODE = MiMConfig(
    crop=(192, 192, 192),  # released code
    geometry="repo",  # released code, 8 native octants
    mask_ratios=(0.5, 0.6, 0.5),  # released code; the command line's 0.6 is ignored
    alignment="byol_released",  # released script
    projection_hidden=576,  # released code
    projection_out=576,  # released code
    steps=4_000,  # released script: 800 epochs of 5 updates over 746 volumes
    batch_size=128,  # released script: 1 volume, 64 accumulations, 2 devices
    lr=2e-4,  # released script: 1e-4 * 512 / 256
    weight_decay=0.05,  # released script
    warmup_steps=200,  # released script: 40 epochs of 5 updates
)
SMALL = MiMConfig(
    crop=(48, 64, 48),  # ours, holds a hippocampus volume
    input_shape=(48, 64, 48),  # ours, 3 x 4 x 3 tokens
    widths=(12, 24, 48, 96),  # ours
    depths=(1, 1, 1, 4),  # ours
    heads=3,  # ours, 32 numbers per head as at full size
    decoder_width=96,  # ours
    decoder_depth=2,  # ours
    decoder_heads=3,  # ours
    projection_hidden=128,  # ours
    projection_out=128,  # ours
    children=1,  # ours, so that two minutes hold many steps: it takes some 250, of any batch, before anything is learnt
    steps=700,  # ours, about two minutes on 2 cores
    batch_size=2,  # ours, 6 volumes a step
    lr=1e-3,  # ours
    warmup_steps=40,  # ours
    precision="fp32",  # ours
    workers=0,  # ours
    checkpoint_every=100,  # ours
)
TINY = dataclasses.replace(
    SMALL,
    crop=(32, 32, 48),  # ours
    input_shape=(32, 32, 48),  # ours, 2 x 2 x 3 tokens, 8 hidden and 4 visible
    widths=(6, 12, 24, 48),  # ours
    depths=(1, 1, 1, 1),  # ours
    heads=2,  # ours
    decoder_width=48,  # ours
    decoder_depth=1,  # ours
    decoder_heads=2,  # ours
    projection_hidden=32,  # ours
    projection_out=32,  # ours
    children=4,  # Table II
    steps=12,  # ours
    batch_size=1,  # ours, 21 volumes a step
    warmup_steps=2,  # ours
    checkpoint_every=6,  # ours
    log_every=2,  # ours
)

METHOD = MethodCard(
    title="MiM",
    version=1,
    family="masked",
    paper="arXiv:2404.15580",
    licence="none given with the released code; nothing of it is copied here",
    decoder="swin_unetr",
    corpus="mim-1k",
    build=MiM,
    encoder=build_encoder,
    full=FULL,
    small=SMALL,
    tiny=TINY,
    ref_code=REF_CODE,
    variants={
        "align_byol": {"alignment": "byol"},
        "next_level_unmasked": {"next_level_from": "visible"},
        "loss_none": {"rebuilt_levels": (), "aligned_pairs": (), "steps": 0},
        "loss_lc_only": {"rebuilt_levels": ()},
        "loss_lr1": {"rebuilt_levels": (1,), "aligned_pairs": ()},
        "loss_lr123": {"aligned_pairs": ()},
        "loss_lr123_lc23": {"aligned_pairs": ("23",)},
        "loss_lr123_lc12": {"aligned_pairs": ("12",)},
        "schedule_coarse_to_fine": {"level_schedule": "coarse_to_fine"},
        "schedule_fine_to_coarse": {"level_schedule": "fine_to_coarse"},
        "temperature_0_1": {"temperature": 0.1},
        "temperature_0_2": {"temperature": 0.2},
        "table_fig9": {"geometry": "table_fig9"},
        "octant_fix": {"octant_fix": True},
        "unetr": {"network": "vit", "decoder": "unetr"},
        "lora_r4": {"lora_rank": 4},
        "lora_r8": {"lora_rank": 8},
        "lora_r16": {"lora_rank": 16},
    },
)
