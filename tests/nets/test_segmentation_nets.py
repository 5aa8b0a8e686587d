"""UNETR, Swin-UNETR and U-Net: equal to MONAI's networks when weights are copied, at the printed parameter counts.

MONAI's transformers rearrange axes with a package that MONAI does not require; two stand-ins below do the same here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import pytest
import torch
from monai.networks.blocks import selfattention
from monai.networks.nets import swin_unetr
from monai.networks.nets.unetr import UNETR
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.errors import SpecError
from bench.nets.decoders import build_decoder, unetr_feature
from bench.nets.patches import patchify
from bench.nets.shared_batch_norm import SharedBatchNorm
from bench.nets.swin3d import Merging, PatchMerging, Swin3D
from bench.nets.unet3d import UNet3D
from bench.nets.unetr import SwinUNETRDecoder, UNETRDecoder, halvings
from bench.nets.vit3d import ViT3D


def sight(shape: Shape3, channels: int = 1) -> Sight:
    return Sight(channels, shape, None, Intensity("zscore"))


def permute_by_names(x: Tensor, pattern: str) -> Tensor:
    """`"b c d h w -> b d h w c"`: the only form in which MONAI's Swin rearranges."""
    before, after = (side.split() for side in pattern.split("->"))
    return x.permute([before.index(name) for name in after])


class HeadRearrange(nn.Module):
    """The two forms in which MONAI's attention rearranges: heads apart and heads together."""

    def __init__(self, pattern: str, qkv: int = 1, l: int = 1) -> None:  # noqa: E741  (MONAI's keyword)
        super().__init__()
        self.pattern, self.heads = pattern, l

    def forward(self, x: Tensor) -> Tensor:
        if self.pattern == "b h (qkv l d) -> qkv b l h d":
            return x.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        assert self.pattern == "b l h d -> b h (l d)"
        return x.transpose(1, 2).flatten(2)


def copy(pairs: Iterable[tuple[nn.Module, nn.Module]]) -> None:
    for ours, theirs in pairs:
        for mine, found in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert mine.shape == found.shape
            mine.data.copy_(found.data)


def vit_like(theirs: nn.Module, shape: Shape3, width: int) -> ViT3D:
    """Our ViT with the weights of MONAI's."""
    ours = ViT3D(sight(shape), width=width, depth=12, heads=4, patch=(16, 16, 16), skips=(4, 7, 10, 12))
    embedding = theirs.patch_embedding
    ours.embed.weight.data.copy_(embedding.patch_embeddings.weight.flatten(1))
    ours.embed.bias.data.copy_(embedding.patch_embeddings.bias)
    ours.positions.data.copy_(embedding.position_embeddings[0].T.reshape(ours.positions.shape))
    for mine, found in zip(ours.blocks, theirs.blocks, strict=True):
        copy([(mine.norm1, found.norm1), (mine.norm2, found.norm2), (mine.attention.proj, found.attn.out_proj)])
        copy([(mine.mlp.fc1, found.mlp.linear1), (mine.mlp.fc2, found.mlp.linear2)])
        mine.attention.qkv.weight.data.copy_(found.attn.qkv.weight)  # MONAI's has no bias there; ours starts at 0
    copy([(ours.norm, theirs.norm)])
    for norm in (part for part in ours.modules() if isinstance(part, nn.LayerNorm)):
        norm.eps = 1e-5  # MONAI's
    return ours


def test_unetr_equals_monais_with_its_weights_when_skips_follow_blocks_4_7_10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfattention, "Rearrange", HeadRearrange)
    torch.manual_seed(0)
    theirs = UNETR(1, 3, img_size=(32, 48, 32), feature_size=8, hidden_size=48, mlp_dim=192, num_heads=4).eval()
    vit = vit_like(theirs.vit, (32, 48, 32), 48).eval()
    decoder = build_decoder("unetr", encoder=vit, in_channels=1, classes=3).eval()
    assert isinstance(decoder, UNETRDecoder)
    copy([(decoder.volume_block, theirs.encoder1), (decoder.out, theirs.out)])
    copy(zip(decoder.lifts, (theirs.encoder2, theirs.encoder3, theirs.encoder4), strict=True))
    copy(zip(decoder.ups, (theirs.decoder5, theirs.decoder4, theirs.decoder3, theirs.decoder2), strict=True))
    volume = torch.randn(2, 1, 32, 48, 32)
    with torch.no_grad():
        torch.testing.assert_close(decoder(volume, vit(volume).maps), theirs(volume), atol=1e-5, rtol=1e-4)


