"""Prefix attention: the first tokens of a sequence see each other, every later token sees those and what came before it.

Source   AR-SSL4M (AAAI 2025), "Random startup"; query q sees key k where k <= q or k < length
Ways     No mask of N x N numbers is ever made. Anywhere: the first rows by a call among themselves, the rows behind in
         chunks, each with the columns up to its own end and a mask as large as the chunk; memory grows with N alone, and
         columns that nobody sees cost nothing. On CUDA: `flex_attention` with a table of blocks of 128 x 128, because it
         takes a length per sequence without telling the host, and skips unseen blocks too; it has no backward on a CPU
Shapes   B sequences, H heads, N tokens, E numbers per head
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

BLOCK_TOKENS = 128
CHUNK_ROWS = 512  # ours: smaller chunks cost calls, larger ones columns that nobody sees


@dataclass(frozen=True)
class Prefix:
    """How many leading tokens of each sequence see each other. Made once per pass, by `of`, and used by every layer.

    `lengths` holds B numbers on the host, or is None where `blocks`, flex_attention's table of blocks, takes its place.
    """

    lengths: tuple[int, ...] | None
    blocks: Any = None

    @classmethod
    def of(cls, lengths: Tensor, tokens: int) -> Prefix:
        """From lengths (B,) int64 in 1..N. Those of a CUDA tensor are not read: that would make the host wait."""
        if lengths.device.type == "cuda":
            return cls(None, block_mask(lengths, tokens))
        told = tuple(lengths.tolist())
        assert all(1 <= length <= tokens for length in told), f"prefixes {told} of {tokens} tokens"
        return cls(told)


def prefix_attention(query: Tensor, key: Tensor, value: Tensor, prefix: Prefix | None) -> Tensor:
    """softmax(q k^T / sqrt(E)) v over what each token sees; (B, H, N, E) each. `prefix` None: every token sees all.

    Example: with lengths (1,) this is causal attention, with lengths (N,) attention without any mask.
    """
    if prefix is None:
        return functional.scaled_dot_product_attention(query, key, value)
    if prefix.lengths is None:
        found: Tensor = _flex()(query, key, value, block_mask=prefix.blocks)
        return found
    if len(set(prefix.lengths)) == 1:  # one call serves the whole batch
        return _by_rows(query, key, value, prefix.lengths[0])
    each = zip(query, key, value, prefix.lengths, strict=True)
    return torch.cat([_by_rows(q[None], k[None], v[None], length) for q, k, v, length in each])


def _by_rows(query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    """Prefix attention at one length for all sequences: the prefix among itself, then the rows behind it in chunks."""
    tokens = query.shape[2]
    if length == 1:  # no two tokens see each other
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    parts = [functional.scaled_dot_product_attention(query[:, :, :length], key[:, :, :length], value[:, :, :length])]
    place = torch.arange(tokens, device=query.device)
    chunks = -(-(tokens - length) // CHUNK_ROWS)
    for k in range(chunks):
        first, end = (length + (tokens - length) * edge // chunks for edge in (k, k + 1))
        seen = place[None, :end] <= place[first:end, None]
        rows = query[:, :, first:end]
        parts.append(functional.scaled_dot_product_attention(rows, key[:, :, :end], value[:, :, :end], attn_mask=seen))
    return torch.cat(parts, dim=2)


def block_mask(lengths: Tensor, tokens: int) -> Any:
    """flex_attention's table for lengths (B,): which blocks are seen whole, which in part, without a mask of N x N.

    A ragged last block counts as seen in part, since what lies beyond the sequence is not seen.
    """
    from torch.nn.attention.flex_attention import BlockMask

    count = -(-tokens // BLOCK_TOKENS)
    first = torch.arange(count, device=lengths.device) * BLOCK_TOKENS
    last = first + BLOCK_TOKENS - 1
    first_q, last_q = first[None, :, None], last[None, :, None]
    first_k, last_k, length = first[None, None], last[None, None], lengths[:, None, None]
    whole = ((last_k <= first_q) | (last_k < length)) & (last_k < tokens) & (last_q < tokens)
    partly = ((first_k <= last_q) | (first_k < length)) & ~whole
    return BlockMask.from_kv_blocks(
        *_listed(partly),
        *_listed(whole),
        BLOCK_SIZE=BLOCK_TOKENS,
        mask_mod=_seen(lengths),
        seq_lengths=(tokens, tokens),
    )


def _listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """(B, Q, K) bool -> per row how many blocks are chosen (B, 1, Q), and which, those first (B, 1, Q, K); int32."""
    order = chosen.int().argsort(dim=-1, descending=True, stable=True)
    return chosen.sum(-1, dtype=torch.int32)[:, None], order.to(torch.int32)[:, None]


def _seen(lengths: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def seen(sequence: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (k <= q) | (k < lengths[sequence])

    return seen


def _flex() -> Callable[..., Any]:
    """flex_attention, compiled by itself or with the loss it is part of, whose graph a compiled part breaks in torch 2.11."""
    from torch.nn.attention.flex_attention import flex_attention

    way: Callable[..., Any] = flex_attention
    return way if torch.compiler.is_compiling() else _compiled()


@functools.cache
def _compiled() -> Callable[..., Any]:
    """Uncompiled, flex_attention writes the whole softmax out."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=False)
    return compiled
