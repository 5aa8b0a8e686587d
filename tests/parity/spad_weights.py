"""Gradients, and what weight decay acts on, by our names; see `spad`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tests.parity.released import Compared, compared
from tests.parity.spad_released import module


def gradients(what: str, theirs: Mapping[str, Any], own: Mapping[str, Any], names: tuple[str, ...]) -> list[Compared]:
    pairs = ((name, theirs[name].grad, own[name].grad) for name in names)
    return [compared(f"{what}, gradient of {name}", one, other.reshape(one.shape)) for name, one, other in pairs]


def decay(what: str, network: nn.Module, theirs: Mapping[str, Any], groups: Any, own: Mapping[str, Any]) -> Compared:
    """Which parameters weight decay acts on: 1 or 0 of each."""
    decayed, _ = module("mylib.models.utils").split_weight_decay_keys(network)
    told = {id(p): float(name in decayed) for name, p in network.named_parameters()}
    ours = {id(p): float(group["weight_decay"] > 0) for group in groups for p in group["params"]}
    pairs = torch.tensor([(told[id(p)], ours[id(own[name])]) for name, p in theirs.items()])
    return compared(f"{what}: which of {len(pairs)} parameters decay", *pairs.T)