def test_unetr_at_full_size_has_the_printed_number_of_parameters() -> None:
    with torch.device("meta"):
        vit = ViT3D(sight((96, 96, 96)), width=768, depth=12, heads=12, patch=(16, 16, 16), skips=(3, 6, 9, 12))
        decoder = build_decoder("unetr", encoder=vit, in_channels=1, classes=14)
    assert (parameters(vit) + parameters(decoder)) / 1e6 == pytest.approx(92.8, rel=0.001)


def test_unetrs_decoder_has_the_papers_width_at_vit_base_and_never_less_than_eight() -> None:
    assert [unetr_feature(width) for width in (768, 1152, 192, 48)] == [16, 24, 8, 8]


@pytest.mark.parametrize(
    ("patch", "shape", "skips"),
    [((8, 8, 8), (16, 24, 16), (1, 2, 3)), ((4, 8, 8), (8, 16, 24), (1, 2, 3)), ((1, 8, 8), (2, 16, 16), (1, 2, 3))],
)
def test_unetr_reaches_full_resolution_from_any_power_of_two(
    patch: Shape3, shape: Shape3, skips: tuple[int, ...]
) -> None:
    vit = ViT3D(sight(shape, 2), width=24, depth=3, heads=2, patch=patch, skips=skips)
    decoder = build_decoder("unetr", encoder=vit, in_channels=2, classes=3)
    volume = torch.randn(1, 2, *shape)
    logits = decoder(volume, vit(volume).maps)
    assert logits.shape == (1, 3, *shape)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in [*vit.parameters(), *decoder.parameters()])


def test_halving_stops_on_each_axis_at_its_stride() -> None:
    assert halvings((4, 16, 8)) == [(2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 1)]
    with pytest.raises(SpecError, match="powers of two"):
        halvings((12, 16, 16))


def test_a_unetr_decoder_says_how_many_maps_it_reads() -> None:
    vit = ViT3D(sight((16, 16, 16)), width=24, depth=3, heads=2, patch=(8, 8, 8), skips=(1, 3))
    with pytest.raises(SpecError, match="reads 3 maps, found 2"):
        build_decoder("unetr", encoder=vit, in_channels=1, classes=2)


@pytest.mark.parametrize(("merging", "monais"), [("fixed", "merging"), ("v2", "mergingv2")])
def test_swin_unetr_equals_monais_with_its_weights(
    merging: Merging, monais: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swin_unetr, "rearrange", permute_by_names)
    torch.manual_seed(0)
    theirs = swin_unetr.SwinUNETR(1, 3, feature_size=12, downsample=monais, use_v2=False).eval()
    encoder = Swin3D(sight((64, 32, 32)), feature=12, merging=merging).eval()
    encoder.load_state_dict(theirs.swinViT.state_dict())
    decoder = build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=3).eval()
    assert isinstance(decoder, SwinUNETRDecoder)
    copy(
        [(decoder.volume_block, theirs.encoder1), (decoder.deepest_block, theirs.encoder10), (decoder.out, theirs.out)]
    )
    copy(zip(decoder.skip_blocks, (theirs.encoder2, theirs.encoder3, theirs.encoder4), strict=True))
    copy(zip(decoder.ups, (getattr(theirs, f"decoder{level}") for level in (5, 4, 3, 2, 1)), strict=True))
    volume = torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        maps = encoder(volume).maps
        for ours, found in zip(maps, theirs.swinViT(volume), strict=True):
            torch.testing.assert_close(ours, found)
        torch.testing.assert_close(decoder(volume, maps), theirs(volume))


def test_swin_unetr_at_feature_48_has_the_printed_number_of_parameters() -> None:
    with torch.device("meta"):
        encoder = Swin3D(sight((96, 96, 96)))
        decoder = build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=14)
    assert parameters(encoder) == 8_062_002
    assert (parameters(encoder) + parameters(decoder)) / 1e6 == pytest.approx(62.19, abs=0.005)


def test_only_the_legacy_merging_is_blind_to_one_neighbour() -> None:
    probe = torch.zeros(1, 4, 4, 4, 3)
    probe[:, 1::2, 1::2, 0::2] = torch.randn(1, 2, 2, 2, 3)
    blind = []
    for merging in ("legacy", "fixed", "v2"):
        layer = PatchMerging(3, merging)
        blind.append(torch.equal(layer(probe), layer(torch.zeros_like(probe))))
    assert blind == [True, False, False]


