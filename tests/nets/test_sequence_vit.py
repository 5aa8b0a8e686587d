"""SequenceViT: who sees whom, what special tokens do, positions, start values, sizes and the hand-over to any grid."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.contracts.configs import FineTuneConfig, Intensity, Shape3, Sight
from bench.contracts.errors import SpecError
from bench.nets.decoders import build_decoder
from bench.nets.patches import patchify
from bench.nets.sequence_vit import START, SequenceBlock, SequenceViT
from bench.train.schedule import layer_groups

ASIS = Intensity("asis")
FULL = {"width": 768, "depth": 12, "heads": 12, "patch": (16, 16, 16), "skips": (4, 7, 10, 12)}


def tiny(shape: Shape3 = (8, 8, 8), channels: int = 1, **changes: object) -> SequenceViT:
    torch.manual_seed(0)
    settings: dict[str, object] = {"width": 24, "depth": 2, "heads": 2, "patch": (4, 4, 4), "skips": (1, 2), **changes}
    return SequenceViT(Sight(channels, shape, None, ASIS), **settings)  # type: ignore[arg-type]


def volumes(shape: Shape3 = (8, 8, 8), batch: int = 1, channels: int = 1) -> Tensor:
    return torch.randn(batch, channels, *shape, generator=torch.Generator().manual_seed(1))


def paper(build: Callable[[], SequenceViT]) -> SequenceViT:
    with torch.device("meta"):
        return build()


def test_the_paper_size_has_the_parameters_counted_from_the_code() -> None:
    net = paper(lambda: SequenceViT(Sight(1, (128, 128, 128), None, ASIS), **FULL))  # type: ignore[arg-type]
    assert sum(p.numel() for p in net.blocks[0].parameters()) == 7_085_568
    assert sum(p.numel() for p in net.parameters()) == 88_177_920
    assert tuple(net.positions.shape) == (512, 768)


def test_the_papers_unetr_decoder_has_the_parameters_counted_from_the_code() -> None:
    net = paper(lambda: SequenceViT(Sight(1, (96, 96, 96), None, ASIS), **FULL))  # type: ignore[arg-type]
    with torch.device("meta"):
        decoder = build_decoder("unetr", encoder=net, in_channels=1, classes=2)
    assert sum(p.numel() for p in decoder.parameters()) == 4_443_106


def test_projections_of_query_key_and_value_have_no_bias_and_norms_the_codes_eps() -> None:
    block = SequenceBlock(24, 2)
    assert {name for name, _ in block.attention.named_parameters()} == {
        "query.weight",
        "key.weight",
        "value.weight",
        "proj.weight",
        "proj.bias",
    }
    assert block.norm1.eps == block.norm2.eps == tiny().norm.eps == 1e-5


def test_a_block_is_pre_normed_attention_then_a_pre_normed_mlp_with_exact_gelu() -> None:
    """Sec. 2 of the spec in slow lines: h += O softmax(q k / sqrt(12)) v, h += W2 gelu(W1 LN(h)), gelu by the error function."""
    block, h = SequenceBlock(24, 2).double(), 3 * torch.randn(1, 7, 24, dtype=torch.double)
    attention, mlp = block.attention, block.mlp
    y, heads = functional.layer_norm(h, (24,), eps=1e-5), []
    for part in (slice(0, 12), slice(12, 24)):
        q, k, v = (one(y)[0, :, part] for one in (attention.query, attention.key, attention.value))
        heads.append((q @ k.T / math.sqrt(12)).softmax(-1) @ v)
    middle = h + attention.proj(torch.cat(heads, -1))[None]
    wide = mlp.fc1(functional.layer_norm(middle, (24,), eps=1e-5))
    assert wide.shape[-1] == 4 * 24
    wanted = middle + mlp.fc2(wide * (1 + torch.erf(wide / math.sqrt(2))) / 2)
    torch.testing.assert_close(block(h, None), wanted)


def test_start_values_are_the_codes() -> None:
    net = tiny(width=48, depth=3, patch=(8, 8, 8), shape=(16, 16, 16), skips=(3,))
    square = math.sqrt(6 / (48 + 48))
    for part in ("query", "key", "value", "proj"):
        weight = getattr(net.blocks[0].attention, part).weight
        assert weight.abs().max() <= square  # each on its own, not as one wide matrix
        assert weight.std().item() == pytest.approx(square / math.sqrt(3), rel=0.05)
    embed = net.entry.embed
    assert embed.weight.std().item() == pytest.approx(math.sqrt(2 / (512 + 48)), rel=0.02)
    assert 0 < embed.bias.abs().max() <= 1 / math.sqrt(512)
    assert not net.blocks[0].mlp.fc1.bias.any()
    assert net.entry.special_tokens.shape == (4, 48)
    assert 0.8 < net.entry.special_tokens.std() < 1.2
    assert net.entry.special_tokens.abs().max() > 2  # normal: 192 uniform ones of that spread end at 1.7


def test_the_embedding_is_a_convolution_of_equal_stride_and_tokens_are_z_fastest() -> None:
    """Check 7 of the spec: filter c applied to token t equals the dot product of its flattened weight with row t of patchify."""
    net, x = tiny((8, 12, 8)), volumes((8, 12, 8), batch=2)
    filters = net.entry.embed.weight.view(24, 1, 4, 4, 4)
    convolved = functional.conv3d(x, filters, net.entry.embed.bias, stride=4)
    torch.testing.assert_close(convolved.flatten(2).transpose(1, 2), net.entry.embed(patchify(x, (4, 4, 4))))


def test_positions_are_raw_integers_whatever_the_grid() -> None:
    """Check 10 of the spec, at the paper's size, and at the 6^3 grid of fine-tuning."""
    net = SequenceViT(Sight(1, (128, 128, 128), None, ASIS), **{**FULL, "depth": 1, "skips": (1,)})  # type: ignore[arg-type]
    places = net.positions
    torch.testing.assert_close(places.norm(dim=1), torch.full((512,), math.sqrt(384)))
    row0, row1 = places[0], places[1]
    assert (row0[:512] == row1[:512]).all()
    assert row1[512].item() == pytest.approx(0.841471, abs=1e-6)
    assert row1[640].item() == pytest.approx(0.540302, abs=1e-6)
    assert places[8][256].item() == places[64][0].item() == pytest.approx(0.841471, abs=1e-6)
    small = tiny((12, 12, 12), patch=(2, 2, 2)).positions.view(6, 6, 6, 24)
    large = tiny((16, 16, 16), patch=(2, 2, 2)).positions.view(8, 8, 8, 24)
    assert torch.equal(small, large[:6, :6, :6])


