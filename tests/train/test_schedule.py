"""Learning rates over time and layers: bounds, monotony, and membership by module."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.contracts.configs import PhaseConfig
from bench.contracts.errors import PluginBroken, SpecError
from bench.train import schedule

CONFIG = PhaseConfig(steps=4, warmup_steps=2, lr=1.0, weight_decay=0.5)


def test_two_warm_up_steps_of_four_then_a_cosine_are_a_half_one_one_a_half() -> None:
    assert [schedule.learning_rate(CONFIG, step) for step in range(5)] == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0])


def test_a_linear_schedule_falls_in_a_straight_line_to_zero() -> None:
    config = replace(CONFIG, steps=6, schedule="linear")
    assert [schedule.learning_rate(config, step) for step in range(7)] == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]


def test_an_overlong_cosine_starts_at_zero_and_is_stopped_before_its_end() -> None:
    config = replace(CONFIG, steps=8, schedule="cosine_overlong")
    factors = [schedule.learning_rate(config, step) for step in range(9)]
    assert factors[:3] == [0.0, 0.5, 1.0]
    assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 6 / 8)))


def test_cosines_fall_to_the_floor_and_rates_stay_between_two_settings() -> None:
    config = replace(CONFIG, steps=6, lr=2.0, lr_floor=0.5)
    assert schedule.learning_rate(config, 6) == pytest.approx(0.25) and schedule.learning_rate(config, 2) == 1.0
    overlong = replace(config, schedule="cosine_overlong")
    share = 0.5 * (1 + math.cos(math.pi * 3 / 6))
    assert schedule.learning_rate(overlong, 5) == pytest.approx(0.25 + 0.75 * share)
    slow = [schedule.learning_rate(replace(config, lr_every=3), step) for step in range(6)]
    assert slow == [schedule.learning_rate(config, step) for step in (0, 0, 0, 3, 3, 3)]


def test_what_a_module_names_undecayed_is_spared() -> None:
    class Book(nn.Module):
        undecayed = ("words",)

        def __init__(self) -> None:
            super().__init__()
            self.words, self.weight = nn.Parameter(torch.zeros(4, 4)), nn.Parameter(torch.zeros(4, 4))

    net = nn.ModuleDict({"book": Book()})
    decay = {id(p): g["weight_decay"] for g in schedule.even_groups(net.parameters(), net, CONFIG) for p in g["params"]}
    assert decay[id(net["book"].words)] == 0.0 and decay[id(net["book"].weight)] == 0.5


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(1, 300),
    warmup=st.integers(0, 400),
    kind=st.sampled_from(["cosine", "linear", "constant", "poly"]),
)
def test_the_factor_rises_to_at_most_one_and_then_never_rises_again(steps: int, warmup: int, kind: str) -> None:
    config = PhaseConfig(steps=steps, warmup_steps=warmup, schedule=kind)
    factors = [schedule.learning_rate(config, step) for step in range(steps + 1)]
    assert all(0.0 <= factor <= 1.0 for factor in factors)
    assert all(factor > 0.0 for factor in factors[:-1])  # no update is wasted
    rise, fall = factors[:warmup], factors[warmup:]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    if warmup < steps:
        assert factors[warmup] == 1.0
        assert factors[-1] == pytest.approx(1.0 if kind == "constant" else 0.0, abs=1e-12)


def test_milestones_take_a_tenth_from_the_half_on_and_a_hundredth_from_three_quarters_on() -> None:
    config = replace(CONFIG, steps=8, warmup_steps=0, schedule="milestones")
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert [schedule.learning_rate(config, step) for step in range(8)] == pytest.approx(expected)
    warm = replace(config, warmup_steps=2)  # as preset small has it
    assert [schedule.learning_rate(warm, step) for step in range(8)] == pytest.approx([0.5, *expected[1:]])


def test_a_polynomial_falls_as_nine_tenths_power_of_what_is_left() -> None:
    config = replace(CONFIG, steps=10, schedule="poly")
    left = [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]
    factors = [schedule.learning_rate(config, step) for step in range(11)]
    assert factors[:2] == [0.5, 1.0] and factors[2:] == pytest.approx([share**0.9 for share in left])
    whole = [schedule.learning_rate(replace(config, warmup_steps=0, lr_every=5), step) for step in range(10)]
    assert whole == pytest.approx([1.0] * 5 + [0.5**0.9] * 5)


def test_an_unknown_schedule_is_refused_with_the_nearest_word() -> None:
    with pytest.raises(SpecError, match="Did you mean 'cosine'"):
        schedule.learning_rate(replace(CONFIG, schedule="cosin"), 0)


class Net(nn.Module):
    """A token and positions outside all layers, `depth` layers, a head, a frozen part."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 6))
        self.position = nn.Parameter(torch.zeros(1, 5, 6))
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6)) for _ in range(depth))
        self.head = nn.Linear(6, 1)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)


