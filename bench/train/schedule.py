"""How large a step each parameter takes, and when: the learning rate over time and over the layers of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import nn

from bench.contracts.configs import PhaseConfig
from bench.contracts.errors import PluginBroken, SpecError, nearest

SCHEDULES = ("cosine", "linear", "constant", "cosine_overlong", "milestones", "poly")
POLY_POWER = 0.9  # that of nnU-Net, and so of AR's released code on RICORD
Group = dict[str, Any]


def learning_rate(config: PhaseConfig, step: int) -> float:
    """The factor in [0, 1] by which update number `step` (from 0) multiplies the learning rate.

    Source: linear warm-up and cosine decay to zero as in Loshchilov & Hutter, ICLR 2017, eq. 5, without restarts.
    Update s of W warm-up updates takes (s + 1) / W, so that none is wasted on a rate of zero; after the warm-up the
    `cosine` falls from 1 at s = W to 0 at s = `steps`, one past the last update; `linear` falls between the same ends in
    a straight line; `constant` stays at 1. `cosine_overlong` is that of SPAD's released code: update s of the warm-up
    takes s / W, and the cosine's half period is `steps` counted from the end of the warm-up, so that it stops short of its
    end. Cosines fall to `lr_floor`; the rate is set anew every `lr_every` updates. `milestones` takes a tenth from half of
    all steps on and a hundredth from three quarters on (MedMNIST's and SPAD's rule). `poly` falls between the ends of the
    cosine as (1 - share of the way) ** 0.9 (nnU-Net's rule).
    Raises SpecError for a schedule that does not exist.

    Example: 4 steps, 2 of them warm-up, cosine: 0.5, 1, 1, 0.5.
    """
    if config.schedule not in SCHEDULES:
        raise SpecError(
            f"No schedule '{config.schedule}'. {nearest(config.schedule, SCHEDULES)}Possible: {', '.join(SCHEDULES)}.",
            remedy="Choose with `--set schedule=cosine`.",
        )
    step -= step % config.lr_every
    overlong = config.schedule == "cosine_overlong"
    if step < config.warmup_steps:
        return (step + (not overlong)) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "milestones":
        return 0.1 ** ((2 * step >= config.steps) + (4 * step >= 3 * config.steps))
    share = (step - config.warmup_steps) / max(config.steps - (0 if overlong else config.warmup_steps), 1)
    if config.schedule == "linear":
        return 1.0 - min(share, 1.0)
    if config.schedule == "poly":
        return (1.0 - min(share, 1.0)) ** POLY_POWER
    least = config.lr_floor / config.lr if config.lr else 0.0
    return least + (1.0 - least) * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def layer_groups(layers: Sequence[nn.Module], model: nn.Module, config: PhaseConfig, decay: float) -> list[Group]:
    """Optimiser groups in which the learning rate falls by `decay` per layer away from the head.

    Source: layer-wise decay, Clark et al., ICLR 2020 (ELECTRA), App. A; here by module, not by parameter name.
    `layers` run from input to output and END WITH THE HEAD: the last one takes `config.lr`, the one before it
    `config.lr * decay`, and so on. A layer whose every parameter the head holds too (an encoder's final norm) takes the
    head's rate and is no step. A parameter in several layers belongs to the first of them; one in no layer counts as the
    first layer. Frozen parameters are left out; 1-D ones (biases, norms, tokens) take no weight decay unless the
    config says `decay_all`, nor do those that a module names in its attribute `undecayed`. Without layers every parameter
    takes `config.lr`. Raises SpecError unless 0 < decay <= 1.
    """
    demand_layer_decay(decay)
    owner: dict[int, int] = {}
    for index, layer in enumerate(layers):
        for parameter in layer.parameters():
            owner.setdefault(id(parameter), index)
    steps = _steps_to_head(layers)
    spared = undecayed(model)
    groups: dict[tuple[int, bool], Group] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        index = owner.get(id(parameter), 0)
        exempt = (is_one_dimensional(name, parameter) or name in spared) and not config.decay_all
        fresh = {
            "params": [],
            "lr": config.lr * decay ** steps[index],
            "weight_decay": 0.0 if exempt else config.weight_decay,
        }
        groups.setdefault((index, exempt), fresh)["params"].append(parameter)
    return [groups[place] for place in sorted(groups)]


def _steps_to_head(layers: Sequence[nn.Module]) -> list[int]:
    """How many layers each lies away from the head, the last of them; one that lies in the head is no step."""
    of_head = {id(p) for layer in layers[-1:] for p in layer.parameters()}
    steps = [0]
    for layer in reversed(layers[:-1]):
        own = {id(p) for p in layer.parameters()}
        steps.append(steps[-1] + (not own or not own <= of_head))
    return steps[::-1]


def demand_layer_decay(decay: float) -> None:
    """Raises SpecError unless 0 < decay <= 1."""
    if not 0.0 < decay <= 1.0:
        raise SpecError(f"layer_decay must be in (0, 1], found {decay}.", remedy="Choose with `--set layer_decay=1.0`.")


def even_groups(
    parameters: Iterable[nn.Parameter],
    model: nn.Module,
    config: PhaseConfig,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> list[Group]:
    """Optimiser groups of the given parameters at the config's rate; 1-D ones take no weight decay, frozen ones are left out.

    `rates` maps the beginning of a parameter's name in `model` to a factor on the rate; the longest that fits counts.
    Raises PluginBroken where one fits no trained parameter.
    """
    wanted = {id(parameter) for parameter in parameters}
    names = {id(p): name for name, p in model.named_parameters() if id(p) in wanted and p.requires_grad}
    strays = [begin for begin in rates if not any(name.startswith(begin) for name in names.values())]
    if strays:
        raise PluginBroken(f"No trained parameter's name begins with '{strays[0]}', for which a rate is given.")
    groups: list[Group] = []
    for group in layer_groups((), model, config, 1.0):
        parts: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if id(parameter) in wanted:
                parts.setdefault(_factor(names[id(parameter)], rates), []).append(parameter)
        groups += [{**group, "params": part, "lr": group["lr"] * factor} for factor, part in parts.items()]
    return groups


def _factor(name: str, rates: Mapping[str, float]) -> float:
    fitting = [begin for begin in rates if name.startswith(begin)]
    return rates[max(fitting, key=len)] if fitting else 1.0


def undecayed(model: nn.Module) -> frozenset[str]:
    """Names of parameters that their module spares from weight decay: those it lists in its attribute `undecayed`."""
    found = ((place, own) for place, part in model.named_modules() for own in getattr(part, "undecayed", ()))
    return frozenset(f"{place}.{own}" if place else own for place, own in found)


def is_one_dimensional(name: str, parameter: nn.Parameter) -> bool:
    """True for biases, norms and tokens, which weight decay leaves alone.

    That is a tensor of one axis; one that is no layer's `weight` and has one axis once those of length 1 are dropped (a
    class token of shape (1, 1, C)); or a table of learned tokens, which is named `*_tokens` (T, C).
    """
    own = name.rpartition(".")[2]
    if parameter.ndim <= 1 or own.endswith("_tokens"):
        return True
    return own != "weight" and sum(length > 1 for length in parameter.shape) <= 1
