"""SPAD's networks: sizes of the specification, round trips over every anisotropy, the task's static form, EVA-02's weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.errors import EncoderMismatch, SpecError
from bench.nets.adapted_spad_vit import AdaptedSpadViT
from bench.nets.decoders import build_decoder
from bench.nets.eva02 import Eva02Block, SwiGLU
from bench.nets.rope import rotary_tables
from bench.nets.spad import Grid, depth_back
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
        assert SpadDiscriminator()(x, da).shape[3:] == (16, 16)


def test_soft_tokens_are_probabilities_and_the_rebuilt_volume_decodes_their_mixture_of_words() -> None:
    torch.manual_seed(0)
    vt = SpadTokenizer(widths=(8, 16, 24), factors=(2, 2, 2), words=32, codebook_reach=1 / 32)
    x = torch.randn(2, 3, 4, 16, 16)
    rebuilt, q = vt(x, 1)
    torch.testing.assert_close(q.sum(-1), torch.ones(q.shape[:-1]))
    mixture = torch.einsum("bdhwv,ve->bedhw", q, vt.codebook)
    torch.testing.assert_close(rebuilt, vt.decoder(mixture, Grid(1, 3))[0])
    torch.testing.assert_close(vt.soft_tokens(x, 1), q.flatten(1, 3))
    assert vt.codebook.abs().max() <= 1 / 32


def test_an_eva02_block_is_its_equations() -> None:
    torch.manual_seed(0)
    block, x = Eva02Block(24, 2), torch.randn(2, 9, 24)
    cos, sin = rotary_tables((2, 2, 2), 12)
    attention, y = block.attention, block.norm1(x)
    q, k, v = (part(y).view(2, 9, 2, 12) for part in (attention.q, attention.k, attention.v))
    mixed = torch.zeros(2, 9, 2, 12)
    for head in range(2):
        turned = []
        for t in (q[:, :, head], k[:, :, head]):
            even, odd = t[:, 1:, 0::2], t[:, 1:, 1::2]
            pairs = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)
            turned.append(torch.cat((t[:, :1], pairs), 1))
        share = (turned[0] @ turned[1].transpose(1, 2) / 12**0.5).softmax(-1)
        mixed[:, :, head] = share @ v[:, :, head]
    x1 = x + attention.proj(mixed.flatten(2))
    mlp, y = block.mlp, block.norm2(x1)
    gate = mlp.w1(y)
    expected = x1 + mlp.w3(mlp.norm(gate * gate.sigmoid() * mlp.w2(y)))
    torch.testing.assert_close(block(x, cos, sin), expected, atol=1e-5, rtol=1e-5)
    assert attention.k.bias is None and isinstance(mlp, SwiGLU) and mlp.w1.out_features == 64


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
            assert all(
                part.affine for part in (*net.modules(), *decoder.modules()) if isinstance(part, nn.InstanceNorm3d)
            )


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


def eva02(width: int = 48, depth: int = 4, timm: bool = True) -> dict[str, Tensor]:
    """Random weights under released names: timm's, or the authors'."""
    inner = width * 8 // 3
    q, v, gate, value, norm, out = (
        ("q_proj.bias", "v_proj.bias", "fc1_g", "fc1_x", "norm", "fc2")
        if timm
        else ("q_bias", "v_bias", "w1", "w2", "ffn_ln", "w3")
    )
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "mask_token": (1, 1, width),
        "pos_embed": (1, 257, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "lm_head.weight": (7, width),
    }
    for n in range(depth):
        block = f"blocks.{n}."
        for part in ("norm1", "norm2"):
            shapes |= {f"{block}{part}.weight": (width,), f"{block}{part}.bias": (width,)}
        shapes |= {f"{block}attn.{part}_proj.weight": (width, width) for part in "qkv"}
        shapes |= {f"{block}attn.{q}": (width,), f"{block}attn.{v}": (width,)}
        shapes |= {f"{block}attn.proj.weight": (width, width), f"{block}attn.proj.bias": (width,)}
        for part, (o, i) in {gate: (inner, width), value: (inner, width), out: (width, inner)}.items():
            shapes |= {f"{block}mlp.{part}.weight": (o, i), f"{block}mlp.{part}.bias": (o,)}
        shapes |= {f"{block}mlp.{norm}.weight": (inner,), f"{block}mlp.{norm}.bias": (inner,)}
    rng = torch.Generator().manual_seed(2)
    return {name: torch.randn(*shape, generator=rng) for name, shape in shapes.items()}


@pytest.mark.parametrize("timm", [True, False])
def test_every_tensor_of_eva02_finds_its_place(timm: bool) -> None:
    weights, net = eva02(timm=timm), pretrained()
    rest = net.adopt_eva02(weights)
    assert set(rest) == {"mask_token"} and rest["mask_token"].shape == (48,)
    rows = weights["pos_embed"][0]
    torch.testing.assert_close(net.cls_token, weights["cls_token"].flatten() + rows[0])
    plane = rows[1:].T.reshape(48, 16, 16)
    expected = nn.functional.interpolate(plane[None], (4, 4), mode="area")[0]
    torch.testing.assert_close(net.positions, expected[:, None].expand(-1, 5, -1, -1), atol=1e-6, rtol=1e-5)
    kernel = nn.functional.interpolate(weights["patch_embed.proj.weight"], (8, 8), mode="bicubic", align_corners=False)
    torch.testing.assert_close(net.embed.weight.sum(2), kernel, atol=1e-5, rtol=1e-4)
    gate = "fc1_g" if timm else "w1"
    torch.testing.assert_close(net.blocks[2].mlp.w1.weight, weights[f"blocks.2.mlp.{gate}.weight"])
    torch.testing.assert_close(net.norm.bias, weights["norm.bias"])


def test_the_class_token_takes_its_own_positions_row_unless_the_released_slip_is_asked_for() -> None:
    weights, net = eva02(), pretrained()
    net.adopt_eva02(weights, cls_row=1)
    torch.testing.assert_close(net.cls_token, weights["cls_token"].flatten() + weights["pos_embed"][0, 1])


def test_a_tasks_network_takes_eva02_from_its_released_file() -> None:
    static = adapted((8, 32, 32), 2, 0)
    adopted = static.adopt(eva02(), declared=False)
    assert set(adopted.new) == set(static.state_dict()) - static.declared() - {"adopted_eps"}
    with pytest.raises(EncoderMismatch, match="another width"):
        static.adopt(eva02(width=60), declared=False)


def test_eva02s_epsilon_comes_with_its_weights_and_with_what_is_stored_of_them() -> None:
    started, stored = adapted((8, 32, 32), 2, 0), adapted((8, 32, 32), 2, 0)
    assert epsilons(started) == {1e-5}
    started.adopt(eva02(), declared=False)
    assert list(epsilons(started)) == [pytest.approx(1e-6)]
    nn.ModuleDict({"encoder": stored}).load_state_dict(nn.ModuleDict({"encoder": started}).state_dict())
    assert epsilons(stored) == epsilons(started)
    plain = adapted((8, 32, 32), 2, 0)
    plain.adopt(adapted((8, 32, 32), 2, 0).state_dict())
    assert epsilons(plain) == {1e-5} and "adopted_eps" not in plain.state_dict()


def epsilons(net: nn.Module) -> set[float]:
    return {part.eps for part in net.modules() if isinstance(part, nn.LayerNorm)}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SpecError, match="no whole number of patches"):
        adapted((33, 32, 32), 0, 0)
    with pytest.raises(SpecError, match="rising blocks"):
        AdaptedSpadViT(sight((32, 32, 32)), da=0, depth_axis=0, taps=(1, 2, 3), **SIZE)
    with pytest.raises(SpecError, match="built for a grid"):
        adapted((32, 32, 32), 0, 0)(torch.randn(1, 1, 16, 32, 32))
