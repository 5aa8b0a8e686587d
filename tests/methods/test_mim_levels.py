"""Where MiM's children come from: boxes, masks and their agreement."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from bench.contracts.errors import SpecError
from bench.nets.patches import patchify
from bench.nets.vit3d import sincos_positions
from methods.parts.levels import (
    block_means,
    block_of_each_token,
    choose,
    chunk_of_each_token,
    cut,
    hide_blocks,
    resize,
)
from methods.parts.masks import kept_count, random_hidden
from tests.nets.masked_maps import lit


def test_ratio_0_6_keeps_86_of_216_and_ratio_0_5_keeps_108() -> None:
    assert (kept_count(216, 0.6), kept_count(216, 0.5)) == (86, 108)
    hidden = random_hidden(3, 216, 0.6, "cpu")
    assert hidden.sum(1).tolist() == [130, 130, 130]


def test_a_level_2_box_is_the_masked_token_it_came_from() -> None:
    """384 x 384 x 192 voxels, 6^3 tokens: origin (64 i, 64 j, 32 k), 64 x 64 x 32 voxels, masked, 4 distinct."""
    torch.manual_seed(0)
    x1 = torch.arange(384 * 384 * 192, dtype=torch.int32).view(1, 1, 384, 384, 192)
    hidden = random_hidden(1, 216, 0.6, "cpu")
    places = choose(hidden, 4)
    assert len(set(places[0].tolist())) == 4
    children = cut(x1, (6, 6, 6), places)
    assert children.shape == (4, 1, 64, 64, 32)
    for child, token in zip(children, places[0].tolist(), strict=True):
        i, j, k = token // 36, token // 6 % 6, token % 6
        assert hidden[0].view(6, 6, 6)[i, j, k]
        box = x1[0, :, 64 * i : 64 * i + 64, 64 * j : 64 * j + 64, 32 * k : 32 * k + 32]
        assert torch.equal(child, box)


def test_level_3_boxes_are_16_cubes_of_their_own_parent() -> None:
    torch.manual_seed(0)
    x2 = torch.arange(2 * 96**3, dtype=torch.int32).view(2, 1, 96, 96, 96)
    hidden = random_hidden(2, 216, 0.6, "cpu")
    places = choose(hidden, 4)
    children = cut(x2, (6, 6, 6), places).view(2, 4, 16, 16, 16)
    for b in range(2):
        for g, token in enumerate(places[b].tolist()):
            i, j, k = token // 36, token // 6 % 6, token % 6
            assert hidden[b, token]
            assert int(children[b, g, 0, 0, 0]) == int(x2[b, 0, 16 * i, 16 * j, 16 * k])
            assert int(children[b, g, -1, -1, -1]) == int(x2[b, 0, 16 * i + 15, 16 * j + 15, 16 * k + 15])


def test_mask_positions_sampling_and_patches_count_tokens_alike() -> None:
    positions = sincos_positions((2, 3, 4), 12)
    for token in range(24):
        i, j, k = token // 12, token // 4 % 3, token % 4
        keep = torch.arange(24)[None] == token
        shown = lit(keep, (2, 3, 4), 16).float()
        assert patchify(shown, (16, 16, 16)).mean(2)[0].nonzero().tolist() == [[token]]
        assert bool((cut(shown, (2, 3, 4), torch.tensor([[token]])) == 1).all())
        assert torch.allclose(positions[token, [0, 4, 8]], torch.tensor([i, j, k]).float().sin(), atol=1e-6)


def test_every_masked_token_is_equally_likely_to_become_a_child() -> None:
    torch.manual_seed(0)
    allowed = torch.arange(10).expand(20_000, 10) >= 4
    places = choose(allowed, 3)
    share = torch.bincount(places.flatten(), minlength=10) / 20_000
    assert not share[:4].any()
    assert (share[4:] - 0.5).abs().max() < 0.02  # 3 of 6


def test_too_few_masked_tokens_are_our_own_bug() -> None:
    allowed = torch.tensor([[True, True, False], [True, True, True]])
    with pytest.raises(RuntimeError, match="3 children must be drawn from fewer"):
        choose(allowed, 3)


def test_resizing_is_trilinear_between_voxel_centres_and_free_where_shapes_agree() -> None:
    line = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 4, 1, 1)
    assert resize(line, (2, 1, 1)).flatten().tolist() == [0.5, 2.5]
    assert resize(line, (8, 1, 1)).flatten().tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert resize(line, (4, 1, 1)) is line


def test_fig_9_blocks_own_3_6_or_12_tokens_in_columns_0_1_1_2_3_3() -> None:
    block = block_of_each_token((6, 6, 6), (4, 4, 2)).view(6, 6, 6)
    assert (block[:, 0, 0] // 8).tolist() == [0, 1, 1, 2, 3, 3]
    assert (block[0, :, 0] // 2 % 4).tolist() == [0, 1, 1, 2, 3, 3]
    assert (block[0, 0] % 2).tolist() == [0, 0, 0, 1, 1, 1]
    assert sorted(set(torch.bincount(block.flatten()).tolist())) == [3, 6, 12]


def test_fig_9_hides_130_tokens_and_the_chosen_blocks_wholly() -> None:
    torch.manual_seed(0)
    block = block_of_each_token((6, 6, 6), (4, 4, 2))
    hidden, places = hide_blocks(50, block, 32, 86, 4)
    assert hidden.sum(1).tolist() == [130] * 50
    for row, chosen in zip(hidden, places, strict=True):
        assert len(set(chosen.tolist())) == 4
        assert all(bool(row[block == b].all()) for b in chosen.tolist())
        shares = [float(row[block == b].float().mean()) for b in range(32)]
        assert sum(0 < share < 1 for share in shares) <= 1  # at most one block is cut to reach the fixed count


def test_the_block_that_is_cut_hides_each_of_its_tokens_equally_often() -> None:
    torch.manual_seed(0)
    hidden, _ = hide_blocks(4000, torch.zeros(12, dtype=torch.long), 1, 4, 1)
    torch.testing.assert_close(hidden.float().mean(0), torch.full((12,), 8 / 12), atol=0.04, rtol=0)


def test_visible_blocks_become_children_when_asked() -> None:
    torch.manual_seed(0)
    block = block_of_each_token((6, 6, 6), (2, 2, 2))
    hidden, places = hide_blocks(20, block, 8, 108, 4, from_hidden=False)
    for row, chosen in zip(hidden, places, strict=True):
        assert not any(bool(row[block == b].any()) for b in chosen.tolist())


def test_a_chosen_octant_of_the_released_code_is_masked_to_13_21_on_average() -> None:
    chunk, octant = chunk_of_each_token((6, 6, 6), 8), block_of_each_token((6, 6, 6), (2, 2, 2))
    shared = torch.stack([torch.bincount(octant[chunk == c], minlength=8) for c in range(8)])
    assert shared[0].tolist() == [9, 9, 6, 3, 0, 0, 0, 0]
    masked = [float(shared[list(four), o].sum()) / 27 for four in combinations(range(8), 4) for o in four]
    assert sum(masked) / len(masked) == pytest.approx(13 / 21)
    assert min(masked) == pytest.approx(1 / 3)
    assert sum(share == 1 for share in masked) / len(masked) == pytest.approx(0.03, abs=0.005)


def test_the_octant_fix_masks_every_chosen_octant_wholly() -> None:
    torch.manual_seed(0)
    octant = block_of_each_token((6, 6, 6), (2, 2, 2))
    chunk = chunk_of_each_token((6, 6, 6), 8)
    for block, expected in ((octant, 1.0), (chunk, 13 / 21)):
        hidden, places = hide_blocks(4000, block, 8, 108, 4)
        assert hidden.sum(1).unique().tolist() == [108]
        share = torch.stack([hidden[:, octant == o].float().mean(1) for o in range(8)], 1).gather(1, places)
        assert float(share.mean()) == pytest.approx(expected, abs=0.005)


def test_block_means_average_the_tokens_of_each_block() -> None:
    features = torch.arange(12.0).view(1, 6, 2)
    means = block_means(features, torch.tensor([0, 1, 1, 2, 2, 2]), 3)
    assert means.tolist() == [[[0, 1], [3, 4], [8, 9]]]


def test_chunks_must_divide_the_tokens() -> None:
    with pytest.raises(SpecError, match="36 tokens"):
        chunk_of_each_token((3, 4, 3), 8)
