"""The adaptive layers against the equations and the numbers of their specification."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bench.contracts.errors import SpecError
from bench.nets.spad import (
    Grid,
    SpadConv,
    SpadDown,
    SpadSequence,
    SpadUp,
    along_back,
    along_first,
    crop_depth,
    degree_of_anisotropy,
    depth_back,
    depth_first,
    inflate,
    pool_depth,
    resample_grid,
    spread_channels,
)


def doubled(module: nn.Module) -> nn.Module:
    return module.double()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("ratio", "da"),
    [(0.3, 0), (1, 0), (1.99, 0), (2, 1), (3.99, 1), (4, 2), (5.55, 2), (8, 3), (16, 4), (31.9, 4), (32, 5), (1e8, 5)],
)
def test_the_degree_of_anisotropy_is_the_floor_of_the_binary_logarithm_up_to_five(ratio: float, da: int) -> None:
    assert degree_of_anisotropy(ratio) == da


def test_halvings_are_pending_exactly_while_slices_are_at_least_twice_as_thick_as_voxels_are_wide() -> None:
    """Spacing tracked through eight stages: in-plane doubles, depth doubles once no halving is pending."""
    rng = torch.Generator().manual_seed(3)
    for exponent in (torch.rand(2_000, generator=rng) * 9 - 2).tolist():
        plane, slices = 1.0, 2.0**exponent
        grid = Grid(degree_of_anisotropy(slices, most=99))
        for _ in range(8):
            assert (grid.pending > 0) == (slices >= 2 * plane)
            slices *= 1 if grid.pending else 2
            plane *= 2
            grid = grid.halved(1)


@pytest.mark.parametrize(
    ("layer", "base", "shape"),
    [
        (SpadConv(3, 5), nn.Conv3d(3, 5, 3, padding=1), (2, 3, 6, 8, 8)),
        (SpadDown(3, 5, 2), nn.Conv3d(3, 5, 2, stride=2), (2, 3, 8, 8, 8)),
        (SpadDown(3, 5, 4), nn.Conv3d(3, 5, 4, stride=4), (2, 3, 8, 8, 8)),
        (SpadDown(3, 5, 16), nn.Conv3d(3, 5, 16, stride=16), (2, 3, 32, 16, 16)),
        (SpadDown(3, 5, 2, kernel=3), nn.Conv3d(3, 5, 3, stride=2, padding=1), (2, 3, 7, 8, 8)),
    ],
)
def test_isotropic_input_gets_the_plain_convolution_bit_for_bit(
    layer: nn.Module, base: nn.Module, shape: tuple[int, ...]
) -> None:
    base.load_state_dict(layer.state_dict())
    x = torch.randn(*shape)
    assert torch.equal(layer(x, Grid(0))[0], base(x))


@pytest.mark.parametrize("factor", [2, 4])
def test_isotropic_input_gets_the_plain_transposed_convolution_bit_for_bit(factor: int) -> None:
    layer, base = SpadUp(5, 3, factor), nn.ConvTranspose3d(5, 3, factor, stride=factor)
    base.load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, 2, 3, 3)
    assert torch.equal(layer(x, Grid(0, halvings=4))[0], base(x))


def test_a_reduced_3_kernel_on_a_depth_constant_volume_is_the_base_inside_and_not_at_the_ends() -> None:
    layer = doubled(SpadConv(4, 6))
    x = noise(1, 4, 1, 9, 9).expand(-1, -1, 7, -1, -1).contiguous()
    base, reduced = layer(x, Grid(0))[0], layer(x, Grid(1))[0]
    assert (base - reduced)[:, :, 1:-1].abs().max() < 1e-14
    assert (base - reduced)[:, :, [0, -1]].abs().amax((0, 1, 3, 4)).min() > 0.05


def test_a_reduced_halving_with_kernel_3_on_a_depth_constant_volume_is_the_base_inside() -> None:
    """The discriminator's: its base takes every other slice, the reduced one all of them."""
    layer = doubled(SpadDown(4, 6, 2, kernel=3))
    x = noise(1, 4, 1, 9, 9).expand(-1, -1, 7, -1, -1).contiguous()
    base, reduced = layer(x, Grid(0))[0], layer(x, Grid(1))[0]
    assert base.shape[2:] == (4, 5, 5) and reduced.shape[2:] == (7, 5, 5)
    torch.testing.assert_close(reduced[:, :, 2:5:2], base[:, :, 1:-1], atol=1e-14, rtol=0)


@pytest.mark.parametrize(("da", "kept"), [(1, 8), (2, 4), (3, 2), (4, 1)])
def test_a_reduced_patch_on_a_depth_constant_volume_is_the_base(da: int, kept: int) -> None:
    layer = doubled(SpadDown(2, 5, 16))
    assert layer.depth(Grid(da)) == kept
    x = noise(1, 2, 1, 32, 32).expand(-1, -1, 16, -1, -1).contiguous()
    base = layer(x, Grid(0))[0]
    reduced, after = layer(x[:, :, :kept], Grid(da))
    torch.testing.assert_close(reduced, base, atol=8e-15, rtol=0)
    assert after == Grid(da, 4)


