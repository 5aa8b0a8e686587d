"""An encoder that is not what it says is refused before it is pre-trained."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.blueprint import blueprint
from bench.chain import Chain
from bench.contracts.configs import Intensity, MethodConfig, Sight, phases
from bench.contracts.errors import EncoderMismatch, PluginBroken
from bench.contracts.method import Encoder, Features
from bench.finetune import build_model
from bench.promises import demand_network, demand_promises
from bench.spec import make_spec
from methods.mae3d import METHOD

SIGHT = Sight(2, (32, 32, 32), (1.0, 1.0, 1.0), Intensity("zscore"))


class Halves(Encoder):
    """Two maps, of strides 1 and 2."""

    channels, strides, pooled_width = (4, 8), ((1, 1, 1), (2, 2, 2)), 8

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv3d(2, 4, 1), nn.Conv3d(4, 8, 2, stride=2)

    def forward(self, volume: Tensor) -> Features:
        fine = self.fine(volume)
        coarse = self.coarse(fine)
        return Features([fine, coarse], coarse.mean((2, 3, 4)))

    def layers(self) -> list[nn.Module]:
        return [self.fine, self.coarse]


def built(**changes: Any) -> Encoder:
    with torch.device("meta"):
        encoder: Encoder = type("Changed", (Halves,), changes)()
    return encoder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"strides": ((1, 1, 1), (4, 4, 4))}, r"\(1, 8, 8, 8, 8\).* found .*\(1, 8, 16, 16, 16\)"),
        ({"strides": ((1, 1, 1),)}, "have shapes"),
        ({"channels": (4, 9)}, "have shapes"),
        ({"pooled_width": 7}, r"\(1, 7\)\], found"),
        ({"forward": lambda self, volume: [self.fine(volume)]}, "gives a list, asked for Features"),
        ({"layers": Encoder.layers}, "no `layers`"),
        ({"forward": Encoder.forward}, "no `forward`"),
    ],
)
def test_an_encoder_that_gives_other_maps_than_it_says_is_refused(changes: dict[str, Any], told: str) -> None:
    demand_promises(built(), "mine", SIGHT)
    with pytest.raises(PluginBroken, match=f"mine: .*{told}"):
        demand_promises(built(**changes), "mine", SIGHT)


def test_a_run_asks_it_of_the_encoder_that_its_task_sees() -> None:
    spec = make_spec(method="mae3d", task="msd04", preset="tiny", corpus="own", phantom=True)
    plan = blueprint(spec)

    def lying(config: MethodConfig, sight: Sight) -> Encoder:
        encoder = METHOD.encoder(config, sight)
        encoder.pooled_width += 1
        return encoder

    words: Any = SimpleNamespace(spec=spec, task=registry.task("msd04"))
    demand_network(Chain(words=words, blueprint=plan, keys={}, sight=None))
    wrong = replace(plan, method=replace(METHOD, encoder=lying))
    with pytest.raises(PluginBroken, match="mae3d: By `channels`, `strides` and `pooled_width`"):
        demand_network(Chain(words=words, blueprint=wrong, keys={}, sight=None))


@pytest.mark.parametrize("given", [None, nn.Conv3d(1, 8, 3)])
def test_what_is_no_encoder_is_refused_in_words_before_a_pre_training_and_from_scratch(given: nn.Module | None) -> None:
    """Training from scratch ended in a bare AssertionError, a run that pre-trains in an AttributeError of ours."""
    spec = make_spec(method="mae3d", task="msd04", preset="tiny", corpus="own", phantom=True)
    words: Any = SimpleNamespace(spec=spec, task=registry.task("msd04"))
    plan = replace(blueprint(spec), method=replace(METHOD, encoder=lambda config, sight: given))
    with pytest.raises(
        PluginBroken, match=f"mae3d: Its card's `encoder` gives a {type(given).__name__}, asked for an Encoder"
    ):
        demand_network(Chain(words=words, blueprint=plan, keys={}, sight=None))
    kind: Any = registry.kind("segmentation")
    with pytest.raises(PluginBroken, match="asked for an Encoder"):
        build_model(plan.method, "mae3d", plan.architecture, plan.setup, kind, 0)


def test_a_corpus_whose_encoder_no_network_of_the_task_can_take_over_is_refused_before_it_is_trained_on() -> None:
    """Of two contrasts, where the task has one."""
    spec = make_spec(method="mae3d", task="msd04", preset="tiny", corpus="own", phantom=True)
    plan = blueprint(spec)
    words: Any = SimpleNamespace(spec=spec, task=registry.task("msd04"), corpus_word="pairs")
    chain = Chain(words=words, blueprint=plan, keys={}, sight=plan.setup.sight)
    demand_network(chain)
    with pytest.raises(EncoderMismatch, match=r"on 'pairs' fits no network of this task: .*found shape") as caught:
        demand_network(replace(chain, sight=replace(plan.setup.sight, channels=2)))
    assert "--corpus own" in caught.value.remedy


@pytest.mark.parametrize("name", [name for name in registry.names(registry.METHODS) if registry.method(name).build])
@pytest.mark.parametrize("task", ["msd04", "msd01"])  # of one contrast and of four
def test_every_method_of_ours_pre_trained_on_volumes_of_one_contrast_is_taken_over(name: str, task: str) -> None:
    spec = make_spec(method=name, task=task, preset="tiny", phantom=True)
    plan = blueprint(spec)
    words: Any = SimpleNamespace(spec=spec, task=registry.task(task), corpus_word="ours")
    demand_network(Chain(words=words, blueprint=plan, keys={}, sight=replace(plan.setup.sight, channels=1)))


def test_what_cannot_be_computed_without_values_is_not_judged() -> None:
    def forward(self: Halves, volume: Tensor) -> Features:
        return Halves.forward(self, volume * float(volume.mean()))

    demand_promises(built(forward=forward), "mine", SIGHT)


@pytest.mark.parametrize("name", sorted(registry.names(registry.METHODS)))
def test_every_encoder_of_ours_is_what_it_says(name: str) -> None:
    card = registry.method(name)
    config = list(phases(card.tiny).values())[-1]
    shape = tuple(-(-32 // step) * step for step in config.multiple_at((32, 32, 32), SIGHT.spacing_mm))
    sight = Sight(1, shape, SIGHT.spacing_mm, SIGHT.intensity)  # type: ignore[arg-type]
    with torch.device("meta"):
        demand_promises(card.encoder(config, sight), name, sight)
