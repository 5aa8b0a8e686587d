"""Attention within windows by one call gives what MONAI's writes out, from the weights that MONAI drew."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from monai.networks.nets.swin_unetr import SwinTransformerBlock, compute_mask
from torch import Tensor
from torch.nn import functional

from bench.contracts.configs import Intensity, Shape3, Sight
from bench.nets import swin3d
from bench.nets.swin3d import Swin3D
from bench.nets.window_attention import WindowAttention, fuse

WINDOWS: list[Shape3] = [(7, 7, 7), (3, 4, 5)]


def built(window: Shape3) -> tuple[WindowAttention, Tensor, Tensor]:
    """An attention of three heads with a bias that counts, voxels of two volumes of eight windows, a mask of shifted windows."""
    torch.manual_seed(0)
    attention = fuse(SwinTransformerBlock(24, 3, window, (1, 1, 1), qkv_bias=True)).attn
    torch.nn.init.normal_(attention.relative_position_bias_table)
    mask = compute_mask([2 * side for side in window], window, (1, 1, 1), "cpu")
    return attention, torch.randn(16, mask.shape[-1], 24, requires_grad=True), mask


def outcome(found: Tensor, attention: WindowAttention, x: Tensor) -> list[Tensor]:
    """What was found, and the gradients of something uneven in it."""
    uneven = torch.linspace(-1, 1, found.numel(), device=found.device).view_as(found)
    return [found, *torch.autograd.grad((found * uneven).sum(), [x, *attention.parameters()])]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shifted", [False, True])
def test_one_call_gives_the_values_and_gradients_of_the_written_out_form(window: Shape3, shifted: bool) -> None:
    attention, drawn, mask = built(window)
    attention, x, told = (
        attention.double(),
        drawn.detach().double().requires_grad_(),
        mask.double() if shifted else None,
    )
    wanted = outcome(attention(x, told), attention, x)
    found = outcome(attention.fused(x, told), attention, x)
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)


def test_the_mask_and_the_bias_each_change_what_one_call_gives() -> None:
    attention, x, mask = built((3, 4, 5))
    shifted, plain = attention.fused(x, mask), attention.fused(x, None)
    torch.nn.init.zeros_(attention.relative_position_bias_table)
    assert not torch.allclose(shifted, plain, atol=1e-3)
    assert not torch.allclose(plain, attention.fused(x, None), atol=1e-3)


def test_what_is_added_is_told_once_for_all_volumes_and_in_rows_that_fast_kernels_take() -> None:
    attention, x, mask = built((3, 4, 5))
    with mock.patch.object(
        functional, "scaled_dot_product_attention", wraps=functional.scaled_dot_product_attention
    ) as call:
        attention.fused(x, None), attention.fused(x, mask)
    added = [each.kwargs["attn_mask"] for each in call.call_args_list]
    assert [tuple(each.shape) for each in added] == [(1, 3, 60, 60), (1, 24, 60, 60)]
    assert all(each.is_contiguous() for each in added)


def test_the_network_starts_from_the_weights_that_monai_draws_under_monais_names() -> None:
    sight = Sight(1, (32, 32, 32), (1.0, 1.0, 1.0), Intensity("zscore"))
    torch.manual_seed(0)
    found = Swin3D(sight, feature=12, heads=(1, 2, 3, 4))
    with mock.patch.object(swin3d, "fuse", lambda block: block):
        torch.manual_seed(0)
        wanted = Swin3D(sight, feature=12, heads=(1, 2, 3, 4))
    assert list(found.state_dict()) == list(wanted.state_dict())
    assert [name for name, _ in found.named_parameters()] == [name for name, _ in wanted.named_parameters()]
    assert all(torch.equal(found.state_dict()[name], value) for name, value in wanted.state_dict().items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("shifted", [False, True])
def test_on_a_gpu_one_call_is_made_that_never_writes_the_logits_out(shifted: bool) -> None:
    attention, x, mask = built((7, 7, 7))
    wanted = outcome(attention(x, mask if shifted else None), attention, x)
    there, on = attention.cuda(), x.detach().cuda().requires_grad_()
    told = mask.cuda() if shifted else None
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.EFFICIENT_ATTENTION):  # anything else is an error
        found = outcome(there(on, told), there, on)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=2e-3, rtol=1e-3)
