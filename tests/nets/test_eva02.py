"""EVA-02's block against its equations, and what becomes of its released weights: every tensor in its place, one function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.contracts.errors import EncoderMismatch
from bench.nets.eva02 import Eva02Block, SwiGLU
from bench.nets.rope import rotary_tables
from tests.nets.eva02_weights import eva02
from tests.nets.test_spad_networks import adapted, pretrained


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
    slices = (kernel / 8)[:, :, None].expand(-1, -1, 8, -1, -1)  # each alike, not one of them alone
    torch.testing.assert_close(net.embed.weight, slices, atol=1e-5, rtol=1e-4)
    gate = "fc1_g" if timm else "w1"
    torch.testing.assert_close(net.blocks[2].mlp.w1.weight, weights[f"blocks.2.mlp.{gate}.weight"])
    torch.testing.assert_close(net.norm.bias, weights["norm.bias"])


def released_block(weights: dict[str, Tensor], n: int, x: Tensor, heads: int, *, timm: bool) -> Tensor:
    """A block of EVA-02 as its authors compute it, of released names, on tokens that no position turns: (B, N, C)."""

    def norm(y: Tensor, name: str) -> Tensor:
        return nn.functional.layer_norm(
            y, y.shape[-1:], weights[f"blocks.{n}.{name}.weight"], weights[f"blocks.{n}.{name}.bias"]
        )

    def linear(y: Tensor, name: str, bias: str) -> Tensor:
        found = weights.get(f"blocks.{n}.{bias}")
        return nn.functional.linear(y, weights[f"blocks.{n}.{name}.weight"], found)

    gate, value, inner, out = ("fc1_g", "fc1_x", "norm", "fc2") if timm else ("w1", "w2", "ffn_ln", "w3")
    biases = ("attn.q_proj.bias", "attn.v_proj.bias") if timm else ("attn.q_bias", "attn.v_bias")
    y = norm(x, "norm1")
    parts = (("attn.q_proj", biases[0]), ("attn.k_proj", "none"), ("attn.v_proj", biases[1]))
    q, k, v = (linear(y, name, bias).unflatten(-1, (heads, -1)).transpose(1, 2) for name, bias in parts)
    share = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
    x = x + linear((share @ v).transpose(1, 2).flatten(2), "attn.proj", "attn.proj.bias")
    y = norm(x, "norm2")
    y = linear(y, f"mlp.{gate}", f"mlp.{gate}.bias")
    y = y * y.sigmoid() * linear(norm(x, "norm2"), f"mlp.{value}", f"mlp.{value}.bias")
    return x + linear(norm(y, f"mlp.{inner}"), f"mlp.{out}", f"mlp.{out}.bias")


@pytest.mark.parametrize("timm", [True, False])
def test_a_block_of_eva02_computes_after_the_hand_over_what_its_authors_compute(timm: bool) -> None:
    weights, net = eva02(timm=timm), pretrained()
    net.adopt_eva02(weights)
    x, still = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(3)), torch.zeros(4, 6)
    for n, block in enumerate(net.blocks):
        found = block(x, still.cos(), still.sin())
        torch.testing.assert_close(found, released_block(weights, n, x, 4, timm=timm), atol=1e-3, rtol=1e-4)


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
