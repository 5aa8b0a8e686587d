"""One optimiser's update: losses of all micro-batches, their gradient over the whole batch, one step.

Host and device meet once per update: total loss and gradient norm (and, with several ranks, whether all had memory)
are fetched together after the backward pass has been queued. Only then is it decided whether the update happens, so
weights, momenta, average and schedules never see an undefined number. The price is that the optimiser is queued when
the backward pass ends: microseconds in a step of many milliseconds.

Gradients are summed over ranks here, in one message, and not by DistributedDataParallel's hooks: a loss is a method
that calls the network how it likes (twice, in parts, under a teacher), not its `forward`. The message also carries
which rank ran out of memory, so that all ranks repeat the update together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts.configs import PhaseConfig
from bench.contracts.errors import PluginBroken
from bench.contracts.method import Batch, Losses, Turn
from bench.train import mishaps, ranks, schedule, seeds
from bench.train.hardware import Machine
from bench.train.optimisers import built, demand_owned, groups_of, others_of
from bench.train.thin_convolutions import sound_convolutions

Remembered = list[tuple[Tensor, dict[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """What an attempt found; losses are means over the batch. `fits` False: out of memory, nothing else counts."""

    fits: bool
    loss: float = float("nan")
    grad_norm: float = float("nan")
    named: Losses | None = None


class Update:
    """A turn of a phase with its optimiser. `attempt` computes gradients, `apply` uses them, `discard` drops them."""

    def __init__(
        self,
        turn: Turn,
        model: nn.Module,
        config: PhaseConfig,
        key: str,
        machine: Machine,
        prepare: Callable[[Batch], Batch],
        groups: Sequence[schedule.Group] | None,
        begin: Callable[[str], None],
    ) -> None:
        self.turn = turn
        self.optimiser = built(groups_of(turn, model, config, groups), config, machine.device)
        self.parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        demand_owned(turn, self.parameters, model)
        self._others = others_of(turn, model, self.parameters)
        self._all = list(model.parameters())  # walking through all modules twice a step keeps a device waiting
        self._rates = [float(group["lr"]) for group in self.optimiser.param_groups]
        self._loss = torch.compile(turn.loss) if config.compile else turn.loss
        self._config, self._key = config, key
        self._machine, self._prepare, self._begin = machine, prepare, begin
        self._norm: Tensor | None = None

    def attempt(self, batch: Batch, step: int, micro: int) -> Outcome:
        """The gradient of the mean loss over the whole batch, `micro` samples at a time; updates nothing.

        Samples of a short last micro-batch weigh as much as all others. Repeating it gives the same randomness.
        """
        self._clear()
        self._begin(self.turn.name)
        named = self._tried(batch, step, micro)
        fits = named is not None
        total = torch.zeros((), dtype=torch.float64, device=self._machine.device)
        if named is not None:
            total = torch.stack(list(self.turn.counted(named).values())).sum()
        flags: list[float] = []
        if self._machine.world > 1:
            values = torch.stack([total.new_tensor(float(not fits)), total])
            shared, present = ranks.sum_gradients(self.parameters, values)
            norm = self._measured()
            lacking, loss, grad_norm, *flags = torch.cat([shared, norm.double()[None], present]).tolist()
            fits = lacking == 0.0
        elif fits:
            norm = self._measured()
            loss, grad_norm = torch.stack([total, norm.double()]).tolist()
        if not fits:
            self._clear()
            return Outcome(fits=False)
        for parameter, present_somewhere in zip(self.parameters, flags, strict=False):
            if not present_somewhere:  # as with one rank: no gradient means no weight decay either
                parameter.grad = None
        self._norm = norm
        return Outcome(True, loss, grad_norm, named)

    def apply(self, factor: float) -> None:
        """Clip and take the optimiser's step at `factor` times each group's learning rate."""
        assert self._norm is not None, "attempt comes first"
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        if self._machine.scaler is not None:
            self._machine.scaler.unscale_(self.optimiser)
        if self._config.grad_clip > 0:
            nn.utils.clip_grads_with_norm_(self.parameters, self._config.grad_clip, self._norm)
        # the plugin's own step: with fp16 it takes the scaler's way and adapts the scale
        self._machine.fabric.strategy.precision.optimizer_step(self.optimiser)
        self._clear()

    def discard(self) -> None:
        """Drop the gradients; in fp16 let the scaler see them, so that it lowers its scale."""
        if self._machine.scaler is not None:
            self._machine.scaler.unscale_(self.optimiser)
            self._machine.scaler.update()
        self._clear()

    def remembered(self) -> Remembered:
        """Copies of the turn's weights, each with what the optimiser knows of it."""
        known = self.optimiser.state
        return [(p.detach().clone(), copy.deepcopy(dict(known.get(p, {})))) for p in self.parameters]

    @torch.no_grad()
    def restore(self, state: Remembered) -> None:
        """Weights and optimiser as they were remembered: a later turn of the same step was undefined."""
        for parameter, (value, known) in zip(self.parameters, state, strict=True):
            parameter.copy_(value)
            self.optimiser.state.pop(parameter, None)
            if known:
                self.optimiser.state[parameter] = known

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved optimiser's momenta. Rates, decays and kernels are the present config's and device's."""
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state["state"]})

    def _tried(self, batch: Batch, step: int, micro: int) -> Losses | None:
        """The named losses, or None when memory did not suffice (the exception, and all it held, is gone by then)."""
        try:
            with self._only_mine():
                return self._accumulated(batch, step, micro)
        except torch.OutOfMemoryError:
            return None
        except RuntimeError as error:
            mishaps.demand_compiled(error, self.turn.name)
            raise

    def _accumulated(self, batch: Batch, step: int, micro: int) -> Losses:
        """Backward through every micro-batch; each named loss as its share of the mean over all ranks' samples."""
        sums: Losses = {}
        count = len(next(iter(batch.values())))
        for first in range(0, count, micro):
            part = {name: self._moved(value[first : first + micro]) for name, value in batch.items()}
            share = min(micro, count - first) / self._config.batch_size
            slot = self._machine.rank + first * self._machine.world
            seeds.reseed_all(self._key, step, slot, "prepare")
            with torch.no_grad():
                prepared = self._prepare(part)
            seeds.reseed_all(self._key, step, slot, "loss", self.turn.name)
            with self._machine.fabric.autocast(), sound_convolutions(self._machine.device, self._config.precision):
                losses = _named(self._loss(prepared), self.turn)
                total = _total(losses, self.turn)
            self._machine.fabric.backward(total * (share * self._config.summed_passes))
            for name, value in losses.items():
                found = value.detach().double() * share
                sums[name] = sums[name] + found if name in sums else found
        return sums

    def _moved(self, tensor: Tensor) -> Tensor:
        """A copy on the device, also on the CPU: `prepare` may write into it, and the next turn wants it as it was."""
        return tensor.to(self._machine.device, non_blocking=True, copy=True)

    def _measured(self) -> Tensor:
        """The gradient's 2-norm over all parameters of the turn, without the fp16 scale, on the device."""
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        scaler = self._machine.scaler
        norm = norm.to(self._machine.device)
        return norm if scaler is None else norm / scaler.scale(torch.ones_like(norm))

    def _clear(self) -> None:
        self._norm = None
        for parameter in self._all:
            parameter.grad = None

    @contextmanager
    def _only_mine(self) -> Iterator[None]:
        """Inside, parameters of other turns take no gradient: it would be computed and thrown away."""
        for parameter in self._others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self._others:
                parameter.requires_grad_(True)


