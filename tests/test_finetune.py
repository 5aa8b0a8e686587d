"""How a network is made ready to be fine-tuned: its start, what trains and what selects, rates by layer, freezing and LoRA."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.contracts.configs import FineTuneConfig, Intensity, Sight
from bench.contracts.errors import SpecError
from bench.contracts.method import Phase, Turn
from bench.data.lock import only_one
from bench.finetune import adopt_weights, build_model, finetune, training_job
from bench.nets.conv3d import HybridEncoder
from bench.nets.lora import LowRank
from bench.nets.sequence_vit import SequenceViT
from bench.nets.vit3d import ViT3D
from bench.train.controls import others_label
from bench.train.loop import Hardware, Job

SIGHT = Sight(1, (32, 32, 64), None, Intensity("zscore"))
PARTS = {"train": ("a", "b", "c"), "val": ("d",)}


class Cases:
    """Case ids, each with a label or, for those in `bare`, without one."""

    def __init__(self, cases: tuple[str, ...] = ("a", "b", "c", "d"), bare: str = "") -> None:
        self.cases, self.bare, self.given = cases, bare, dict[str, str]()

    def subset(self, wanted: tuple[str, ...]) -> Cases:
        return Cases(tuple(wanted), self.bare)

    def fields(self, case: str) -> Mapping[str, Any]:
        return {} if case in self.bare else {"label": 1}

    def relabelled(self, given: dict[str, str]) -> Cases:
        found = Cases(self.cases, self.bare)
        found.given = given
        return found


class Kind:
    """Remembers what it is judged on."""

    def __init__(self) -> None:
        self.judged: list[tuple[str, ...]] = []

    def build_net(self, _setup: Any, encoder: nn.Module, _decoder: str, _seed: int) -> nn.Module:
        return nn.ModuleDict({"encoder": encoder})

    def layers(self, model: Any) -> list[nn.Module]:
        return [*model.encoder.layers(), model.head]

    def prepare(self, _setup: Any) -> Any:
        return lambda batch: batch

    def training_phase(self, setup: Any, model: nn.Module) -> Phase:
        return Phase("fine-tune", setup.recipe, None, None, (Turn("all", lambda batch: {}),))  # type: ignore[arg-type]

    def evaluate(self, _setup: Any, _model: nn.Module, held_out: Cases) -> float:
        self.judged.append(held_out.cases)
        return 0.5


class Net(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(24, 2)


def vit() -> SequenceViT:
    return SequenceViT(SIGHT, width=24, depth=2, heads=2, patch=(16, 16, 16), skips=(1, 2))


def hybrid() -> HybridEncoder:
    return HybridEncoder(SIGHT, widths=(6, 12, 24, 48), depths=(1, 1, 1, 1), heads=2, drop_path=0.5)


def made(
    encoder: nn.Module, kind: Kind | None = None, parts: Any = PARTS, bare: str = "", **recipe: Any
) -> tuple[Job, nn.Module, tuple[str, ...]]:
    setup: Any = SimpleNamespace(recipe=FineTuneConfig(**recipe), task=SimpleNamespace(title="Toy"), sight=SIGHT)
    net = Net(encoder)
    job, notes = training_job(
        net,
        setup,
        kind or Kind(),
        Cases(bare=bare),
        parts,
        "k",
        Path("nowhere"),
        Hardware(device="cpu"),  # type: ignore[arg-type]
    )
    return job, net, notes


def test_the_training_cases_train_and_the_others_select_where_the_recipe_selects() -> None:
    kind = Kind()
    job, _, _ = made(vit(), kind, evaluate_every=7)
    assert job.corpus.cases == ("a", "b", "c") and job.keep_best and job.evaluate is not None
    assert (job.evaluate(), kind.judged, job.evaluate_every) == (0.5, [("d",)], 7)
    for unselected in (made(vit(), selection="last")[0], made(vit(), parts={**PARTS, "val": ()})[0]):
        assert unselected.evaluate is None and not unselected.keep_best


def test_a_kind_that_looks_at_its_cases_before_the_first_step_sees_those_of_training_alone() -> None:
    class Fitting(Kind):
        def fit(self, _setup: Any, _model: nn.Module, cases: Cases) -> None:
            self.judged.append(cases.cases)

    kind = Fitting()
    made(vit(), kind)
    assert kind.judged == [("a", "b", "c")]


def test_rates_fall_by_layer_from_the_head_which_takes_the_encoders_last_norm_with_it() -> None:
    """Two blocks and the embedding below the head, at a decay of a half: 1/2, 1/4, 1/8 of the rate."""
    job, net, _ = made(vit(), lr=0.8, layer_decay=0.5)
    assert job.groups is not None and isinstance(net, Net) and isinstance(net.encoder, SequenceViT)
    rate = {id(p): group["lr"] for group in job.groups(job.phase.turns[0]) for p in group["params"]}
    parts = {0.8: [net.head, net.encoder.norm], 0.4: [net.encoder.blocks[1]], 0.2: [net.encoder.blocks[0]]}
    for wanted, modules in {**parts, 0.1: [net.encoder.entry]}.items():
        assert all(rate[id(p)] == pytest.approx(wanted) for module in modules for p in module.parameters())
    assert len(rate) == len(list(net.parameters()))


def test_the_last_norm_of_a_plain_vit_takes_the_heads_rate_and_parts_no_block_from_it() -> None:
    """MAE3D and UNETR, which AR fine-tunes by the rule of its own network; weights keep their order in the optimiser."""
    encoder = ViT3D(SIGHT, width=24, depth=2, heads=2, patch=(16, 16, 16), skips=(1, 2))
    job, net, _ = made(encoder, lr=0.8, layer_decay=0.5)
    assert job.groups is not None and isinstance(net, Net)
    groups = job.groups(job.phase.turns[0])
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    parts = {0.8: [net.head, encoder.norm], 0.4: [encoder.blocks[1]], 0.2: [encoder.blocks[0]], 0.1: [encoder.embed]}
    for wanted, modules in parts.items():
        assert all(rate[id(p)] == pytest.approx(wanted) for module in modules for p in module.parameters())
    assert rate[id(encoder.positions)] == pytest.approx(0.1) and len(rate) == len(list(net.parameters()))
    last = [p for group in groups for p in group["params"]][-4:]
    assert all(a is b for a, b in zip(last, (*encoder.norm.parameters(), *net.head.parameters()), strict=True))


def test_permuted_labels_are_those_of_other_training_cases_by_the_recipes_seed_and_need_labels() -> None:
    job, _, _ = made(vit(), permuted_labels=True, seed=5)
    assert job.corpus.given == others_label(("a", "b", "c"), 5) != others_label(("a", "b", "c"), 0)  # type: ignore[attr-defined]
    assert made(vit())[0].corpus.given == {}  # type: ignore[attr-defined]
    with pytest.raises(SpecError, match="'b' has a mask or a report"):
        made(vit(), bare="bd", permuted_labels=True)


def test_a_frozen_encoder_is_looked_through_and_one_that_lora_changes_drops_its_paths() -> None:
    for recipe, drops in (({"frozen_encoder": True}, False), ({"lora_rank": 2}, True), ({}, True)):
        _, net, notes = made(hybrid(), **recipe)
        assert isinstance(net.encoder, HybridEncoder)
        assert net.encoder.stage4[0].drop_path.training is drops
        assert any("frozen: " in note for note in notes) == bool(recipe)
        changes = [part for part in net.encoder.modules() if isinstance(part, LowRank)]
        assert {(change.scale, len(change.down)) for change in changes} == (
            {(2.0, 2)} if "lora_rank" in recipe else set()
        )


def test_loras_start_is_drawn_from_the_recipes_seed_alone_and_its_scale_is_the_recipes() -> None:
    def change(**recipe: Any) -> LowRank:
        torch.rand(1)  # whatever was drawn before
        _, net, _ = made(vit(), lora_rank=2, **recipe)
        return next(part for part in net.encoder.modules() if isinstance(part, LowRank))  # type: ignore[union-attr]

    one, again, other = change(seed=1), change(seed=1, lora_scale=0.5), change(seed=2)
    assert torch.equal(one.down, again.down) and not torch.equal(one.down, other.down)
    assert (one.scale, again.scale) == (2.0, 0.5)


def test_an_encoders_start_is_drawn_from_the_methods_name_and_the_seed() -> None:
    card: Any = SimpleNamespace(encoder=lambda _config, _sight: vit(), decoder="unetr")
    setup: Any = SimpleNamespace(sight=SIGHT)

    def start(name: str, seed: int) -> torch.Tensor:
        found: torch.Tensor = build_model(card, name, None, setup, Kind(), seed)["encoder"].entry.embed.weight  # type: ignore[arg-type, index]
        return found

    assert torch.equal(start("ar", 1), start("ar", 1))
    assert not torch.equal(start("ar", 1), start("ar", 2)) and not torch.equal(start("ar", 1), start("mim", 1))


@pytest.mark.parametrize("foreign", [False, True])
def test_weights_of_ones_own_must_be_what_the_method_declares_and_foreign_ones_are_taken_as_they_are(
    foreign: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    encoder = vit()
    monkeypatch.setattr(encoder, "adopt", lambda _weights, *, declared: asked.append(declared))
    save_file({"x": torch.ones(1)}, tmp_path / "w.safetensors")
    adopt_weights(Net(encoder), tmp_path / "w.safetensors", foreign=foreign)
    assert asked == [not foreign]


def test_a_second_process_waits_for_the_model_that_a_first_one_trains_and_takes_it(tmp_path: Path) -> None:
    """Else both would write one checkpoint, and one log with every line twice."""
    folder, nothing = tmp_path / "key", cast(Any, None)  # what it would train with, were it to train

    def second() -> Path:
        return finetune(
            nothing, "", nothing, nothing, nothing, nothing, {}, None,
            foreign=False, key="key", folder=folder, hardware=Hardware("cpu"),
        )  # fmt: skip

    with ThreadPoolExecutor(1) as hand:
        with only_one(folder):
            coming = hand.submit(second)
            time.sleep(0.5)  # time enough to begin, were it not for the lock
            assert not coming.done()
            folder.mkdir()
            for name in ("trained.json", "model.safetensors"):
                (folder / name).touch()
        assert coming.result(60) == folder / "model.safetensors"