@settings(max_examples=30, deadline=None)
@given(depth=st.integers(0, 6), decay=st.floats(0.1, 1.0))
def test_every_trained_parameter_is_in_exactly_one_group_at_its_modules_depth(depth: int, decay: float) -> None:
    net = Net(depth)
    groups = schedule.layer_groups([*net.layers, net.head], net, CONFIG, decay)
    place = {id(p): group for group in groups for p in group["params"]}
    assert len(place) == sum(len(group["params"]) for group in groups)
    assert set(place) == {id(p) for p in net.parameters() if p.requires_grad}
    assert place[id(net.head.weight)]["lr"] == 1.0
    for index, layer in enumerate(net.layers):
        for parameter in layer.parameters():
            assert place[id(parameter)]["lr"] == pytest.approx(decay ** (depth - index))
    assert place[id(net.token)]["lr"] == place[id(net.position)]["lr"] == pytest.approx(decay**depth)


def test_biases_norms_and_tokens_take_no_weight_decay_and_weights_do() -> None:
    net = Net(1)
    groups = schedule.layer_groups([*net.layers, net.head], net, CONFIG, 0.9)
    decayed = {id(p) for group in groups if group["weight_decay"] == 0.5 for p in group["params"]}
    assert decayed == {id(net.position), id(net.layers[0][0].weight), id(net.head.weight)}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.5}


def test_all_parameters_decay_where_the_config_says_so() -> None:
    net, config = Net(1), replace(CONFIG, decay_all=True)
    groups = schedule.layer_groups([*net.layers, net.head], net, config, 0.9)
    assert {group["weight_decay"] for group in groups} == {0.5}
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in net.parameters())


def test_a_table_of_learned_tokens_takes_no_weight_decay() -> None:
    table = nn.Parameter(torch.zeros(4, 6))
    assert schedule.is_one_dimensional("entry.special_tokens", table)
    assert not schedule.is_one_dimensional("entry.table", table)


def test_a_parameter_shared_by_two_layers_belongs_to_the_first() -> None:
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, shared, nn.Linear(3, 3))
    groups = schedule.layer_groups(list(net), net, CONFIG, 0.5)
    assert sorted({group["lr"] for group in groups}) == [0.25, 1.0]


def test_even_groups_hold_the_given_parameters_and_no_frozen_ones() -> None:
    net = Net(1)
    groups = schedule.even_groups([*net.head.parameters(), *net.frozen.parameters()], net, CONFIG)
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in net.head.parameters()}
    assert {group["lr"] for group in groups} == {1.0}


def test_rates_by_name_scale_the_learning_rate_and_the_longest_beginning_counts() -> None:
    net = Net(2)
    rates = {"layers.": 0.5, "layers.1.": 0.25}
    groups = schedule.even_groups(net.parameters(), net, CONFIG, rates)
    found = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {found[id(p)] for p in net.layers[0].parameters()} == {0.5}
    assert {found[id(p)] for p in net.layers[1].parameters()} == {0.25}
    assert {found[id(p)] for p in net.head.parameters()} == {1.0}
    assert len(found) == sum(p.requires_grad for p in net.parameters())
    assert {group["weight_decay"] for group in groups} == {
        0.0,
        0.5,
    }  # the decay is not scaled, its product with the rate is
    with pytest.raises(PluginBroken, match="encoder"):
        schedule.even_groups(net.parameters(), net, CONFIG, {"encoder.": 0.5})


def test_a_decay_outside_its_range_is_refused() -> None:
    with pytest.raises(SpecError, match="layer_decay"):
        schedule.layer_groups([], Net(0), CONFIG, 0.0)