def _named(losses: Any, turn: Turn) -> Losses:
    """What a turn's loss gave, where it is names and tensors."""
    if isinstance(losses, dict) and all(isinstance(value, Tensor) for value in losses.values()):
        return losses
    found = {name: type(value).__name__ for name, value in losses.items()} if isinstance(losses, dict) else ""
    raise PluginBroken(
        f"the loss of turn '{turn.name}' returns {found or type(losses).__name__}, asked for a dict of named tensors.",
        remedy='For example: return {"rebuild": loss}.',
    )


def _total(losses: Losses, turn: Turn) -> Tensor:
    """The sum of a turn's losses, in at least fp32."""
    for name, value in losses.items():
        if value.ndim:
            raise PluginBroken(
                f"loss '{name}' of turn '{turn.name}' has shape {tuple(value.shape)}, asked for a scalar.",
                remedy="Return the mean over the batch.",
            )
    counted = turn.counted(losses)
    wide = [value.to(torch.promote_types(value.dtype, torch.float32)) for value in counted.values()]
    total = torch.stack(wide).sum() if wide else torch.zeros(())
    if not total.requires_grad:
        raise PluginBroken(
            f"the losses of turn '{turn.name}' ({', '.join(counted) or 'none'}) do not depend on any trained parameter.",
            remedy="`loss` must return at least one scalar that gradients can flow through.",
        )
    return total
