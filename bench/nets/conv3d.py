"""The hybrid encoder of MiM: three masked-convolution stages, then a plain transformer on 16^3-voxel tokens.

Source   MiM (arXiv 2404.15580) names an "MCMAE backbone extended to 3D"; sizes, norms and initial values are those of
         the released model definition. Two forms share every name that pre-training hands over.
Shapes   B volumes, N = D/16 * H/16 * W/16 tokens in row-major order, V of them visible, widths (c1, c2, c3, c4)
Changes  any grid instead of 6^3: positions and relative-position tables follow the input's grid
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.contracts.configs import Shape3, Sight
from bench.contracts.errors import SpecError
from bench.contracts.method import Encoder, Features
from bench.nets.channel_norm import norm_channels
from bench.nets.input_channels import repeat_conv_channels
from bench.nets.masked_conv import Embed, MaskedConvBlock, Surroundings, visible_cubes
from bench.nets.patches import as_map, as_tokens, grid_of
from bench.nets.shared_batch_norm import SharedBatchNorm, several
from bench.nets.visible import visible_places
from bench.nets.vit3d import Block, init_transformer_, interpolate_positions, sincos_positions

PATCH: Shape3 = (16, 16, 16)
STRIDES = (2, 4, 8, 16)


class ScaledBlock(Block):
    """A pre-norm ViT block as fine-tuning sees it: with relative-position bias, LayerScale and drop-path.

    Source: MiM, released fine-tuning code. The bias starts at 0, LayerScale at 1. `table` is (2d-1)(2h-1)(2w-1) x heads
    for a grid d x h x w.
    """

    offset: Tensor

    def __init__(self, width: int, heads: int, grid: Shape3, drop_path: float) -> None:
        super().__init__(width, heads, drop_path=drop_path)
        d, h, w = grid
        self.table = nn.Parameter(torch.zeros((2 * d - 1) * (2 * h - 1) * (2 * w - 1), heads))
        self.gamma1 = nn.Parameter(torch.ones(width))
        self.gamma2 = nn.Parameter(torch.ones(width))
        self.register_buffer("offset", relative_offsets(grid), persistent=False)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        own = self.table[self.offset].permute(2, 0, 1)  # (heads, N, N)
        bias = own if bias is None else own + bias
        x = x + self.drop_path(self.gamma1 * self.attention(self.norm1(x), bias))
        return x + self.drop_path(self.gamma2 * self.mlp(self.norm2(x)))


def relative_offsets(grid: Shape3) -> Tensor:
    """(N, N) row of the relative-position table for every pair of tokens of a grid, row-major on both sides."""
    axes = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    place = torch.stack(axes, -1).reshape(-1, 3)
    shift = place[:, None] - place[None, :] + torch.tensor(grid) - 1
    _, h, w = (2 * size - 1 for size in grid)
    return (shift[..., 0] * h + shift[..., 1]) * w + shift[..., 2]


class HybridTrunk(Encoder):
    """What both forms share: embed1..5, stage1..4 and `positions`, 235 tensors at full size.

    `positions` is kept as (c4, D/16, H/16, W/16), so that another grid's can be interpolated without guessing.
    """

    patch = PATCH
    positions: Tensor
    stage4: nn.ModuleList

    def __init__(
        self, sight: Sight, *, widths: tuple[int, ...], depths: tuple[int, ...], drop_path: float = 0.0
    ) -> None:
        super().__init__()
        c1, c2, c3, c4 = widths
        rates = [drop_path * i / max(sum(depths) - 1, 1) for i in range(sum(depths))]
        rate = iter(rates)
        self.widths, self.width, self.pooled_width = (c1, c2, c3, c4), c4, c4
        self.grid = grid_of(sight.shape, PATCH)
        self.embed1, self.embed2, self.embed3 = Embed(sight.channels, c1), Embed(c1, c2), Embed(c2, c3)
        self.embed4, self.embed5 = Embed(c3, c4), nn.Linear(c4, c4)
        self.stage1 = nn.ModuleList(MaskedConvBlock(c1, next(rate)) for _ in range(depths[0]))
        self.stage2 = nn.ModuleList(MaskedConvBlock(c2, next(rate)) for _ in range(depths[1]))
        self.stage3 = nn.ModuleList(MaskedConvBlock(c3, next(rate)) for _ in range(depths[2]))
        self.block_rates = tuple(rate)

    def local_maps(self, x: Tensor, near: Surroundings | None = None) -> list[Tensor]:
        """(B, C, D, H, W) -> the outputs of S1, S2, S3 and PE4 (strides 2, 4, 8, 16); the same of visible cubes
        (B * V, C, 16, 16, 16) with what is `near` them."""
        maps = []
        embeds, stages = (self.embed1, self.embed2, self.embed3), (self.stage1, self.stage2, self.stage3)
        for embed, stage in zip(embeds, stages, strict=True):
            x = embed(x)
            for block in stage:
                x = block(x, near)
            maps.append(x)
        return [*maps, self.embed4(x)]

    def placed(self, tokens: Tensor, grid: Shape3, places: Tensor | None = None) -> Tensor:
        """PE5: PE4's output (B, N, c4) on `grid`, or that of the tokens at `places` (B, V), projected, its positions added."""
        positions = interpolate_positions(self.positions, grid).flatten(1).T
        return self.embed5(tokens) + (positions if places is None else positions[places])

    def spine(self, volume: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps of S1, S2, S3 and the tokens that leave S4, (B, N, c4), of volumes that are all visible."""
        *maps, map4 = self.local_maps(volume)
        return maps, self.transformed(self.placed(as_tokens(map4), shape_of(map4)))

    def transformed(self, tokens: Tensor) -> Tensor:
        """S4: (B, N or V, c4) -> the same."""
        for block in self.stage4:
            tokens = block(tokens)
        return tokens

    def handed_over(self) -> frozenset[str]:
        """Names of the tensors that both forms have."""
        shared = ("embed", "stage", "positions")
        own = ("table", "gamma1", "gamma2")
        names = (n for n in self.state_dict() if n.startswith(shared) and not n.endswith(own))
        return frozenset(names)

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        """Positions are interpolated trilinearly; the first convolution's input channels are repeated, not divided."""
        if name == "positions" and found.ndim == 4 and found.shape[0] == wanted.shape[0]:
            return interpolate_positions(found, tuple(wanted.shape[1:]))
        return repeat_conv_channels(found, wanted) if name == "embed1.conv.weight" else None

    def layers(self) -> list[nn.Module]:
        local = [self.embed1, *self.stage1, self.embed2, *self.stage2, self.embed3, *self.stage3]
        return [*local, self.embed4, self.embed5, *self.stage4]


class MaskedConvEncoder(HybridTrunk):
    """The pre-training form: fixed sin-cos positions, hidden tokens dropped before S4, S1..S3 fused into S4's output.

    33,891,600 trainable parameters at widths 48-96-192-384, depths 2-2-2-11. `forward` sees whole volumes and gives
    maps at strides 2, 4, 8, 16, for looking at features; fine-tuning uses `HybridEncoder`.
    """

    def __init__(self, sight: Sight, *, widths: tuple[int, ...], depths: tuple[int, ...], heads: int) -> None:
        super().__init__(sight, widths=widths, depths=depths)
        c1, c2, c3, c4 = widths
        self.channels, self.strides = (c1, c2, c3, c4), tuple((s, s, s) for s in STRIDES)
        self.stage4 = nn.ModuleList(Block(c4, heads) for _ in range(depths[3]))
        self.fuse1, self.fuse2, self.fuse3 = (nn.Conv3d(c, c4, k, stride=k) for c, k in ((c1, 8), (c2, 4), (c3, 2)))
        self.norm = nn.LayerNorm(c4, eps=1e-6)
        self.register_buffer("positions", sincos_map(self.grid, c4))
        init_hybrid_(self)

    def tokens(self, volume: Tensor, keep: Tensor, visible: int | None = None) -> Tensor:
        """Visible tokens (B, V, c4) after fusion and norm; keep (B, N), True = visible, the same count in each row.

        `visible` is that count; where it is not given the host waits to find it. Nothing is computed of hidden voxels.
        """
        grid = grid_of(shape_of(volume), PATCH)
        places = visible_places(keep, visible)
        near = Surroundings.of(places, grid)
        *maps, map4 = self.local_maps(visible_cubes(volume, places, PATCH[0]), near)
        tokens = self.transformed(self.placed(map4.reshape(*places.shape, -1), grid, places))
        for fuse, fine in zip((self.fuse1, self.fuse2, self.fuse3), maps, strict=True):
            tokens = tokens + fuse(fine).reshape_as(tokens)
        return self.norm(tokens)

    def forward(self, volume: Tensor) -> Features:
        maps, tokens = self.spine(volume)
        map4 = as_map(tokens, grid_of(shape_of(volume), PATCH))
        return Features([norm_channels(m) for m in (*maps, map4)], pool(tokens))


class HybridEncoder(HybridTrunk):
    """The fine-tuning form: nothing masked, nothing fused; trainable positions, ScaledBlocks and one more down-block.

    Source: MiM, released fine-tuning code. Maps have channels c1, c2, c3, c4, 2 c4 at strides 2, 4, 8, 16, 32; each
    leaves through a channel LayerNorm without weights. `pooled` is the mean of S4's tokens, layer-normed without weights:
    the code's LayerNorm(c4) has weights, which a linear head absorbs. 24,132,060 parameters at full size, of which
    pre-training provides 21,586,320 in 235 tensors. The input's grid is fixed at building, in multiples of 32.
    """

    def __init__(
        self, sight: Sight, *, widths: tuple[int, ...], depths: tuple[int, ...], heads: int, drop_path: float = 0.2
    ) -> None:
        grid_of(sight.shape, (32, 32, 32))
        super().__init__(sight, widths=widths, depths=depths, drop_path=drop_path)
        c1, c2, c3, c4 = widths
        self.channels, self.strides = (c1, c2, c3, c4, 2 * c4), tuple((s, s, s) for s in (*STRIDES, 32))
        self.stage4 = nn.ModuleList(ScaledBlock(c4, heads, self.grid, r) for r in self.block_rates)
        self.down = nn.Sequential(nn.Conv3d(c4, 2 * c4, 2, stride=2), SharedBatchNorm(2 * c4), nn.GELU())
        self.positions = nn.Parameter(sincos_map(self.grid, c4))
        init_hybrid_(self)

    def forward(self, volume: Tensor) -> Features:
        if grid_of(shape_of(volume), PATCH) != self.grid:
            asked = " x ".join(str(16 * g) for g in self.grid)
            raise SpecError(
                f"This encoder was built for {asked} voxels, found {' x '.join(map(str, volume.shape[2:]))}.",
                remedy="Build it with a sight of that shape; adopted positions are interpolated.",
            )
        maps, tokens = self.spine(volume)
        map4 = as_map(tokens, self.grid)
        self._refuse_lone_voxel(map4)
        return Features([norm_channels(m) for m in (*maps, map4, self.down(map4))], pool(tokens))

    def _refuse_lone_voxel(self, map4: Tensor) -> None:
        if self.down[1].training and map4.numel() == 8 * map4.shape[1] and not several():  # others hold values too
            raise SpecError(
                "Batch normalisation at stride 32 needs two values per channel; one volume of 32 x 32 x 32 has one.",
                remedy="Give volumes of at least 64 voxels along one axis, or two per batch.",
            )

    def declared(self) -> frozenset[str]:
        return self.handed_over()

    def beside_pooled(self) -> list[nn.Module]:
        return [self.down]

    def layers(self) -> list[nn.Module]:
        return [*super().layers(), self.down]


def init_hybrid_(encoder: HybridTrunk) -> None:
    """Linear Xavier-uniform with bias 0, LayerNorm (1, 0), PE3's convolution Xavier on its flattened weight; other
    convolutions keep PyTorch's default (released code)."""
    init_transformer_(encoder)
    weight = encoder.embed3.conv.weight
    nn.init.xavier_uniform_(weight.data.view(len(weight), -1))


def sincos_map(grid: Shape3, width: int) -> Tensor:
    """Fixed sine-cosine positions as a map (C, d, h, w)."""
    return sincos_positions(grid, width).T.reshape(width, *grid).contiguous()


def pool(tokens: Tensor) -> Tensor:
    """(B, N, C) -> (B, C): mean over tokens, then LayerNorm without weights."""
    return functional.layer_norm(tokens.mean(1), (tokens.shape[-1],))


def shape_of(volume: Tensor) -> Shape3:
    """(B, C, D, H, W) -> (D, H, W)."""
    d, h, w = volume.shape[2:]
    return (d, h, w)
