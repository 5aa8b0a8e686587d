"""Freezing an encoder: what pre-training brings to it stays as it is, and what pre-training never brings learns.

A task's encoder may hold more than pre-training hands over: MiM's down-block and relative positions, SPAD's adapter. Frozen at
their random start these would give random maps, so only what `declared()` names is frozen. That depends on the encoder alone and
on no weight file: runs from scratch and pre-trained ones train the same tensors and differ in their start.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from bench.contracts.method import Encoder


def freeze(encoder: Encoder) -> None:
    """Keep updates away from every tensor that pre-training brings; all others learn.

    A module that keeps running statistics among these tensors goes to eval mode, so that they stay as well. Call it after
    `train()`, and before weights are parametrised, for that renames them.
    """
    new = unbrought(encoder)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name in new)
    for place, part in _places(encoder):
        if any(f"{place}{own}" not in new for own, _ in part.named_buffers(recurse=False)):
            part.training = False


def still(encoder: Encoder) -> None:
    """The mode of an encoder that is looked through: nothing is dropped, so the same volume always gives the same.

    Only a module with a tensor of its own that pre-training does not bring is in train mode: a BatchNorm that learns gathers
    the statistics with which it will be judged. Call it before weights are parametrised.
    """
    new = unbrought(encoder)
    for place, part in _places(encoder):
        own = (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
        part.training = any(f"{place}{name}" in new for name, _ in own)


def unbrought(encoder: Encoder) -> frozenset[str]:
    """Names of an encoder's stored tensors that pre-training does not bring."""
    return frozenset(encoder.state_dict()) - encoder.declared()


def in_words(encoder: nn.Module) -> str:
    """How much of an encoder is frozen and how much is free, for the record."""
    frozen, free = ([p for p in encoder.parameters() if p.requires_grad is wanted] for wanted in (False, True))
    kept, learns = (sum(p.numel() for p in found) for found in (frozen, free))
    return f"frozen: {len(frozen)} tensors of the encoder ({kept:,} numbers); free to learn: {len(free)} ({learns:,} numbers)"


def _places(encoder: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module with what stands before the names of its own tensors."""
    for name, part in encoder.named_modules():
        yield f"{name}." if name else "", part
