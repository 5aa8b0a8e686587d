"""The decoder that writes words: it sees none of those to come, knows their places, and looks at means of every map."""

from __future__ import annotations

import torch

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
