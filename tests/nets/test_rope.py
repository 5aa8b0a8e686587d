"""Rotary positions: the paper's angles, relative positions, and the gap ratio that fixes what it leaves open."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.contracts.errors import SpecError
from bench.nets.rope import frequencies, rotary_angles, rotary_tables, rotate

GAPS = (
    3.207e-3, 9.062e-3, 1.854e-2, 5.517e-3, 9.554e-3, 2.982e-3, 2.010e-3, 5.865e-4,
    1.239e-3, 5.761e-4, 1.614e-4, 1.031e-4, 1.355e-5, 6.802e-5, 6.827e-6, 1.269e-5,
)  # fmt: skip


def gap(angles: torch.Tensor) -> float:
    """The least distance of two angles on the circle."""
    turned = np.sort(np.mod(angles.numpy(), 2 * np.pi))
    return float(min(np.diff(turned).min(), turned[0] + 2 * np.pi - turned[-1]))


def columns(depth: int, base: float = 2333.0) -> torch.Tensor:
    """Angles of the column half for a grid of `depth` x 1 x 16."""
    return rotary_angles((depth, 1, 16), 64, depth_base=base)[:, 16:]


def test_frequencies_are_the_papers() -> None:
    plane, depth = frequencies(64)
    assert plane[0] == 1 and plane[-1].item() == pytest.approx(1.77828e-4, rel=1e-5)
    assert depth[0].item() == pytest.approx(0.784789, rel=1e-6)
    assert depth[-1].item() == pytest.approx(5.46176e-4, rel=1e-5)


def test_the_least_gap_of_every_frequency_is_the_specifications() -> None:
    found = [gap(columns(8)[:, i]) for i in range(16)]
    assert found == pytest.approx(GAPS, rel=5e-4)


@pytest.mark.parametrize(
    ("base", "ratio"), [(2333.0, 26.3006), (100.0, 12.78), (1000.0, 18.90), (5000.0, 39.86), (10_000.0, 2135.0)]
)
def test_the_mean_gap_ratio_is_the_papers_for_its_base_and_another_for_others(base: float, ratio: float) -> None:
    flat, deep = columns(1, base), columns(8, base)
    found = np.mean([gap(flat[:, i]) / gap(deep[:, i]) for i in range(16)])
    assert found == pytest.approx(ratio, abs=5e-5 if base == 2333.0 else 0.5 if base == 10_000.0 else 5e-3)


def test_products_of_turned_queries_and_keys_depend_on_the_difference_of_places_only() -> None:
    angles = rotary_angles((6, 16, 4), 64).reshape(6, 16, 4, 32)
    q, k = torch.randn(2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def product(p: tuple[int, int, int], r: tuple[int, int, int]) -> float:
        return float(rotate(q, angles[p].cos(), angles[p].sin()) @ rotate(k, angles[r].cos(), angles[r].sin()))

    assert product((3, 12, 1), (2, 14, 3)) == pytest.approx(product((1, 2, 1), (0, 4, 3)), abs=1e-13)
    assert abs(product((3, 12, 1), (2, 14, 3)) - product((3, 12, 1), (3, 14, 3))) > 1e-3


def test_tokens_of_one_depth_are_turned_against_each_other_as_in_2d() -> None:
    deep, flat = rotary_angles((3, 4, 5), 64).reshape(3, 20, 32), rotary_angles((1, 4, 5), 64)
    for z in range(3):
        torch.testing.assert_close(deep[z] - deep[z, :1], flat - flat[:1], atol=1e-12, rtol=0)
    torch.testing.assert_close(deep[0], flat)


def test_pairs_are_neighbours_turned_counter_clockwise_and_keep_their_length() -> None:
    x = torch.tensor([[1.0, 0.0, 0.0, 2.0]])
    turned = rotate(x, torch.tensor([[0.0, math.cos(1)]]), torch.tensor([[1.0, math.sin(1)]]))
    torch.testing.assert_close(turned, torch.tensor([[0.0, 1.0, -2 * math.sin(1), 2 * math.cos(1)]]))


def test_tables_are_single_precision_and_half_precision_input_stays_half() -> None:
    cos, sin = rotary_tables((2, 2, 2), 8)
    assert cos.dtype == sin.dtype == torch.float32 and cos.shape == (8, 4)
    assert rotate(torch.randn(8, 8, dtype=torch.bfloat16), cos, sin).dtype == torch.bfloat16


def test_heads_that_do_not_divide_by_four_are_refused() -> None:
    with pytest.raises(SpecError, match="multiple of 4"):
        frequencies(6)
