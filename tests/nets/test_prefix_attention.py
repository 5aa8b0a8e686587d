"""Prefix attention: equal to the softmax written out, without a mask; and flex_attention's table of blocks."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from bench.nets import prefix_attention as attention
from bench.nets.prefix_attention import Prefix, block_mask, prefix_attention

LENGTHS = [(1, 1), (4, 4), (10, 10), (3, 10), (1, 7), (10, 2)]


def written_out(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """The softmax over what each token sees, row by row of the definition."""
    rows = []
    for b, length in enumerate(lengths):
        seen = dense(length, query.shape[2])
        logits = query[b] @ key[b].transpose(1, 2) / math.sqrt(query.shape[-1])
        rows.append(logits.masked_fill(~seen, float("-inf")).softmax(-1) @ value[b])
    return torch.stack(rows)


def dense(length: int, tokens: int) -> Tensor:
    return torch.tensor([[k <= q or k < length for k in range(tokens)] for q in range(tokens)])


def drawn(*shape: int, seed: int = 0) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=source) for _ in range(3)]


def test_a_prefix_of_four_of_ten_is_seen_by_all_and_the_rest_is_causal() -> None:
    """Check 1 of the spec: with P = 3 image tokens the START and the prefix are the first four; P = 0 is plain causal."""
    assert dense(4, 10).sum(1).tolist() == [4, 4, 4, 4, 5, 6, 7, 8, 9, 10]
    assert dense(1, 10).sum(1).tolist() == list(range(1, 11))


@pytest.mark.parametrize("length", [1, 4, 10])
def test_a_row_weighs_exactly_the_tokens_it_sees(length: int) -> None:
    """With equal keys every visible token weighs the same, so one-hot values show who is seen."""
    still, value = torch.zeros(1, 1, 10, 10), torch.eye(10)[None, None]
    found = prefix_attention(still, still, value, Prefix.of(torch.tensor([length]), 10))[0, 0]
    seen = dense(length, 10)
    torch.testing.assert_close(found, seen / seen.sum(1, keepdim=True))


@pytest.mark.parametrize("lengths", LENGTHS)
def test_outputs_and_gradients_equal_the_softmax_written_out(lengths: tuple[int, int]) -> None:
    fast, slow = ([x.requires_grad_() for x in drawn(2, 3, 10, 8)] for _ in range(2))
    found = prefix_attention(*fast, Prefix.of(torch.tensor(lengths), 10))
    wanted = written_out(*slow, lengths)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(5))
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    for mine, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [1, 257, 514])
def test_the_papers_sequence_of_514_tokens_agrees_to_1e_5(length: int) -> None:
    query, key, value = drawn(1, 12, 514, 64)
    found = prefix_attention(query, key, value, Prefix.of(torch.tensor([length]), 514))
    torch.testing.assert_close(found, written_out(query, key, value, (length,)), atol=1e-5, rtol=0)


def test_without_a_prefix_every_token_sees_all() -> None:
    query, key, value = drawn(2, 3, 10, 8)
    torch.testing.assert_close(prefix_attention(query, key, value, None), written_out(query, key, value, (10, 10)))


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_the_rows_behind_the_prefix_may_come_in_chunks_of_any_size(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "CHUNK_ROWS", chunk)
    query, key, value = drawn(2, 3, 10, 8)
    for length in (2, 4, 9, 10):
        found = prefix_attention(query, key, value, Prefix.of(torch.tensor([length, length]), 10))
        torch.testing.assert_close(found, written_out(query, key, value, (length, length)), atol=1e-5, rtol=0)


def test_what_is_kept_for_the_backward_pass_grows_with_the_length_and_not_with_its_square() -> None:
    def largest(tokens: int) -> int:
        query, key, value = (x.requires_grad_() for x in drawn(2, 1, tokens, 4))
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x.numel()), x)[1], lambda x: x):
            prefix_attention(query, key, value, Prefix.of(torch.tensor([20, tokens // 2]), tokens))
        return max(kept)

    assert largest(2048) <= 2 * largest(1024) <= 2 * 512 * 1024


@pytest.mark.parametrize("tokens", [514, 512, 100, 2048])
def test_the_table_of_blocks_is_the_one_made_from_the_whole_mask(tokens: int) -> None:
    lengths = torch.tensor([1, tokens, tokens // 2, min(tokens, 128), min(tokens, 129)])
    ours = block_mask(lengths, tokens)
    whole = create_block_mask(ours.mask_mod, len(lengths), None, tokens, tokens, device="cpu")
    assert ours.seq_lengths == whole.seq_lengths == (tokens, tokens)
    for part in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(ours, part), getattr(whole, part)), part
    for count, index in (("kv_num_blocks", "kv_indices"), ("full_kv_num_blocks", "full_kv_indices")):
        for number, mine, theirs in zip(
            getattr(ours, count).flatten().tolist(),
            getattr(ours, index).flatten(0, -2).tolist(),
            getattr(whole, index).flatten(0, -2).tolist(),
            strict=True,
        ):
            assert mine[:number] == theirs[:number]


def test_flex_attention_sees_by_that_table_what_the_chunks_see() -> None:
    query, key, value = drawn(3, 2, 300, 16)
    lengths = torch.tensor([1, 140, 300])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # uncompiled, it says that it is slow
        flexed = flex_attention(query, key, value, block_mask=block_mask(lengths, 300))
    torch.testing.assert_close(flexed, prefix_attention(query, key, value, Prefix.of(lengths, 300)), atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_on_a_gpu_values_and_gradients_agree_and_the_host_never_waits() -> None:
    lengths = torch.tensor([1, 200, 514])
    on_host = [x.requires_grad_() for x in drawn(3, 12, 514, 64)]
    on_device = [x.detach().cuda().requires_grad_() for x in on_host]
    there = lengths.cuda()
    prefix_attention(*on_device, Prefix.of(there, 514)).sum().backward()  # compiles
    for x in on_device:
        x.grad = None
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = prefix_attention(*on_device, Prefix.of(there, 514))
        found.square().sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    wanted = prefix_attention(*on_host, Prefix.of(lengths, 514))
    wanted.square().sum().backward()
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-5, rtol=0)
    for x, y in zip(on_device, on_host, strict=True):
        torch.testing.assert_close(x.grad.cpu(), y.grad, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [0, 11])
def test_a_prefix_without_start_and_one_beyond_the_sequence_are_our_own_bugs(length: int) -> None:
    with pytest.raises(AssertionError, match="of 10 tokens"):
        Prefix.of(torch.tensor([3, length]), 10)


def test_causal_and_unmasked_attention_are_the_ends() -> None:
    query, key, value = drawn(2, 3, 10, 8)
    causal = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(prefix_attention(query, key, value, Prefix.of(torch.tensor([1, 1]), 10)), causal)
