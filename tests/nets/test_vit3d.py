"""ViT3D: positions, attention, visible tokens, hand-over, and the FLOPs one can count by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.contracts.errors import EncoderMismatch, SpecError
from bench.nets.drop_path import DropPath
from bench.nets.vit3d import Attention, Block, ViT3D, init_transformer_, sincos_positions


def sight(shape: Shape3 = (16, 24, 16), channels: int = 1) -> Sight:
    return Sight(channels, shape, None, Intensity("zscore"))


def tiny(shape: Shape3 = (16, 24, 16), channels: int = 1, patch: Shape3 = (8, 8, 8), **changes: object) -> ViT3D:
    settings: dict[str, object] = {"width": 24, "depth": 3, "heads": 2, "skips": (1, 3), "positions": "learned"}
    return ViT3D(sight(shape, channels), patch=patch, **{**settings, **changes})  # type: ignore[arg-type]


def test_sincos_positions_equal_their_equation_in_slow_lines() -> None:
    grid, width = (2, 3, 4), 12
    fast = sincos_positions(grid, width)
    rows = []
    for d in range(2):
        for h in range(3):
            for w in range(4):
                row = []
                for coordinate in (d, h, w):
                    row += [math.sin(coordinate * 10000 ** (-k / 2)) for k in range(2)]
                    row += [math.cos(coordinate * 10000 ** (-k / 2)) for k in range(2)]
                rows.append(row)
    torch.testing.assert_close(fast, torch.tensor(rows))


def test_sincos_positions_refuse_a_width_that_six_does_not_divide() -> None:
    with pytest.raises(SpecError, match="divisible by 6, found 512"):
        sincos_positions((2, 2, 2), 512)


def test_attention_equals_softmax_of_scaled_products_plus_bias() -> None:
    attention, x, bias = Attention(12, 3), torch.randn(2, 5, 12), torch.randn(3, 5, 5)
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        logits = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(4) + bias[head]
        heads.append(logits.softmax(-1) @ v[..., part])
    torch.testing.assert_close(attention(x, bias), attention.proj(torch.cat(heads, -1)))


def test_a_block_is_pre_normed_attention_then_a_pre_normed_mlp_with_exact_gelu() -> None:
    block, x = Block(24, 2).double(), 3 * torch.randn(2, 5, 24, dtype=torch.double)
    middle = x + block.attention(nn.functional.layer_norm(x, (24,), eps=1e-6))
    wide = block.mlp.fc1(nn.functional.layer_norm(middle, (24,), eps=1e-6))
    wanted = middle + block.mlp.fc2(wide * (1 + torch.erf(wide / math.sqrt(2))) / 2)
    torch.testing.assert_close(block(x), wanted)


def test_start_values_are_xavier_without_bias_and_plain_norms() -> None:
    block = Block(48, 4)
    init_transformer_(block)
    bound = math.sqrt(6 / (48 + 192))
    weight = block.mlp.fc1.weight
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert not block.attention.qkv.bias.any()
    assert bool((block.norm1.weight == 1).all())


def test_maps_lie_on_the_grid_and_the_last_one_is_normed() -> None:
    encoder = tiny()
    features = encoder(torch.randn(2, 1, 16, 24, 16))
    assert [tuple(m.shape) for m in features.maps] == [(2, 24, 2, 3, 2)] * 2
    assert encoder.channels == (24, 24)
    assert encoder.strides == ((8, 8, 8), (8, 8, 8))
    torch.testing.assert_close(features.maps[-1].mean(1), torch.zeros(2, 2, 3, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(features.pooled, features.maps[-1].mean((2, 3, 4)))


def test_a_map_is_the_output_of_the_block_that_skips_counts_from_one() -> None:
    encoder, volume = tiny(skips=(2, 3)), torch.randn(1, 1, 16, 24, 16)
    caught: list[torch.Tensor] = []
    encoder.blocks[1].register_forward_hook(lambda _m, _i, out: caught.append(out))
    first = encoder(volume).maps[0]
    assert torch.equal(first, caught[0].transpose(1, 2).reshape(1, 24, 2, 3, 2))


def test_tokens_of_all_patches_are_the_last_map() -> None:
    encoder, volume = tiny(), torch.randn(2, 1, 16, 24, 16)
    tokens, every = encoder.tokens(volume), torch.ones(2, 12, dtype=torch.bool)
    assert torch.equal(tokens.transpose(1, 2).reshape(2, 24, 2, 3, 2), encoder(volume).maps[-1])
    torch.testing.assert_close(encoder.tokens(volume, every), tokens)


def test_visible_tokens_know_nothing_of_hidden_patches_and_keep_grid_order() -> None:
    encoder = tiny(positions="sincos")
    keep = torch.zeros(2, 12, dtype=torch.bool)
    keep[0, [0, 5, 11]] = keep[1, [2, 3, 4]] = True
    volume = torch.randn(2, 1, 16, 24, 16)
    changed = volume.clone()
    changed[0, :, :8, 8:16, :8] += 100.0  # patch 2 of the first volume, hidden
    assert torch.equal(encoder.tokens(volume, keep), encoder.tokens(changed, keep))
    changed[1, :, :8, 8:16, :8] += 1.0  # patch 2 of the second volume, visible and first in its row
    gap = (encoder._embedded(volume, keep) - encoder._embedded(changed, keep)).abs().amax(-1)
    assert gap[1].nonzero().flatten().tolist() == [0]


def test_rows_with_different_numbers_of_visible_patches_are_our_own_bug() -> None:
    keep = torch.ones(2, 12, dtype=torch.bool)
    keep[0, :2] = False
    with pytest.raises(RuntimeError, match="same number"):
        tiny().tokens(torch.randn(2, 1, 16, 24, 16), keep)


def test_a_volume_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(SpecError, match=r"\(16, 24, 16\).*\(24, 24, 24\)"):
        tiny()(torch.zeros(1, 1, 24, 24, 24))


@pytest.mark.parametrize("skips", [(), (0, 3), (2, 1, 3), (1, 2)])
def test_skips_must_rise_and_end_with_the_last_block(skips: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match="Skips"):
        tiny(skips=skips)


def test_layers_cover_all_parameters_but_the_positions() -> None:
    encoder = tiny()
    covered = {id(p) for layer in encoder.layers() for p in layer.parameters()}
    assert [name for name, p in encoder.named_parameters() if id(p) not in covered] == ["positions"]


def test_positions_are_interpolated_to_another_grid_of_as_many_tokens() -> None:
    source, target = tiny((16, 24, 16)), tiny((24, 16, 16))  # both hold 12 tokens, so the token count would hide it
    adopted = target.adopt(source.state_dict())
    assert adopted.reshaped == ("positions",)
    wanted = nn.functional.interpolate(source.positions[None], (3, 2, 2), mode="trilinear", align_corners=False)[0]
    torch.testing.assert_close(target.positions, wanted)


def test_more_channels_repeat_the_embedding_without_dividing_it() -> None:
    source, target = tiny(channels=1), tiny(channels=3)
    adopted = target.adopt(source.state_dict())
    assert adopted.reshaped == ("embed.weight",)
    volume = torch.randn(1, 1, 16, 24, 16)
    ones = source.embed(torch.ones(1, 512)) - source.embed.bias
    threes = target.embed(torch.ones(1, 1536)) - target.embed.bias
    torch.testing.assert_close(threes, 3 * ones)
    volumes = torch.cat([volume, torch.zeros_like(volume), torch.zeros_like(volume)], 1)
    torch.testing.assert_close(target(volumes).pooled, source(volume).pooled)


def test_another_patch_size_is_refused_and_leaves_the_encoder_unchanged() -> None:
    source, target = tiny(patch=(4, 8, 8)), tiny()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(EncoderMismatch, match=r"embed\.weight"):
        target.adopt(source.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())


def test_flops_of_vit_base_are_what_one_counts_by_hand() -> None:
    with torch.device("meta"):
        encoder = ViT3D(sight((96, 96, 96)), width=768, depth=12, heads=12, patch=(16, 16, 16), skips=(3, 6, 9, 12))
        volume = torch.empty(1, 1, 96, 96, 96)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        encoder(volume)
    layer = 24 * 768**2 * 216 + 4 * 216**2 * 768
    assert counter.get_total_flops() == 12 * layer + 2 * 216 * 4096 * 768
    assert counter.get_total_flops() / 1e9 == pytest.approx(39.8, abs=0.05)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(88.4, rel=0.01)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    path = DropPath(0.25)
    out = path(torch.ones(4000, 3))
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert bool((out == out[:, :1]).all())
    assert out.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(path.eval()(torch.ones(4, 3)), torch.ones(4, 3))
