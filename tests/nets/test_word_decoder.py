"""The decoder that writes words: it sees none of those to come, knows their places, and looks at means of every map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts.method import Features
from bench.nets.word_decoder import WordDecoder, visual_tokens


def decoder(slots: int = 0) -> WordDecoder:
    torch.manual_seed(0)
    return WordDecoder(6, words=20, longest=9, width=16, depth=2, heads=2, hidden=32, slots=slots).eval()


@torch.no_grad()
def test_a_word_to_come_changes_no_score_before_it_and_those_behind_it() -> None:
    net, ids = decoder(), torch.tensor([[1, 4, 7, 2, 9]])
    memory = net.memory(torch.randn(1, 3, 6))
    before, other = net(ids, memory), net(torch.tensor([[1, 4, 7, 11, 9]]), memory)
    torch.testing.assert_close(other[:, :3], before[:, :3], atol=1e-6, rtol=0)
    assert all(float((other[:, k] - before[:, k]).abs().max()) > 1e-3 for k in (3, 4))


@torch.no_grad()
def test_the_same_word_scores_otherwise_at_another_place() -> None:
    net = decoder()
    scores = net(torch.tensor([[5, 5, 5]]), net.memory(torch.randn(1, 3, 6)))
    assert float((scores[0, 1] - scores[0, 0]).abs().max()) > 1e-3
    assert float((scores[0, 2] - scores[0, 1]).abs().max()) > 1e-3


@torch.no_grad()
def test_visual_tokens_are_means_of_cells_of_all_maps_side_by_side_and_memory_slots_stand_behind_them() -> None:
    fine, coarse = torch.arange(2 * 64.0).view(1, 2, 4, 4, 4), torch.arange(4 * 8.0).view(1, 4, 2, 2, 2)
    tokens = visual_tokens(Features([fine, coarse], torch.zeros(1, 4)), 2)
    assert tokens.shape == (1, 8, 6)
    for cell in range(8):
        i, j, k = cell // 4, cell // 2 % 2, cell % 2
        box = fine[0, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2].mean((1, 2, 3))
        torch.testing.assert_close(tokens[0, cell], torch.cat([box, coarse[0, :, i, j, k]]))
    plain, slotted = decoder(), decoder(slots=3)
    assert plain.memory(tokens).shape == (1, 8, 16) and slotted.slots is not None
    assert torch.equal(slotted.memory(tokens)[0, 8:], slotted.slots)


def attended(part: nn.MultiheadAttention, asking: Tensor, seen: Tensor, *, back: bool = False) -> Tensor:
    """Two heads of eight numbers; with `back` each place sees itself and those before it."""
    width = asking.shape[-1]
    q, k, v = (
        F.linear(x, part.in_proj_weight[n * width : (n + 1) * width], part.in_proj_bias[n * width : (n + 1) * width])
        for n, x in enumerate((asking, seen, seen))
    )
    heads = []
    for at in (slice(0, 8), slice(8, 16)):
        logits = q[..., at] @ k[..., at].transpose(1, 2) / 8**0.5
        logits = logits.masked_fill(torch.ones_like(logits).triu(1).bool(), float("-inf")) if back else logits
        heads.append(logits.softmax(-1) @ v[..., at])
    return part.out_proj(torch.cat(heads, -1))


@torch.no_grad()
def test_words_look_back_then_at_the_volume_and_are_worked_on_each_time_behind_a_norm() -> None:
    net, ids, visual = decoder(slots=3), torch.tensor([[1, 4, 7, 2], [3, 3, 8, 5]]), torch.randn(2, 5, 6)
    for norm in (part for part in net.modules() if isinstance(part, nn.LayerNorm)):
        norm.weight.normal_(), norm.bias.normal_()  # or one could stand for another
    norm, linear = net.look
    assert isinstance(norm, nn.LayerNorm) and net.slots is not None
    memory = torch.cat([linear(norm(visual)), net.slots.expand(2, -1, -1)], 1)
    x = net.embed.weight[ids] + net.positions[:4]
    for layer in net.layers:
        x = x + attended(layer.self_attn, layer.norm1(x), layer.norm1(x), back=True)
        x = x + attended(layer.multihead_attn, layer.norm2(x), memory)
        x = x + layer.linear2(F.gelu(layer.linear1(layer.norm3(x))))
    torch.testing.assert_close(net(ids, net.memory(visual)), net.score(net.norm(x)), atol=1e-4, rtol=1e-4)
    assert {part.p for part in net.modules() if isinstance(part, nn.Dropout)} == {0.1}
