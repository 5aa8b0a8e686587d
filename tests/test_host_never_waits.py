"""No step of any method asks for a value that lies on the device: the host can queue it whole.

Runs every method's `tiny` step, forward and backward, on tensors that have a shape and no values. Whatever needs a value
raises there: `item()`, `bool(tensor)`, a boolean index, `nonzero`, `unique`. What this cannot see is a copy from the host
inside a step, and code that runs on CUDA alone; `make test-gpu` looks at those.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from bench.contracts.method import Batch, Method, Phase
from bench.nets.prefix_attention import Prefix
from bench.train.seeds import generator
from tests.test_every_method import PRETRAINED, Memory, pre_training_sight, start, total


@pytest.fixture
def _lengths_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """AR reads prefix lengths only where they lie on the host; a CUDA tensor's become a table there (its own GPU test)."""

    def of(cls: type[Prefix], lengths: Tensor, tokens: int) -> Prefix:
        return Prefix((1,) * len(lengths))

    monkeypatch.setattr(Prefix, "of", classmethod(of))


def blank(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype)


def without_values(module: nn.Module) -> None:
    """Every parameter and buffer keeps its shape and loses its numbers."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(blank(parameter), parameter.requires_grad))
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, blank(buffer))


def stored(phase: Phase, corpus: Memory) -> Batch:
    samples = phase.draw(corpus, phase.config.batch_size, 0, 0)
    shown = [phase.views(corpus, sample, generator("slot", 0, i)) for i, sample in enumerate(samples)]
    return {key: torch.stack([torch.from_numpy(view[key]) for view in shown]) for key in shown[0]}


def started(name: str) -> Iterator[tuple[Method, Phase, Batch]]:
    """Each phase of a method, with a network of its own and a batch as the loader leaves it."""
    corpus = Memory(pre_training_sight(name))
    for number in range(len(start(name).phases)):
        method = start(name)
        method.fit(corpus)
        phase = method.phases[number]
        yield method, phase, stored(phase, corpus)


@pytest.mark.usefixtures("_lengths_stay_on_the_device")
@pytest.mark.parametrize("name", PRETRAINED)
def test_a_step_needs_no_value_of_any_tensor(name: str) -> None:
    for method, phase, batch in started(name):
        with FakeTensorMode(), torch.autocast("cpu", dtype=torch.bfloat16):
            without_values(method)
            with torch.no_grad():
                shown = method.prepare({key: blank(array) for key, array in batch.items()})
            for turn in phase.turns:
                method.begin_turn(turn.name)
                total(turn.loss(shown)).backward()
            with torch.no_grad():
                method.after_step(0.5)


def test_what_would_wait_is_noticed() -> None:
    with FakeTensorMode():
        x, chosen = torch.ones(3), torch.empty(3, dtype=torch.bool)
        with pytest.raises(DynamicOutputShapeException):
            x[chosen]
        for ask in (torch.Tensor.item, bool, float):
            with pytest.raises(DataDependentOutputException):
                ask(torch.empty(()))
