"""Patches: order, exact inverse, and intensity windows."""

from __future__ import annotations

import pytest
import torch

from bench.contracts.configs import Intensity, Shape3
from bench.contracts.errors import SpecError
from bench.nets.input_channels import repeat_conv_channels, repeat_patch_channels
from bench.nets.intensity import to_network_range
from bench.nets.patches import as_map, as_tokens, grid_of, patchify
from tests.nets.patches_back import unpatchify


@pytest.mark.parametrize(
    ("shape", "patch", "channels"),
    [((4, 6, 8), (2, 3, 4), 1), ((8, 12, 20), (4, 2, 5), 3), ((1, 8, 8), (1, 4, 4), 2), ((16, 16, 16), (8, 8, 8), 1)],
)
def test_unpatchify_gives_back_every_bit_on_any_grid(shape: Shape3, patch: Shape3, channels: int) -> None:
    volume = torch.randn(2, channels, *shape)
    tokens = patchify(volume, patch)
    assert tokens.shape == (
        2,
        volume[0, 0].numel() // (patch[0] * patch[1] * patch[2]),
        channels * patch[0] * patch[1] * patch[2],
    )
    assert torch.equal(unpatchify(tokens, patch, grid_of(shape, patch), channels), volume)


def test_a_token_holds_its_voxels_row_major_with_the_channel_fastest() -> None:
    volume = torch.arange(2 * 4 * 4 * 6).reshape(1, 2, 4, 4, 6)
    tokens = patchify(volume, (2, 2, 3))
    number = 5  # of the 2x2x2 grid, row-major: d=1, h=0, w=1
    expected = [volume[0, c, d, h, w] for d in (2, 3) for h in (0, 1) for w in (3, 4, 5) for c in (0, 1)]
    assert tokens[0, number].tolist() == expected


def test_a_map_and_its_tokens_are_each_others_way_back_row_major() -> None:
    cells = torch.arange(2 * 5 * 24.0).view(2, 5, 2, 3, 4)
    tokens = as_tokens(cells)
    assert torch.equal(tokens[1, 1 * 12 + 2 * 4 + 3], cells[1, :, 1, 2, 3])
    assert torch.equal(as_map(tokens, (2, 3, 4)), cells)


def test_a_patch_that_does_not_divide_the_volume_is_refused() -> None:
    with pytest.raises(SpecError, match=r"\(16, 16, 10\).*\(8, 8, 8\)"):
        patchify(torch.zeros(1, 1, 16, 16, 10), (8, 8, 8))


def test_hounsfield_units_are_clipped_and_scaled() -> None:
    stored = torch.tensor([-3000, -1000, 0, 1000, 2000], dtype=torch.int16)
    assert to_network_range(stored, Intensity("hu")).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    window = Intensity("hu", window_hu=(-175.0, 250.0), scaled_to=(-1.0, 1.0))
    torch.testing.assert_close(
        to_network_range(torch.tensor([-175, 37, 250]), window), torch.tensor([-1.0, -0.0023529, 1.0])
    )


def test_bytes_are_scaled_from_0_to_255() -> None:
    stored = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(to_network_range(stored, Intensity("u8")), torch.tensor([0.0, 0.2, 1.0]))
    twice = Intensity("u8", scaled_to=(-1.0, 1.0))
    torch.testing.assert_close(to_network_range(stored, twice), torch.tensor([-1.0, -0.6, 1.0]))


def test_more_channels_take_those_there_are_in_turn_and_fewer_are_refused() -> None:
    """Channel i takes channel i mod C: two become a, b, a, b. A patch of three voxels holds its channels fastest."""
    a, b = torch.randn(2, 5, 1, 1, 1, 3)
    two, four = torch.cat([a, b], 1), torch.cat([a, b, a, b], 1)
    found = repeat_conv_channels(two, four)
    assert found is not None and torch.equal(found, four) and repeat_conv_channels(four, two) is None
    rows, wide = (x.movedim(1, -1).reshape(5, -1) for x in (two, four))
    found = repeat_patch_channels(rows, wide, voxels=3)
    assert found is not None and torch.equal(found, wide) and repeat_patch_channels(wide, rows, voxels=3) is None


@pytest.mark.parametrize("kind", ["zscore", "asis"])
def test_normalised_volumes_change_their_type_alone(kind: str) -> None:
    stored = torch.tensor([-2.5, 0.25, 7.0], dtype=torch.float16)
    seen = to_network_range(stored, Intensity(kind))  # type: ignore[arg-type]
    assert seen.dtype == torch.float32
    assert seen.tolist() == [-2.5, 0.25, 7.0]
