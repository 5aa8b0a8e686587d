"""The hybrid masked-convolution encoder: no leak, right sizes, and a hand-over by name."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.contracts.configs import Intensity, Sight
from bench.contracts.errors import EncoderMismatch, SpecError
from bench.nets import conv3d
from bench.nets.conv3d import HybridEncoder, MaskedConvEncoder, ScaledBlock, relative_offsets
from bench.nets.decoders import build_decoder
from bench.nets.masked_conv import Embed, MaskedConvBlock, Surroundings, visible_cubes
from bench.nets.patches import as_tokens
from bench.nets.visible import rows_at, visible_places
from bench.nets.vit3d import sincos_positions
from tests.nets.masked_maps import block_over_all, lit, tokens_over_all

FULL = {"widths": (48, 96, 192, 384), "depths": (2, 2, 2, 11), "heads": 12}
LITTLE = {"widths": (6, 12, 24, 48), "depths": (2, 1, 1, 2), "heads": 4}


def sight(*shape: int, channels: int = 1) -> Sight:
    d, h, w = shape
    return Sight(channels, (d, h, w), None, Intensity("hu"))


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def keep_some(batch: int, tokens: int, kept: int) -> Tensor:
    return torch.rand(batch, tokens).argsort(1).argsort(1) < kept


def inside(keep: Tensor, volume: Tensor) -> Tensor:
    """1 in the voxels of kept tokens, 0 elsewhere, like the volume."""
    d, h, w = (s // 16 for s in volume.shape[2:])
    return lit(keep, (d, h, w), 16).to(volume.dtype)


def stage_masks(keep: Tensor, grid: tuple[int, int, int]) -> list[Tensor]:
    return [lit(keep, grid, side) for side in (8, 4, 2)]


@pytest.fixture(scope="module")
def full_pair() -> tuple[MaskedConvEncoder, HybridEncoder]:
    torch.manual_seed(0)
    return MaskedConvEncoder(sight(96, 96, 96), **FULL).eval(), HybridEncoder(sight(96, 96, 96), **FULL).eval()


@pytest.fixture
def little() -> MaskedConvEncoder:
    torch.manual_seed(0)
    return MaskedConvEncoder(sight(32, 48, 32), **LITTLE).eval()


def test_full_encoder_has_the_measured_parameter_counts() -> None:
    with torch.device("meta"):
        before, after = MaskedConvEncoder(sight(96, 96, 96), **FULL), HybridEncoder(sight(96, 96, 96), **FULL)
    assert count(before) == 33_891_600
    assert before.positions.numel() == 82_944 and not before.positions.requires_grad
    assert count(after) == 24_132_060
    assert after.positions.requires_grad


def test_235_tensors_of_21586320_numbers_are_handed_over(full_pair: tuple[MaskedConvEncoder, HybridEncoder]) -> None:
    before, after = full_pair
    assert len(after.declared()) == 235
    adopted = after.adopt(before.state_dict())
    assert set(adopted.matched) == after.declared() and not adopted.reshaped
    assert adopted.elements == 21_586_320
    assert {name.split(".")[0] for name in adopted.dropped} == {"fuse1", "fuse2", "fuse3", "norm"}
    assert {n.split(".")[-1] for n in adopted.new if n.startswith("stage")} == {"table", "gamma1", "gamma2"}


@torch.no_grad()
def test_fine_tuning_sees_what_pre_training_saw(full_pair: tuple[MaskedConvEncoder, HybridEncoder]) -> None:
    before, after = full_pair
    after.adopt(before.state_dict())
    volume = torch.rand(1, 1, 96, 96, 96)
    maps_before, tokens_before = before.spine(volume)
    maps_after, tokens_after = after.spine(volume)
    assert tokens_before.shape == (1, 216, 384)
    assert (tokens_before - tokens_after).abs().max() < 1e-4
    assert all((a - b).abs().max() < 1e-4 for a, b in zip(maps_before, maps_after, strict=True))


@torch.no_grad()
def test_hidden_voxels_never_reach_visible_tokens_at_full_size(
    full_pair: tuple[MaskedConvEncoder, HybridEncoder],
) -> None:
    encoder, _ = full_pair
    torch.manual_seed(0)
    keep = keep_some(1, 216, 86)
    volume = torch.rand(1, 1, 96, 96, 96)
    seen = encoder.tokens(volume, keep)
    assert seen.shape == (1, 86, 384)
    noise = torch.rand_like(volume) * inside(~keep, volume)
    assert (encoder.tokens(volume + noise, keep) - seen).abs().max() == 0.0
    shaken = 0.1 * torch.randn_like(volume) * inside(keep, volume)
    assert 0.2 < (encoder.tokens(volume + shaken, keep) - seen).abs().max() < 0.4  # at random weights


@torch.no_grad()
def test_without_the_mask_hidden_voxels_would_leak(little: MaskedConvEncoder) -> None:
    keep, volume = keep_some(2, 12, 5), torch.rand(2, 1, 32, 48, 32)
    noise = torch.rand_like(volume) * inside(~keep, volume)
    masks = stage_masks(keep, (2, 3, 2))

    def change(masks: list[Tensor]) -> float:
        before, after = (tokens_over_all(little, v, keep, masks) for v in (volume, volume + noise))
        return float((after - before).abs().max())

    assert (little.tokens(volume + noise, keep) - little.tokens(volume, keep)).abs().max() == 0.0
    assert change(masks) == 0.0
    assert change([torch.ones_like(mask) for mask in masks]) > 1e-4


def test_leaving_hidden_voxels_out_gives_the_tokens_and_gradients_of_a_pass_over_all(little: MaskedConvEncoder) -> None:
    little = little.double()
    keep, volume = keep_some(3, 12, 5), torch.randn(3, 1, 32, 48, 32, dtype=torch.float64)
    over_all = tokens_over_all(little, volume, keep, stage_masks(keep, (2, 3, 2)))
    found = little.tokens(volume, keep)
    torch.testing.assert_close(found, over_all, rtol=0, atol=1e-10)
    pull = torch.randn_like(found)
    weights = [p for p in little.parameters() if p.requires_grad]
    ours, theirs = (torch.autograd.grad((t * pull).sum(), weights) for t in (found, over_all))
    assert all((a - b).abs().max() < 1e-9 for a, b in zip(ours, theirs, strict=True))
    assert all(float(g.abs().max()) > 0 for g in ours)


@torch.no_grad()
def test_a_pass_over_all_voxels_costs_the_specs_32_gflop_and_ours_the_visible_share_of_its_local_stages(
    full_pair: tuple[MaskedConvEncoder, HybridEncoder],
) -> None:
    encoder, _ = full_pair
    volume, keep = torch.rand(1, 1, 96, 96, 96), keep_some(1, 216, 86)
    with FlopCounterMode(display=False) as over_all:
        tokens_over_all(encoder, volume, keep, stage_masks(keep, (6, 6, 6)))
    with FlopCounterMode(display=False) as visible:
        encoder.tokens(volume, keep)
    assert round(over_all.get_total_flops() / 1e9) == 32  # 2 per multiply-add; attention's products are not counted
    transformer = 11 * 24 * 86 * 384**2
    local = over_all.get_total_flops() - transformer
    assert visible.get_total_flops() == pytest.approx(transformer + local * 86 / 216, rel=1e-6)


def test_one_kept_token_opens_its_own_cube_at_every_stage() -> None:
    grid = (6, 6, 6)
    for token in (0, 1, 6, 36, 215):
        near = Surroundings.of(torch.tensor([[token]]), grid)
        i, j, k = token // 36, token // 6 % 6, token % 6
        for side in (8, 4, 2):
            expected = torch.zeros(6 * side, 6 * side, 6 * side)
            expected[i * side : (i + 1) * side, j * side : (j + 1) * side, k * side : (k + 1) * side] = 1
            assert torch.equal(lit(torch.arange(216)[None] == token, grid, side)[0, 0].float(), expected)
            wide = near.widened(torch.ones(1, 1, side, side, side))
            assert wide.sum() == side**3  # nothing around it
            assert torch.equal(wide[2:-2, 0, 2:-2, 2:-2, 0], torch.ones(side, side, side))


def test_neighbours_know_each_other_and_none_lies_beyond_the_volume_or_in_another() -> None:
    """On a row of three tokens, the first two visible in one volume and the outer two in the next."""
    near = Surroundings.of(torch.tensor([[0, 1], [0, 2]]), (1, 1, 3)).near
    beside = {number: near[:, number].tolist() for number in range(27) if (near[:, number] < 4).any()}
    assert beside == {12: [4, 0, 4, 4], 13: [0, 1, 2, 3], 14: [1, 4, 4, 4]}


def test_gradients_of_widened_cubes_are_those_of_the_same_gathering_written_out() -> None:
    places = visible_places(keep_some(2, 12, 7))
    near = Surroundings.of(places, (2, 3, 2))
    cubes = torch.randn(14, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(near.widened, (cubes,))


@torch.no_grad()
def test_a_cube_is_widened_by_its_visible_neighbours_and_zeros() -> None:
    volume, keep = torch.randn(2, 3, 4, 6, 4), keep_some(2, 12, 5)
    places = visible_places(keep)
    wide = Surroundings.of(places, (2, 3, 2)).widened(visible_cubes(volume, places, 2)).permute(1, 4, 0, 2, 3)
    padded = torch.nn.functional.pad(volume * lit(keep, (2, 3, 2), 2), (2,) * 6)
    for number, cube in enumerate(wide):
        volume_number, token = number // 5, int(places.flatten()[number])
        i, j, k = 2 * (token // 6), 2 * (token // 2 % 3), 2 * (token % 2)
        assert torch.equal(cube, padded[volume_number, :, i : i + 6, j : j + 6, k : k + 6])


@torch.no_grad()
def test_a_masked_block_is_its_equation() -> None:
    block, volume, keep = MaskedConvBlock(6), torch.randn(2, 6, 4, 6, 4), keep_some(2, 12, 5)
    places, visible = visible_places(keep), lit(keep, (2, 3, 2), 2)

    def norm(x: Tensor) -> Tensor:
        return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()

    middle = volume + block.conv2(block.mix(visible * block.conv1(norm(volume))))
    first, _, second = block.mlp
    inner = first(norm(middle))
    expected = middle + second(inner * (1 + torch.erf(inner / 2**0.5)) / 2)  # GELU
    assert torch.allclose(block_over_all(block, volume, visible), expected, atol=1e-5)
    found = block(visible_cubes(volume, places, 2), Surroundings.of(places, (2, 3, 2)))
    assert torch.allclose(found, visible_cubes(expected, places, 2), atol=1e-5)


@torch.no_grad()
def test_an_embedding_convolves_then_norms_each_voxel_and_then_bends() -> None:
    """LayerNorm with learnt numbers before GELU: the other way round negative channels would be gone before they are normed."""
    torch.manual_seed(0)
    embed, volume = Embed(3, 6), torch.randn(2, 3, 4, 6, 4)
    torch.nn.init.normal_(embed.norm.weight)
    torch.nn.init.normal_(embed.norm.bias)
    cubes = volume.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2)  # (B, C, d, h, w, 2, 2, 2)
    joined = torch.einsum("bcdhwijk,ocijk->bdhwo", cubes, embed.conv.weight) + embed.conv.bias
    x = normed(joined, 4) * embed.norm.weight + embed.norm.bias
    expected = x * (1 + torch.erf(x / 2**0.5)) / 2
    torch.testing.assert_close(embed(volume), expected.movedim(4, 1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_block_of_fine_tuning_adds_its_table_to_the_logits_and_scales_each_branch_by_its_own_numbers() -> None:
    """At the start the table is 0 and the scales are 1, where hardly any slip would be seen (check 12): here they have learnt."""
    torch.manual_seed(0)
    block, grid, x = ScaledBlock(12, 3, (2, 1, 3), 0.0), (2, 1, 3), torch.randn(2, 6, 12)
    for learnt in (block.table, block.gamma1, block.gamma2):
        torch.nn.init.normal_(learnt)
    inner, bias = block.attention, block.table[relative_offsets(grid)]  # (N, N, heads)
    q, k, v = inner.qkv(block.norm1(x)).unflatten(2, (3, 3, 4)).unbind(2)  # each (B, N, heads, 4)
    share = (torch.einsum("bnhc,bmhc->bnmh", q, k) / 2 + bias).softmax(2)
    mixed = inner.proj(torch.einsum("bnmh,bmhc->bnhc", share, v).flatten(2))
    middle = x + block.gamma1 * mixed
    expected = middle + block.gamma2 * block.mlp(block.norm2(middle))
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_token_order_is_row_major_from_voxels_to_tokens(little: MaskedConvEncoder) -> None:
    for stage in (little.stage1, little.stage2, little.stage3):
        for block in stage:
            block.conv2.weight.zero_()  # no spatial mixing: a change stays in its own token
    volume = torch.rand(1, 1, 32, 48, 32)

    def placed(x: Tensor) -> Tensor:
        return little.placed(as_tokens(little.local_maps(x)[-1]), (2, 3, 2))

    plain = placed(volume)
    for token in range(12):
        i, j, k = token // 6, token // 2 % 3, token % 2
        marked = volume.clone()
        marked[..., 16 * i : 16 * i + 16, 16 * j : 16 * j + 16, 16 * k : 16 * k + 16] += 1
        changed = (placed(marked) - plain).abs().sum(2)[0] > 0
        assert changed.nonzero().tolist() == [[token]]


def test_gathering_keeps_token_order_and_refuses_ragged_rows() -> None:
    tokens = torch.arange(8.0).view(2, 4, 1)
    keep = torch.tensor([[True, False, True, False], [False, True, False, True]])
    for known in (None, 2):
        places = visible_places(keep, known)
        assert rows_at(tokens, places).flatten().tolist() == [0, 2, 5, 7]
    ragged = torch.tensor([[True, False, True, True], [False, True, False, False]])
    for known in (None, 2):
        with pytest.raises(RuntimeError, match="same number"):
            visible_places(ragged, known)


def test_relative_offsets_name_each_shift_once() -> None:
    rows = relative_offsets((2, 3, 2))
    assert rows.shape == (12, 12) and int(rows.max()) == 3 * 5 * 3 - 1
    assert len(set(rows.diag().tolist())) == 1
    shift_of_one_along_last_axis = {int(rows[t, t + 1]) for t in range(0, 12, 2)}
    assert len(shift_of_one_along_last_axis) == 1
    assert int(rows[0, 11]) == 0 and int(rows[11, 0]) == 44


@torch.no_grad()
def test_maps_halve_from_stride_2_to_32_and_leave_normalised() -> None:
    torch.manual_seed(0)
    encoder = HybridEncoder(sight(64, 32, 64), **LITTLE).eval()
    features = encoder(torch.rand(2, 1, 64, 32, 64))
    assert encoder.channels == (6, 12, 24, 48, 96) and encoder.pooled_width == 48
    for fine, channels, stride in zip(features.maps, encoder.channels, encoder.strides, strict=True):
        assert fine.shape == (2, channels, 64 // stride[0], 32 // stride[1], 64 // stride[2])
        assert fine.mean(1).abs().max() < 1e-5
        assert (fine.var(1, unbiased=False) - 1).abs().max() < 1e-2 or stride[0] == 32
    assert features.pooled.shape == (2, 48)


def normed(x: Tensor, axis: int) -> Tensor:
    """Mean 0 and variance 1 along an axis."""
    return (x - x.mean(axis, keepdim=True)) / (x.var(axis, unbiased=False, keepdim=True) + 1e-5).sqrt()


@torch.no_grad()
def test_what_fine_tuning_reads_is_normed_as_it_leaves_and_nowhere_before() -> None:
    """Positions join what PE5 has projected; the down-block reads S4 as it is; the mean of tokens is normed, not they."""
    torch.manual_seed(0)
    encoder, volume = HybridEncoder(sight(32, 64, 32), **LITTLE).eval(), torch.rand(2, 1, 32, 64, 32)
    x, maps = volume, []
    for embed, stage in zip((encoder.embed1, encoder.embed2, encoder.embed3), (encoder.stage1, encoder.stage2, encoder.stage3),
                            strict=True):  # fmt: skip
        x = embed(x)
        for block in stage:
            x = block(x)
        maps.append(x)
    tokens = encoder.embed5(encoder.embed4(x).flatten(2).transpose(1, 2)) + encoder.positions.flatten(1).T
    for block in encoder.stage4:
        tokens = block(tokens)
    maps.append(tokens.transpose(1, 2).reshape(2, 48, 2, 4, 2))
    maps.append(encoder.down(maps[3]))
    found = encoder(volume)
    for mine, expected in zip(found.maps, maps, strict=True):
        torch.testing.assert_close(mine, normed(expected, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.pooled, normed(tokens.mean(1), 1), atol=1e-4, rtol=1e-4)


def test_drop_path_rises_evenly_over_all_17_blocks() -> None:
    with torch.device("meta"):
        encoder = HybridEncoder(sight(32, 32, 64), **FULL)
    blocks = [b for stage in (encoder.stage1, encoder.stage2, encoder.stage3, encoder.stage4) for b in stage]
    rates = [b.drop_path.rate for b in blocks]
    assert len(rates) == 17 and rates[0] == 0.0 and rates[-1] == pytest.approx(0.2)
    assert all(b - a == pytest.approx(0.0125) for a, b in pairwise(rates))


def test_relative_bias_starts_at_zero_layer_scale_at_one_and_positions_at_those_of_pre_training() -> None:
    encoder = HybridEncoder(sight(96, 32, 64), **LITTLE)
    for block in encoder.stage4:
        assert block.table.shape == (11 * 3 * 7, 4) and not block.table.any()
        assert bool((block.gamma1 == 1).all()) and bool((block.gamma2 == 1).all())
    assert torch.equal(encoder.positions.flatten(1).T, sincos_positions((6, 2, 4), 48))


def test_only_the_third_embedding_convolution_starts_xavier(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[tuple[int, ...]] = []
    real = torch.nn.init.xavier_uniform_
    monkeypatch.setattr(torch.nn.init, "xavier_uniform_", lambda w: (touched.append(tuple(w.shape)), real(w))[1])
    encoder = MaskedConvEncoder(sight(32, 32, 32), **LITTLE)
    assert touched.count((24, 12 * 8)) == 1  # PE3 flattened; every other shape is a Linear's
    linear = [m for m in encoder.modules() if isinstance(m, torch.nn.Linear)]
    assert len(touched) == 1 + len(linear)
    assert all(not m.bias.any() for m in linear)


def test_positions_of_another_grid_are_interpolated_and_channels_repeated() -> None:
    torch.manual_seed(0)
    before = MaskedConvEncoder(sight(48, 64, 48), **LITTLE)
    after = HybridEncoder(sight(64, 64, 64, channels=4), **LITTLE)
    adopted = after.adopt(before.state_dict())
    assert set(adopted.reshaped) == {"positions", "embed1.conv.weight"}
    expected = torch.nn.functional.interpolate(before.positions[None], size=(4, 4, 4), mode="trilinear")[0]
    assert torch.equal(after.positions.data, expected)
    for channel in range(4):  # repeated, not divided by 4
        assert torch.equal(after.embed1.conv.weight[:, channel], before.embed1.conv.weight[:, 0])


def test_a_missing_tensor_stops_fine_tuning() -> None:
    before, after = MaskedConvEncoder(sight(32, 32, 64), **LITTLE), HybridEncoder(sight(32, 32, 64), **LITTLE)
    weights = before.state_dict()
    kept = {name: t.clone() for name, t in after.state_dict().items()}
    del weights["stage2.0.mix.weight"]
    with pytest.raises(EncoderMismatch, match=r"stage2\.0\.mix\.weight"):
        after.adopt(weights)
    with pytest.raises(EncoderMismatch):
        after.adopt({})
    assert all(torch.equal(kept[name], t) for name, t in after.state_dict().items())


def test_layers_hold_every_weight_but_the_positions() -> None:
    encoder = HybridEncoder(sight(32, 32, 64), **LITTLE)
    held = {id(p) for layer in encoder.layers() for p in layer.parameters()}
    assert [n for n, p in encoder.named_parameters() if id(p) not in held] == ["positions"]


def test_sizes_that_cannot_be_are_told_apart() -> None:
    with pytest.raises(SpecError, match="48"):
        HybridEncoder(sight(48, 64, 48), **LITTLE)
    with pytest.raises(SpecError):
        MaskedConvEncoder(sight(40, 64, 48), **LITTLE)
    encoder = HybridEncoder(sight(32, 32, 64), **LITTLE)
    with pytest.raises(SpecError, match="built for 32 x 32 x 64"):
        encoder(torch.rand(1, 1, 64, 64, 64))
    lone = HybridEncoder(sight(32, 32, 32), **LITTLE)
    with pytest.raises(SpecError, match="two values per channel"):
        lone.train()(torch.rand(1, 1, 32, 32, 32))
    assert lone.eval()(torch.rand(1, 1, 32, 32, 32)).maps[-1].shape == (1, 96, 1, 1, 1)


def test_one_value_on_a_device_is_enough_where_others_hold_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv3d, "several", lambda: True)
    lone = HybridEncoder(sight(32, 32, 32), **LITTLE)
    lone.down[1] = torch.nn.Identity()  # in this process nobody else holds a value
    assert lone.train()(torch.rand(1, 1, 32, 32, 32)).maps[-1].shape == (1, 96, 1, 1, 1)


def test_the_segmentation_network_learns_through_every_handed_over_tensor() -> None:
    torch.manual_seed(0)
    encoder = HybridEncoder(sight(32, 32, 64), **LITTLE, drop_path=0.0).train()
    decoder = build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=3)
    volume = torch.rand(1, 1, 32, 32, 64)
    logits = decoder(volume, encoder(volume).maps)
    assert logits.shape == (1, 3, 32, 32, 64)
    logits.square().mean().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None] == []


def test_the_decoder_is_swin_unetrs() -> None:
    from monai.networks.nets import SwinUNETR

    encoder = HybridEncoder(sight(32, 32, 64), widths=(12, 24, 48, 96), depths=(1, 1, 1, 1), heads=3)
    ours = build_decoder("swin_unetr", encoder=encoder, in_channels=1, classes=14)
    theirs = SwinUNETR(in_channels=1, out_channels=14, feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    assert count(ours) == count(theirs) - count(theirs.swinViT)


def test_bf16_autocast_stays_close_to_fp32(little: MaskedConvEncoder) -> None:
    keep, volume = keep_some(2, 12, 5), torch.rand(2, 1, 32, 48, 32)
    plain = little.tokens(volume, keep)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        short = little.tokens(volume, keep)
    assert (short.float() - plain).abs().mean() < 0.05
