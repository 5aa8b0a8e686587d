"""Thin volumes get the gradients of float32 on a CPU in bf16; all other convolutions keep their bits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.train.thin_convolutions import is_thin, sound_convolutions

CPU = torch.device("cpu")


def gradient(conv: nn.Conv3d, volume: torch.Tensor, *, autocast: bool, guarded: bool) -> torch.Tensor:
    conv.zero_grad()
    with (
        sound_convolutions(CPU, "bf16" if guarded else "fp32"),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        out = conv(volume)
    out.float().square().sum().backward()
    assert conv.weight.grad is not None
    return conv.weight.grad.clone()


@pytest.mark.parametrize(("depth", "kernel"), [(2, 3), (4, 5)])
def test_the_weight_gradient_of_a_thin_volume_is_that_of_float32(depth: int, kernel: int) -> None:
    torch.manual_seed(0)
    conv, volume = nn.Conv3d(16, 32, kernel, padding=kernel // 2), torch.randn(2, 16, depth, 6, 6)
    exact = gradient(conv, volume, autocast=False, guarded=False)
    found = gradient(conv, volume, autocast=True, guarded=True)
    assert torch.allclose(found, exact, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(3, 3, 1), (14, 14, 1), (5, 8, 3)])
def test_the_weight_gradient_of_a_strided_layer_over_one_slice_is_that_of_float32(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    conv, volume = nn.Conv3d(16, 8, 3, stride=2, padding=1), torch.randn(2, 16, *shape)
    exact = gradient(conv, volume, autocast=False, guarded=False)
    assert torch.allclose(gradient(conv, volume, autocast=True, guarded=True), exact, rtol=1e-4, atol=1e-3)


def test_a_volume_as_deep_as_the_kernel_is_computed_as_ever() -> None:
    torch.manual_seed(0)
    conv, volume = nn.Conv3d(16, 32, 3, padding=1), torch.randn(2, 16, 3, 6, 6)
    plain = gradient(conv, volume, autocast=True, guarded=False)
    assert torch.equal(gradient(conv, volume, autocast=True, guarded=True), plain)
    assert not torch.equal(plain, gradient(conv, volume, autocast=False, guarded=False))  # it was bf16 indeed


def test_layers_without_bias_with_groups_and_of_one_voxel_pass_the_guard() -> None:
    volume = torch.randn(1, 8, 2, 4, 4)
    grouped, point = nn.Conv3d(8, 8, 5, padding=2, groups=8, bias=False), nn.Conv3d(8, 4, 1)
    with sound_convolutions(CPU, "bf16"), torch.autocast("cpu", torch.bfloat16):
        assert grouped(volume).dtype == torch.float32 and point(volume).dtype == torch.bfloat16
    assert not is_thin(volume, point.weight) and is_thin(volume, grouped.weight)


def test_only_a_cpu_in_bf16_is_guarded() -> None:
    volume, conv = torch.randn(1, 8, 2, 4, 4), nn.Conv3d(8, 8, 3, padding=1)
    with sound_convolutions(torch.device("cuda"), "bf16"), torch.autocast("cpu", torch.bfloat16):
        assert conv(volume).dtype == torch.bfloat16
