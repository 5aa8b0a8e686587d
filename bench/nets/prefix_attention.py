"""Prefix attention: the first tokens of a sequence see each other, every later token sees those and what came before it.

Source   AR-SSL4M (AAAI 2025), "Random startup"; query q sees key k where k <= q or k < length
Ways     No mask of N x N numbers is ever made. Anywhere: a causal call whose first rows are replaced by a full call among
         themselves, which is exact. On CUDA: `flex_attention` with a table of blocks of 128 x 128, because it takes a
         length per sequence without telling the host, and skips blocks that nobody sees; it has no backward on a CPU
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
        found: Tensor = _compiled_flex()(query, key, value, block_mask=prefix.blocks)
        return found
    return _two_calls(query, key, value, prefix.lengths)


def _two_calls(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Causal attention, the first rows of each sequence made anew. A prefix that the whole batch shares costs one call."""
    causal = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    if len(set(lengths)) == 1:
        return _first_rows_anew(causal, query, key, value, lengths[0])
    each = zip(causal, query, key, value, lengths, strict=True)
    rows = [_first_rows_anew(c[None], q[None], k[None], v[None], length) for c, q, k, v, length in each]
    return torch.cat(rows)


def _first_rows_anew(causal: Tensor, query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    if length == 1:  # one token sees itself either way
        return causal
    first = functional.scaled_dot_product_attention(query[:, :, :length], key[:, :, :length], value[:, :, :length])
    return torch.cat([first, causal[:, :, length:]], dim=2)


def block_mask(lengths: Tensor, tokens: int, block: int = BLOCK_TOKENS) -> Any:
    """flex_attention's table for lengths (B,): which blocks are seen whole, which in part, without a mask of N x N.

    A ragged last block counts as seen in part, since what lies beyond the sequence is not seen.
    """
    from torch.nn.attention.flex_attention import BlockMask

    count = -(-tokens // block)
    first = torch.arange(count, device=lengths.device) * block
    last = first + block - 1
    first_q, last_q = first[None, :, None], last[None, :, None]
    first_k, last_k, length = first[None, None], last[None, None], lengths[:, None, None]
    whole = ((last_k <= first_q) | (last_k < length)) & (last_k < tokens) & (last_q < tokens)
    partly = ((first_k <= last_q) | (first_k < length)) & ~whole
    return BlockMask.from_kv_blocks(
        *_listed(partly),
        *_listed(whole),
        BLOCK_SIZE=block,
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


@functools.cache
def _compiled_flex() -> Callable[..., Any]:
    """Uncompiled, flex_attention writes the whole softmax out."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=False)
    return compiled