@torch.no_grad()
def test_a_merging_joins_its_eight_neighbours_in_the_order_under_which_its_weights_were_trained() -> None:
    """MONAI 0.9 takes two neighbours twice and two not, later releases and `mergingv2` all eight. The first axis counts 4."""
    number = torch.arange(8.0).reshape(1, 2, 2, 2, 1)
    expected: dict[Merging, list[int]] = {
        "legacy": [0, 4, 2, 1, 5, 2, 1, 7],
        "fixed": [0, 4, 2, 1, 6, 5, 3, 7],
        "v2": [0, 1, 2, 3, 4, 5, 6, 7],
    }
    for merging, order in expected.items():
        layer, joined = PatchMerging(1, merging), list[Tensor]()
        layer.norm.register_forward_pre_hook(lambda _m, given, joined=joined: joined.append(given[0]))
        layer(number)
        assert joined[0].flatten().tolist() == order


def test_merging_pads_odd_axes_with_zeros() -> None:
    layer, x = PatchMerging(3, "v2"), torch.randn(1, 3, 4, 5, 3)
    padded = torch.zeros(1, 4, 4, 6, 3)
    padded[:, :3, :, :5] = x
    assert torch.equal(layer(x), layer(padded))
    assert layer(x).shape == (1, 2, 2, 3, 6)


def test_swin_refuses_what_its_strides_do_not_divide() -> None:
    with pytest.raises(SpecError, match="multiples of 32"):
        swin_small(1)(torch.zeros(1, 1, 48, 64, 48))


def test_a_lone_deepest_voxel_passes_as_if_its_instance_norm_were_computed() -> None:
    encoder = swin_small(1)
    decoder = build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=2)
    assert isinstance(decoder, SwinUNETRDecoder)
    volume = torch.randn(2, 1, 32, 32, 32)
    maps = encoder(volume).maps
    lifted: list[Tensor] = []
    decoder.ups[0].register_forward_pre_hook(lambda _m, given: lifted.append(given[0]))
    found = decoder(volume, maps)

    class PlainNorm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean, variance = x.mean((2, 3, 4), keepdim=True), x.var((2, 3, 4), keepdim=True, unbiased=False)
            return (x - mean) / (variance + 1e-5).sqrt()

    block = decoder.deepest_block.layer
    block.norm1, block.norm2 = PlainNorm(), PlainNorm()
    torch.testing.assert_close(lifted[0], block(maps[4]))
    assert found.shape == (2, 2, 32, 32, 32)


def test_unet_pairs_have_the_released_networks_widths_and_parameters() -> None:
    with torch.device("meta"):
        encoder = UNet3D(sight((64, 64, 32)))
        decoder = build_decoder("unet", encoder=encoder, in_channels=1, classes=1)
    convolutions = [part for part in encoder.modules() if isinstance(part, nn.Conv3d)]
    assert [c.out_channels for c in convolutions] == [32, 64, 64, 128, 128, 256, 256, 512]
    conv = [27 * a * b + b for a, b in pairs_of(1, 32, 64, 64, 128, 128, 256, 256, 512)]
    conv += [27 * a * b + b for a, b in ((768, 256), (256, 256), (384, 128), (128, 128), (192, 64), (64, 64))]
    norms = 2 * (32 + 64 + 64 + 128 + 128 + 256 + 256 + 512 + 2 * (256 + 128 + 64))
    ups = sum(8 * c * c + c for c in (512, 256, 128))
    assert parameters(encoder) + parameters(decoder) == sum(conv) + norms + ups + 64 + 1


def pairs_of(*channels: int) -> list[tuple[int, int]]:
    return list(pairwise(channels))


@pytest.mark.parametrize("norm", ["batch", "batch_statistics", "instance"])
def test_unet_gives_logits_of_the_volumes_size(norm: str) -> None:
    encoder = UNet3D(sight((16, 24, 16), 2), widths=(4, 8, 16), norm=norm)  # type: ignore[arg-type]
    decoder = build_decoder("unet", encoder=encoder, in_channels=2, classes=3)
    volume = torch.randn(2, 2, 16, 24, 16)
    features = encoder(volume)
    assert [tuple(m.shape[1:]) for m in features.maps] == [(4, 16, 24, 16), (8, 8, 12, 8), (16, 4, 6, 4)]
    assert decoder(volume, features.maps).shape == (2, 3, 16, 24, 16)
    kinds = {type(part) for part in decoder.modules() if isinstance(part, (SharedBatchNorm, nn.InstanceNorm3d))}
    assert kinds == {nn.InstanceNorm3d if norm == "instance" else SharedBatchNorm}


def test_batch_statistics_ignore_what_training_saw_and_running_ones_do_not() -> None:
    for norm, same in (("batch_statistics", True), ("batch", False)):
        encoder = UNet3D(sight((8, 8, 8)), widths=(4,), norm=norm)  # type: ignore[arg-type]
        volume = torch.randn(2, 1, 8, 8, 8)
        trained = encoder.train()(volume).maps[0]
        assert torch.allclose(encoder.eval()(volume).maps[0], trained) is same


