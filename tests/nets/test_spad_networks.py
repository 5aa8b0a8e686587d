"""SPAD's networks: sizes of the specification, round trips over every anisotropy, the task's static form, EVA-02's weights."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.errors import SpecError
from bench.nets.adapted_spad_vit import AdaptedSpadViT
from bench.nets.channel_norm import ChannelNorm
from bench.nets.decoders import build_decoder
from bench.nets.rope import frequencies
from bench.nets.spad import Grid, SpadConv, SpadDown, SpadSequence, SpadUp, depth_back
from bench.nets.spad_decoder import SpadDecoder
from bench.nets.spad_vit import SpadViT
from bench.nets.spad_vt import SpadDiscriminator, SpadTokenizer

SIZE = {"width": 48, "depth": 4, "heads": 4, "patch": 8}
FULL = {"width": 768, "depth": 12, "heads": 12, "patch": 16}
TAPS = (1, 2, 3, 4)


def sight(shape: Shape3, channels: int = 1) -> Sight:
    return Sight(channels, shape, None, Intensity("asis"))


def adapted(shape: Shape3, da: int, axis: int, channels: int = 1) -> AdaptedSpadViT:
    torch.manual_seed(1)
    return AdaptedSpadViT(sight(shape, channels), da=da, depth_axis=axis, taps=TAPS, **SIZE)


def pretrained(table: Shape3 = (5, 4, 4)) -> SpadViT:
    torch.manual_seed(0)
    return SpadViT(channels=3, table=table, **SIZE)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_networks_have_the_specifications_number_of_parameters() -> None:
    with torch.device("meta"):
        vt, vit = SpadTokenizer(), SpadViT(channels=3, table=(5, 10, 10), **FULL)
        assert count(vt.encoder) == 15_496_832 and count(vt.decoder) == 17_707_523
        assert count(vt.to_logits) + vt.codebook.numel() == 1_049_600 and count(vt) == 34_253_955
        assert count(SpadDiscriminator()) == 11_529_985
        assert count(vit) == 94_930_944 and {count(block) for block in vit.blocks} == {7_092_224}


@pytest.mark.parametrize(("da", "depth"), list(enumerate((64, 32, 16, 8, 4, 1))))
def test_the_tokenizer_gives_four_tokens_of_depth_and_the_input_back_at_every_anisotropy(da: int, depth: int) -> None:
    with torch.device("meta"):
        vt = SpadTokenizer()
        x = torch.empty(1, 3, depth, 128, 128)
        logits, grid = vt.logits(x, da)
        assert logits.shape == (1, 1 if da == 5 else 4, 8, 8, 1024) and grid == Grid(da, 4)
        cells, end = vt.decoder(torch.empty(1, 512, *logits.shape[1:4]), grid)
        assert cells.shape == x.shape and end == Grid(da, 0)
        rebuilt, q = vt(x, da)
        assert rebuilt.shape == x.shape and q.shape == logits.shape
        assert SpadDiscriminator()(x, da).shape[2:] == (depth // 2 ** max(3 - da, 0), 16, 16)  # three halvings in-plane


def told(part: nn.Module) -> str:
    """A layer as the specification's Sec. 3 writes it."""
    match part:
        case SpadDown() | SpadUp():
            way = "down" if isinstance(part, SpadDown) else "up"
            return f"{way} k{part.kernel_size[1]}s{part.stride[1]}p{part.padding[1]} {part.in_channels}->{part.out_channels}"
        case SpadConv():
            return f"k{part.kernel_size[1]}s1p{part.padding[1]} {part.in_channels}->{part.out_channels}"
        case nn.LayerNorm():
            return f"LN {part.normalized_shape[0]}"
        case nn.GroupNorm():
            return f"GN({part.num_groups}) {part.num_channels}"
        case nn.LeakyReLU():
            return f"LReLU {part.negative_slope}"
    return type(part).__name__


