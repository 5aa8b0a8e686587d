"""Pools and heads between tokens and a loss, restated in slow lines (Sec. 2.4 of MG-3D's fidelity spec)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.parts.heads import AttentionPool, ContrastHead, MeanPool, TokenPool, VolumeDecoder


def normal(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last axis."""
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


@torch.no_grad()
def test_a_volumes_tokens_are_averaged_or_weighed_then_projected_and_squashed() -> None:
    torch.manual_seed(0)
    x, mean, learned = torch.randn(2, 5, 8), TokenPool(8), TokenPool(8, tokens=5)
    torch.testing.assert_close(mean(x), torch.tanh(mean.dense(x.sum(1) / 5)))
    assert learned.weights is not None
    weighed = sum(learned.weights.weight[0, t] * x[:, t] for t in range(5)) + learned.weights.bias
    torch.testing.assert_close(learned(x), torch.tanh(learned.dense(weighed)))


@torch.no_grad()
def test_sentences_are_averaged_without_their_padding() -> None:
    torch.manual_seed(0)
    x, pool, shown = torch.randn(2, 4, 8), MeanPool(8), torch.arange(4)[None] < torch.tensor([[4], [2]])
    for i, n in enumerate((4, 2)):
        torch.testing.assert_close(pool(x, shown)[i], torch.tanh(pool.dense(x[i, :n].mean(0))))


@torch.no_grad()
def test_the_mean_sentence_asks_itself_and_all_that_are_no_padding_in_eight_heads() -> None:
    torch.manual_seed(0)
    x, pool, shown = torch.randn(2, 4, 16), AttentionPool(16), torch.arange(4)[None] < torch.tensor([[4], [2]])
    found = pool(x, shown)
    for i, n in enumerate((4, 2)):
        mean = x[i, :n].mean(0)
        everything = torch.stack([mean, *x[i, :n]])
        query, keys, values = pool.query(mean), pool.key(everything), pool.value(everything)
        heads = []
        for head in range(8):
            part = slice(2 * head, 2 * head + 2)
            share = (keys[:, part] @ query[part] / 2**0.5).softmax(0)
            heads.append(share @ values[:, part])
        torch.testing.assert_close(found[i], pool.out(torch.cat(heads)), atol=1e-5, rtol=1e-5)


def test_a_mean_sentence_carries_the_gradient_of_all_that_it_is_made_of() -> None:
    torch.manual_seed(0)
    x, pool = torch.randn(1, 3, 16, requires_grad=True), AttentionPool(16)
    for part in (pool.query.weight, pool.query.bias):
        part.data.zero_()  # equal shares: a quarter for a sentence itself, and a third of the mean's quarter
    pool(x, torch.ones(1, 3, dtype=torch.bool)).sum().backward()
    reached = pool.value.weight.T @ (pool.out.weight.T @ torch.ones(16))
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0], (reached / 3).expand(3, -1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_what_is_contrasted_is_normed_and_projected_without_a_bias() -> None:
    torch.manual_seed(0)
    head, x = ContrastHead(8, 6), 3 + 5 * torch.randn(4, 8)
    torch.testing.assert_close(head(x), normal(x) @ head.project.weight.T, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_stage_of_the_decoder_convolves_norms_bends_and_doubles_in_this_order() -> None:
    torch.manual_seed(0)
    decoder, tokens = VolumeDecoder(32, (1, 1, 2), 1), torch.randn(2, 2, 32)
    x = tokens.transpose(1, 2).reshape(2, 32, 1, 1, 2)
    for stage in decoder.stages:
        conv = stage[0]
        x = nn.functional.conv3d(x, conv.weight, conv.bias, padding=1)
        x = normal(x.flatten(2)).view_as(x)  # of each channel of each volume
        x = torch.where(x > 0, x, 0.01 * x)
        x = nn.functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
    torch.testing.assert_close(decoder(tokens), decoder.out(x), atol=1e-4, rtol=1e-4)