def test_what_is_pooled_from_an_instance_normed_map_differs_from_case_to_case() -> None:
    """Its mean over space would not: every channel of every case has mean 0 and deviation 1 before the ReLU."""
    torch.manual_seed(0)
    encoder = UNet3D(sight((32, 32, 32)), widths=(4, 8, 16), norm="instance")
    smooth = nn.functional.interpolate(torch.randn(6, 1, 4, 4, 4), (32, 32, 32), mode="trilinear")
    features = encoder(smooth + torch.linspace(0, 1, 6).view(-1, 1, 1, 1, 1) * torch.randn(6, 1, 32, 32, 32))
    deepest = features.maps[-1]
    torch.testing.assert_close(features.pooled, deepest.amax((2, 3, 4)))
    spread, of_mean = ((x.std(0) / x.mean(0)).mean() for x in (features.pooled, deepest.mean((2, 3, 4))))
    assert spread > 2 * of_mean
    batch = UNet3D(sight((32, 32, 32)), widths=(4, 8, 16))(smooth)
    torch.testing.assert_close(batch.pooled, batch.maps[-1].mean((2, 3, 4)))


def test_a_u_net_takes_maxima_down_and_joins_what_is_lifted_before_the_finer_map() -> None:
    encoder = UNet3D(sight((8, 8, 8)), widths=(4, 8), norm="instance", stem_stride=2)
    decoder = build_decoder("unet", encoder=encoder, in_channels=1, classes=3)
    volume = torch.randn(1, 1, 8, 8, 8)
    fine, coarse = encoder(volume).maps
    halved = fine.reshape(1, 4, 2, 2, 2, 2, 2, 2).amax((3, 5, 7))
    torch.testing.assert_close(coarse, encoder.pairs[1](halved))
    joined = decoder.pairs[0](torch.cat((decoder.ups[0](coarse), fine), 1))
    whole = decoder.last(torch.cat((decoder.full(joined), volume), 1))
    torch.testing.assert_close(decoder(volume, [fine, coarse]), decoder.out(whole))


def test_first_layers_repeat_their_channels() -> None:
    for small, large, name in (
        (UNet3D(sight((8, 8, 8)), widths=(4, 8)), UNet3D(sight((8, 8, 8), 4), widths=(4, 8)), "pairs.0.0.weight"),
        (swin_small(1), swin_small(4), "patch_embed.proj.weight"),
    ):
        assert large.adopt(small.state_dict()).reshaped == (name,)
        assert torch.equal(large.state_dict()[name], small.state_dict()[name].expand(-1, 4, -1, -1, -1))


def swin_small(channels: int) -> Swin3D:
    return Swin3D(sight((64, 32, 32), channels), feature=6, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=(4, 4, 4))


def test_an_unknown_decoder_and_unfitting_maps_are_named() -> None:
    swin, vit = swin_small(1), ViT3D(sight((16, 16, 16)), width=24, depth=1, heads=2, patch=(16, 16, 16), skips=(1,))
    with pytest.raises(SpecError, match="Did you mean 'unetr'"):
        build_decoder("unter", encoder=vit, in_channels=1, classes=2)
    with pytest.raises(SpecError, match="one stride"):
        build_decoder("unetr", encoder=swin, in_channels=1, classes=2)
    with pytest.raises(SpecError, match="five maps"):
        build_decoder("swin_unetr", encoder=vit, in_channels=1, classes=2)


def test_a_u_net_with_a_strided_stem_answers_on_the_volumes_own_grid() -> None:
    encoder = UNet3D(sight((16, 16, 32)), widths=(4, 8), norm="instance", stem_stride=2)
    volume = torch.randn(1, 1, 16, 16, 32)
    maps = encoder(volume).maps
    assert [tuple(m.shape[2:]) for m in maps] == [(8, 8, 16), (4, 4, 8)]
    assert encoder.strides == ((2, 2, 2), (4, 4, 4))
    assert build_decoder("unet", encoder=encoder, in_channels=1, classes=3)(volume, maps).shape == (1, 3, 16, 16, 32)


def parameters(module: nn.Module) -> int:
    return sum(math.prod(p.shape) for p in module.parameters())


def test_the_linear_embedding_is_a_strided_convolution() -> None:
    conv, volume = nn.Conv3d(1, 6, (2, 4, 4), (2, 4, 4)), torch.randn(2, 1, 4, 8, 8)
    rows = patchify(volume, (2, 4, 4)) @ conv.weight.flatten(1).T + conv.bias
    torch.testing.assert_close(rows, conv(volume).flatten(2).transpose(1, 2))