def test_the_layers_of_tokenizer_and_discriminator_are_the_specifications_one_by_one() -> None:
    with torch.device("meta"):
        vt, judge = SpadTokenizer(), SpadDiscriminator()

    def mixed(inputs: int, outputs: int, groups: int = 8) -> list[str]:
        return [f"k3s1p1 {inputs}->{outputs}", f"GN({groups}) {outputs}", "LReLU 0.01"]

    downs = [("down k4s4p0 3->128", 128), ("down k2s2p0 128->256", 256), ("down k2s2p0 256->512", 512)]
    expected = [text for down, width in downs for text in (down, f"LN {width}", "GELU")]
    assert [told(part) for part in vt.encoder] == [*expected, *mixed(512, 512), *mixed(512, 512)]
    expected = [*mixed(512, 512), *mixed(512, 512), "up k2s2p0 512->256", *mixed(256, 256), "up k2s2p0 256->128"]
    assert [told(part) for part in vt.decoder] == [*expected, *mixed(128, 128), "up k4s4p0 128->3"]
    expected = []
    for inputs, outputs in ((3, 128), (128, 256), (256, 512)):
        expected += [f"down k3s2p1 {inputs}->{outputs}", f"GN(16) {outputs}", "LReLU 0.01"]
    assert isinstance(judge.parts, SpadSequence)
    assert [told(part) for part in judge.parts] == [*expected, *mixed(512, 512, groups=16), "k3s1p1 512->1"]


def test_the_tokenizers_norm_evens_the_channels_of_each_voxel_by_themselves() -> None:
    """Sec. 3: LN is over channels, whatever stands at other voxels."""
    x, norm = torch.randn(2, 8, 3, 4, 5) * torch.arange(1.0, 6.0) + 3, ChannelNorm(8)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(8.0))
        norm.bias.copy_(-torch.arange(8.0))
    off = x - x.mean(1, keepdim=True)
    even = off / (off.square().mean(1, keepdim=True) + 1e-5).sqrt()
    rank = torch.arange(8.0).view(1, 8, 1, 1, 1)
    torch.testing.assert_close(norm(x), even * rank - rank, atol=1e-5, rtol=1e-5)


def test_soft_tokens_are_probabilities_and_the_rebuilt_volume_decodes_their_mixture_of_words() -> None:
    torch.manual_seed(0)
    vt = SpadTokenizer(widths=(8, 16, 24), factors=(2, 2, 2), words=32, codebook_reach=1 / 32)
    x = torch.randn(2, 3, 4, 16, 16)
    rebuilt, q = vt(x, 1)
    torch.testing.assert_close(q.sum(-1), torch.ones(q.shape[:-1]))
    mixture = torch.einsum("bdhwv,ve->bedhw", q, vt.codebook)
    torch.testing.assert_close(rebuilt, vt.decoder(mixture, Grid(1, 3))[0])
    torch.testing.assert_close(vt.soft_tokens(x, 1), q.flatten(1, 3))
    assert -1 / 32 <= vt.codebook.min() < -0.9 / 32 and 0.9 / 32 < vt.codebook.max() <= 1 / 32