def test_special_tokens_carry_no_position() -> None:
    net, seen = tiny(), []
    net.blocks[0].register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    net.sequence(volumes(), torch.arange(8), torch.tensor([1]))
    net(volumes())
    table = net.entry.special_tokens
    assert torch.equal(seen[0][0, 0], table[1]) and torch.equal(seen[0][0, -1], table[2])
    assert seen[0].shape[1] == 10 and seen[1].shape[1] == 9  # fine-tuning has no END
    assert torch.equal(seen[1][0, 0], table[START])


def test_the_order_moves_tokens_with_their_positions() -> None:
    net, x, order, seen = tiny(), volumes(), torch.randperm(8), []
    net.blocks[0].register_forward_pre_hook(lambda _m, given: seen.append(given[0][:, 1:-1]))
    net.sequence(x, torch.arange(8), torch.tensor([1]))
    net.sequence(x, order, torch.tensor([1]))
    assert torch.equal(seen[1], seen[0][:, order])


def test_fine_tuning_sees_everything_so_permuted_tokens_give_permuted_outputs() -> None:
    """Check 13 of the spec: full attention knows no order besides the position codes."""
    net, x, order = tiny(), volumes(batch=2), torch.randperm(8)
    net = net.double().eval()
    start = net.entry.special_tokens[START].expand(2, 1, -1)

    def passed(tokens: Tensor) -> Tensor:
        y = torch.cat([start, tokens], 1)
        for block in net.blocks:
            y = block(y, None)
        return net.norm(y[:, 1:])

    tokens = net.embedded(x.double())
    torch.testing.assert_close(passed(tokens[:, order]), passed(tokens)[:, order])
    torch.testing.assert_close(net(x.double()).pooled, passed(tokens).mean(1))


