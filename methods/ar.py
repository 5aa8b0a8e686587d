"""AR: images in a row, cut into tokens; from a random start on, predict each next token's voxels.

Source   Wang et al., "Autoregressive Sequence Modeling for 3D Medical Image Representation", AAAI 2025 (arXiv 2409.08691);
         what the paper leaves open follows its released code, AR-SSL4M. The paper's supplement was not at hand
Changes  `full` walks the tokens of image 1, then those of image 2, as the paper says, and averages per sequence (Eq. 2);
         `ref_code` walks the concatenated volume in raster order, so that the images interleave in every column, and pools
         the loss over the 72 sequences of a device. Squared error (text and code; Eq. 2 drops the square). Stride 12 begins
         at slice 60 at most: the code's 63 reads beyond its crop. Files are read in RAS order and z-scored (a crop's
         percentiles undo it); the code takes the file's own axes. Which of a volume's fixed crops is shown is drawn with
         replacement. Crops travel as float16 and are rounded to bfloat16 as in the code, whose parameters, norms and target
         arithmetic are bfloat16 too where ours are float32 (autocast). No volume is held out in `full`: only the training
         loss is logged, and the code's hold-out shares volumes with training. 100k updates in `ref_code` too: its 50 epochs
         are 213k to 281k, by how many volumes are shallow. `no_patch_sequences` (of which no code exists) shows one crop of
         any image as it is. Without weights the network starts as pre-training does; the code's own start from scratch
         has a convolution's default in its patch embedding, 0.44 times as wide. A lesion's window lies a voxel or two of
         128 from the code's, which rounds the middle of the box down
Shapes   B sequences of four slabs, N image tokens of V voxels, P of them the prefix, C the width

Longer than 250 lines because the rows of Table 4 and the released code's order and mean are settings of one loss.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Shape3, Sight, recorded
from bench.contracts.demands import demand_least
from bench.contracts.errors import SpecError
from bench.contracts.method import Batch, Corpus, Losses, Method, one_phase
from bench.nets.patches import grid_of, patchify
from bench.nets.sequence_vit import SequenceViT
from methods.parts.families import FAMILIES, SequenceDraw
from methods.parts.losses import mean_over_hidden, mean_per_sequence, normalise_tokens
from methods.parts.slabs import SlabSequence

TokenOrder = Literal["patch_major", "raster"]


@dataclass(frozen=True, kw_only=True)
class ARConfig(MethodConfig):
    crop: Shape3 = (128, 128, 128)  # released code, voxels of one sequence: its images one behind the other in slices
    slabs: int = 4  # released code, images in a sequence
    stride: int = 8  # Table 4, best row, slices by which the images of a spatial sequence move on, of 128 in all
    families: tuple[str, ...] = FAMILIES  # Sec. "Sequence construction"; Table 4 leaves one out
    sequences: bool = True  # Table 4, best row; False takes one crop as it is
    token_order: TokenOrder = "patch_major"  # Sec. "Tokenization", tokens of one image after the other; code: raster
    random_start: bool = True  # Table 4, best row; False predicts from START on
    reduction: Literal["per_sequence", "pooled"] = "per_sequence"  # Eq. 2; released code pools tokens of a batch
    pooled_sequences: int = 0  # ours, all of a batch; released code 72, the sequences of one device
    patch: Shape3 = (16, 16, 16)  # released code, voxels of a token
    width: int = 768  # Sec. "Implementation details", ViT-B
    depth: int = 12  # Sec. "Implementation details", ViT-B, blocks
    heads: int = 12  # Sec. "Implementation details", ViT-B
    skips: tuple[int, ...] = (4, 7, 10, 12)  # released code, blocks whose outputs UNETR reads in fine-tuning
    crops_per_volume: int = 50  # released code, stored crops of a volume; 33 where it has fewer slices than a crop
    crops_per_group: int = 100  # released code, stored crops of four aligned images
    sequences_per_category: int = 20_000  # released code, stored rows of four lesions
    held_out_every: int = 0  # ours; released code never trains on every 500th entry
    exclude_overlap: bool = False  # ours, True draws nothing from sets that hold a task's images
    bf16_voxels: bool = True  # released code, inputs and so targets are rounded to bfloat16
    steps: int = 100_000  # Sec. "Implementation details", updates
    batch_size: int = 288  # Sec. "Implementation details", sequences
    optimiser: str = "adamw"  # Sec. "Implementation details"
    lr: float = 1e-4  # Sec. "Implementation details"
    betas: tuple[float, float] = (0.9, 0.999)  # released code
    weight_decay: float = 0.01  # released code, on every parameter (`decay_all`)
    schedule: str = "cosine"  # Sec. "Implementation details", half a period down to 0
    warmup_steps: int = 0  # released code
    grad_clip: float = 0.0  # released code, off
    ema_decay: float = 0.0  # released code, off
    decay_all: bool = True  # released code, norms, biases and special tokens too
    precision: str = "bf16"  # released code
    micro_batch: int = recorded(72)  # sequences at once on a device, as in the released code
    compile: bool = recorded(True)  # ours, a sixth less of an H200's time
    recompute: bool = recorded(False)  # blocks run again in the backward pass as in the code: less memory


class AR(Method):
    """Next-token prediction over sequences of images (Sec. "Method")."""

    encoder: SequenceViT
    order: Tensor

    def __init__(self, config: ARConfig, sight: Sight) -> None:
        super().__init__()
        check(config)
        self.config = config
        grid = grid_of(config.crop, config.patch)
        self.encoder = build_encoder(config, dataclasses.replace(sight, channels=1, shape=config.crop))
        self.predict = nn.Linear(config.width, math.prod(config.patch))
        self.register_buffer("order", token_order(grid, config.slabs, config.token_order), persistent=False)
        self.draw = SequenceDraw(
            families=config.families,
            depth=config.crop[2],
            slabs=config.slabs,
            crops_per_volume=config.crops_per_volume,
            crops_per_group=config.crops_per_group,
            sequences_per_category=config.sequences_per_category,
            exclude_overlap=config.exclude_overlap,
            held_out_every=config.held_out_every,
            in_slabs=config.sequences,
        )
        views = SlabSequence(
            shape=config.crop,
            slabs=config.slabs,
            stride=moved_on(config),
            crops_per_volume=config.crops_per_volume,
            crops_per_group=config.crops_per_group,
            tokens=math.prod(grid),
            in_slabs=config.sequences,
            random_prefix=config.random_start,
        )
        splits = config.reduction == "per_sequence"
        self.phases = one_phase(config, draw=self.draw, views=views, loss=self.loss, splits_batch=splits)

    def fit(self, corpus: Corpus) -> None:
        """Nothing is learnt; what the corpus cannot offer is told, and a corpus that offers nothing is refused."""
        self.told = self.draw.told(corpus)

    def prepare(self, batch: Batch) -> Batch:
        volume = batch["volume"].bfloat16() if self.config.bf16_voxels else batch["volume"]
        return {"volume": volume.float(), "prefix": batch["prefix"]}

    def blank(self, phase: str) -> Batch:
        """A sequence whose prefix is half of its tokens."""
        prefix = torch.tensor([len(self.order) // 2], device="cpu")  # lengths that lie on the host are read there
        return {"volume": torch.empty(1, 1, *self.config.crop), "prefix": prefix}

    def loss(self, batch: Batch) -> Losses:
        """Eq. 2: the squared error of every token behind the prefix, each predicted from all tokens before it."""
        x, prefix = batch["volume"], batch["prefix"]  # (B, 1, D, H, W), (B,) P
        target = normalise_tokens(patchify(x, self.config.patch))[:, self.order]  # (B, N, V)
        states = self.encoder.sequence(x, self.order, prefix + 1)  # (B, N + 2, C); START belongs to the prefix
        predicted = self.predict(states[:, :-2])  # (B, N, V): place p predicts image token p, the last two nothing
        error = (predicted.float() - target).square().mean(-1)  # (B, N)
        counted = torch.arange(error.shape[1], device=error.device) >= prefix.to(error.device)[:, None]
        return {"next_token": self.reduced(error, counted)}

    def reduced(self, error: Tensor, counted: Tensor) -> Tensor:
        """The mean per sequence, then over sequences (Eq. 2); pooled, a sequence weighs by the tokens it predicts."""
        if self.config.reduction == "per_sequence":
            return mean_per_sequence(error, counted)
        together = self.config.pooled_sequences or len(error)
        groups = zip(torch.split(error, together), torch.split(counted, together), strict=True)
        return torch.stack([mean_over_hidden(*group) for group in groups]).mean()


def token_order(grid: Shape3, slabs: int, order: TokenOrder) -> Tensor:
    """(N,) the grid place of each token of the sequence: row-major, or all tokens of slab 1, then of slab 2, ...

    Example: on a grid (1, 1, 4) of two slabs `raster` and `patch_major` agree; on (2, 1, 4) it is 0 1 4 5, 2 3 6 7.
    """
    places = torch.arange(math.prod(grid)).view(grid)
    if order == "raster":
        return places.flatten()
    return places.view(*grid[:2], slabs, grid[2] // slabs).permute(2, 0, 1, 3).flatten()


def moved_on(config: ARConfig) -> int:
    """The stride in slices of the config's own crop: that of the paper's 128 slices, scaled."""
    return round(config.stride * config.crop[2] / 128)


def check(config: ARConfig) -> None:
    """SpecError where the settings cannot stand together."""
    for name in ("slabs", "crops_per_volume", "crops_per_group", "sequences_per_category"):
        demand_least(name, getattr(config, name), 1)
    for name in ("held_out_every", "pooled_sequences"):
        demand_least(name, getattr(config, name), 0)
    tokens_deep = config.crop[2] // config.patch[2]
    if config.crop[2] % config.slabs or (config.token_order == "patch_major" and tokens_deep % config.slabs):
        raise SpecError(
            f"{config.crop[2]} slices in tokens of {config.patch[2]} cannot be shared among {config.slabs} images.",
            remedy="Give `crop` a third side that is a multiple of slabs times the patch.",
        )
    reach = config.crop[2] // config.slabs + (config.slabs - 1) * moved_on(config)
    if config.stride < 0 or reach > config.crop[2]:
        raise SpecError(
            f"{config.slabs} images {moved_on(config)} slices apart span {reach} of {config.crop[2]} slices.",
            remedy="Lower `stride`.",
        )
    if not config.families or not set(config.families) <= set(FAMILIES):
        raise SpecError(f"Families {config.families}: possible are {', '.join(FAMILIES)}.", remedy="Name at least one.")
    if not config.sequences and config.token_order != "raster":
        raise SpecError("One crop as it is has no order of images.", remedy="Set token_order=raster.")
    if config.held_out_every == 1:
        raise SpecError("held_out_every=1 holds every entry out.", remedy="Set 0, or 2 or more.")


def build_encoder(config: ARConfig, sight: Sight) -> SequenceViT:
    """The ViT that is pre-trained and that fine-tuning sees; positions belong to the grid of `sight.shape`."""
    return SequenceViT(
        sight,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        patch=config.patch,
        skips=config.skips,
        recompute=config.recompute,
    )


FULL = ARConfig()
REF_CODE = ARConfig(
    token_order="raster",  # released code
    reduction="pooled",  # released code
    pooled_sequences=72,  # released code, a device's share of the batch
    held_out_every=500,  # released code
    micro_batch=0,  # the pooled loss looks at all sequences of a batch
    recompute=True,  # released code; the whole batch then fits on a device
    compile=False,  # released code
)
SMALL = ARConfig(
    crop=(48, 64, 64),  # ours, 6 x 8 x 8 tokens in four slabs of 16 slices
    patch=(8, 8, 8),  # ours
    width=192,  # ours
    depth=6,  # ours
    heads=6,  # ours
    skips=(2, 4, 6),  # ours
    sequences_per_category=200,  # ours, so that few lesions do not crowd out few volumes
    steps=200,  # ours, about two minutes on two cores
    batch_size=8,  # ours
    lr=1e-3,  # ours
    warmup_steps=20,  # ours
    micro_batch=0,  # ours
    workers=0,  # ours
    compile=False,  # ours
    checkpoint_every=100,  # ours
)
TINY = dataclasses.replace(
    SMALL,
    crop=(32, 32, 32),  # ours, 4 x 4 x 4 tokens, a slab is one token deep
    width=48,  # ours
    depth=3,  # ours
    heads=2,  # ours
    skips=(1, 2, 3),  # ours
    steps=12,  # ours
    batch_size=2,  # ours
    warmup_steps=2,  # ours
    precision="fp32",  # ours
    checkpoint_every=6,  # ours
    log_every=2,  # ours
)

METHOD = MethodCard(
    title="AR",
    version=1,
    family="sequence",
    paper="arXiv:2409.08691",
    licence="see the repository of AR-SSL4M; nothing of it is copied here",
    decoder="unetr",
    corpus="ar-corpus",
    build=AR,
    encoder=build_encoder,
    full=FULL,
    small=SMALL,
    tiny=TINY,
    ref_code=REF_CODE,
    needs={"volume"},
    finetune={"full": {"layer_decay": 0.75}},
    variants={
        "no_contrast": {"families": ("spatial", "semantic")},
        "no_spatial": {"families": ("contrast", "semantic")},
        "no_semantic": {"families": ("spatial", "contrast")},
        "no_patch_sequences": {"sequences": False, "token_order": "raster"},
        "no_random_startup": {"random_start": False},
        "stride_4": {"stride": 4},
        "stride_12": {"stride": 12},
        "no_downstream_overlap": {"exclude_overlap": True},
    },
)