@pytest.mark.parametrize(("da", "shape"), [(0, (40, 32, 32)), (2, (10, 32, 32)), (3, (5, 32, 32)), (5, (1, 32, 32))])
def test_pre_training_and_the_tasks_static_network_are_one_function(da: int, shape: Shape3) -> None:
    """The same volume thrice on channels through the adaptive network, once through the adapted one."""
    general, static = pretrained(), adapted(shape, da, 0)
    adopted = static.adopt(general.state_dict())
    assert set(adopted.reshaped) <= {"embed.weight", "positions"} and not adopted.dropped
    assert set(adopted.new) == set(static.state_dict()) - static.declared()
    x = torch.randn(2, 1, *shape)
    tokens, grid = general.embedded(x.expand(-1, 3, -1, -1, -1), da)
    torch.testing.assert_close(static(x).pooled, general.encoded(tokens, grid)[0][:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(static.pooled(x), static(x).pooled)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_depth_axis_of_a_task_may_be_any(axis: int) -> None:
    x = torch.randn(1, 1, 8, 32, 16)
    first, other = adapted((8, 32, 16), 2, 0), depth_back(x, axis)
    static = adapted((other.shape[2], other.shape[3], other.shape[4]), 2, axis)
    static.load_state_dict(first.state_dict())
    for a, b, stride in zip(first(x).maps, static(other).maps, static.strides, strict=True):
        torch.testing.assert_close(depth_back(a, axis), b)
        assert b.shape[2:] == tuple(n // s for n, s in zip(other.shape[2:], stride, strict=True))


def test_a_transformer_from_scratch_starts_as_the_specification_says() -> None:
    """Sec. 4.4: biases of queries and values 0, class token and positions normal with sd 0.02, all else PyTorch's default."""
    net = pretrained((5, 10, 10))
    for block in net.blocks:
        attention = block.attention
        assert not attention.q.bias.any() and not attention.v.bias.any() and bool(attention.proj.bias.any())
        assert attention.q.weight.abs().max() <= 48**-0.5  # uniform up to 1 / sqrt(inputs)
    assert net.positions.std().item() == pytest.approx(0.02, rel=0.02)
    assert net.cls_token.std().item() == pytest.approx(0.02, rel=0.3)


def test_a_token_has_the_position_and_the_turn_of_its_own_place_and_what_leaves_the_last_block_is_normed() -> None:
    """Sec. 4.1 and 4.2: tokens run by depth, row and column; the class token comes first and has no place."""
    net, volume = pretrained((2, 3, 4)), torch.randn(1, 3, 16, 24, 32)
    tokens, grid = net.embedded(volume, 0)
    cells = nn.functional.conv3d(volume, net.embed.weight, net.embed.bias, stride=8)[0]
    places = list(product(range(2), range(3), range(4)))
    for token, (z, y, x) in zip(tokens[0], places, strict=True):
        torch.testing.assert_close(token, cells[:, z, y, x] + net.positions[:, z, y, x], atol=1e-5, rtol=1e-4)
    plane, deep = frequencies(12)
    angles = torch.stack([torch.cat((plane * y + deep * z, plane * x + deep * z)) for z, y, x in places]).float()
    passed = torch.cat((net.cls_token[None, None], tokens), 1)
    for block in net.blocks:
        passed = block(passed, angles.cos(), angles.sin())
    normed = nn.functional.layer_norm(passed, (48,), eps=1e-5)  # its weights start as 1 and 0
    torch.testing.assert_close(net.encoded(tokens, grid)[0], normed, atol=1e-5, rtol=1e-4)


def test_the_coarsest_map_is_the_maximum_over_two_tokens_of_each_axis() -> None:
    net, normed = adapted((32, 32, 32), 0, 0), list[Tensor]()
    net.norms[3].register_forward_hook(lambda _m, _i, out: normed.append(out))
    coarsest = net(torch.randn(1, 1, 32, 32, 32)).maps[3]
    cells = normed[0].reshape(1, 48, 2, 2, 2, 2, 2, 2)  # of 4 x 4 x 4 tokens
    assert torch.equal(coarsest, cells.amax((3, 5, 7)))


def test_each_level_norms_the_tokens_of_its_own_block_as_they_are_before_the_final_norm() -> None:
    """Sec. 5.1: fine to coarse from rising blocks, the class token dropped; the third level is its norm's output itself."""
    size = {**SIZE, "depth": 6}
    net = AdaptedSpadViT(sight((32, 32, 16)), da=0, depth_axis=2, taps=(1, 3, 4, 6), **size)
    after, given, normed = list[Tensor](), list[Tensor](), list[Tensor]()
    for block in net.blocks:
        block.register_forward_hook(lambda _m, _i, out: after.append(out))
    for norm in net.norms:
        norm.register_forward_pre_hook(lambda _m, inputs: given.append(inputs[0]))
        norm.register_forward_hook(lambda _m, _i, out: normed.append(out))
    maps = net(torch.randn(1, 1, 32, 32, 16)).maps
    for number, found in zip((1, 3, 4, 6), given, strict=True):
        assert torch.equal(found, after[number - 1][:, 1:].transpose(1, 2).reshape(1, 48, 2, 4, 4))
    assert torch.equal(maps[2], normed[2].movedim(2, 4))


def test_the_two_finer_maps_are_lifted_twice_and_once_out_of_their_own_blocks() -> None:
    """Sec. 5.1: T, IN, GELU, T out of the first, T out of the second. Stages 4, 4 and 3 of patch 16 are 3, 3 and 2 of patch 8."""
    net, normed = adapted((8, 32, 32), 2, 0), list[Tensor]()
    for norm in net.norms:
        norm.register_forward_hook(lambda _m, _i, out: normed.append(out))
    fine, half, *_ = net(torch.randn(1, 1, 8, 32, 32)).maps
    first, second = (part for part in net.twice if isinstance(part, nn.ConvTranspose3d))
    assert [part.stride for part in (net.once, first, second)] == [(2, 2, 2), (2, 2, 2), (1, 2, 2)]
    between = nn.functional.gelu(nn.functional.instance_norm(first(normed[0])))  # an affine norm starts as a plain one
    torch.testing.assert_close(fine, second(between), atol=1e-5, rtol=1e-4)
    assert torch.equal(half, net.once(normed[1]))


def test_adapter_grids_are_those_of_the_papers_tasks() -> None:
    with torch.device("meta"):
        for shape, channels, grids in (
            ((48, 192, 192), 1, [(48, 48, 48), (24, 24, 24), (12, 12, 12), (6, 6, 6)]),
            ((32, 192, 192), 2, [(32, 48, 48), (16, 24, 24), (8, 12, 12), (4, 6, 6)]),
        ):
            net = AdaptedSpadViT(sight(shape, channels), da=2, depth_axis=0, taps=(4, 6, 8, 12), **FULL)
            volume = torch.empty(1, channels, *shape)
            maps = net(volume).maps
            assert [tuple(m.shape[2:]) for m in maps] == grids and net.kernel == (4, 16, 16)
            decoder = build_decoder("spad", encoder=net, in_channels=channels, classes=14)
            assert isinstance(decoder, SpadDecoder)
            found = decoder.supervised(volume, maps)
            assert [w for w, _ in found] == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15])
            assert {tuple(x.shape) for _, x in found} == {(1, 14, *shape)}
            assert [head.in_channels for head in decoder.heads] == [32, 64, 128, 256]
            assert [lateral[0].out_channels for lateral in decoder.laterals] == [128, 256, 512, 512]
            widths = [512, 512, 256, 128, 64, 32]
            assert [(up.in_channels, up.out_channels) for up in decoder.ups] == list(pairwise(widths))
            assert all(
                part.affine for part in (*net.modules(), *decoder.modules()) if isinstance(part, nn.InstanceNorm3d)
            )


def test_the_decoders_kernels_joins_and_start_values_are_the_specifications() -> None:
    """Sec. 5.1 for BTCV: flat kernels at 1/1 and 1/2 alone, what is lifted comes before what joins it, Kaiming from 1/32 to 1/4."""
    torch.manual_seed(0)
    net = AdaptedSpadViT(sight((8, 64, 64)), da=2, depth_axis=0, width=192, depth=4, heads=4, patch=16, taps=TAPS)
    decoder = SpadDecoder(net, in_channels=1, classes=2)
    assert [pair[0].kernel_size for pair in decoder.pairs] == [(3, 3, 3)] * 3 + [
        (1, 3, 3)
    ] * 2  # 1/16, 1/8, 1/4, 1/2, 1/1
    assert [up.stride for up in decoder.ups] == [(2, 2, 2)] * 3 + [(1, 2, 2)] * 2
    assert [[conv.stride for conv in block if isinstance(conv, nn.Conv3d)] for block in decoder.stem] == [
        [(1, 1, 1), (1, 1, 1)],
        [(1, 2, 2), (1, 1, 1)],
    ]
    assert {conv.kernel_size for conv in decoder.stem.modules() if isinstance(conv, nn.Conv3d)} == {(1, 3, 3)}
    early = {id(part) for half in (decoder.laterals, decoder.ups[:3], decoder.pairs[:3]) for part in half.modules()}
    for part in decoder.modules():
        if isinstance(part, (nn.Conv3d, nn.ConvTranspose3d)):
            outputs, inputs = part.weight.shape[:2]
            share = 2 / outputs if id(part) in early else 1 / (3 * inputs)  # Kaiming's, else PyTorch's default
            sd = (share / part.weight[0, 0].numel()) ** 0.5
            assert part.weight.std().item() == pytest.approx(sd, rel=3 / part.weight.numel() ** 0.5)
            assert (part.bias is not None) == (part in decoder.ups or part in decoder.heads)
    assert [bool(up.bias.any()) for up in decoder.ups] == [False] * 3 + [True] * 2
    once = [nn.Conv3d, nn.InstanceNorm3d, nn.LeakyReLU]
    assert all([type(layer) for layer in lateral] == once for lateral in decoder.laterals)
    assert all([type(layer) for layer in pair] == once * 2 for pair in (*decoder.stem, *decoder.pairs))
    joined: list[Tensor] = []
    decoder.ups[-1].register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    decoder.pairs[-1].register_forward_pre_hook(lambda _m, given: joined.append(given[0]))
    volume = torch.randn(1, 1, 8, 64, 64)
    decoder(volume, net(volume).maps)
    width = decoder.ups[-1].out_channels
    assert not joined[0][:, :width].any() and bool(joined[0][:, width:].any())


@pytest.mark.parametrize(("shape", "da", "axis"), [((32, 32, 32), 0, 2), ((32, 32, 8), 2, 2), ((1, 32, 32), 5, 0)])
def test_the_decoder_gives_logits_at_full_size_whose_first_supervised_ones_are_the_same(
    shape: Shape3, da: int, axis: int
) -> None:
    net = adapted(shape, da, axis, channels=2)
    decoder = build_decoder("spad", encoder=net, in_channels=2, classes=3)
    assert isinstance(decoder, SpadDecoder)
    x = torch.randn(2, 2, *shape)
    logits, found = decoder(x, net(x).maps), decoder.supervised(x, net(x).maps)
    assert logits.shape == (2, 3, *shape)
    torch.testing.assert_close(found[0][1], logits)
    assert sum(w for w, _ in found) == pytest.approx(1.0) and {x.shape for _, x in found} == {logits.shape}


def test_the_coarser_heads_are_enlarged_trilinearly_each_from_its_own_level() -> None:
    """Sec. 5.1. Of 16 voxels of a ramp 32 are made: -1/4, 1/4, 3/4 and so on, held at the ends, along each axis."""
    net, x = adapted((32, 32, 32), 0, 2), torch.randn(1, 1, 32, 32, 32)
    decoder = SpadDecoder(net, in_channels=1, classes=2)
    for level, head in enumerate(decoder.heads[1:], start=1):
        side = 32 // 2**level
        ramp = torch.arange(side, dtype=torch.float32).reshape(-1, 1, 1).expand(1, 2, side, side, side)
        head.register_forward_hook(lambda _m, _i, _out, ramp=ramp: ramp)
    for level, (_, found) in enumerate(decoder.supervised(x, net(x).maps)[1:], start=1):
        places = ((torch.arange(32) + 0.5) / 2**level - 0.5).clamp(0, 32 // 2**level - 1)
        torch.testing.assert_close(found, places.expand(1, 2, 32, 32, 32))  # depth first inside, the third axis outside


def test_the_decoder_reads_the_volume_and_every_map_and_leaks_a_hundredth() -> None:
    """Sec. 5.1: LReLU is of slope 0.01 everywhere; what is left out of the four maps, or of the stem, is missed in the logits."""
    net, x = adapted((32, 32, 32), 0, 0), torch.randn(1, 1, 32, 32, 32)
    decoder, maps = SpadDecoder(net, in_channels=1, classes=2), net(x).maps
    assert {part.negative_slope for part in decoder.modules() if isinstance(part, nn.LeakyReLU)} == {0.01}
    whole = decoder(x, maps)
    assert not torch.allclose(decoder(torch.zeros_like(x), maps), whole)
    for level in range(4):
        without = [torch.zeros_like(m) if k == level else m for k, m in enumerate(maps)]
        assert not torch.allclose(decoder(x, without), whole)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SpecError, match="no whole number of patches"):
        adapted((33, 32, 32), 0, 0)
    for taps in ((1, 2, 3), (1, 2, 4, 3), (1, 2, 4, 4), (0, 1, 2, 3), (1, 2, 3, 5)):
        with pytest.raises(SpecError, match="rising blocks"):
            AdaptedSpadViT(sight((32, 32, 32)), da=0, depth_axis=0, taps=taps, **SIZE)
    with pytest.raises(SpecError, match="built for a grid"):
        adapted((32, 32, 32), 0, 0)(torch.randn(1, 1, 16, 32, 32))