@pytest.mark.parametrize("da", [1, 2, 3, 4, 5])
def test_the_base_on_slices_repeated_equals_the_reduced_patch_on_the_original(da: int) -> None:
    layer = doubled(SpadDown(2, 5, 16))
    kept = max(16 >> da, 1)
    x = noise(1, 2, 3 * kept, 16, 16)
    base = layer(x.repeat_interleave(16 // kept, 2), Grid(0))[0]
    torch.testing.assert_close(layer(x, Grid(da))[0], base, atol=8e-15, rtol=0)


def test_a_transposed_layer_that_must_not_deepen_sums_the_bases_slices() -> None:
    layer = doubled(SpadUp(4, 3, 2))
    x = noise(1, 4, 3, 5, 5)
    bias = layer.bias[None, :, None, None, None]
    base = layer(x, Grid(0, halvings=1))[0] - bias
    flat, after = layer(x, Grid(1, halvings=1))
    assert flat.shape[2] == 3 and after == Grid(1, 0)
    torch.testing.assert_close(flat - bias, base.unflatten(2, (3, 2)).sum(3), atol=1e-15, rtol=0)


def test_with_equal_slices_the_sum_doubles_the_base_and_the_mean_keeps_it() -> None:
    x = noise(1, 4, 3, 5, 5)
    for reduce, factor in (("sum", 2.0), ("mean", 1.0)):
        layer = doubled(SpadUp(4, 3, 2, reduce))
        with torch.no_grad():
            layer.weight.copy_(layer.weight.mean(2, keepdim=True).expand_as(layer.weight))
            layer.bias.zero_()
        base, flat = layer(x, Grid(0, 1))[0], layer(x, Grid(1, 1))[0]
        torch.testing.assert_close(flat, factor * base[:, :, ::2], atol=1e-14, rtol=0)


def test_upsampling_takes_back_only_the_depth_that_was_halved() -> None:
    down, up = SpadDown(1, 2, 16), SpadUp(2, 1, 16)
    for da, depth in enumerate((32, 16, 8, 4, 2)):
        cells, grid = down(torch.randn(1, 1, depth, 16, 16), Grid(da))
        back, end = up(cells, grid)
        assert cells.shape[2] == 2 and back.shape[2] == depth and end == Grid(da, 0)


def test_an_inflated_2d_convolution_on_a_2d_image_is_the_2d_convolution() -> None:
    flat = doubled(nn.Conv2d(3, 6, 16, stride=16))
    layer = doubled(SpadDown(3, 6, 16))
    with torch.no_grad():
        layer.weight.copy_(inflate(flat.weight, 16))
        layer.bias.copy_(flat.bias)
    x = noise(2, 3, 32, 32)
    torch.testing.assert_close(layer(x[:, :, None], Grid(5))[0][:, :, 0], flat(x), atol=1e-12, rtol=0)
    torch.testing.assert_close(pool_depth(inflate(flat.weight, 16), 1)[:, :, 0], flat.weight, atol=1e-15, rtol=0)


def test_a_network_of_one_channel_sees_a_grey_image_as_that_of_three_sees_it_thrice() -> None:
    weight, x = noise(5, 3, 2, 2, 2), noise(1, 1, 4, 4, 4)
    thrice = nn.functional.conv3d(x.expand(-1, 3, -1, -1, -1), weight)
    for channels in (1, 2, 3):
        found = nn.functional.conv3d(x.expand(-1, channels, -1, -1, -1), spread_channels(weight, channels))
        torch.testing.assert_close(found, thrice)


def test_pooling_sums_contiguous_slices() -> None:
    weight = torch.arange(4.0).reshape(1, 1, 4, 1, 1)
    assert pool_depth(weight, 2).flatten().tolist() == [1.0, 5.0]
    assert pool_depth(weight, 2, "mean").flatten().tolist() == [0.5, 2.5]


def test_a_sequence_hands_the_grid_from_layer_to_layer() -> None:
    parts = SpadSequence([SpadDown(1, 2, 2), nn.GELU(), SpadSequence([SpadDown(2, 2, 2), SpadConv(2, 2)])])
    x, grid = parts(torch.randn(1, 1, 4, 8, 8), Grid(1))
    assert grid == Grid(1, 2) and x.shape == (1, 2, 2, 2, 2)


@pytest.mark.parametrize(("tokens", "depths"), [(4, [64, 32, 16, 8, 4, 1]), (5, [80, 40, 20, 10, 5, 1])])
def test_crops_are_as_deep_as_the_table_says(tokens: int, depths: list[int]) -> None:
    assert [crop_depth(da, tokens, 16) for da in range(6)] == depths


def test_positions_shrink_by_area_and_grow_trilinearly() -> None:
    table = torch.arange(20.0).reshape(1, 5, 2, 2)
    assert resample_grid(table, (5, 2, 2)) is table
    assert resample_grid(table, (1, 2, 2)).flatten().tolist() == table.mean(1).flatten().tolist()
    both = resample_grid(table, (1, 4, 2))
    rows = nn.functional.interpolate(table.mean(1, keepdim=True)[None], (1, 4, 2), mode="trilinear")[0]
    torch.testing.assert_close(both, rows)


def test_the_depth_axis_moves_to_the_front_and_back() -> None:
    x = torch.randn(1, 2, 3, 4, 5)
    for axis in range(3):
        front = depth_first(x, axis)
        assert front.shape[2] == x.shape[2 + axis] and torch.equal(depth_back(front, axis), x)
        assert along_first((3, 4, 5), axis) == tuple(front.shape[2:]) and along_back(front.shape[2:], axis) == (3, 4, 5)


def test_what_cannot_be_reduced_is_refused() -> None:
    with pytest.raises(SpecError, match="powers of two"):
        SpadDown(1, 1, 6)
    with pytest.raises(SpecError, match="powers of two"):
        SpadUp(1, 1, 3)
    with pytest.raises(SpecError, match="multiple of the adapted patch"):
        SpadDown(1, 1, 16)(torch.randn(1, 1, 6, 16, 16), Grid(2))
    assert math.isclose(SpadDown(1, 1, 16).depth(Grid(2)), 4)