def test_maps_are_taken_after_the_named_blocks_and_only_the_last_is_normed() -> None:
    net, x, outputs = tiny(depth=4, skips=(1, 3, 4)), volumes(), []
    for block in net.blocks:
        block.register_forward_hook(lambda _m, _i, out: outputs.append(out[:, 1:]))
    features = net(x)
    for found, number in zip(features.maps[:2], (1, 3), strict=True):
        assert torch.equal(found.flatten(2).transpose(1, 2), outputs[number - 1])
    last = net.norm(outputs[3])
    torch.testing.assert_close(features.maps[2].flatten(2).transpose(1, 2), last)
    torch.testing.assert_close(features.pooled, last.mean(1))


def test_recomputing_blocks_changes_no_bit() -> None:
    plain, again = tiny(), tiny(recompute=True)
    for net in (plain, again):
        net.sequence(volumes(batch=2), torch.arange(8), torch.tensor([3, 9])).square().mean().backward()
    for mine, theirs in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize(
    ("decay", "scales"), [(0.75, {0: 0.023757, 1: 0.031676, 12: 0.75}), (0.9, {0: 0.2542, 12: 0.9})]
)
def test_layer_wise_decay_scales_by_block_and_puts_the_final_norm_with_the_head(
    decay: float, scales: dict[int, float]
) -> None:
    """Check 11 of the spec: id 0 embedding and table, b block b, 13 everything else, scale decay^(13 - id)."""
    net = paper(lambda: SequenceViT(Sight(1, (96, 96, 96), None, ASIS), **FULL))  # type: ignore[arg-type]
    whole = torch.nn.ModuleDict({"encoder": net, "head": torch.nn.Linear(768, 2, bias=False, device="meta")})
    head = torch.nn.ModuleList([whole["head"], *net.at_head()])
    groups = layer_groups([*net.layers(), head], whole, FineTuneConfig(lr=1.0, weight_decay=0.05), decay)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    of_module = {0: net.entry, **dict(enumerate(net.blocks, start=1))}
    for number, module in of_module.items():
        assert [rate[id(p)] for p in module.parameters()] == pytest.approx(
            [decay ** (13 - number)] * len([*module.parameters()])
        )
    for number, scale in scales.items():
        assert next(iter(rate[id(p)] for p in of_module[number].parameters())) == pytest.approx(scale, abs=5e-5)
    assert {rate[id(p)] for p in (*whole["head"].parameters(), *net.norm.parameters())} == {1.0}
    spared = {id(p) for group in groups if group["weight_decay"] == 0.0 for p in group["params"]}
    assert id(net.entry.special_tokens) in spared and id(net.entry.embed.weight) not in spared


@pytest.mark.parametrize("shape", [(8, 8, 8), (12, 8, 4)])
def test_weights_go_to_any_grid_as_they_are(shape: Shape3) -> None:
    adopted = tiny(shape).adopt(tiny().state_dict())
    assert adopted.new == adopted.dropped == adopted.reshaped == ()


def test_a_strange_volume_and_a_strange_number_of_heads_are_refused() -> None:
    with pytest.raises(SpecError, match="built for volumes of"):
        tiny()(volumes((8, 8, 12)))
    with pytest.raises(SpecError, match="5 heads do not divide"):
        tiny(heads=5)
