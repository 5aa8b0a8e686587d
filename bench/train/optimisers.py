"""What an optimiser moves: the parameters of a turn in groups of one rate and decay, and the optimiser that a config names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bench.contracts.configs import PhaseConfig
from bench.contracts.errors import PluginBroken, SpecError, nearest
from bench.contracts.method import Turn
from bench.train import schedule

OPTIMISERS = ("adamw", "sgd")


def built(groups: Sequence[schedule.Group], config: PhaseConfig, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser a config names. Raises SpecError for another name."""
    demand_optimiser(config.optimiser)
    fused = device.type == "cuda"  # one kernel, and no wait for the device within the step
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, config.lr, config.betas, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.SGD(groups, config.lr, config.betas[0], weight_decay=config.weight_decay, fused=fused)


def demand_optimiser(name: str) -> None:
    """Raises SpecError for a name that is none of OPTIMISERS."""
    if name not in OPTIMISERS:
        raise SpecError(
            f"No optimiser '{name}'. {nearest(name, OPTIMISERS)}Possible: {', '.join(OPTIMISERS)}.",
            remedy="Choose with `--set optimiser=adamw`.",
        )


def groups_of(
    turn: Turn, model: nn.Module, config: PhaseConfig, given: Sequence[schedule.Group] | None
) -> list[schedule.Group]:
    if given is None:
        wanted = model.parameters() if turn.parameters is None else turn.parameters()
        given = schedule.even_groups(wanted, model, config, turn.rates)
    groups = [{**g, "params": [p for p in g["params"] if p.requires_grad]} for g in given]
    groups = [{"lr": config.lr, **group} for group in groups if group["params"]]
    if not groups:
        raise PluginBroken(
            f"turn '{turn.name}' has no parameter that requires gradients.",
            remedy="Its `parameters` (or the job's groups) must yield trainable parameters of the model.",
        )
    return groups


def demand_owned(turn: Turn, parameters: Sequence[nn.Parameter], model: nn.Module) -> None:
    """Parameters outside the model would be trained and never saved."""
    known = {id(parameter) for parameter in model.parameters()}
    strangers = [parameter for parameter in parameters if id(parameter) not in known]
    if strangers:
        raise PluginBroken(
            f"turn '{turn.name}' moves {len(strangers)} parameters that are not the model's; "
            f"first of shape {tuple(strangers[0].shape)}.",
            remedy="Make their module an attribute of the model.",
        )


def others_of(turn: Turn, model: nn.Module, mine: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    if turn.parameters is None:
        return []
    own = {id(parameter) for parameter in mine}
    return [p for p in model.parameters() if p.requires_grad and id(p) not in own]
